"""Read and write file formats; all that is read from a file is checked.

============  ================================================================
model_folder  text classifiers as a folder of text, JSON and ``.npy`` files
npy           ``.npy`` files: their header, and a writer of rows
============  ================================================================
"""

__all__: list[str] = []
