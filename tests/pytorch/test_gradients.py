"""Test the gradients under autograd: forms, dtypes, the modes and options that PyTorch lacks."""

import itertools

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import ebagx.torch  # noqa: E402
from ebagx.torch import pooling, tensors  # noqa: E402
from support.torch_cases import DTYPES, dense, pair  # noqa: E402

IDS = torch.tensor([3, 1, 1, 1, 4, 0, 2])
OFFSETS = torch.tensor([0, 3, 3, 6])
POLICIES = [{}, {"padding_idx": 1}, {"invalid": "skip", "default_row": 2}]


def table(dtype=torch.float64, seed=0):
    rng = np.random.default_rng(seed)
    return torch.from_numpy(rng.standard_normal((6, 3))).to(dtype).requires_grad_()


@pytest.mark.parametrize("mode", ["sum", "mean", "sqrtn", "max", "min"])
@pytest.mark.parametrize("policy", POLICIES, ids=str)
def test_gradcheck(mode, policy):
    inputs = [table()]
    if mode not in ("max", "min"):
        weights = torch.linspace(0.5, 2, len(IDS), dtype=torch.float64)
        inputs.append(weights.requires_grad_())

    def pool(weight, per_sample_weights=None):
        return ebagx.torch.embedding_bag(
            IDS, weight, OFFSETS, mode=mode, per_sample_weights=per_sample_weights, **policy
        )

    assert torch.autograd.gradcheck(pool, inputs)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("sparse", [False, True])
def test_extras_have_the_bits_of_the_core(dtype, sparse):
    """The modes, weights and options that PyTorch lacks, against `ebagx.embedding_bag`."""
    ids = torch.tensor([3, 1, -1, 1, 4, 0, 9])
    weights = torch.linspace(0.5, 2, len(ids))
    for mode, by_freq, policy in itertools.product(
        ["sum", "mean", "sqrtn", "max", "min"],
        [False, True],
        [{"default_row": 2}, {"padding_idx": -2}],
    ):
        options = {"mode": mode, "scale_grad_by_freq": by_freq, "invalid": "skip", **policy}
        given = weights if mode in ("sum", "mean", "sqrtn") else None
        leaf = table(dtype)
        pooled = ebagx.torch.embedding_bag(
            ids, leaf, OFFSETS, per_sample_weights=given, sparse=sparse, **options
        )
        pooled.backward(torch.ones_like(pooled))
        array = table(torch.float32 if dtype == torch.bfloat16 else dtype).detach()
        array = array if dtype != torch.bfloat16 else array.bfloat16().float()
        arrays = ids.numpy(), array.numpy(), OFFSETS.numpy()
        weights_array = None if given is None else given.numpy()
        expected = ebagx.embedding_bag(*arrays, per_sample_weights=weights_array, **options)
        assert torch.equal(pooled, torch.from_numpy(expected).to(dtype))
        gradient = ebagx.embedding_bag_backward(
            np.ones_like(expected), *arrays, per_sample_weights=weights_array, **options
        ).weight
        assert leaf.grad.dtype == dtype
        assert torch.equal(dense(leaf.grad), torch.from_numpy(gradient).to(dtype))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_sparse_gradients_stay_coalesced(dtype):
    _, bag = pair(10, 3, mode="sum", sparse=True, dtype=dtype)
    ids = torch.tensor([[7, 2, 2], [9, 7, 0]])
    bag(ids).sum().backward()
    grad = bag.weight.grad
    assert grad.is_coalesced()
    assert grad.dtype == dtype
    assert grad._indices().tolist() == [[0, 2, 7, 9]]
    assert grad.values()[:, 0].tolist() == [1, 2, 2, 1]
    if dtype != torch.float16:  # which PyTorch cannot add up
        bag(ids).sum().backward()
        assert bag.weight.grad.is_coalesced()
        assert bag.weight.grad.values()[:, 0].tolist() == [2, 4, 4, 2]


# Smaller gradients are copied by autograd, with the flag; larger ones have a hook.
MANY = torch.arange(1 << 14).reshape(-1, 8)


def test_large_sparse_gradients_stay_coalesced(monkeypatch):
    sizes = []
    monkeypatch.setattr(pooling, "keep_freed_memory", sizes.append)
    bag = ebagx.torch.EmbeddingBag(MANY.numel(), 2, mode="sum", sparse=True)
    for passes in (1, 2):
        bag(MANY).sum().backward()
        grad = bag.weight.grad
        assert grad.is_coalesced()
        assert torch.equal(grad._indices()[0], MANY.reshape(-1))
        assert grad._values().unique().tolist() == [passes]
    assert sizes == [4 * MANY.numel() * 2 * 4] * 2


def test_small_sparse_gradients_need_no_hook(monkeypatch):
    monkeypatch.setattr(pooling, "_restore_flag", None)
    monkeypatch.setattr(pooling, "keep_freed_memory", None)
    leaf = table()
    for _ in range(2):
        ebagx.torch.embedding_bag(IDS, leaf, OFFSETS, sparse=True).sum().backward()
        assert leaf.grad.is_coalesced()
    assert not leaf._post_accumulate_grad_hooks


@pytest.mark.parametrize("sparse", [False, True])
def test_weights_have_gradients_beside_those_of_the_table(sparse):
    leaf = table()
    weights = torch.ones(len(IDS), dtype=leaf.dtype, requires_grad=True)
    pooled = ebagx.torch.embedding_bag(
        IDS, leaf, OFFSETS, mode="sum", sparse=sparse, per_sample_weights=weights
    )
    pooled.sum().backward()
    torch.testing.assert_close(weights.grad, leaf.detach()[IDS].sum(1))
    assert dense(leaf.grad)[:, 0].tolist() == [1, 3, 1, 1, 1, 0]


def test_freed_memory_is_kept_up_to_a_limit(monkeypatch):
    blocks = []
    monkeypatch.setattr(tensors, "_kept", 0)
    monkeypatch.setattr(tensors.np, "empty", lambda size, dtype: blocks.append(size))
    for size in (1000, 500, 1000, 2000, 1 << 40, 1 << 41):
        tensors.keep_freed_memory(size)
    assert blocks == [1000, 2000, 31 << 20]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_requested_gradients_are_coalesced(dtype):
    leaf = table(dtype)
    pooled = ebagx.torch.embedding_bag(IDS, leaf, OFFSETS, sparse=True).sum()
    (gradient,) = torch.autograd.grad(pooled, leaf)
    assert gradient.is_coalesced()
    assert gradient.dtype == dtype


@pytest.mark.parametrize("rows", [[4, 1], [1, 1, 4]], ids=str)
def test_gradients_that_are_not_coalesced_are_not_marked(rows):
    leaf = torch.zeros(MANY.numel(), 3, requires_grad=True)
    ebagx.torch.embedding_bag(MANY, leaf, sparse=True).sum().backward()
    assert leaf._post_accumulate_grad_hooks  # watch the gradient
    leaf.grad = None
    torch.nn.functional.embedding(torch.tensor(rows), leaf, sparse=True).sum().backward()
    assert not leaf.grad.is_coalesced()
    assert leaf.grad._indices().tolist() == [rows]


def test_sparse_gradients_of_a_sum():
    leaf, other = table(), table()
    for pool, given in (
        (ebagx.torch.embedding_bag, leaf),
        (torch.nn.functional.embedding_bag, other),
    ):
        one = pool(IDS, given, OFFSETS, sparse=True)
        (one.sum() + 3 * pool(IDS[:2], given, OFFSETS[:1], sparse=True).sum()).backward()
    torch.testing.assert_close(leaf.grad.to_dense(), other.grad.to_dense())


def test_sparse_gradient_of_no_lookups():
    leaf = table()
    empty = torch.zeros(0, dtype=torch.long)
    ebagx.torch.embedding_bag(empty, leaf, torch.tensor([0, 0]), sparse=True).sum().backward()
    assert leaf.grad._nnz() == 0
    assert leaf.grad.shape == leaf.shape


@pytest.mark.parametrize("form", ["expanded", "transposed", "negative", "half"])
def test_forms_of_grad_output(form):
    dtype = torch.float16 if form == "half" else torch.float64
    leaf, other = table(dtype), table(dtype)
    grad = torch.arange(12, dtype=dtype).reshape(4, 3)
    if form == "expanded":
        grad = torch.ones((), dtype=dtype).expand(4, 3)
    elif form == "transposed":
        grad = torch.arange(12, dtype=dtype).reshape(3, 4).T
    elif form == "negative":
        grad = torch.complex(grad, grad).conj().imag
        assert grad.is_neg()
    ebagx.torch.embedding_bag(IDS, leaf, OFFSETS).backward(grad)
    torch.nn.functional.embedding_bag(IDS, other, OFFSETS).backward(grad)
    torch.testing.assert_close(leaf.grad, other.grad, rtol=2e-3, atol=2e-3)


def test_table_of_a_computed_tensor():
    leaf = table()
    pooled = ebagx.torch.embedding_bag(IDS, 2 * leaf[:, :2], OFFSETS, sparse=False)
    pooled.sum().backward()
    other = table()
    torch.nn.functional.embedding_bag(IDS, 2 * other[:, :2], OFFSETS).sum().backward()
    torch.testing.assert_close(leaf.grad, other.grad)


def test_gradient_of_weights_alone():
    frozen = table().requires_grad_(False)
    weights = torch.ones(len(IDS), dtype=torch.float64, requires_grad=True)
    options = {"per_sample_weights": weights, "mode": "sum"}
    ebagx.torch.embedding_bag(IDS, frozen, OFFSETS, **options).sum().backward()
    torch.testing.assert_close(weights.grad, frozen[IDS].sum(1))
    assert frozen.grad is None


def test_weights_of_another_dtype_keep_it():
    leaf = table(torch.float32)
    weights = torch.ones(len(IDS), dtype=torch.float64, requires_grad=True)
    options = {"per_sample_weights": weights, "mode": "sum"}
    ebagx.torch.embedding_bag(IDS, leaf, OFFSETS, **options).sum().backward()
    assert weights.grad.dtype == torch.float64
    assert leaf.grad.dtype == torch.float32


def test_right_counts_where_pytorch_has_wrong_ones():
    leaf = torch.zeros(4, 1, requires_grad=True)
    ids, offsets = torch.tensor([1, 1, 3]), torch.tensor([0])
    ebagx.torch.embedding_bag(
        ids, leaf, offsets, mode="sum", scale_grad_by_freq=True
    ).sum().backward()
    assert leaf.grad[:, 0].tolist() == [0, 1, 0, 1]


@pytest.mark.parametrize("threads", [1, 2])
def test_same_bits_for_every_number_of_threads(threads):
    rng = np.random.default_rng(0)
    ids = torch.from_numpy(rng.integers(0, 500, (300, 40)))
    leaf = torch.from_numpy(rng.standard_normal((500, 32), np.float32)).requires_grad_()
    pooled = ebagx.torch.embedding_bag(ids, leaf, num_threads=threads)
    pooled.square().sum().backward()
    arrays = ids.numpy(), leaf.detach().numpy()
    expected = ebagx.embedding_bag(*arrays, num_threads=1)
    assert np.array_equal(pooled.detach().numpy(), expected)
    gradient = ebagx.embedding_bag_backward(2 * expected, *arrays, num_threads=1).weight
    assert np.array_equal(leaf.grad.numpy(), gradient)
