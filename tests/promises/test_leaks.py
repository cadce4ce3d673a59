"""Test that memory does not grow over 10,000 calls of each function, nor over 10,000 that raise."""

import gc
import mmap
import os
import tracemalloc
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse

import ebagx
from ebagx import EmbeddingBag, RowGradient, embedding_bag, embedding_bag_backward

STATM = Path("/proc/self/statm")
CALLS = int(os.environ.get("EBAGX_LEAK_CALLS", "10000"))
PAGE = 4096
LIMIT = 1 << 18  # bytes, whatever the number of calls

TABLE = np.ones((50, 8), np.float32)
LOOKUPS = np.arange(60).reshape(20, 3) % 50
GRAD = np.ones((20, 8), np.float32)
MATRIX = scipy.sparse.csr_array(np.eye(20, 50))
BAG = EmbeddingBag(50, 8, mode="max", padding_idx=3)
SMALL_OPTIMIZER = ebagx.optim.Adagrad(1e-3)
OPTIMIZER = ebagx.optim.Adam(1e-3, weight_decay=0.1, clip_norm=1)
GRADIENT = RowGradient(np.array([1, 4]), np.ones((2, 8), np.float32), (50, 8))
BROKEN = scipy.sparse.csc_array(np.eye(20, 50))
BROKEN.indices[0] = 10**6


COLLECTION = ebagx.EmbeddingBagCollection(
    {"x": EmbeddingBag(50, 8, mode="sum"), "y": EmbeddingBag(50, 4, mode="max")},
    {"a": "x", "b": "y", "c": "x"},
)
FEATURES = {"a": np.arange(20), "b": LOOKUPS, "c": [[1, 2], []] * 10}


def life_of_a_collection():
    COLLECTION.zero_grad()
    COLLECTION(FEATURES)
    COLLECTION.backward(np.ones((20, 20)))


SMALL_BAG = EmbeddingBag(50, 8, mode="sum", sparse="rows")
TEN, START = np.arange(10), np.zeros(1, np.int64)


def life_of_small_calls():
    for bags in (TEN, TEN + 41, TEN.astype(float), [[1, 2], [2**70]]):
        with suppress(IndexError, TypeError, ValueError):
            SMALL_BAG(bags, None if isinstance(bags, list) else START)
    SMALL_BAG([[1, 2, 3]])
    SMALL_BAG(MATRIX.astype(np.float32))
    SMALL_BAG(TEN, START)
    SMALL_BAG.backward_update(GRAD[:1], SMALL_OPTIMIZER)


def life():
    BAG.zero_grad()
    BAG(LOOKUPS)
    BAG.backward(GRAD)
    OPTIMIZER.step(BAG)


CASES = {
    "forward": lambda: embedding_bag(LOOKUPS, TABLE, padding_idx=1, max_norm=100.0),
    "sparse input": lambda: embedding_bag(MATRIX, TABLE),
    "lists": lambda: embedding_bag([[1, 2], [], [3]], TABLE, mode="min", return_indices=True),
    "dense gradient": lambda: embedding_bag_backward(GRAD, LOOKUPS, TABLE),
    "sparse gradient": lambda: embedding_bag_backward(GRAD, LOOKUPS, TABLE, sparse=True),
    "gradient of weights": lambda: embedding_bag_backward(
        GRAD, LOOKUPS, TABLE, sparse="rows", per_sample_weights=np.ones((20, 3))
    ),
    "step": lambda: OPTIMIZER.update(BAG.weight, GRADIENT),
    "life": life,
    "life of small calls": life_of_small_calls,
    "life of a collection": life_of_a_collection,
}
ERRORS = {
    "index": lambda: embedding_bag([[50]], TABLE),
    "offsets": lambda: embedding_bag([1, 2], TABLE, [0, 3]),
    "dtype": lambda: embedding_bag([[1.5]], TABLE),
    "broken matrix": lambda: embedding_bag(BROKEN, TABLE),
    "gradient": lambda: embedding_bag_backward(GRAD[1:], LOOKUPS, TABLE),
    "rows": lambda: RowGradient([50], np.ones((1, 8)), (50, 8)),
    "step": lambda: OPTIMIZER.update(TABLE[:, ::2], GRADIENT),
    "module": lambda: BAG([[-1]]),
    "collection": lambda: COLLECTION({**FEATURES, "c": [99] * 20}),
    "size": lambda: EmbeddingBag(2**40, 2**40),
}


def resident():
    """Return the memory of the process in bytes."""
    gc.collect()
    return int(STATM.read_text().split()[1]) * PAGE


def repeat(action, times):
    for _ in range(times):
        with suppress(ValueError, TypeError, IndexError, MemoryError):
            action()


def growth(actions, calls=CALLS):
    """Return by how many bytes the process grows in a number of calls of the actions."""
    every = [action for _ in range(calls // len(actions) + 1) for action in actions][:calls]
    before = resident()
    for action in every:
        repeat(action, 1)
    return resident() - before


@pytest.mark.skipif(not STATM.exists(), reason="memory is measured as Linux shows it")
@pytest.mark.parametrize("actions", [CASES, ERRORS], ids=["calls", "calls that raise"])
def test_memory_stays_flat(actions):
    growth(list(actions.values()), 1000)  # buffers that are kept for later calls
    # The allocator adds noise; a leak grows each time.
    assert any(growth(list(actions.values())) < LIMIT for _ in range(3))


@pytest.mark.skipif(not STATM.exists(), reason="memory is measured as Linux shows it")
def test_a_leak_is_found():
    kept = []

    def leak():  # not from the allocator, whose free memory would hide it
        kept.append(mmap.mmap(-1, PAGE))
        kept[-1].write(bytes(PAGE))

    assert growth([*CASES.values(), leak]) > LIMIT


@pytest.mark.parametrize(
    "action",
    [*CASES.values(), *ERRORS.values()],
    ids=[*CASES, *(f"{name} raises" for name in ERRORS)],
)
def test_objects_stay_few(action):
    """Python's own count is exact: one more object in each call would be 48 bytes."""
    gc.collect()
    tracemalloc.start()
    try:
        # Threads of other tests allocate now and then: a leak grows each time.
        assert any(traced_growth(action, 200) / 200 < 24 for _ in range(12))
    finally:
        tracemalloc.stop()


def traced_growth(action, times):
    before = tracemalloc.get_traced_memory()[0]
    repeat(action, times)
    gc.collect()
    return tracemalloc.get_traced_memory()[0] - before
