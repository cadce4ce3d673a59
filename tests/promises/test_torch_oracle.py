"""Compare numbers with PyTorch's over thousands of random valid calls.

Where PyTorch has no such mode, or is wrong (`scale_grad_by_freq`, half precision), the oracle is
autograd through ``nn.functional.embedding`` and elementary operations.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from ebagx import embedding_bag, embedding_bag_backward

torch = pytest.importorskip("torch")
functional = torch.nn.functional

CASES = 200
SEEDS = range(5)
# Sums of up to 80 normal values; half tables: one unit in the last place of the result.
TOLERANCE = {
    "float64": {"rtol": 1e-13, "atol": 1e-13},
    "float32": {"rtol": 2e-6, "atol": 1e-5},
    "float16": {"rtol": 1e-3, "atol": 1e-5},
}


@pytest.fixture(scope="module", autouse=True)
def one_torch_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@dataclass
class Case:
    """Arguments of one call for ebagx, and the same lookups as flat arrays."""

    table: np.ndarray
    grad: np.ndarray
    lookups: dict[str, Any]
    rows: np.ndarray
    bag_of: np.ndarray
    options: dict[str, Any]
    weights: np.ndarray | None


def random_case(rng, modes, weighted):
    """Draw bags in one of three forms, with every dtype and option that goes with them."""
    num_rows, dim = rng.integers(1, 12), rng.choice([1, 2, 5, 8, 17, 40, 70])
    dtype = rng.choice(["float32", "float64", "float16"])
    form = rng.choice(["offsets", "last offset", "2-D"])
    lengths = rng.integers(0, 7, rng.integers(1, 9))
    if form == "2-D":
        lengths[:] = lengths[0] = max(lengths[0], 1)  # PyTorch fails on rows of length 0
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(rng.choice(["i4", "i8"]))
    rows = rng.integers(0, num_rows, offsets[-1]).astype(rng.choice(["i4", "i8"]))
    table = rng.standard_normal((num_rows, dim)).astype(dtype)
    table[rng.integers(num_rows)] = table[0]  # ties
    weights = rng.standard_normal(len(rows)).astype(dtype) if weighted else None
    if form == "2-D":
        lookups = {"input": rows.reshape(len(lengths), -1)}
    else:
        last = form == "last offset"
        lookups = {
            "input": rows,
            "offsets": offsets if last else offsets[:-1],
            "include_last_offset": last,
        }
    if weighted:
        lookups["per_sample_weights"] = weights.reshape(lookups["input"].shape)
    padding_idx = int(rng.integers(-num_rows, num_rows)) if rng.random() < 0.5 else None
    options = {"mode": str(rng.choice(modes)), "padding_idx": padding_idx}
    grad = rng.standard_normal((len(lengths), dim)).astype(dtype)
    bag_of = np.repeat(np.arange(len(lengths)), lengths)
    return Case(table, grad, lookups, rows, bag_of, options, weights)


def cases(seed, modes, weighted=False):
    rng = np.random.default_rng(seed)
    return (random_case(rng, modes, weighted) for _ in range(CASES))


def tensor(array, exact=True):
    """Return an array as a leaf tensor; half precision as float32 if that is more exact."""
    result = torch.from_numpy(array.copy())
    return result.float() if exact and result.dtype == torch.float16 else result


def torch_arguments(case):
    lookups = {
        name: tensor(value.astype(np.int64) if value.dtype.kind == "i" else value)
        if isinstance(value, np.ndarray)
        else value
        for name, value in case.lookups.items()
    }
    return {**lookups, **case.options}


def assert_like(actual, expected, dtype=None):
    expected = expected.detach().numpy()
    np.testing.assert_allclose(
        actual, expected.astype(actual.dtype), **TOLERANCE[str(dtype or actual.dtype)]
    )


def assert_dense_and_sparse_like(case, expected, expected_weights=None, **options):
    """Check the gradients in every form against tensors."""
    arguments = {**case.lookups, **case.options, **options}
    for sparse in (False, True, "rows"):
        gradients = embedding_bag_backward(case.grad, weight=case.table, **arguments, sparse=sparse)
        dense = gradients.weight if sparse is False else gradients.weight.toarray()
        assert_like(dense, expected)
    if expected_weights is not None:
        assert_like(gradients.per_sample_weights, expected_weights)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("seed", SEEDS)
def test_embedding_bag(seed, weighted):
    for case in cases(seed, ["sum"] if weighted else ["sum", "mean", "max"], weighted):
        table, arguments = tensor(case.table).requires_grad_(), torch_arguments(case)
        if weighted:
            arguments["per_sample_weights"].requires_grad_()
        expected = functional.embedding_bag(weight=table, **arguments)
        expected.backward(tensor(case.grad))
        actual = embedding_bag(weight=case.table, **case.lookups, **case.options)
        assert actual.dtype == case.table.dtype
        assert_like(actual, expected)
        of_weights = arguments["per_sample_weights"].grad if weighted else None
        assert_dense_and_sparse_like(case, table.grad, of_weights)


@pytest.mark.parametrize("seed", SEEDS)
def test_sparse_gradient_has_the_same_rows(seed):
    for case in cases([seed, 1], ["sum", "mean"]):
        table = tensor(case.table).requires_grad_()
        pooled = functional.embedding_bag(weight=table, **torch_arguments(case), sparse=True)
        pooled.backward(tensor(case.grad))
        expected = table.grad.coalesce()
        rows = expected.indices()[0].numpy()
        kept = np.ones(len(rows), bool)
        if case.options["padding_idx"] is not None:  # PyTorch stores zeros for it
            kept = rows != case.options["padding_idx"] % len(case.table)
        actual = embedding_bag_backward(
            case.grad, weight=case.table, **case.lookups, **case.options, sparse="rows"
        ).weight
        np.testing.assert_array_equal(actual.rows, rows[kept])
        assert_like(actual.values, expected.values()[kept])


@pytest.mark.parametrize("norm_type", [2.0, 1.0, 3.0, 0.5, float("inf")])
def test_max_norm(norm_type):
    for case in cases(2, ["sum", "mean", "max"]):
        if case.table.dtype == np.float16:
            continue  # PyTorch takes the norm in half precision
        options = {"max_norm": 1.5, "norm_type": norm_type}
        table, ours = tensor(case.table), case.table.copy()
        expected = functional.embedding_bag(weight=table, **torch_arguments(case), **options)
        actual = embedding_bag(weight=ours, **case.lookups, **case.options, **options)
        assert_like(actual, expected)
        assert_like(ours, table)


def composed(case, table, weights, by_freq):
    """Return the pooled bags by elementary operations of autograd."""
    mode, padding_idx = case.options["mode"], case.options["padding_idx"]
    rows, bag_of = torch.from_numpy(case.rows.astype(np.int64)), torch.from_numpy(case.bag_of)
    if padding_idx is not None:
        kept = rows != padding_idx % len(table)
        rows, bag_of, weights = rows[kept], bag_of[kept], weights[kept]
    entries = functional.embedding(rows, table, scale_grad_by_freq=by_freq)
    shape = len(case.grad), table.shape[1]
    if mode in ("max", "min"):
        pooled = [
            getattr(entries[bag_of == b], mode)(dim=0).values
            if (bag_of == b).any()
            else 0 * table[0]
            for b in range(shape[0])
        ]
        return torch.stack(pooled)
    total = torch.zeros(shape, dtype=table.dtype)
    total = total.index_add(0, bag_of, weights[:, None] * entries)
    if mode == "sum":
        return total
    divisors = torch.zeros(shape[0], dtype=table.dtype)
    divisors = divisors.index_add(0, bag_of, weights if mode == "mean" else weights * weights)
    empty = torch.bincount(bag_of, minlength=shape[0]) == 0
    divisors = divisors.masked_fill(empty, 1)
    return total / (divisors if mode == "mean" else divisors.sqrt())[:, None]


def check_composed(case, by_freq, positive=False):
    flat = np.ones(len(case.rows), case.table.dtype) if case.weights is None else case.weights
    if positive:  # a weighted mean whose weights nearly cancel amplifies rounding
        flat = np.abs(flat) + flat.dtype.type(0.5)
        case.lookups["per_sample_weights"] = flat.reshape(case.lookups["input"].shape)
    table, weights = tensor(case.table).requires_grad_(), tensor(flat).requires_grad_()
    expected = composed(case, table, weights, by_freq)
    expected.backward(tensor(case.grad))
    actual = embedding_bag(weight=case.table, **case.lookups, **case.options)
    assert_like(actual, expected)
    of_weights = None
    if case.weights is not None:
        of_weights = weights.grad.reshape(case.lookups["input"].shape)
    assert_dense_and_sparse_like(case, table.grad, of_weights, scale_grad_by_freq=by_freq)


@pytest.mark.parametrize("seed", SEEDS)
class TestAutograd:
    def test_frequency(self, seed):
        for case in cases([seed, 3], ["sum", "mean", "sqrtn"]):
            check_composed(case, by_freq=True)

    def test_sqrtn_and_min(self, seed):
        for case in cases([seed, 4], ["sqrtn", "min"]):
            check_composed(case, by_freq=False)

    @pytest.mark.parametrize("by_freq", [False, True])
    def test_weights(self, seed, by_freq):
        for case in cases([seed, 5], ["sum", "mean", "sqrtn"], weighted=True):
            check_composed(case, by_freq, positive=True)


@pytest.mark.parametrize("mode", ["sum", "mean", "max"])
def test_half_forward_against_torch_in_half(mode):
    for case in cases(9, [mode]):
        if case.table.dtype == np.float16:
            table = tensor(case.table, exact=False)
            expected = functional.embedding_bag(weight=table, **torch_arguments(case))
            actual = embedding_bag(weight=case.table, **case.lookups, **case.options)
            np.testing.assert_allclose(actual, expected.numpy(), rtol=2e-3, atol=1e-3)
