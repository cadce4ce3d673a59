"""Call the package with errors, and check that a rejected call changes nothing."""

import re
from contextlib import contextmanager

import numpy as np
import pytest

from ebagx import EmbeddingBag, embedding_bag, embedding_bag_backward

NUM_ROWS, DIM = 5, 2


@contextmanager
def rejected(error, message, *arrays):
    """Check for an error with exactly this message that leaves the arrays as they were.

    The message of an index outside the table, or without a value, goes on with the way out.
    """
    outside = error is IndexError and message.startswith("input")
    if outside or message.endswith("drop or replace it"):
        message += "; invalid='skip' leaves it out"
    before = [array.copy() for array in arrays]
    with pytest.raises(error, match=f"^{re.escape(message)}$"):
        yield
    for array, copy in zip(arrays, before, strict=True):
        np.testing.assert_array_equal(array, copy)


def large_table():
    """Return a table that any max_norm below 1 would change."""
    return np.arange(1.0, 1 + NUM_ROWS * DIM).reshape(NUM_ROWS, DIM)


def forward(error, message, **arguments):
    table, out = large_table(), np.full((2, DIM), 7.0)
    with rejected(error, message, table, out):
        embedding_bag(**arguments, weight=table, max_norm=0.5, out=out)


def plain(error, message, **arguments):
    """The pass itself finds bad indices where it writes to no array of the caller."""
    table = large_table()
    with rejected(error, message, table):
        embedding_bag(**arguments, weight=table)


def into_out(error, message, **arguments):
    table, out = large_table(), np.full((2, DIM), 7.0)
    with rejected(error, message, table, out):
        embedding_bag(**arguments, weight=table, out=out)


def backward(error, message, **arguments):
    table, grad = large_table(), np.ones((2, DIM))
    with rejected(error, message, table, grad):
        embedding_bag_backward(grad, **arguments, weight=table)


def module(error, message, max_norm=0.5, **arguments):
    """Check too that the object still has the state that its last good call saved."""
    calls = ("input", "offsets", "per_sample_weights")
    options = {name: value for name, value in arguments.items() if name not in calls}
    table = large_table()
    bag = EmbeddingBag(NUM_ROWS, DIM, max_norm=max_norm, _weight=table, **options)
    bag(np.zeros((0, 3), int))
    with rejected(error, message, table):
        bag(**{name: value for name, value in arguments.items() if name in calls})
    bag.backward(np.empty((0, DIM)))
    np.testing.assert_array_equal(bag.grad, np.zeros((NUM_ROWS, DIM)))


def plain_module(error, message, **arguments):
    module(error, message, max_norm=None, **arguments)


def constructor(error, message, input=None, **options):  # noqa: ARG001
    with rejected(error, message):
        EmbeddingBag(NUM_ROWS, DIM, **options)


lookups = pytest.mark.parametrize(
    "rejects", [forward, plain, into_out, backward, module, plain_module]
)
options = pytest.mark.parametrize("rejects", [forward, backward, constructor])
