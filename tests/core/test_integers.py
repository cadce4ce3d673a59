import numpy as np
import pytest

from ebagx._core.forms.lists import join_integers
from ebagx._core.integers import copy_bags, measure_bags

BAGS = [[3, 1], [], (2**63 - 1, -(2**63)), [0] * 300]


def test_bags_are_joined():
    indices, ends = join_integers(BAGS)
    np.testing.assert_array_equal(indices, [3, 1, 2**63 - 1, -(2**63), *[0] * 300])
    np.testing.assert_array_equal(ends, [0, 2, 2, 4, 304])
    assert indices.dtype == ends.dtype == np.int64
    assert [len(array) for array in join_integers([])] == [0, 1]


class Integer(int):
    pass


class List(list):
    pass


@pytest.mark.parametrize(
    "bag",
    [
        *([2**63], [-(2**63) - 1], [True], [1.0], [Integer(1)], [np.int64(1)], [None], [[1]]),
        *(List([1]), "12", {1: 2}, 3, None, np.array([1]), range(3)),
    ],
    ids=repr,
)
def test_other_bags_are_left_to_others(bag):
    assert join_integers([[1, 2], bag]) is None
    assert join_integers([bag, [1, 2]]) is None


def test_no_more_than_wanted():
    assert join_integers(BAGS, 304) is not None
    assert join_integers(BAGS, 303) is None


def test_lists_that_changed_after_they_were_measured():
    ends, indices = np.zeros(3, np.int64), np.full(4, -9)
    bags = [[1, 2], [3]]
    assert measure_bags(ends, bags) == 3
    assert copy_bags(indices[:3], bags) is True
    for changed in ([[1, 2], [3, 4]], [[1, 2]], [[1, 2], [3], []] * 2, [[1, 2], [3], [4]]):
        assert copy_bags(indices[:3], changed) is False
    assert indices[3] == -9
    assert measure_bags(ends, [[1]]) == -1
    assert measure_bags(ends, [[1]] * 3) == -1


def test_wrong_arrays_raise():
    read_only = np.zeros(3, np.int64)
    read_only.flags.writeable = False
    for function in (measure_bags, copy_bags):
        with pytest.raises(ValueError, match="read-only"):
            function(read_only, [[1], [2]])
        with pytest.raises(TypeError):
            function(np.zeros(3, np.int64), ([1], [2]))
