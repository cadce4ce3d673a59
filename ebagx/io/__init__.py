"""Read and write file formats; all that is read from a file is checked.

=================  ================================================================
model_folder       text classifiers as a folder of text, JSON and ``.npy`` files
model_description  the JSON file of such a folder
description_fields fields of that file, checked
fasttext_folder    models of fastText in such a folder
estimator_folder   other estimators as a folder of JSON and ``.npy`` files
stored_folder      common parts of these two
versioned_folder   folders that have one complete version of their files at all times
npy                ``.npy`` files: their header, and a writer of rows
=================  ================================================================
"""

__all__: list[str] = []
