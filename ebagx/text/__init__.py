"""Texts: from files and strings to features, models and figures.

==========  ===================================================================
corpus      labelled texts and lines from files
tokens      words and n-grams of prepared text (compiled)
ngrams      texts to rows of features, block by block
features    the features that have a column: learned, then counted
model       text classifiers, and how they are trained
autotune    a search for good options
evaluation  precision, recall, F1 and confusions
==========  ===================================================================
"""

__all__: list[str] = []
