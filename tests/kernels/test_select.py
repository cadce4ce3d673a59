"""Test the kernel that leaves lookups out and fills empty bags, against its twin."""

import numpy as np
import pytest

from ebagx._kernels import reference
from support import kernel_cases as cases

NONE = -1


def select(kernel, bags, num_rows, padding_row, default_row):
    """Return the kept bags, without the entries that do not count, and what the kernel returns."""
    indices, offsets, weights = bags
    most = len(indices) + (len(offsets) - 1) * (default_row >= 0)
    kept = (
        np.full(most, 77, indices.dtype),
        np.empty_like(offsets),
        np.full(most if len(weights) else 0, 77, weights.dtype),
    )
    inside = kernel(*kept, *bags, num_rows, padding_row, default_row)
    n = kept[1][-1]
    return kept[0][:n], kept[1], kept[2][:n], inside


@cases.levels
@cases.index_dtypes
@pytest.mark.parametrize("real", [np.float32, np.float64])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(
    ("num_rows", "padding_row", "default_row"),
    [
        (6, 0, NONE),
        (6, 3, NONE),
        (4, NONE, NONE),
        (4, 0, 2),
        (1, 0, 0),
        (3, 2, 2),
        (6, NONE, 5),
        (0, NONE, NONE),
        (2**40, 4, 3),
    ],
)
def test_equals_its_twin(level, index_dtype, real, weighted, num_rows, padding_row, default_row):
    rng = np.random.default_rng(6)
    indices, offsets = cases.make_bags(rng, 6, index_dtype)
    indices = indices.copy()
    indices[rng.random(len(indices)) < 0.1] = -1
    indices[::17] = np.iinfo(index_dtype).min
    indices[5::17] = np.iinfo(index_dtype).max
    weights = cases.make_weights(rng, len(indices) if weighted else 0, np.dtype(real))
    arguments = (indices, offsets, weights), num_rows, padding_row, default_row
    actual, expected = (
        select(kernels.select_lookups, *arguments) for kernels in (level, reference)
    )
    for array, wanted in zip(actual[:3], expected[:3], strict=True):
        np.testing.assert_array_equal(array, wanted, strict=True)
    assert actual[3] is expected[3] is False


@cases.levels
@pytest.mark.parametrize("kernels", ["level", "reference"])
class TestKnownAnswers:
    BAGS = (
        np.array([3, 1, -1, 2, 1, 4, 2]),
        np.array([0, 2, 2, 3, 5, 7]),
        np.array([1, 2, 3, 4, 5, 6, 7.0]),
    )

    @pytest.mark.parametrize(
        ("num_rows", "padding_row", "default_row", "kept", "ends", "weights"),
        [
            (5, 1, NONE, [3, 2, 4, 2], [0, 1, 1, 1, 2, 4], [1, 4, 6, 7]),
            (4, 1, 0, [3, 0, 0, 2, 2], [0, 1, 2, 3, 4, 5], [1, 1, 1, 4, 7]),
            (3, 2, 2, [1, 2, 2, 1, 2], [0, 1, 2, 3, 4, 5], [2, 1, 1, 5, 1]),
        ],
        ids=["padding", "and default", "padding as default"],
    )
    def test_bags(
        self, level, kernels, num_rows, padding_row, default_row, kept, ends, weights
    ):  # fmt: skip
        kernel = (level if kernels == "level" else reference).select_lookups
        actual = select(kernel, self.BAGS, num_rows, padding_row, default_row)
        for array, expected in zip(actual, (kept, ends, weights, False), strict=True):
            np.testing.assert_array_equal(array, expected)

    @pytest.mark.parametrize(("index", "inside"), [(-1, False), (0, True), (4, True), (5, False)])
    def test_returns_whether_indices_are_inside(self, level, kernels, index, inside):
        kernel = (level if kernels == "level" else reference).select_lookups
        bags = np.array([0, index]), np.array([0, 2]), np.empty(0)
        assert select(kernel, bags, 5, NONE, NONE)[3] is inside
        assert select(kernel, bags, 5, 4, 0)[3] is inside  # padding is inside, too


@cases.levels
@cases.index_dtypes
def test_rows_beyond_the_range_of_the_indices(level, index_dtype):
    """A padding row is not cut to the width of indices: 2**40 + 3 is not row 3."""
    bags = np.array([3, 0, 3], index_dtype), np.array([0, 3], index_dtype), np.empty(0)
    for kernels in (level, reference):
        kept, *_, inside = select(kernels.select_lookups, bags, 2**41, 2**40 + 3, NONE)
        np.testing.assert_array_equal(kept, bags[0])
        assert inside is True


@cases.levels
@pytest.mark.parametrize("default_row", [NONE, 5])
def test_stays_in_its_arrays_when_offsets_changed_after_the_check(level, default_row):
    n, room = 10, 6 if default_row >= 0 else 0
    indices, offsets = np.arange(n), np.array([0, n, 0, n, -(2**60), 2**60, n])
    outputs = [np.full(n + room + 20, -7), np.full(7, -7), np.empty(0)]
    level.select_lookups(
        outputs[0][: n + room], *outputs[1:], indices, offsets, np.empty(0), n, 3, default_row
    )
    np.testing.assert_array_equal(outputs[0][n + room :], -7)
    assert outputs[1][-1] == n - 1 + (5 if default_row >= 0 else 0)
