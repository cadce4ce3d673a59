"""
The rows of a table that a batch touches
========================================

N-grams, words and items follow Zipf's law: a batch has many tokens of few kinds. A gradient of
only the rows that occur, and an optimizer that changes only these, take much less time and memory
than a dense gradient.
"""

# %%
# Character n-grams of messages in thirty languages: a table with a row for each n-gram.

import numpy as np
from sklearn.feature_extraction.text import CountVectorizer

import ebagx
from ebagx.datasets import load_langid30

texts, _ = load_langid30()
vectorizer = CountVectorizer(analyzer="char_wb", ngram_range=(1, 4), dtype=np.float32)
X = vectorizer.fit_transform(texts)
num_rows, dim = X.shape[1], 64
table = np.random.default_rng(0).standard_normal((num_rows, dim), dtype=np.float32)
print(f"a table of {num_rows:,} x {dim}: {table.nbytes / 1e6:.0f} MB")

# %%
# The gradient of a batch of 64 texts, dense and as rows.

batch = X[:64]
grad_output = np.ones((64, dim), np.float32)
dense = ebagx.embedding_bag_backward(grad_output, batch, table).weight
rows = ebagx.embedding_bag_backward(grad_output, batch, table, sparse="rows").weight
print(rows)
num_bytes = rows.values.nbytes + rows.rows.nbytes
print(f"dense: {dense.nbytes / 1e6:.1f} MB, rows: {num_bytes / 1e6:.2f} MB")
print("the same numbers:", np.array_equal(rows.toarray(), dense))

# %%
# Tokens and touched rows for batches of all sizes.

sizes = 2 ** np.arange(0, 14)
sizes = sizes[sizes <= X.shape[0]]
tokens, touched = [], []
for size in sizes:
    part = X[:size]
    gradient = ebagx.embedding_bag_backward(
        np.ones((size, 1), np.float32), part, table[:, :1], sparse="rows"
    )
    tokens.append(part.sum())
    touched.append(len(gradient.weight.rows))

# %%

import matplotlib.pyplot as plt

figure, axes = plt.subplots(figsize=(5.6, 3.8), layout="constrained")
axes.loglog(sizes, tokens, "s-", color="#d55e00", markersize=4, label="tokens in the batch")
axes.loglog(sizes, touched, "o-", color="#0072b2", markersize=4, label="rows it touches")
axes.axhline(num_rows, color="#444444", linestyle="--", linewidth=1)
axes.annotate(
    "rows of the table", (sizes[0], num_rows), xytext=(0, -4), va="top", textcoords="offset points"
)
axes.set_xlabel("Texts in the batch")
axes.spines[["top", "right"]].set_visible(False)
axes.legend(frameon=False, loc="lower right")
plt.show()
