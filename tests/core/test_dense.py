"""Test that dense gradients use their memory again and clear only touched rows."""

import numpy as np
import pytest

import ebagx
from ebagx._core import dense
from support.errors import rejected

N, D = 50, 7


def make_bag(**options):
    return ebagx.EmbeddingBag(N, D, mode="sum", rng=0, **options)


def step(bag, rng):
    """Go forward and backward on some bags; return the gradient expected of them."""
    ids = rng.integers(0, N, (4, 3))
    grad = rng.standard_normal((4, D)).astype(np.float32)
    bag(ids)
    bag.backward(grad)
    return ebagx.embedding_bag_backward(grad, ids, bag.weight, mode="sum").weight


def test_gradient_after_zero_grad_has_nothing_of_the_one_before():
    rng, bag = np.random.default_rng(1), make_bag()
    for _ in range(5):
        expected = step(bag, rng)
        np.testing.assert_array_equal(bag.grad, expected)
        bag.zero_grad()
        assert bag.grad is None


@pytest.mark.parametrize("calls", [0, 1, 2])
@pytest.mark.parametrize("zeroed", [False, True])
def test_rows_of_an_interrupted_call_are_cleared(monkeypatch, calls, zeroed):
    rng, bag = np.random.default_rng(1), make_bag()
    step(bag, rng)
    bag.zero_grad()
    for _ in range(calls):
        step(bag, rng)
    of, name = (dense.kernels, "add_rows") if calls else (dense, "scatter")
    function = getattr(of, name)

    def interrupted(*arguments):
        function(*arguments)
        raise KeyboardInterrupt

    monkeypatch.setattr(of, name, interrupted)
    bag([[1, 2]])
    with pytest.raises(KeyboardInterrupt):
        bag.backward(np.ones((1, D)))
    monkeypatch.undo()
    if zeroed or calls:
        bag.zero_grad()
    assert bag.grad is None
    np.testing.assert_array_equal(step(bag, rng), bag.grad)


def test_memory_is_used_again_and_untouched_rows_are_not_written():
    rng, bag = np.random.default_rng(2), make_bag()
    step(bag, rng)
    memory = bag.grad
    untouched = np.flatnonzero(~memory.any(axis=1))[0]
    memory[untouched] = 7  # only a write to this row would remove the mark
    bag.zero_grad()
    assert not np.delete(memory, untouched, axis=0).any()
    assert np.all(memory[untouched] == 7)
    step(bag, rng)
    assert bag.grad is memory


def test_gradients_add_up_until_zero_grad():
    rng, bag = np.random.default_rng(3), make_bag()
    expected = sum(step(bag, rng) for _ in range(3))
    np.testing.assert_allclose(bag.grad, expected, rtol=1e-6, atol=1e-6)
    bag.zero_grad()
    np.testing.assert_array_equal(step(bag, rng), bag.grad)


@pytest.mark.parametrize("change", ["+=", "="])
def test_assigned_gradients_are_kept_and_leave_no_trace(change):
    rng, bag = np.random.default_rng(4), make_bag()
    step(bag, rng)
    if change == "+=":
        bag.grad += 1  # in all rows
    else:
        bag.grad = np.ones((N, D), np.float32)
    before = bag.grad.copy()
    expected = step(bag, rng)
    np.testing.assert_allclose(bag.grad, before + expected, rtol=1e-6, atol=1e-6)
    bag.zero_grad()
    expected = step(bag, rng)
    np.testing.assert_array_equal(bag.grad, expected)


def test_a_new_weight_of_another_dtype_gets_a_new_gradient():
    rng, bag = np.random.default_rng(5), make_bag()
    step(bag, rng)
    bag.zero_grad()
    bag.weight = bag.weight.astype(np.float64)
    expected = step(bag, rng)
    assert bag.grad.dtype == np.float64
    np.testing.assert_array_equal(bag.grad, expected)


class TestOut:
    ids, grad = np.array([[1, 2], [2, 9]]), np.ones((2, D), np.float32)

    def backward(self, **options):
        table = np.ones((N, D), np.float32)
        return ebagx.embedding_bag_backward(self.grad, self.ids, table, mode="sum", **options)

    @pytest.mark.parametrize("order", ["C", "F"])
    def test_is_written_and_returned(self, order):
        out = np.full((N, D), np.nan, np.float32, order=order)
        result = self.backward(out=out).weight
        assert result is out
        np.testing.assert_array_equal(out, self.backward().weight)

    @pytest.mark.parametrize("sparse", [True, "rows"])
    def test_sparse_gradients_take_none(self, sparse):
        message = f"out must be None for sparse={sparse!r}, it takes a dense gradient"
        with rejected(ValueError, message):
            self.backward(out=np.zeros((N, D), np.float32), sparse=sparse)

    def test_wrong_shape_and_dtype_leave_it_as_it_is(self):
        out = np.ones((N, D + 1), np.float32)
        with rejected(ValueError, f"out must have shape ({N}, {D}), got ({N}, {D + 1})", out):
            self.backward(out=out)
        out = np.ones((N, D))
        with rejected(TypeError, "out must have dtype float32, got float64", out):
            self.backward(out=out)

    def test_may_not_be_the_gradient_it_reads(self):
        memory = np.ones((N, D), np.float32)
        message = "out must not share memory with what the call reads"
        with rejected(ValueError, message, memory):
            ebagx.embedding_bag_backward(memory[:2], self.ids, np.ones((N, D), "f4"), out=memory)


@pytest.mark.parametrize("mode", ["sum", "mean", "sqrtn"])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("num_threads", [1, 2])
def test_dense_gradient_has_the_bits_of_the_sparse_one(mode, weighted, num_threads):
    rng = np.random.default_rng(6)
    ids = rng.integers(0, 300, (500, 12))
    table = np.zeros((300, 70), np.float32)
    grad = rng.standard_normal((500, 70)).astype(np.float32)
    options = {"mode": mode, "padding_idx": 7, "num_threads": num_threads}
    if weighted:
        options["per_sample_weights"] = rng.standard_normal(ids.shape).astype(np.float32)
    dense = ebagx.embedding_bag_backward(grad, ids, table, **options).weight
    rows = ebagx.embedding_bag_backward(grad, ids, table, sparse="rows", **options).weight
    np.testing.assert_array_equal(dense, rows.toarray())


def test_indices_that_change_after_backward_do_not_disturb_zero_grad():
    bag, ids = make_bag(), np.array([[1, 2], [3, 4]])
    bag(ids)
    bag.backward(np.ones((2, D)))
    memory = bag.grad
    ids[...] = 9
    bag.zero_grad()
    assert not memory.any()
