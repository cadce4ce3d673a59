"""Compare EmbeddingBag with torch.nn.EmbeddingBag: representation, state, sums of gradients."""

import numpy as np
import pytest

from ebagx import EmbeddingBag

torch = pytest.importorskip("torch")

SIZES = (7, 3)
BATCHES = [[[1, 2], [2, 2]], [[5, 6], [6, 0]], [[1, 1], [5, 0]]]


def pair(**options):
    """Return torch's module and ours with the same table."""
    theirs = torch.nn.EmbeddingBag(*SIZES, **options)
    ours = EmbeddingBag(*SIZES, **options)
    ours.load_state_dict({name: value.numpy() for name, value in theirs.state_dict().items()})
    return theirs, ours


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"max_norm": 1},
        {"max_norm": 0.5, "norm_type": 1.0, "scale_grad_by_freq": True, "mode": "sum"},
        {"norm_type": 3, "sparse": True, "include_last_offset": True},
        {"mode": "max", "padding_idx": 3},
        {"padding_idx": -1},
    ],
    ids=str,
)
def test_repr(options):
    assert repr(EmbeddingBag(*SIZES, **options)) == repr(torch.nn.EmbeddingBag(*SIZES, **options))


def test_positional_arguments_have_the_same_meaning():
    arguments = (*SIZES, 1.5, 1.0, True, "sum", False, None, True, 2)
    theirs, ours = torch.nn.EmbeddingBag(*arguments), EmbeddingBag(*arguments)
    for name in (
        "num_embeddings",
        "embedding_dim",
        "max_norm",
        "norm_type",
        "scale_grad_by_freq",
        "mode",
        "sparse",
        "include_last_offset",
        "padding_idx",
        "training",
    ):
        assert getattr(ours, name) == getattr(theirs, name)


def test_state_goes_both_ways():
    theirs, ours = pair()
    assert list(ours.state_dict()) == list(theirs.state_dict())
    np.testing.assert_array_equal(ours.weight, theirs.weight.detach())
    theirs.load_state_dict({"weight": torch.from_numpy(2 * ours.state_dict()["weight"])})
    np.testing.assert_array_equal(theirs.weight.detach(), 2 * ours.weight)


def test_initial_padding_row():
    theirs, ours = torch.nn.EmbeddingBag(*SIZES, padding_idx=2), EmbeddingBag(*SIZES, padding_idx=2)
    np.testing.assert_array_equal(ours.weight[2], theirs.weight[2].detach())
    assert (ours.weight[[0, 1, 3]] != 0).all()


@pytest.mark.parametrize(
    ("mode", "sparse"),
    [("sum", False), ("mean", False), ("max", False), ("sum", True), ("mean", True)],
)
def test_gradients_accumulate_until_zero_grad(mode, sparse):
    theirs, ours = pair(mode=mode, sparse=sparse, padding_idx=6)
    for number, batch in enumerate(BATCHES):
        if number == 2:
            theirs.zero_grad()
            ours.zero_grad()
            assert ours.grad is None
        grad = np.random.default_rng(number).standard_normal((2, 3)).astype("f4")
        pooled = theirs(torch.tensor(batch))
        pooled.backward(torch.from_numpy(grad))
        np.testing.assert_allclose(ours(batch), pooled.detach(), rtol=1e-6)
        ours.backward(grad)
        expected = theirs.weight.grad.to_dense() if sparse else theirs.weight.grad
        actual = ours.grad.toarray() if sparse else ours.grad
        np.testing.assert_allclose(actual, expected, rtol=1e-6, atol=1e-6)


def test_gradients_of_weights():
    theirs, ours = pair(mode="sum")
    weights = torch.ones(2, 2, requires_grad=True)
    for batch in BATCHES:
        theirs(torch.tensor(batch), per_sample_weights=weights).sum().backward()
        ours(np.array(batch), per_sample_weights=np.ones((2, 2)))
        ours.backward(np.ones((2, 3)))
    np.testing.assert_allclose(ours.per_sample_weights_grad, weights.grad, rtol=1e-5)


@pytest.mark.parametrize("freeze", [True, False])
def test_from_pretrained(freeze):
    table = np.arange(6, dtype="f4").reshape(3, 2)
    theirs = torch.nn.EmbeddingBag.from_pretrained(torch.from_numpy(table), freeze, padding_idx=-1)
    ours = EmbeddingBag.from_pretrained(table, freeze, padding_idx=-1)
    np.testing.assert_array_equal(ours([[0, 1, 2]]), theirs(torch.tensor([[0, 1, 2]])).detach())
    assert np.shares_memory(ours.weight, table)
    assert ours.padding_idx == theirs.padding_idx
    assert ours.frozen is not theirs.weight.requires_grad
    assert repr(ours) == repr(theirs)


def test_one_backward_per_forward():
    theirs, ours = pair()
    pooled = theirs(torch.tensor([[0, 1]]))
    ours([[0, 1]])
    pooled.sum().backward()
    ours.backward(np.ones((1, 3)))
    with pytest.raises(RuntimeError):
        pooled.sum().backward()
    with pytest.raises(RuntimeError):
        ours.backward(np.ones((1, 3)))
