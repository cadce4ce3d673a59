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

pytest.importorskip("sklearn")

import ebagx
from ebagx import EmbeddingBag, RowGradient, embedding_bag, embedding_bag_backward, metrics
from ebagx.dask._combine import Sharing, combine
from ebagx.dask._round import Block, Piece
from ebagx.sklearn import EmbeddingBagRecommender, FactorizationMachineClassifier
from ebagx.text import TextClassifier, WordVectors

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


QUANTIZED = ebagx.quantize(TABLE, 4)
HISTORY = scipy.sparse.csr_array(np.tile(np.eye(10, dtype=np.float32), 2))
RECOMMENDER = EmbeddingBagRecommender(4, max_iter=1, random_state=0).fit(HISTORY)
MACHINE = FactorizationMachineClassifier(2, max_iter=1, random_state=0)
MACHINE.fit(HISTORY, np.arange(10) % 3)
TEXTS, LABELS = ["a cat", "a dog", "cats purr"], ["cat", "dog", "cat"]
CLASSIFIER = TextClassifier(4, epochs=1, random_state=0).fit(TEXTS, LABELS)
SMALL_CLASSIFIER = CLASSIFIER.quantize(4)
VECTORS = WordVectors.of(["cat", "dog"], TABLE[:2])
ROUND = Block(0, (TABLE, TABLE[:, :1]))
PIECE = Piece(np.arange(3), (TABLE[:3], TABLE[:3, :1]), np.ones(3, np.float32))


def life_of_a_ranking():
    metrics.ndcg_at_k(LOOKUPS[:10, :2] % 9, HISTORY[:, ::-1], k=2)
    metrics.auc(HISTORY.toarray(), HISTORY)


def life_of_a_classifier():
    CLASSIFIER.predict_proba(TEXTS)
    SMALL_CLASSIFIER.predict_top(TEXTS, 2)


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
# These take up to a millisecond, most of it for checks of scikit-learn, and are called less often.
OF_MODELS = {
    "quantised forward": lambda: embedding_bag(LOOKUPS, QUANTIZED, mode="mean"),
    "rows of quantised": lambda: QUANTIZED[[1, 3]],
    "recommend": lambda: RECOMMENDER.recommend(HISTORY, 3),
    "similar items": lambda: RECOMMENDER.similar_items([1, 2], 3),
    "life of a ranking": life_of_a_ranking,
    "machine": lambda: MACHINE.predict_proba(HISTORY),
    "life of a classifier": life_of_a_classifier,
    "word vectors": lambda: VECTORS.embed(["cat dog", "unknown", ""]),
    "round": lambda: combine(ROUND, Sharing.of(ebagx.optim.RowwiseAdagrad()), 1, PIECE, PIECE),
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
ERRORS_OF_MODELS = {
    "quantised index": lambda: embedding_bag([[50]], QUANTIZED),
    "quantised rows": lambda: ebagx.QuantizedTable.from_packed(LOOKUPS, "torch_byte"),
    "no items": lambda: RECOMMENDER.recommend(HISTORY, items=[99]),
    "no interactions": lambda: RECOMMENDER.partial_fit(-HISTORY),
    "ranking": lambda: metrics.ndcg_at_k([[1, 1]] * 10, HISTORY, k=2),
    "machine's columns": lambda: MACHINE.predict(HISTORY[:, 1:]),
    "no text": lambda: CLASSIFIER.predict(["a", None]),
    "no label": lambda: CLASSIFIER.partial_fit(TEXTS, [1, 2, 3]),
    "no word": lambda: VECTORS[5],
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
@pytest.mark.parametrize(
    ("actions", "calls"),
    [(CASES, CALLS), (ERRORS, CALLS), (OF_MODELS, CALLS // 20), (ERRORS_OF_MODELS, CALLS // 20)],
    ids=["calls", "calls that raise", "models", "models that raise"],
)
def test_memory_stays_flat(actions, calls):
    actions = list(actions.values())
    growth(actions, 1000 * calls // CALLS)  # buffers that are kept for later calls
    # The allocator adds noise; a leak grows each time.
    assert any(growth(actions, calls) < LIMIT for _ in range(3))


@pytest.mark.skipif(not STATM.exists(), reason="memory is measured as Linux shows it")
def test_a_leak_is_found():
    kept = []

    def leak():  # not from the allocator, whose free memory would hide it
        kept.append(mmap.mmap(-1, PAGE))
        kept[-1].write(bytes(PAGE))

    assert growth([*CASES.values(), leak]) > LIMIT


@pytest.mark.parametrize(
    "action",
    [*(CASES | OF_MODELS).values(), *(ERRORS | ERRORS_OF_MODELS).values()],
    ids=[*CASES, *OF_MODELS, *(f"{name} raises" for name in ERRORS | ERRORS_OF_MODELS)],
)
def test_objects_stay_few(action):
    """Python's own count is exact: one more object in each call would be 48 bytes."""
    gc.collect()
    tracemalloc.start()
    try:
        # Threads of other tests allocate now and then: a leak grows each time.
        times = 200 if action in (*CASES.values(), *ERRORS.values()) else 20
        assert any(traced_growth(action, times) / times < 24 for _ in range(12))
    finally:
        tracemalloc.stop()


def traced_growth(action, times):
    before = tracemalloc.get_traced_memory()[0]
    repeat(action, times)
    gc.collect()
    return tracemalloc.get_traced_memory()[0] - before
