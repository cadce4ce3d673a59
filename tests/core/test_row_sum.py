"""Test `RowSum`: the order of its additions, its cost, and zeros by hand."""

import tracemalloc

import numpy as np
import pytest

from ebagx._core import row_sum
from ebagx._core.row_sum import RowSum
from support.kernel_cases import INDEX_DTYPES, assert_same_bits

D = 3


def parts(count, num_rows, size, dtype=np.float32, index_dtype=np.int64, seed=0):
    rng = np.random.default_rng(seed)
    for _ in range(count):
        rows = np.unique(rng.integers(0, num_rows, size)).astype(index_dtype)
        yield (
            rows,
            (rng.standard_normal((len(rows), D)) * 10.0 ** rng.integers(-3, 4)).astype(dtype),
        )


def one_after_the_other(added, num_rows, dtype):
    total = np.zeros((num_rows, D), dtype)
    for rows, values in added:
        total[rows] += values
    return total


@pytest.mark.parametrize("index_dtype", INDEX_DTYPES, ids=str)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("count", [1, 2, 7, 8, 9, 40])
@pytest.mark.parametrize("read_each", [False, True])
def test_adds_one_gradient_after_the_other(dtype, index_dtype, count, read_each):
    added = list(parts(count, 50, 20, dtype, index_dtype))
    total = RowSum(*added[0])
    for rows, values in added[1:]:
        total.add(rows, values)
        if read_each:
            total.total()
    rows, values = total.total()
    assert rows.tolist() == sorted({row for part, _ in added for row in part.tolist()})
    expected = one_after_the_other(added, 50, dtype)
    assert_same_bits(values, expected[rows])


def test_a_total_that_was_read_does_not_change():
    (rows, values), *others = parts(4, 50, 20)
    total = RowSum(rows, values)
    seen, before = total.total()[1], values.copy()
    assert seen is values
    for part in others:
        total.add(*part)
    seen[:] = 99
    rows_now, values_now = total.total()
    expected = one_after_the_other([(rows, before), *others], 50, np.float32)
    assert_same_bits(values_now, expected[rows_now])


@pytest.mark.parametrize("new_rows", [False, True])
def test_a_gradient_costs_as_much_as_its_rows_on_average(monkeypatch, new_rows):
    """The rows that are copied or added to are at most a few for each row that is added."""
    work = []
    add_waiting = RowSum._add_waiting

    def counted(self):
        work.append(len(self._total[0]) + self._num_waiting)
        add_waiting(self)

    monkeypatch.setattr(RowSum, "_add_waiting", counted)
    total, rows = RowSum(np.arange(10), np.ones((10, D))), np.arange(10)
    for step in range(1, 2000):
        total.add(rows + 10 * step * new_rows, np.ones((10, D)))
    total.total()
    assert sum(work) <= 5 * 20_000


def test_memory_grows_with_the_touched_rows_only():
    rows, values = np.arange(100), np.ones((100, 64))
    total = RowSum(rows, values)
    tracemalloc.start()
    for _ in range(500):
        total.add(rows, np.ones((100, 64)))
    kept = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert kept <= (row_sum._FEW + 2) * values.nbytes
    assert (total.total()[1] == 501).all()


class TestZeros:
    def test_by_hand_have_no_rows(self):
        total = RowSum(np.array([1, 4]), np.ones((2, D)))
        values = total.total()[1]
        values[:] = 0
        assert [len(part) for part in total.total()] == [0, 0]
        values[1] = 2  # the caller goes on with the same array
        assert total.total()[0].tolist() == [1, 4]
        values[:] = -0.0
        total.add(np.array([2]), np.ones((1, D)))
        assert total.total()[0].tolist() == [2]

    def test_of_gradients_have(self):
        total = RowSum(np.array([1, 4]), np.zeros((2, D)))
        total.total()[1][:] = 0
        total.add(np.array([2]), np.ones((1, D)))
        assert total.total()[0].tolist() == [1, 2, 4]

    def test_in_some_rows_have_them(self):
        total = RowSum(np.array([1, 4]), np.ones((2, D)))
        total.total()[1][0] = 0
        total.add(np.array([2]), np.ones((1, D)))
        assert total.total()[0].tolist() == [1, 2, 4]

    def test_no_number_is_no_zero(self):
        total = RowSum(np.array([1]), np.ones((1, D)))
        total.total()[1][:] = [0, 0, np.nan]
        assert total.total()[0].tolist() == [1]
