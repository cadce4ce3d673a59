"""Calls whose types mypy checks: the annotations that users see. Nothing runs this file."""

from typing import assert_type

import numpy as np

import ebagx
from ebagx._core.levels import kernels

TABLE = np.eye(3)
IDS = np.array([0, 2])
OFFSETS = np.array([0, 2])
WEIGHTS = np.empty(0)

assert_type(ebagx.embedding_bag([[0, 2]], TABLE), np.ndarray)
assert_type(
    ebagx.embedding_bag([[0, 2]], TABLE, mode="max", return_indices=True),
    tuple[np.ndarray, np.ndarray],
)
assert_type(ebagx.embedding_bag([[0, 9]], TABLE, invalid="skip", default_row=1), np.ndarray)
assert_type(
    ebagx.embedding_bag_backward(
        TABLE[:1], [[0, 9]], TABLE, invalid="skip", default_row=1, weight_grad=False
    ),
    ebagx.EmbeddingBagGradients,
)
# Only callers that asked for None have to expect it.
SHAPE: tuple[int, ...] = ebagx.embedding_bag_backward(TABLE[:1], [[0]], TABLE).weight.shape
assert_type(ebagx.EmbeddingBag(3, 2, invalid="skip", default_row=0).invalid, str)
assert_type(ebagx.EmbeddingBag.from_pretrained(TABLE, default_row=0).default_row, int | None)
assert_type(kernels.select_lookups(IDS, OFFSETS, WEIGHTS, IDS, OFFSETS, WEIGHTS, 3, -1, -1), bool)
assert_type(kernels.pool(np.empty((1, 3)), TABLE, IDS, OFFSETS, WEIGHTS, 0, 1), bool)
assert_type(kernels.indices_valid(IDS, 3, 1), bool)
assert_type(ebagx.EmbeddingBag(3, 2)([[0, 2]]), np.ndarray)


def either(return_indices: bool) -> None:
    """Return a value that depends on an argument."""
    assert_type(
        ebagx.embedding_bag([[0, 2]], TABLE, mode="max", return_indices=return_indices),
        np.ndarray | tuple[np.ndarray, np.ndarray],
    )
