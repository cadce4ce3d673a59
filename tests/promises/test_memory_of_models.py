"""Test the peak memory of quantised tables, rankings, estimators and rounds against formulas.

B bags, N rows, D dimensions, m users, I items, K labels, T texts; 4 bytes a number.
"""

import numpy as np
import pytest
from scipy import sparse

pytest.importorskip("sklearn")

import ebagx
from ebagx import metrics
from ebagx._core import memory
from ebagx.dask._combine import Sharing, combine
from ebagx.dask._round import Block, Piece
from ebagx.optim import Adagrad
from ebagx.sklearn import EmbeddingBagRecommender, FactorizationMachineRegressor
from ebagx.text import TextClassifier
from support.memory import assert_at_most, peak

MB = 1 << 20
RNG = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def no_spare_scratch(monkeypatch):
    monkeypatch.setattr(memory.Scratch, "_spare", [])


@pytest.mark.parametrize("bits", [8, 4, 2])
def test_quantised_tables(bits):
    N, D, B = 6_000, 64, 200
    table = RNG.random((N, D), np.float32)
    packed = N * (D * bits // 8 + 8)
    assert_at_most(peak(lambda: ebagx.quantize(table, bits)), packed + MB)
    small = ebagx.quantize(table, bits)
    bags = RNG.integers(0, N, (B, 50))
    assert_at_most(peak(lambda: ebagx.embedding_bag(bags, small, mode="sum")), 4 * B * D)


def interactions(m, num_items, each):
    """Return m users with some items each, and as many entries of others."""
    drawn = np.argsort(RNG.random((m, num_items)), axis=1)[:, : 2 * each]
    offsets, ones = np.arange(m + 1) * each, np.ones(m * each, np.float32)
    halves = (np.sort(drawn[:, :each]), np.sort(drawn[:, each:]))
    return [sparse.csr_array((ones, half.ravel(), offsets), (m, num_items)) for half in halves]


def test_recommender_takes_no_array_of_all_scores():
    m, num_items, D, n = 1000, 2000, 16, 10
    X, test = interactions(m, num_items, 5)
    model = EmbeddingBagRecommender(D, max_iter=1, random_state=0).fit(X)
    stored = 3 * 16 * X.nnz  # of X, and of its copies with other dtypes
    result, vectors = 16 * m * n, 4 * m * D
    assert_at_most(peak(lambda: model.recommend(X, n)), result + 3 * vectors + stored)
    ids, _ = model.recommend(X, n)
    assert_at_most(peak(lambda: metrics.ndcg_at_k(ids, test, X)), 6 * 8 * m * n + 3 * stored)


@pytest.mark.parametrize("measure", [metrics.ndcg_at_k, metrics.auc])
def test_measures_take_blocks_of_scores(measure, monkeypatch):
    m, num_items, block = 500, 1000, 1 << 16
    monkeypatch.setattr(metrics, "_NUMBERS_AT_ONCE", block)
    X, test = interactions(m, num_items, 5)
    scores = RNG.random((m, num_items), np.float32)
    assert_at_most(peak(lambda: measure(scores, test, X)), 13 * block)
    assert 13 * block < 8 * m * num_items / 4


def test_machine_takes_its_table_the_state_of_its_optimizer_and_a_copy_to_keep():
    N, D, rows = 100_000, 8, 2000
    X = sparse.random_array((rows, N), density=1e-4, format="csr", rng=RNG, dtype=np.float32)
    y, table = RNG.random(rows), 4 * N * (D + 1)
    model = FactorizationMachineRegressor(D, max_iter=1, random_state=0)
    assert_at_most(peak(lambda: model.fit(X, y)), 3 * table + 8 * N + 4 * MB)


def test_predictions_take_a_block_of_the_scores():
    T, K, D = 3000, 1500, 16
    texts = [f"word{i % K} other{i % 7}" for i in range(T)]
    labels = [f"label{i % K}" for i in range(T)]
    model = TextClassifier(D, epochs=1, random_state=0).fit(texts, labels)
    assert_at_most(peak(lambda: model.predict(texts)), 4 * T * D + 9 * MB)
    assert 4 * T * D + 9 * MB < 4 * T * K


def test_rounds_take_the_next_block_and_a_little():
    N, D = 50_000, 16
    weights = RNG.random((N, D), np.float32)
    block, rows = Block(0, (weights, weights)), np.arange(0, N, 3)
    piece = Piece(rows, (weights[rows], weights[rows]), np.ones(len(rows), np.float32))
    pieces = [piece] * 3
    call = lambda: combine(block, Sharing.of(Adagrad()), 1, *pieces)  # noqa: E731
    assert_at_most(peak(call), 8 * N * D + 3 * MB)
