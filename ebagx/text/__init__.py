"""Texts become features, models and figures.

==========  ===================================================================
corpus      labelled texts and lines from files
words       words of prepared text, numbered
lines       lines as numbers of words, and their labels
ngrams      n-grams, and the columns of those that are hashed
features    the features that have a column; lines as bags of them
tokens      the compiled part of these
model       text classifiers and their training
autotune    a search for good options
evaluation  precision, recall, F1 and confusions
==========  ===================================================================
"""

__all__: list[str] = []
