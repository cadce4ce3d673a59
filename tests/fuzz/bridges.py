"""Calls of `ebagx.torch` against PyTorch: its results, its errors, and nothing changed by them.

PyTorch itself is not safe against all arguments: wrong ones go to ebagx first, and only those that
it refuses or that PyTorch checks go to PyTorch.
"""

import math
from typing import Any

import numpy as np
import torch

import ebagx
import ebagx.torch
from fuzz.source import Source
from support import torch_cases as cases

ERRORS = (ValueError, TypeError, IndexError, RuntimeError, NotImplementedError, AttributeError)
MAKERS = (ebagx.optim.SGD, ebagx.optim.Adagrad, ebagx.optim.Adam, ebagx.optim.RowwiseAdagrad)
FAR = (-1, -(2**31), 2**31 - 1, 10**6)


class BridgeError(AssertionError):
    """A call of `ebagx.torch` broke a promise."""


def run(source: Source) -> str:
    """Run one case: of the function, or of `accelerate`."""
    torch.set_num_threads(source.choice((1, 2)))
    return source.choice((_call, _refuse, _accelerate, _accelerate_wrongly))(source)


def _call(source: Source) -> str:
    """Compare results and gradients with those of PyTorch."""
    dtype = source.choice(cases.DTYPES)
    table, tensors, options, grad = cases.random_call(source.rng, dtype)
    tensors, table, grad = _laid_out(source, tensors, table, grad)
    wide = cases.widened(table, tensors, options, grad)
    theirs = cases.run(torch.nn.functional.embedding_bag, *wide)
    more = {"num_threads": source.choice((None, 1, 3))}
    ours = cases.run(ebagx.torch.embedding_bag, table, tensors, {**options, **more}, grad)
    for one, other in zip(ours, theirs, strict=True):
        if (one is None) != (other is None):
            raise BridgeError(f"{one} and {other} of {tensors} with {options}")
        if one is not None:
            cases.assert_like(one, other)
    return "torch call"


def _laid_out(source: Source, tensors: Any, table: Any, grad: Any) -> tuple[Any, Any, Any]:
    """Return some of the tensors in other strides."""
    if source.one_in(3):
        table = table.t().contiguous().t()
    if source.one_in(3):
        grad = torch.cat([grad, grad], 1)[:, : grad.shape[1]]
    if source.one_in(3) and tensors["input"].dim() == 1:
        tensors = {**tensors, "input": torch.stack([tensors["input"]] * 2, 1)[:, 0]}
    return tensors, table, grad


def _refuse(source: Source) -> str:
    """Spoil a call: an error of PyTorch's kinds, or a result; table and arguments stay."""
    table, tensors, options, _ = cases.random_call(source.rng, torch.float32)
    options["max_norm"] = None
    given = {"weight": table, **tensors, **options}
    name = source.choice((*sorted(tensors), "weight", "option", "index"))
    if name == "index":
        ids = given["input"].clone()
        if ids.numel():
            far = source.choice((*FAR, len(table)))
            ids.view(-1)[source.below(ids.numel())] = far
        given["input"] = ids
    elif name == "option":
        given.update(source.choice(_wrong_options()))
    else:
        given[name] = _spoiled(source, given[name])
    before = {key: _bytes_of(value) for key, value in given.items()}
    kind = "torch answers"
    try:
        ebagx.torch.embedding_bag(**given)
    except ERRORS:
        kind = "torch refuses"
    after = {key: _bytes_of(value) for key, value in given.items()}
    if before != after:
        raise BridgeError(f"a call with {given} has changed them")
    if name == "index" and kind == "torch answers" and given["input"].numel():
        raise BridgeError(f"an index outside was read: {given}")
    return kind


def _wrong_options() -> list[dict[str, Any]]:
    return [
        {"mode": "median"}, {"mode": None}, {"padding_idx": 99}, {"padding_idx": "x"},
        {"sparse": 1}, {"include_last_offset": None}, {"scale_grad_by_freq": "no"},
        {"max_norm": -1.0}, {"max_norm": math.nan}, {"norm_type": "two"}, {"num_threads": 0},
        {"num_threads": -5}, {"invalid": "ignore"}, {"default_row": 99}, {"default_row": -99},
        {"offsets": None}, {"input": None}, {"weight": None},
    ]  # fmt: skip


def _spoiled(source: Source, tensor: Any) -> Any:
    """Return a tensor that is wrong, often."""
    return source.choice(
        (
            *(tensor[..., None], tensor[None], tensor.reshape(-1)[:0], tensor.double()),
            *(tensor.cfloat(), tensor.bool(), tensor.to(torch.int8), tensor.to(torch.uint8)),
            *(tensor.reshape(-1)[:-1], torch.tensor(3), tensor.to("meta"), tensor.numpy(), None),
            *(tensor.flip(0), tensor * 1000, -tensor - 1, "text", [1], tensor.to_sparse()),
        )
    )


def _bytes_of(value: Any) -> Any:
    """Return what must not change."""
    if not isinstance(value, torch.Tensor) or value.is_meta or value.is_sparse:
        return id(value)
    return value.detach().numpy().tobytes(), value.shape, value._version


def _accelerate(source: Source) -> str:
    """Train two equal models, one on the kernels, for some steps."""
    options = {"mode": source.choice(("sum", "mean", "max")), "sparse": bool(source.below(2))}
    if options["mode"] == "max":
        options["sparse"] = False
    theirs, ours = (cases.Model(20, source.choice((3,)), 2, **options) for _ in range(2))
    ours.load_state_dict(theirs.state_dict())
    names = {name: value.data_ptr() for name, value in ours.named_parameters()}
    # Of rows that are touched and get a gradient of zeros, these two take no notice.
    makers = MAKERS[:2] if options["mode"] == "max" else MAKERS
    maker, updates = source.choice(makers), bool(source.below(2))
    returned = ebagx.torch.accelerate(ours, (lambda: maker(0.1)) if updates else None)
    if returned is not ours or names != {n: v.data_ptr() for n, v in ours.named_parameters()}:
        raise BridgeError("accelerate has replaced parameters")
    optimizer = maker(0.1)
    table = theirs.bag.weight.detach().numpy()
    for _ in range(source.between(1, 3)):
        ids = torch.from_numpy(source.rng.integers(0, 20, (source.between(1, 4), 3)))
        for model in (theirs, ours):
            model.zero_grad()
            model(ids).square().sum().backward()
        if updates:
            if ours.bag.weight.grad is not None:
                raise BridgeError("a gradient is left")
            _step(optimizer, theirs.bag.weight.grad, table, np.unique(ids))
        else:
            both = (m.bag.weight.grad for m in (ours, theirs))
            torch.testing.assert_close(*map(cases.dense, both), rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(ours.bag.weight, theirs.bag.weight, rtol=1e-4, atol=1e-5)
    return "torch accelerates"


def _step(optimizer: Any, grad: Any, table: np.ndarray, rows: np.ndarray) -> None:
    """Take the step that the backward pass of the other model has taken."""
    dense = cases.dense(grad).numpy()
    gradient = ebagx.RowGradient(rows, np.ascontiguousarray(dense[rows]), dense.shape)
    optimizer.update(table, gradient)


def _accelerate_wrongly(source: Source) -> str:
    """Ask for what cannot be done: an error before a module has changed."""
    model: Any = cases.Model(6, 3, 2)
    shared = ebagx.optim.SGD(0.1)
    if source.below(2):
        model.other = torch.nn.EmbeddingBag(6, 3)
    wrong: list[tuple[Any, Any]] = [
        (None, None), (model.bag.weight, None), ("model", None), (model, 5), (model, shared),
        (model, lambda: None), (model, lambda x: x), (model, lambda: shared.missing),
    ]  # fmt: skip
    kind = source.below(len(wrong) + 4)
    if kind < len(wrong):
        module, optimizer = wrong[kind]
    else:
        module, optimizer = model, lambda: ebagx.optim.SGD(0.1)
        if kind == len(wrong):
            model.twin = torch.nn.EmbeddingBag(6, 3)
            model.twin.weight = model.bag.weight
        elif kind == len(wrong) + 1:
            model.bag.weight.grad = torch.zeros_like(model.bag.weight)
        elif kind == len(wrong) + 2:
            model.bag.weight.register_hook(lambda grad: grad)
        else:
            model.bag.to(source.choice((torch.complex64, "meta")))
    classes = [type(part) for part in model.modules()]
    try:
        ebagx.torch.accelerate(module, optimizer)
    except ERRORS:
        if classes != [type(part) for part in model.modules()]:
            raise BridgeError("accelerate has changed a module and raised") from None
        return "torch refuses to accelerate"
    raise BridgeError(f"{module} with {optimizer} was taken")
