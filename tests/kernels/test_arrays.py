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


@cases.levels
@pytest.mark.parametrize(
    ("count", "message"),
    [(0, "be more than 0 arrays"), (2, "be more than 2 arrays"), (4, "be 3 arrays, got 4")],
)
def test_each_group_has_its_number_of_arrays(level, count, message):
    """Others would leave fields of a call's struct unset, or be written past its end."""
    buffers = (np.zeros(1), *(np.zeros((1, 1), np.float32) for _ in range(9)))[:count]
    with pytest.raises(ValueError, match=f"^there must {message}$"):
        level.train_batches(buffers, *[()] * 6, [((), ())], (), 1, 0, 0, 0.0, 1, 0, 1)


@cases.levels
def test_no_group_has_more_arrays_than_a_call_holds(level):
    many = (np.zeros((1, 1), np.float32),) * 30
    with pytest.raises(ValueError, match="^there must be 3 arrays, got 30$"):
        level.train_batches(
            (np.zeros(1), *many[1:]), *[()] * 6, [((), ())], (), 1, 0, 0, 0.0, 1, 0, 1
        )
