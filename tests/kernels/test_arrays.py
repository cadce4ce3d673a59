"""Test that a wrong array is an exception of the kernel, before anything is read."""

import sys

import numpy as np
import pytest

from support import kernel_cases as cases


def arguments(**replaced):
    given = {
        "out": np.zeros((1, 4), np.float32),
        "table": np.ones((3, 4), np.float32),
        "indices": np.array([0, 2]),
        "offsets": np.array([0, 2]),
        "weights": np.empty(0, np.float32),
    }
    return [*(given | replaced).values(), 0, 1]


@cases.levels
@pytest.mark.parametrize("order", ["=", "<" if sys.byteorder == "little" else ">"])
def test_native_order_by_another_name(level, order):
    """Arrays of memory maps and pickles have such a dtype."""
    swapped = np.dtype(np.float32).newbyteorder("S")
    table = np.ones((3, 4), np.float32).view(swapped.newbyteorder("S").newbyteorder(order))
    given = arguments(table=table)
    level.pool(*given)
    np.testing.assert_array_equal(given[0], [[2, 2, 2, 2]])


READ_ONLY = np.zeros((1, 4), np.float32)
READ_ONLY.flags.writeable = False


@cases.levels
@pytest.mark.parametrize(
    ("replaced", "error", "message"),
    [
        ({"table": np.ones((3, 4), np.float64)}, TypeError, "array 2 has a dtype"),
        ({"table": np.ones((3, 4), ">f4")}, TypeError, "array 2 has a dtype"),
        ({"table": np.ones((3, 4), bool)}, TypeError, "array 2 has a dtype"),
        ({"indices": np.array([0, 2], np.int16)}, TypeError, "array 3 has a dtype"),
        ({"indices": np.array([0, 2], np.uint64)}, TypeError, "array 3 has a dtype"),
        ({"offsets": np.array([0, 2], np.int32)}, TypeError, "array 4 has a dtype"),
        ({"weights": np.empty(0)}, TypeError, "float64 just where cells are"),
        ({"weights": np.empty(0, np.float16)}, TypeError, "array 5 has a dtype"),
        ({"table": np.ones((3, 8), np.float32)[:, ::2]}, ValueError, "array 2 must be 2-D"),
        ({"table": np.ones(4, np.float32)}, ValueError, "array 2 must be 2-D"),
        ({"table": np.float32(1)}, ValueError, "array 2 must be 2-D"),
        ({"offsets": np.array([0, 1, 2])[::2]}, ValueError, "array 4 must be 1-D"),
        ({"out": READ_ONLY}, ValueError, "read-only"),
        ({"indices": [0, 2]}, TypeError, "list"),
        ({"weights": None}, TypeError, "None"),
    ],
)
def test_wrong_arrays(level, replaced, error, message):
    given = arguments(**replaced)
    with pytest.raises(error, match=message):
        level.pool(*given)
    np.testing.assert_array_equal(given[0], 0)


@cases.levels
def test_arrays_are_given_back(level):
    """A call that fails releases its arrays too: an array in use cannot be resized."""
    memory = bytearray(8)
    offsets = np.frombuffer(memory, np.int64)
    with pytest.raises(TypeError):
        level.pool(*arguments(indices=memory))
    del offsets
    memory.extend(b"more")
    assert len(memory) == 12
