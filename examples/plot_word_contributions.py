"""
Contributions of words to a class
=================================

The model is linear after pooling: the score of a class is the sum of what each word contributes,
plus the bias. So a prediction can be explained exactly, word by word.
"""

# %%

import numpy as np
from sklearn.feature_extraction.text import CountVectorizer

from ebagx.datasets import load_wordnet10
from ebagx.sklearn import EmbeddingBagClassifier

texts, labels = load_wordnet10()
vectorizer = CountVectorizer()
X = vectorizer.fit_transform(texts[:8000])
classifier = EmbeddingBagClassifier(random_state=0).fit(X, labels[:8000])

# %%
# A word adds to a class the product of its embedding with the weights of the class, times its
# count, divided by the number of words.

text = "the flesh of a large sea fish, eaten smoked or salted"
words = vectorizer.get_feature_names_out()
bag = vectorizer.transform([text])
by_word = classifier.embedding_[bag.indices] @ classifier.coef_.T * bag.data[:, None] / bag.sum()

scores = classifier.decision_function(bag)[0]
print("exact:", np.allclose(by_word.sum(axis=0) + classifier.intercept_, scores, atol=1e-4))
best = np.argsort(scores)[::-1][:3]
probabilities = classifier.predict_proba(bag)[0]
for i in best:
    print(f"{classifier.classes_[i]:<10}{probabilities[i]:.3f}")

# %%
# The plot shows the contributions to the best two classes, relative to the mean of all classes.

import matplotlib.pyplot as plt

relative = by_word - by_word.mean(axis=1, keepdims=True)
order = np.argsort(relative[:, best[0]])
figure, axes = plt.subplots(figsize=(6.4, 4.4), layout="constrained")
height = 0.38
for place, (which, color) in enumerate(zip(best[:2], ["#0072b2", "#d55e00"], strict=True)):
    y = np.arange(len(order)) + (0.5 - place) * height
    axes.barh(y, relative[order, which], height, color=color, label=str(classifier.classes_[which]))
axes.set_yticks(np.arange(len(order)), words[bag.indices[order]])
axes.tick_params(axis="y", length=0)
axes.axvline(0, color="black", linewidth=0.8)
axes.set_xlabel("Contribution to the score")
axes.spines[["top", "right", "left"]].set_visible(False)
axes.legend(title="for the class", frameon=False, loc="lower right")
plt.show()
