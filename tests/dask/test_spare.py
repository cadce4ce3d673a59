"""Test that tasks use the memory of earlier arrays again, and only when no array has it."""

import pickle

import numpy as np
import pytest

pytest.importorskip("sklearn")
pytest.importorskip("distributed")

from ebagx.dask._spare import Spare
from support import dask_cases as cases

SHAPE = (1000, 64)


def place(array):
    return array.__array_interface__["data"][0]


def test_memory_is_used_again_when_no_view_is_left():
    spare = Spare()
    first = spare.empty(0, SHAPE)
    view, old = first[10:20, :3], place(first)
    first[...] = 1
    del first
    second = spare.empty(0, SHAPE)
    second[...] = 2
    assert place(second) != old
    assert (view == 1).all()
    del view
    third = spare.empty(0, (1010, 64))  # a little larger
    assert place(third) == old
    assert third.shape == (1010, 64)
    assert third.dtype == np.float32
    assert place(third) % 64 == 0


def test_arrays_of_other_numbers_and_sizes_have_memory_of_their_own():
    spare = Spare()
    small = spare.empty(1, (1000, 1))
    del small
    assert spare.empty(0, SHAPE).shape == SHAPE
    assert spare.empty(1, SHAPE).nbytes == 4 * 64_000
    assert spare.empty(0, (0, 64)).shape == (0, 64)


def test_pickles_have_no_memory():
    spare = Spare()
    spare.empty(0, SHAPE)
    assert repr(spare) == "Spare(1 buffers)"
    assert len(pickle.dumps(spare)) < 200
    assert repr(pickle.loads(pickle.dumps(spare))) == "Spare(0 buffers)"


def test_rounds_use_the_memory_of_earlier_ones():
    X, y = cases.labelled_bags(num_columns=4000)
    shards = cases.shards_of(X, cases.one_hot(y, 3), (300, 300))
    model, _ = cases.trained(shards, 4000, 1, 6)
    (block,), _ = model.contents
    assert repr(block.spare) == "Spare(2 buffers)"  # weights and state of the round before
    for shard in shards:
        assert repr(shard.part.spare) == "Spare(2 buffers)"
