"""
Random projection of counts
===========================

Without a table of its own, `EmbeddingBagTransformer` draws a Gaussian one: the pooled vectors are
a random projection of the rows. In the mode "sqrtn", inner products of the vectors estimate the
cosines between the rows, with an error that shrinks with the root of the number of columns,
however many features there are.
"""

# %%
# The counts of words and pairs of words in 400 definitions.

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer

from ebagx.datasets import load_wordnet10
from ebagx.sklearn import EmbeddingBagTransformer

texts, labels = load_wordnet10()
X = TfidfVectorizer(ngram_range=(1, 2), dtype=np.float32).fit_transform(texts)
part = X[:400]
cosines = (part @ part.T).toarray()  # rows of TfidfVectorizer have length 1
print(f"{X.shape[1]:,} features, {X.nnz / X.shape[0]:.1f} in a row")

# %%
# The error of the estimated cosines between all pairs, for several numbers of columns.

pairs = np.triu_indices(len(cosines), k=1)
columns = [16, 32, 64, 128, 256, 512, 1024]
errors = []
for n_components in columns:
    projection = EmbeddingBagTransformer(n_components=n_components, mode="sqrtn", random_state=0)
    vectors = projection.fit(X).transform(part)
    estimated = vectors @ vectors.T
    errors.append(np.sqrt(np.mean((estimated - cosines)[pairs] ** 2)))

# %%
# Theory: for an unrelated pair, the estimate has a standard deviation of 1 / √n_components.

import matplotlib.pyplot as plt

figure, axes = plt.subplots(figsize=(5.6, 3.8), layout="constrained")
axes.loglog(columns, errors, "o-", color="#0072b2", label="measured")
axes.loglog(columns, 1 / np.sqrt(columns), "--", color="#444444", label="1 / √n_components")
axes.set_xticks(columns, columns)
axes.set_yticks([0.03, 0.05, 0.1, 0.2], ["0.03", "0.05", "0.1", "0.2"])
axes.minorticks_off()
axes.set_xlabel("n_components")
axes.set_ylabel("root mean square error of cosines")
axes.spines[["top", "right"]].set_visible(False)
axes.legend(frameon=False)
plt.show()

# %%
# The vectors are dense and short, so that methods for dense data work on them: here a classifier.

from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

model = make_pipeline(
    TfidfVectorizer(dtype=np.float32),
    EmbeddingBagTransformer(n_components=256, mode="sqrtn", random_state=0),
    LogisticRegression(max_iter=300),
)
model.fit(texts[:8000], labels[:8000])
print(f"accuracy of 256 random columns: {model.score(texts[8000:], labels[8000:]):.3f}")
