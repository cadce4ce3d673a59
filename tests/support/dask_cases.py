"""Data, models and clusters for the tests of training on Dask."""

import hashlib
import os
import signal

import numpy as np
from scipy import sparse

from ebagx._core.modes import MODES
from ebagx._training.bags import bags_of
from ebagx._training.examples import Examples
from ebagx._training.losses import Softmax
from ebagx._training.network import initial_layers
from ebagx.dask._calendar import Calendar
from ebagx.dask._round import Recipe
from ebagx.dask._rounds import Layout, Rounds, Shard
from ebagx.dask._shards import part_of
from ebagx.optim import Adagrad

FLOAT32 = np.dtype(np.float32)


def labelled_bags(num_bags=600, num_columns=90, num_classes=3, seed=0):
    """Return bags, each of which has some columns of its class and some of all classes."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, num_classes, num_bags)
    columns = rng.integers(0, num_columns, (num_bags, 8))
    columns[:, :3] = y[:, np.newaxis] + num_classes * rng.integers(0, 10, (num_bags, 3))
    rows = np.repeat(np.arange(num_bags), 8)
    ones = np.ones(rows.size, np.float32)
    X = sparse.csr_matrix((ones, (rows, columns.ravel())), (num_bags, num_columns))
    return X, y


def call(function, *args):
    """Run a function at once, in place of a cluster."""
    return function(*args)


def examples_of(X, targets, weights=None, mode="mean"):
    return Examples(bags_of(X.tocsr(), FLOAT32), targets, weights, MODES[mode])


def one_hot(y, num_classes):
    ones = np.ones(len(y), np.int8)
    return sparse.csr_array((ones, y, np.arange(len(y) + 1)), (len(y), num_classes))


def shards_of(X, targets, lengths, weights=None):
    """Return shards of these numbers of rows."""
    shards, start = [], 0
    for length in lengths:
        rows = slice(start, start + length)
        of_rows = None if weights is None else weights[rows]
        shards.append(
            Shard(part_of(examples_of(X[rows], targets[rows], of_rows), X.shape[1]), None)
        )
        start += length
    return shards


def trained(
    shards,
    num_columns,
    num_blocks=1,
    num_rounds=3,
    rounds_per_pass=1,
    optimizer=None,
    loss=None,
    hidden=None,
    negatives=None,
    dim=5,
    submit=call,
    ends=False,
):
    """Return the model after some rounds without a cluster, and the losses of the rounds."""
    optimizer = Adagrad(0.1) if optimizer is None else optimizer
    num_outputs = shards[0].part.examples.targets.shape[1]
    optimizers = [optimizer.fresh() for _ in range(2 if hidden is None else 3)]
    recipe = Recipe(Softmax() if loss is None else loss, optimizers, 16, 7, negatives, 1)
    calendar = Calendar(rounds_per_pass)
    layout = Layout(num_columns, dim, num_blocks, calendar)
    rounds = Rounds(submit, shards, layout, recipe)
    layers = initial_layers(dim, hidden, num_outputs, np.random.default_rng(7))
    model, num_steps, losses = rounds.start(layers), 0, []
    steps = calendar.steps([shard.part.num_bags for shard in shards], 16, num_rounds)
    for number in range(num_rounds):
        model, of_shards = rounds.play(model, number, num_steps, ends and number == num_rounds - 1)
        num_steps += steps[number]
        losses.append(sum(of_shards))
    return model, losses


def joined(model):
    """Return all arrays of a model: those of the table, whose blocks are joined, and of layers."""
    of_table, of_layers = model.contents
    blocks = zip(*(block.arrays for block in of_table), strict=True)
    of_layers = [array for block in of_layers for array in block.arrays]
    return [np.concatenate(arrays) for arrays in blocks] + of_layers


def fingerprint(arrays):
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def weights_of(estimator):
    """Return the arrays of a fitted estimator."""
    hidden = [] if estimator.hidden_coef_ is None else [estimator.hidden_coef_]
    return [estimator.embedding_, *hidden, estimator.coef_, estimator.intercept_]


class KilledOnce:
    """The loss of rows whose worker is killed when the first of them is loaded for the n-th time.

    The number of loads is that of files in a folder, which all workers see.
    """

    def __init__(self, folder, load):
        self.folder, self.load = str(folder), load

    def __call__(self, chunk):
        number = len(os.listdir(self.folder))
        if number <= self.load:
            with open(os.path.join(self.folder, str(number)), "w", encoding="utf-8"):
                pass
        if number == self.load:
            os.kill(os.getpid(), signal.SIGKILL)
        return chunk
