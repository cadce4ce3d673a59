"""Compare training on pairs with its twin, bit for bit: losses, bags, rules, limits, threads."""

from functools import cache
from itertools import product

import numpy as np
import pytest
from scipy import sparse

from ebagx import optim
from ebagx._core.bags import Bags
from ebagx._kernels import pairs_reference
from ebagx._training import pair_parts, pair_steps
from ebagx._training.pair_draws import DrawnItems
from ebagx._training.pair_parts import bounds_of_parts, frequencies
from ebagx._training.pair_steps import PairSteps, Sampling, sorted_in_batches
from ebagx._training.pairs import PairBags, Positives, Towers, totals_of
from support import kernel_cases as cases

NUM_USERS, NUM_ITEMS, NUM_FEATURES = 30, 40, 6
NORMS = {"sum": None, "mean": "l1", "sqrtn": "l2"}
OPTIMIZERS = {
    "adagrad": lambda: optim.Adagrad(0.05, initial_accumulator_value=1.0),
    "adam": lambda: optim.Adam(0.01, clip_norm=0.5, clip_value=0.1, weight_decay=1e-3),
    "sgd": lambda: optim.SGD(lambda step: 0.1 / (1 + step), momentum=0.9),
}


def make_positives(rng, index_dtype):
    X = sparse.random_array((NUM_USERS, NUM_ITEMS), density=0.2, rng=rng, dtype=np.float32).tocsr()
    X.data += np.float32(0.5)
    X = sparse.vstack([X, sparse.csr_array(([2.0], ([0], [3])), shape=(1, NUM_ITEMS))]).tocsr()
    X.indices, X.indptr = X.indices.astype(index_dtype), X.indptr.astype(index_dtype)
    return Positives.of(X.astype(np.float32), rng.random(NUM_USERS + 1))


def user_bags(positives, user, mode):
    if user == "history":
        bags = Bags(positives.items, positives.offsets, positives.values)
        return bags, totals_of(bags, NORMS[mode]), NUM_ITEMS
    dtype, num_users = positives.offsets.dtype, len(positives.offsets) - 1
    places = np.arange(num_users + 1, dtype=dtype)
    bags = Bags(places[:-1], places, np.ones(num_users, np.float32))
    return bags, np.empty(0), num_users


def item_bags(rng, with_features, index_dtype):
    if not with_features:
        return None, NUM_ITEMS
    features = sparse.random_array(
        (NUM_ITEMS, NUM_FEATURES), density=0.3, rng=rng, dtype=np.float32
    )
    matrix = sparse.hstack([sparse.eye_array(NUM_ITEMS, dtype=np.float32), features], format="csr")
    return Bags(*(a.astype(index_dtype) for a in (matrix.indices, matrix.indptr)), matrix.data), (
        NUM_ITEMS + NUM_FEATURES
    )


def trained(kernel, monkeypatch, num_threads, case, batch_size=37):
    """Return the tables and losses of two passes."""
    loss, user, mode, with_features, dim, optimizer, index_dtype = case
    monkeypatch.setattr(pair_steps.kernels, "train_pairs", kernel)
    monkeypatch.setattr(pair_steps, "thread_count", lambda *_args, **_options: num_threads)
    monkeypatch.setattr(pair_parts, "_LEAST_OF_PART", 8)
    rng = np.random.default_rng(7)
    positives = make_positives(rng, index_dtype)
    of_users, totals, num_rows = user_bags(positives, user, mode)
    of_items, num_item_rows = item_bags(rng, with_features, index_dtype)
    tables = [
        rng.standard_normal((num_rows, dim)).astype(np.float32),
        rng.standard_normal((num_item_rows, dim + 1)).astype(np.float32),
    ]
    towers = Towers(*tables, [OPTIMIZERS[optimizer]() for _ in tables], num_threads)
    candidates = (
        np.arange(0, NUM_ITEMS, 2, dtype=np.int32) if with_features else np.empty(0, np.int32)
    )
    bags = PairBags(of_users, totals, of_items, NORMS[mode])
    steps = PairSteps(towers, positives, bags, Sampling(loss, 7, 3, candidates, 29), batch_size)
    order = rng.permutation(positives.num_entries)
    return *tables, np.array([steps.make_pass(order, None) for _ in range(2)])


@cache
def expected_of(case):
    """Return what the twin gives."""
    with pytest.MonkeyPatch.context() as patch:
        return trained(pairs_reference.train_pairs, patch, 1, case)


CASES = [
    *product(
        ["warp", "bpr", "logistic", "softmax"], ["history", "id"], ["sqrtn"], [False, True], [20]
    ),
    *(("warp", "history", mode, True, 8) for mode in ("sum", "mean")),
    *(("warp", "id", "sum", False, dim) for dim in (1, 7, 32, 33)),
    *(("softmax", "history", "mean", False, dim) for dim in (1, 33)),
]


@cases.levels
@cases.threads
@pytest.mark.parametrize("case", CASES, ids=str)
def test_same_bits_as_twin(level, num_threads, case, monkeypatch):
    case = *case, "adagrad", np.int32
    expected = expected_of(case)
    actual = trained(level.train_pairs, monkeypatch, num_threads, case)
    for result, wanted in zip(actual, expected, strict=True):
        cases.assert_same_bits(result, wanted)


@cases.levels
@cases.index_dtypes
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize(
    ("loss", "with_features"), [("warp", False), ("warp", True), ("softmax", True)]
)
def test_rules_and_integers(level, index_dtype, optimizer, loss, with_features, monkeypatch):
    case = loss, "history", "sqrtn", with_features, 9, optimizer, index_dtype
    expected = expected_of(case)
    actual = trained(level.train_pairs, monkeypatch, 2, case)
    for result, wanted in zip(actual, expected, strict=True):
        cases.assert_same_bits(result, wanted)


@pytest.mark.parametrize("loss", ["warp", "softmax"])
def test_calls_of_other_lengths_have_the_same_bits(loss, monkeypatch):
    kernel = pair_steps.kernels.train_pairs
    case = loss, "history", "sqrtn", True, 9, "adagrad", np.int32
    expected = trained(
        kernel, monkeypatch, 1, case, 9
    )  # the catalogue is refreshed every 4 batches
    monkeypatch.setattr(pair_steps.CallLength, "steps", lambda _self, _left, _size: 1)
    for result, wanted in zip(trained(kernel, monkeypatch, 1, case, 9), expected, strict=True):
        cases.assert_same_bits(result, wanted)


@pytest.mark.parametrize("loss", ["warp", "softmax"])
def test_calls_that_last_too_long_have_the_same_bits(loss, monkeypatch):
    """The kernel stops after a batch: the next call goes on where it stopped."""
    kernel, taken = pair_steps.kernels.train_pairs, []

    def counting(buffers, number, *arguments):
        result = kernel(buffers, number, *arguments)
        taken.append(int(number[0]))
        return result

    case = loss, "history", "sqrtn", True, 9, "adam", np.int32
    expected = trained(kernel, monkeypatch, 1, case, 9)
    monkeypatch.setattr(pair_steps, "_MOST_NANOSECONDS", 1)
    actual = trained(counting, monkeypatch, 1, case, 9)
    assert set(taken) == {1}
    for result, wanted in zip(actual, expected, strict=True):
        cases.assert_same_bits(result, wanted)


@pytest.mark.parametrize("loss", ["bpr", "softmax"])
def test_gradients_are_those_of_the_loss(loss):
    """A step of SGD goes along the numerical gradient, on which the draws do not depend."""
    rng = np.random.default_rng(0)
    positives = make_positives(rng, np.int32)
    of_users, totals, num_rows = user_bags(positives, "history", "sqrtn")
    of_items, num_item_rows = item_bags(rng, True, np.int32)
    bags = PairBags(of_users, totals, of_items, "l2")
    entries = np.arange(positives.num_entries)
    start = [
        rng.standard_normal((num_rows, 5)).astype(np.float32),
        rng.standard_normal((num_item_rows, 6)).astype(np.float32),
    ]

    def loss_after(tables, rate):
        tables = [table.copy() for table in tables]
        optimizers = [optim.SGD(rate) for _ in tables]
        towers = Towers(*tables, optimizers, 1)
        sampling = Sampling(loss, 1, 3, np.empty(0, np.int32), 20)
        steps = PairSteps(towers, positives, bags, sampling, len(entries))
        return steps.make_pass(entries, None), towers.tables

    rate = 1e-2
    before, stepped = loss_after(start, rate)
    gradients = [(old - new) / rate for old, new in zip(start, stepped, strict=True)]
    for side, gradient in enumerate(gradients):
        direction = gradient / np.linalg.norm(gradient)
        moved = list(start)
        moved[side] = (start[side] + 1e-3 * direction).astype(np.float32)
        after, _ = loss_after(moved, rate)
        assert (after - before) / 1e-3 == pytest.approx(np.linalg.norm(gradient), rel=0.02)


@cases.levels
@pytest.mark.parametrize("loss", ["warp", "logistic", "softmax"])
def test_extreme_scores_and_weights_equal_twin(level, loss, monkeypatch):
    """Derivatives that are exactly 0, and a bag of which only rounding errors are left."""
    results = []
    for kernel in (pairs_reference.train_pairs, level.train_pairs):
        monkeypatch.setattr(pair_steps.kernels, "train_pairs", kernel)
        rng = np.random.default_rng(1)
        positives = make_positives(rng, np.int32)
        positives.values[0] = 5e6
        bags, totals, _ = user_bags(positives, "history", "sqrtn")
        shapes = (NUM_ITEMS, 4), (NUM_ITEMS, 5)
        tables = [(60 * rng.standard_normal(shape)).astype(np.float32) for shape in shapes]
        towers = Towers(*tables, [optim.Adagrad(0.5) for _ in tables], 1)
        sampling = Sampling(loss, 4, 3, np.empty(0, np.int32), 6)
        steps = PairSteps(towers, positives, PairBags(bags, totals, None, "l2"), sampling, 30)
        losses = steps.make_pass(np.arange(positives.num_entries), None)
        results.append((*tables, np.array([losses])))
    for actual, expected in zip(results[1], results[0], strict=True):
        cases.assert_same_bits(actual, expected)


def test_softmax_is_that_of_corrected_scores():
    """One pair, and every item drawn: the loss against a plain computation."""
    rng = np.random.default_rng(3)
    items, counts = np.array([1, 3, 4], np.int32), np.array([0, 1, 0, 1, 1, 0])
    positives = Positives.of(
        sparse.csr_array((np.full(3, 2, np.float32), items, np.array([0, 3])), shape=(1, 6))
    )
    own = Bags(np.zeros(1, np.int32), np.array([0, 1], np.int32), np.ones(1, np.float32))
    tables = [rng.standard_normal(shape).astype(np.float32) for shape in ((1, 4), (6, 5))]
    scores = tables[1][:, :-1] @ tables[0][0] + tables[1][:, -1]
    towers = Towers(*tables, [optim.SGD(1e-6) for _ in tables], 1)
    bags = PairBags(own, np.empty(0), None, None)
    steps = PairSteps(
        towers, positives, bags, Sampling("softmax", 1, 9, np.empty(0, np.int32), 50), 3
    )
    drawn, shifts = DrawnItems(50, counts, np.empty(0, np.int32), 9).arrays(1)
    others = drawn[~np.isin(drawn, items)]
    assert set(others) == {0, 2, 5}
    assert (np.diff(drawn[0]) >= 0).all()
    logits = scores - np.log(50 / 6)
    np.testing.assert_allclose(shifts, np.log(50 / 6), rtol=1e-6)
    expected = sum(
        2 * (np.logaddexp.reduce([logits[p], *logits[others]]) - logits[p]) for p in items
    )
    assert steps.make_pass(np.arange(3), None) == pytest.approx(expected, rel=1e-5)


def test_items_are_drawn_by_the_root_of_their_frequency():
    candidates = np.array([0, 2, 3], np.int32)
    draws = DrawnItems(64, np.array([0, 90, 1, 16]), candidates, 5)
    drawn, shifts = draws.arrays(200)
    share = np.bincount(drawn.ravel(), minlength=4) / drawn.size
    np.testing.assert_allclose(share, [1 / 6, 0, 1 / 6, 4 / 6], atol=0.02)
    np.testing.assert_allclose(shifts[candidates], np.log(64 * np.array([1, 1, 4]) / 6), rtol=1e-5)
    again = DrawnItems(64, np.array([0, 90, 1, 16]), candidates, 5)
    again.use(150)
    np.testing.assert_array_equal(again.arrays(50)[0], drawn[150:])


def test_the_first_call_of_large_batches_has_few_steps():
    """Its time is not known: 16 steps of 65,536 pairs kept Ctrl-C waiting for 3.6 seconds."""
    assert pair_steps.CallLength().steps(10**9, 256) == 16
    assert pair_steps.CallLength().steps(10**9, 1 << 16) == 1


def test_threads_have_arrays_within_a_limit(monkeypatch):
    rng = np.random.default_rng(0)
    positives = make_positives(rng, np.int32)
    bags, totals, _ = user_bags(positives, "history", "sqrtn")
    monkeypatch.setattr(pair_steps, "thread_count", lambda *_args, **_options: 16)
    for most, threads in ((1 << 25, 16), (1, 1)):
        monkeypatch.setattr(pair_steps, "_MOST_ROOM", most)
        towers = Towers(
            *(np.ones((NUM_ITEMS, n), np.float32) for n in (3, 4)),
            [optim.SGD(0.1) for _ in range(2)],
            16,
        )
        sampling = Sampling("warp", 4, 3, np.empty(0, np.int32))
        steps = PairSteps(towers, positives, PairBags(bags, totals, None, "l2"), sampling, 30)
        arrays, parts = steps._rows[0].arrays(threads)
        assert {len(array) for array in arrays} == {threads}
        assert len(parts[-1]) <= threads


def test_parts_have_about_equal_counts():
    counts = np.array([4.0, 1, 1, 1, 1, 8, 0, 0])
    np.testing.assert_array_equal(bounds_of_parts(counts, 1), [0, 8])
    np.testing.assert_array_equal(bounds_of_parts(counts, 2), [0, 5, 8])
    for num_parts in (0, 3, 8, 20):
        bounds = bounds_of_parts(counts, num_parts)
        assert len(bounds) == max(num_parts, 1) + 1
        assert (bounds[0], bounds[-1]) == (0, 8)
        assert (np.diff(bounds) >= 0).all()


def test_frequencies_are_those_of_batches():
    """Lookups of rows, as often as they occur in many batches."""
    rng = np.random.default_rng(0)
    positives = make_positives(rng, np.int32)
    of_users, _, num_rows = user_bags(positives, "history", "sqrtn")
    of_items, num_item_rows = item_bags(rng, True, np.int32)
    bags = PairBags(of_users, np.empty(0), of_items, None)
    expected = [np.zeros(num_rows), np.zeros(num_item_rows)]
    for _ in range(400):
        entries = rng.choice(positives.num_entries, 20, replace=False)
        items = np.concatenate([positives.items[entries], rng.integers(0, NUM_ITEMS, 7)])
        for total, bags_, places in zip(
            expected, bags[::2], (np.unique(positives.users[entries]), items), strict=True
        ):
            for place in places:
                total[bags_.indices[slice(*bags_.offsets[place : place + 2])]] += 1 / 400
    actual = frequencies(bags, positives, (num_rows, num_item_rows), (20, 7))
    assert actual[0].sum() == pytest.approx(expected[0].sum(), rel=0.35)  # users come twice
    np.testing.assert_allclose(actual[1], expected[1], rtol=0.35, atol=0.2)


def test_batches_are_sorted_apart():
    order = sorted_in_batches(np.array([5, 1, 4, 0, 3, 2, 6]), 3)
    np.testing.assert_array_equal(order, [1, 4, 5, 0, 2, 3, 6])


def test_ranks_of_draws():
    ranks = Sampling("warp", 5, 0, np.empty(0, np.int32)).ranks(9)
    np.testing.assert_allclose(ranks, np.log([8, 4, 2, 2, 1]), rtol=1e-6)
    assert Sampling("warp", 1, 0, np.empty(0, np.int32)).ranks(10**6)[0] == 10
