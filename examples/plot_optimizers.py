"""
Write a training loop
=====================

This is the training loop of `EmbeddingBagClassifier`, with `EmbeddingBag` and `ebagx.optim`:
forward, the gradient of the loss, and an update of the table that touches only the rows of the
batch. Then the same loop with four optimizers.
"""

# %%
# Texts become bags of word numbers: the rows of a CSR matrix.

import numpy as np
from sklearn.feature_extraction.text import CountVectorizer

from ebagx.datasets import load_wordnet10

texts, labels = load_wordnet10()
X = CountVectorizer(dtype=np.float32).fit_transform(texts)
classes, y = np.unique(labels, return_inverse=True)
X_train, y_train, X_test, y_test = X[:8000], y[:8000], X[8000:], y[8000:]

# %%
# The model is a table and a linear layer. The linear layer is a small dense matrix, for which
# plain Adagrad in NumPy is enough. `backward_update` goes backward and updates the table; the
# gradient is never stored.

import ebagx


def softmax(scores):
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def train(optimizer, passes=8, dim=32, batch_size=64):
    """Return the loss of each pass and the accuracy on unseen texts after it."""
    rng = np.random.default_rng(0)
    table = (rng.random((X.shape[1], dim), dtype=np.float32) - 0.5) / dim
    bag = ebagx.EmbeddingBag(*table.shape, mode="mean", _weight=table)
    layer = np.zeros((len(classes), dim), np.float32)
    squares = np.zeros_like(layer)
    losses, accuracies = [], []
    for _ in range(passes):
        loss = 0.0
        for rows in np.array_split(rng.permutation(len(y_train)), len(y_train) // batch_size):
            pooled = bag(X_train[rows])
            errors = softmax(pooled @ layer.T)
            places = np.arange(len(rows)), y_train[rows]
            loss -= np.log(errors[places]).sum()
            errors[places] -= 1
            errors /= len(rows)
            bag.backward_update(errors @ layer, optimizer)
            gradient = errors.T @ pooled
            squares += gradient**2
            layer -= 0.1 * gradient / (np.sqrt(squares) + 1e-10)
        losses.append(loss / len(y_train))
        bag.eval()
        accuracies.append((np.argmax(bag(X_test) @ layer.T, axis=1) == y_test).mean())
        bag.train()
    return losses, accuracies


# %%
# Four optimizers, and a schedule: a learning rate may be any function of the step.

from ebagx import optim

steps = 8 * (8000 // 64)
optimizers = {
    "SGD, momentum 0.9": optim.SGD(optim.linear_decay(5.0, steps), momentum=0.9),
    "Adagrad": optim.Adagrad(0.1),
    "RowwiseAdagrad": optim.RowwiseAdagrad(0.1),
    "Adam": optim.Adam(0.01),
}
curves = {name: train(optimizer) for name, optimizer in optimizers.items()}

# %%

import matplotlib.pyplot as plt

figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.8), layout="constrained")
looks = zip(["#0072b2", "#d55e00", "#009e73", "#cc79a7"], "os^D", strict=True)
for (name, (losses, accuracies)), (color, marker) in zip(curves.items(), looks, strict=True):
    passes = np.arange(1, len(losses) + 1)
    left.semilogy(passes, losses, color=color, marker=marker, markersize=4, label=name)
    right.plot(passes, accuracies, color=color, marker=marker, markersize=4)
left.set_ylabel("Training loss")
right.set_ylabel("Accuracy on unseen texts")
for axes in (left, right):
    axes.set_xlabel("Pass over the training data")
    axes.spines[["top", "right"]].set_visible(False)
left.legend(frameon=False)
plt.show()

# %%

for name, (losses, accuracies) in curves.items():
    print(f"{name:<18} loss {losses[-1]:.3f}, accuracy {accuracies[-1]:.3f}")
