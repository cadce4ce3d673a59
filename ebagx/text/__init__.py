"""Texts become features, models and figures.

==========  ===================================================================
corpus      labelled texts and lines from files
tokens      words and n-grams of prepared text (compiled)
ngrams      rows of features from blocks of texts
features    the features that have a column, and their counts
model       text classifiers and their training
autotune    a search for good options
evaluation  precision, recall, F1 and confusions
==========  ===================================================================
"""

__all__: list[str] = []
