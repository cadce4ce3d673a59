"""Random calls of PyTorch's embedding_bag, and pairs of modules with the same table."""

import numpy as np
import torch

import ebagx.torch

DTYPES = (torch.float32, torch.float64, torch.float16, torch.bfloat16)
TOLERANCES = {
    torch.float32: {"rtol": 1e-5, "atol": 1e-5},
    torch.float64: {"rtol": 1e-12, "atol": 1e-12},
    torch.float16: {"rtol": 1e-3, "atol": 1e-5},
    torch.bfloat16: {"rtol": 8e-3, "atol": 1e-4},
}


def assert_like(actual, expected):
    """Compare a tensor with one that may be more exact, in the tolerance of its dtype."""
    tolerance = TOLERANCES[actual.dtype]
    torch.testing.assert_close(actual.to(expected.dtype), expected, **tolerance)


def dense(grad):
    """Return a gradient as a dense tensor."""
    return grad.to_dense() if grad.is_sparse else grad


def random_call(rng, dtype):
    """Return table, tensors and options of a call that PyTorch takes, and answers rightly."""
    num_rows, dim = int(rng.integers(1, 12)), int(rng.choice([1, 2, 5, 8, 17, 40]))
    mode = str(rng.choice(["sum", "mean", "max"]))
    lengths = rng.integers(0, 7, rng.integers(1, 9))
    form = rng.choice(["offsets", "last offset", "2-D"])
    if form == "2-D":
        lengths[:] = max(lengths[0], 1)
    ends = np.concatenate([[0], np.cumsum(lengths)]).astype(rng.choice(["i4", "i8"]))
    ids = rng.integers(0, num_rows, ends[-1]).astype(rng.choice(["i4", "i8"]))
    tensors = {"input": torch.from_numpy(ids)}
    if form == "2-D":
        tensors["input"] = tensors["input"].reshape(len(lengths), -1)
    else:
        tensors["offsets"] = torch.from_numpy(ends if form == "last offset" else ends[:-1])
    if mode == "sum" and rng.random() < 0.5:
        weights = torch.from_numpy(rng.standard_normal(tensors["input"].shape))
        tensors["per_sample_weights"] = weights.to(dtype)
    options = {
        "mode": mode,
        "sparse": bool(mode != "max" and rng.random() < 0.5),
        "include_last_offset": bool(form == "last offset"),
        "padding_idx": int(rng.integers(-num_rows, num_rows)) if rng.random() < 0.5 else None,
        "max_norm": 1.5 if dtype.itemsize > 2 and rng.random() < 0.2 else None,
    }
    table = torch.from_numpy(rng.standard_normal((num_rows, dim))).to(dtype)
    grad = torch.from_numpy(rng.standard_normal((len(lengths), dim))).to(dtype)
    return table, tensors, options, grad


def widened(table, tensors, options, grad):
    """Return a call in float32 for one in 16 bits, in which PyTorch rounds each sum."""
    if table.dtype.itemsize > 2:
        return table, tensors, options, grad
    floats = {
        name: tensor.float() if tensor.is_floating_point() else tensor
        for name, tensor in tensors.items()
    }
    return table.float(), floats, options, grad.float()


def run(embedding_bag, table, tensors, options, grad):
    """Return result, table after the call, and gradients of table and weights."""
    table = table.clone().requires_grad_()
    weights = tensors.get("per_sample_weights")
    if weights is not None:
        weights = weights.clone().requires_grad_()
        tensors = {**tensors, "per_sample_weights": weights}
    pooled = embedding_bag(weight=table, **tensors, **options)
    pooled.backward(grad)
    of_weights = None if weights is None else weights.grad
    return pooled.detach(), table.detach(), dense(table.grad), of_weights


def pair(*sizes, **options):
    """Return a module of PyTorch and one of ebagx, with the same table."""
    theirs = torch.nn.EmbeddingBag(*sizes, **options)
    ours = ebagx.torch.EmbeddingBag(*sizes, **options)
    ours.load_state_dict(theirs.state_dict())
    return theirs, ours


class Model(torch.nn.Module):
    """A bag and a head."""

    def __init__(self, num_rows=50, dim=8, classes=4, **options):
        super().__init__()
        self.bag = torch.nn.EmbeddingBag(num_rows, dim, **options)
        self.head = torch.nn.Linear(dim, classes)

    def forward(self, ids, offsets=None):
        return self.head(self.bag(ids, offsets))
