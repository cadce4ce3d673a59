"""
A map of texts
==============

The mean of its words' learned embeddings is a vector for each text. On the first two principal
components of these vectors, related topics and languages lie together, though nothing in the model
says which are related.
"""

# %%
# Train on the ten topics of WordNet, and draw definitions that the model has not seen.

from sklearn.feature_extraction.text import CountVectorizer
from sklearn.pipeline import make_pipeline

from ebagx.datasets import load_langid30, load_wordnet10
from ebagx.sklearn import EmbeddingBagClassifier
from ebagx.sklearn.plot import EmbeddingMapDisplay

texts, labels = load_wordnet10()
model = make_pipeline(CountVectorizer(), EmbeddingBagClassifier(random_state=0))
model.fit(texts[:8000], labels[:8000])
EmbeddingMapDisplay.from_estimator(
    model, texts[8000:], labels[8000:], name="Unseen definitions by topic"
)

# %%
# Thirty languages get thirty pairs of colour and marker. Languages with their own script or family
# lie apart; Romance and Germanic ones overlap in two dimensions, not in all sixteen.

import matplotlib.pyplot as plt

texts, labels = load_langid30()
model = make_pipeline(
    CountVectorizer(analyzer="char_wb", ngram_range=(2, 3)),
    EmbeddingBagClassifier(embedding_dim=16, random_state=0),
)
model.fit(texts[:7000], labels[:7000])
EmbeddingMapDisplay.from_estimator(
    model, texts[7000:], labels[7000:], name="Unseen messages by language"
)
plt.show()
