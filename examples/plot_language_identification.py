"""
Identify thirty languages
=========================

Character n-grams are the features of short messages in thirty languages. There are too many for a
dictionary, so they are hashed into the rows of the table.
"""

# %%
# The messages are translations of the texts of one program.

from ebagx.datasets import load_langid30

texts, labels = load_langid30()
print(len(texts), "messages in", len(set(labels)), "languages")
for text, label in zip(texts[:5], labels[:5], strict=True):
    print(f"{label}  {text}")

# %%
# `HashingVectorizer` needs no pass over the data. Its signs, which are for linear models, are
# turned off, so that all weights in a bag are positive.

import numpy as np
from sklearn.feature_extraction.text import HashingVectorizer
from sklearn.pipeline import make_pipeline

from ebagx.sklearn import EmbeddingBagClassifier

model = make_pipeline(
    HashingVectorizer(
        analyzer="char_wb",
        ngram_range=(2, 4),
        n_features=100_000,
        alternate_sign=False,
        norm=None,
        dtype=np.float32,
    ),
    EmbeddingBagClassifier(embedding_dim=16, random_state=0),
)
model.fit(texts[:7000], labels[:7000])
print(f"accuracy on unseen messages: {model.score(texts[7000:], labels[7000:]):.3f}")

# %%
# Recall of each language: related languages are confused most.

import matplotlib.pyplot as plt
from sklearn.metrics import recall_score

truth, predicted = np.array(labels[7000:]), model.predict(texts[7000:])
languages = model.classes_
recalls = recall_score(truth, predicted, average=None, labels=languages)
order = np.argsort(recalls)

figure, axes = plt.subplots(figsize=(6.4, 6), layout="constrained")
axes.barh(languages[order], recalls[order], color="#0072b2")
axes.set_xlim(0.6, 1)
axes.set_xlabel("Messages of the language that were recognised")
axes.spines[["top", "right"]].set_visible(False)
axes.tick_params(axis="y", length=0)
axes.set_ylim(-0.6, len(languages) - 0.4)
plt.show()

# %%
# The most frequent mistakes are between close relatives.

from collections import Counter

wrong = truth != predicted
mistakes = Counter(zip(truth[wrong], predicted[wrong], strict=True))
for (language, taken_for), times in mistakes.most_common(6):
    print(f"{language} taken for {taken_for}: {times} times")
