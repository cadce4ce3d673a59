"""
A table on disk
===============

A table may be a memory map: a lookup reads the rows that occur from the file, and an optimizer
writes only the rows that a batch touches. The table may then be larger than memory: see
:ref:`larger-than-memory` for what to expect of a disk.
"""

# %%
# A table of a million rows in a file. Nothing has been written to it yet: its pages are holes.

import tempfile
from pathlib import Path

import numpy as np

folder = tempfile.TemporaryDirectory()
path = Path(folder.name) / "table.npy"
num_rows, dim = 1_000_000, 64
table = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=(num_rows, dim))


def on_disk():
    """Return how much of the file has been written, in MB."""
    table.flush()
    return path.stat().st_blocks * 512 / 1e6


print(f"size of the file: {path.stat().st_size / 1e6:.0f} MB, of which on disk: {on_disk():.1f} MB")

# %%
# Words are hashed into the rows. Each step moves the mean of a text's rows towards a random vector
# of its topic: a small regression.

from sklearn.feature_extraction.text import HashingVectorizer

import ebagx
from ebagx.datasets import load_wordnet10

texts, labels = load_wordnet10()
X = HashingVectorizer(
    n_features=num_rows, norm=None, alternate_sign=False, dtype=np.float32
).transform(texts)
topics, y = np.unique(labels, return_inverse=True)
goals = np.random.default_rng(0).standard_normal((len(topics), dim), dtype=np.float32)

bag = ebagx.EmbeddingBag(num_rows, dim, mode="mean", _weight=table)
optimizer = ebagx.optim.Adagrad(learning_rate=0.5)
seen, written, errors = [0], [on_disk()], []
for turn in np.split(np.arange(8000), 10):
    turn_errors = []
    for rows in np.split(turn, 10):
        difference = bag(X[rows]) - goals[y[rows]]
        bag.backward_update(difference / len(rows), optimizer)
        turn_errors.append((difference**2).mean())
    seen.append(turn[-1] + 1)
    written.append(on_disk())
    errors.append(np.mean(turn_errors))

# %%
# Only the pages of touched rows have been written. The state of Adagrad is as large as the table,
# in memory that the system allocates page by page when it is first written: it takes as little.

import matplotlib.pyplot as plt

figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3.4), layout="constrained")
size = table.nbytes / 1e6
left.plot(seen, written, color="#0072b2")
left.axhline(size, color="#444444", linestyle="--", linewidth=1)
left.annotate("the whole table", (0, size), (0, -4), va="top", textcoords="offset points")
left.set_ylim(bottom=0)
left.set_ylabel("MB on disk")
right.plot(seen[1:], errors, color="#d55e00")
right.set_ylim(bottom=0)
right.set_ylabel("Mean square error before a step")
for axes in (left, right):
    axes.set_xlabel("Texts seen, each once")
    axes.spines[["top", "right"]].set_visible(False)
plt.show()

# %%
# Any number of processes can open the file read-only and share its pages. The transformer uses it
# without a copy.

from ebagx.sklearn import EmbeddingBagTransformer

read_only = np.load(path, mmap_mode="r")
pool = EmbeddingBagTransformer(read_only, mode="mean").fit(X)
vectors = pool.transform(X[8000:])
nearest = ((vectors[:, None] - goals) ** 2).sum(axis=2).argmin(axis=1)
print(f"unseen texts nearest to the vector of their topic: {(nearest == y[8000:]).mean():.3f}")
print("shares memory with the file:", np.shares_memory(pool.embedding_, read_only))

# %%
# The folder is deleted with its file.

del bag, pool, read_only
folder.cleanup()
