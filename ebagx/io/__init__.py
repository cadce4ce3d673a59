"""File formats: one a file, and nothing in a file is trusted.

============  ================================================================
model_folder  text classifiers as a folder of text, JSON and ``.npy`` files
npy           ``.npy`` files: their header, and rows written as they come
============  ================================================================
"""

__all__: list[str] = []
