"""
Classify texts by topic
=======================

fastText's model in a scikit-learn pipeline: a `CountVectorizer` makes a sparse row of counts of
each text, and `EmbeddingBagClassifier` learns an embedding for each word together with a linear
layer on the mean of a text's embeddings.
"""

# %%
# The data are dictionary definitions of nouns, each with one of ten topics.

from ebagx.datasets import load_wordnet10

texts, labels = load_wordnet10()
for text, label in zip(texts[:4], labels[:4], strict=True):
    print(f"{label:<8}{text[:70]}")

# %%
# Learn from the first 8,000 and keep the others for the test. Words alone and pairs of
# neighbouring words are the features; the matrix is never made dense. Early stopping holds
# out a tenth of the 8,000.

from sklearn.feature_extraction.text import CountVectorizer
from sklearn.pipeline import make_pipeline

from ebagx.sklearn import EmbeddingBagClassifier

model = make_pipeline(
    CountVectorizer(ngram_range=(1, 2)),
    EmbeddingBagClassifier(max_iter=20, early_stopping=True, random_state=0),
)
model.fit(texts[:8000], labels[:8000])

# %%

print(f"accuracy on unseen definitions: {model.score(texts[8000:], labels[8000:]):.3f}")
print(model.predict(["a small striped cat", "a pudding of apples", "the capital of Peru"]))

# %%
# The curve shows the mean loss of each pass over the data, and the accuracy on the tenth that was
# held out. Training stopped when that no longer rose, and the best model was kept.

from ebagx.sklearn.plot import TrainingCurveDisplay

TrainingCurveDisplay.from_estimator(model)

# %%
# The confusion matrix shows which topics are confused. Rows are true topics.

import matplotlib.pyplot as plt
from sklearn.metrics import ConfusionMatrixDisplay

figure, axes = plt.subplots(figsize=(6.4, 5.6), layout="constrained")
ConfusionMatrixDisplay.from_estimator(
    model,
    texts[8000:],
    labels[8000:],
    ax=axes,
    cmap="Blues",
    colorbar=False,
    xticks_rotation="vertical",
)
plt.show()
