"""Provide one optimizer of each kind, gradients, and PyTorch's steps for tests."""

import numpy as np
import pytest

from ebagx import RowGradient
from ebagx.optim import SGD, Adagrad, Adam, AdamW, RowwiseAdagrad

SHAPE = (7, 3)
STEPS = 50
ALL_ROWS = np.arange(SHAPE[0])

MAKERS = {
    "sgd": lambda **options: SGD(0.1, **options),
    "momentum": lambda **options: SGD(0.1, 0.9, **options),
    "nesterov": lambda **options: SGD(0.1, 0.9, nesterov=True, **options),
    "adagrad": lambda **options: Adagrad(0.1, **options),
    "rowwise_adagrad": lambda **options: RowwiseAdagrad(0.1, **options),
    "adam": lambda **options: Adam(0.1, **options),
    "adamw": lambda **options: AdamW(0.1, **options),
}
makers = pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)


def start(dtype=np.float64):
    return np.random.default_rng(0).standard_normal(SHAPE).astype(dtype)


def gradient(step, rows=None, dtype=np.float64):
    """Return the gradient of a step, of a few rows drawn for it or of those given."""
    rng = np.random.default_rng([step, 77])
    if rows is None:
        rows = np.flatnonzero(rng.random(SHAPE[0]) < 0.4)
    return RowGradient(rows, rng.standard_normal((len(rows), SHAPE[1])).astype(dtype), SHAPE)


def run(optimizer, rows=None, steps=STEPS):
    """Return the table after some steps."""
    table = start()
    for step in range(steps):
        optimizer.update(table, gradient(step, rows))
    return table


def run_torch(make, rows=None, sparse=False, clip=None, rate=None):
    """Return the table after as many steps of an optimizer of PyTorch."""
    torch = pytest.importorskip("torch")
    parameter = torch.nn.Parameter(torch.tensor(start()))
    optimizer = make(torch.optim, [parameter])
    for step in range(STEPS):
        if rate is not None:
            optimizer.param_groups[0]["lr"] = rate(step)
        grad = torch.tensor(gradient(step, rows).toarray())
        if sparse:
            touched = torch.tensor(gradient(step, rows).rows)[None]
            values = torch.tensor(gradient(step, rows).values)
            grad = torch.sparse_coo_tensor(touched, values, SHAPE, check_invariants=True)
        parameter.grad = grad
        if clip is not None:
            clip(torch.nn.utils, [parameter])
        optimizer.step()
    return parameter.detach().numpy()
