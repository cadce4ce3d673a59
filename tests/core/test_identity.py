"""Test that a table is recognised by its memory, and not kept alive."""

import gc
import mmap
import sys
import weakref

import numpy as np
import pytest

from ebagx._core.identity import Binding
from ebagx._core.memory import aligned_zeros


def table(shape=(5, 4)):
    return np.arange(np.prod(shape), dtype=np.float32).reshape(shape).copy()


VIEWS = {
    "slice": lambda array: array[:],
    "view": lambda array: array.view(),
    "subclass": lambda array: array.view(np.memmap),
    "longer and shorter": lambda array: array[np.newaxis][0],
    "transposed twice": lambda array: array.T.T,
    "no copy": lambda array: np.asarray(array),
    "read-only": lambda array: np.broadcast_to(array, array.shape),
}


@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS)
@pytest.mark.parametrize("make", [table, lambda: table((50, 4))[::5, 1:], lambda: table((5, 0))])
def test_views_of_the_whole_table_are_the_table(make, view):
    array = make()
    assert Binding(array).is_to(array)
    assert Binding(array).is_to(view(array))
    assert Binding(view(array)).is_to(array)


@pytest.mark.parametrize(
    "other",
    [
        lambda array: array.copy(),
        lambda array: array[:4],
        lambda array: array[::-1],
        lambda array: array[:, :2],
        lambda array: array.T,
    ],
    ids=["copy", "rows", "reversed", "columns", "transposed"],
)
def test_other_arrays_are_other_tables(other):
    array = table()
    assert not Binding(array).is_to(other(array))
    assert not Binding(other(array)).is_to(array)


def test_two_tables_in_one_block_of_memory():
    block = table((20, 4))
    first = Binding(block[:5])
    assert first.is_to(block[:5])
    assert not first.is_to(block[5:10])


def test_every_second_row_is_another_table():
    block = table((10, 4))
    assert Binding(block[::2]).is_to(block[::2])
    assert not Binding(block[:5]).is_to(block[::2])


def test_strides_that_nothing_uses_do_not_count():
    block = table((10, 4))
    assert Binding(block[:1]).is_to(block[:2:2])


@pytest.mark.parametrize("shape", [(5, 4), (200_000, 4)])
def test_a_new_array_at_the_address_of_one_that_is_gone_is_another(shape):
    found = False
    for _ in range(20):
        array = aligned_zeros(shape, np.dtype(np.float32))
        address, binding = array.ctypes.data, Binding(array)
        del array
        array = aligned_zeros(shape, np.dtype(np.float32))
        found |= array.ctypes.data == address
        assert not binding.is_to(array)
    assert found or shape[0] > 5, "no address was used again, so that this tests nothing"


def test_table_is_not_kept_alive():
    array = table()
    alive, binding = weakref.ref(array), Binding(array)
    assert binding.is_to(array[:])
    del array
    gc.collect()
    assert alive() is None
    assert repr(binding) == "Binding(5 rows, embedding_dim=4)"


def test_maps_of_one_place_in_a_file_are_one_table(tmp_path):
    first = np.memmap(tmp_path / "table", np.float32, "w+", offset=4096 + 64, shape=(5, 4))

    def again(mode="r+", offset=4096 + 64):
        return np.memmap(tmp_path / "table", np.float32, mode, offset, first.shape)

    for part in (slice(None), slice(1, 3)):
        binding = Binding(first[part])
        assert binding.is_to(again()[part])
        assert binding.is_to(np.asarray(again()[part]))
        assert binding.is_to(again(offset=0)[part]) is False
        assert binding.is_to(again("c")[part]) is False
        assert binding.is_to(again(offset=4096)[part]) is False
    assert Binding(np.asarray(first)).is_to(first)
    kept = again("c")
    assert Binding(kept).is_to(kept[:])
    assert not Binding(kept).is_to(again("c"))
    other = np.memmap(tmp_path / "other", np.float32, "w+", offset=4096 + 64, shape=(5, 4))
    assert not Binding(first).is_to(other)


def test_arrays_over_a_map_without_a_file():
    memory = mmap.mmap(-1, 4096)
    first = Binding(np.ndarray((5, 4), np.float32, memory))
    assert first.is_to(np.ndarray((5, 4), np.float32, memory))
    assert not first.is_to(np.ndarray((5, 4), np.float32, memory, offset=64))
    assert not first.is_to(np.ndarray((5, 4), np.float32, mmap.mmap(-1, 4096)))


def over_buffer(memory):
    return np.frombuffer(memory, np.float32, 20).reshape(5, 4)


def over_map(memory):
    return np.ndarray((5, 4), np.float32, memory)


@pytest.mark.parametrize("over", [over_map, over_buffer])
def test_a_new_map_at_the_address_of_one_that_is_gone_is_another_table(over):
    for _ in range(20):
        binding = Binding(over(mmap.mmap(-1, 4096)))
        assert not binding.is_to(over(mmap.mmap(-1, 4096)))


def test_arrays_over_foreign_memory_are_known_by_their_address():
    memory = bytearray(80)
    first = Binding(np.frombuffer(memory, np.float32).reshape(5, 4))
    assert first.is_to(np.frombuffer(memory, np.float32).reshape(5, 4))
    assert not first.is_to(np.frombuffer(bytearray(80), np.float32).reshape(5, 4))


def test_move():
    old, new = table(), table()
    binding, other = Binding(old), Binding(table())
    Binding.move(old, new)
    assert binding.is_to(new)
    assert not binding.is_to(old)
    assert not other.is_to(new)


def test_after_a_move_the_next_array_decides():
    for use_old in (False, True):
        old, new = table(), table()
        binding = Binding(old)
        Binding.move(old, new)
        first, second = (old, new) if use_old else (new, old)
        assert binding.is_to(first[:])
        assert not binding.is_to(second)


def test_two_moves_that_swap_two_tables():
    tables = table(), table()
    bindings = [Binding(array) for array in tables]
    Binding.move(tables[0], tables[1])
    Binding.move(tables[1], tables[0])
    assert bindings[0].is_to(tables[1])
    assert bindings[1].is_to(tables[0])
    assert not bindings[0].is_to(tables[0])


def test_many_moves_keep_no_list_of_tables_that_are_gone():
    array = table()
    binding = Binding(array)
    for _ in range(100):
        new = table()
        Binding.move(array, new)
        array = new
    assert binding.is_to(array)
    for _ in range(100):
        new = table()
        Binding.move(array, new)
        array = new
    assert len(binding._memories) <= 2


def test_tables_move_while_other_threads_bind_theirs():
    """A trace function makes bindings at each line of `weakref`, as another thread may do."""
    array, new, others = table(), table(), [table() for _ in range(100)]
    binding = Binding(array)
    kept = [Binding(other) for other in others[:50]]
    left = others[50:]

    def trace(frame, *_):
        if "weakref" not in frame.f_code.co_filename:
            return None
        if left:
            kept.append(Binding(left.pop()))
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        Binding.move(array, new)
    finally:
        sys.settrace(before)
    assert len(left) < 50
    assert binding.is_to(new)
