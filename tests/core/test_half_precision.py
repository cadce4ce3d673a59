"""Test that float16 and bfloat16 tables decode exactly, sum in float32 and round once."""

import numpy as np
import pytest

from ebagx import EmbeddingBag, embedding_bag, embedding_bag_backward
from support.kernel_cases import assert_same_bits


@pytest.fixture(params=["float16", "bfloat16"])
def half(request):
    if request.param == "float16":
        return np.dtype(np.float16)
    return np.dtype(pytest.importorskip("ml_dtypes").bfloat16)


@pytest.fixture
def every_value(half):
    return np.arange(2**16, dtype=np.uint16).view(half).reshape(-1, 64)


def alone(table):
    """Return each row as a bag."""
    return np.arange(len(table))[:, np.newaxis]


@pytest.mark.parametrize("mode", ["sum", "mean", "sqrtn", "max", "min"])
def test_every_value_passes_through(every_value, mode):
    pooled = embedding_bag(alone(every_value), every_value, mode=mode)
    expected = every_value.copy()
    if mode not in ("max", "min"):
        expected[expected.view(np.uint16) == 0x8000] = 0  # a sum starts at 0, -0 + 0 is 0
    assert_same_bits(pooled, expected)


@pytest.mark.parametrize("scale", [1 / 3, 1.5, 2.0**-16, 3e30])
def test_rounds_as_numpy(every_value, scale):
    scale = np.float32(scale)
    weights = np.full((len(every_value), 1), scale)
    pooled = embedding_bag(alone(every_value), every_value, mode="sum", per_sample_weights=weights)
    with np.errstate(over="ignore", invalid="ignore"):
        expected = (every_value.astype(np.float32) * scale + np.float32(0)).astype(
            every_value.dtype
        )
    assert_same_bits(pooled, expected)


@pytest.mark.parametrize(
    ("dtype", "column", "mode", "expected"),
    [
        ("float16", [60000, 60000], "mean", 60000),  # PyTorch: inf
        ("float16", [60000, 60000], "sum", np.inf),
        ("float16", [65504, 15], "sum", 65504),
        ("float16", [65504, 16], "sum", np.inf),
        ("float16", [2048, 1, 1], "sum", 2050),
        ("float16", [2048, 1], "sum", 2048),
        ("float16", [2048, 1, 2], "sum", 2052),
        ("float16", [2.0**-24, 2.0**-24], "sum", 2.0**-23),
        ("float16", [2.0**-24, 0], "mean", 0),
        ("float16", [3 * 2.0**-24, 0], "mean", 2.0**-23),
        ("bfloat16", [256, 1, 1], "sum", 258),
        ("bfloat16", [256, 1], "sum", 256),
        ("bfloat16", [3e38, 3e38], "sum", np.inf),
    ],
)
def test_sums_are_float32_and_round_once(dtype, column, mode, expected):
    if dtype == "bfloat16":
        dtype = pytest.importorskip("ml_dtypes").bfloat16
    table = np.array([column]).T.astype(dtype)
    pooled = embedding_bag([range(len(column))], table, mode=mode)
    np.testing.assert_array_equal(pooled, np.array([[expected]]).astype(dtype), strict=True)


def test_gradients_are_float32_sums(half):
    gradient = embedding_bag_backward(np.ones((5000, 1)), [[0]] * 5000, np.ones((1, 1), half))
    np.testing.assert_array_equal(gradient.weight, np.array([[5000]], np.float32), strict=True)


def test_weights_and_gradient_are_not_rounded_to_half(half):
    third = np.float32(1 / 3)
    table = np.full((1, 1), 3, half)
    pooled, gradients = (
        embedding_bag([[0]], table, mode="sum", per_sample_weights=[[third]]),
        embedding_bag_backward([[third]], [[0]], table, mode="sum", per_sample_weights=[[third]]),
    )
    np.testing.assert_array_equal(pooled, np.array([[1]], half))
    np.testing.assert_array_equal(gradients.weight, [[third * third]])
    np.testing.assert_array_equal(gradients.per_sample_weights, [third * np.float32(3)])


@pytest.mark.parametrize("sparse", [True, "rows"])
def test_sparse_gradients_are_float32(half, sparse):
    bag = EmbeddingBag(4, 3, mode="sum", sparse=sparse, dtype=half)
    bag.backward(np.ones_like(bag([[1, 1]])))
    dense = bag.grad.toarray()
    np.testing.assert_array_equal(
        dense, np.outer([0, 2, 0, 0], [1, 1, 1]).astype("f4"), strict=True
    )
