"""Models of fastText: their features, tables and labels, and the answers that fastText gives.

==========  ====================================================================
features    `FastTextFeatures`: lines and words become rows of the input table
matrix      `Matrix`: a table as it is in the file, plain or product-quantised
labels      scores become probabilities: softmax, sigmoids, a tree of labels
model       `FastTextModel`, which `ebagx.text.load_model` returns
lookups     the rules of word vectors, for `ebagx.text.load_vectors`
==========  ====================================================================

All work on lines is compiled (``fasttext_*.pxi``). Sums, products and roundings have the order of
fastText 0.9.2, so that probabilities have its digits. ``ebagx.io.fasttext`` reads the files.
"""
