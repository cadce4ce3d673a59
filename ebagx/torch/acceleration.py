"""`accelerate` converts the modules of a model in place."""

import logging
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch.nn.parallel import DistributedDataParallel

from ebagx._core.arguments import shown
from ebagx.optim import Optimizer
from ebagx.torch.module import EmbeddingBag, UpdatingEmbeddingBag
from ebagx.torch.tensors import TABLE_DTYPES, is_plain
from ebagx.torch.updates import Updates

__all__ = ["accelerate"]

_LOG = logging.getLogger("ebagx.torch")


def accelerate(module: Any, optimizer: Callable[[], Optimizer] | None = None) -> Any:
    """Run every ``torch.nn.EmbeddingBag`` of a model on the kernels of ebagx, in place.

    Parameters, their names, hooks, shared parameters, and optimizers of PyTorch that hold the
    parameters stay as they are. The logger ``ebagx.torch`` says at level INFO which modules have
    been converted, and which subclasses have been left as they are.

    Parameters
    ----------
    module : torch.nn.Module
        The model. Each module in it whose class is ``torch.nn.EmbeddingBag`` itself becomes an
        `EmbeddingBag`.
    optimizer : callable, optional
        A function without arguments that returns an optimizer of `ebagx.optim`. It is called once
        for each table, and the optimizer updates the table in the backward pass, one step for
        each pass: ``weight.grad`` stays None. This is the fast way.

    Returns
    -------
    torch.nn.Module
        The same object.

    Raises
    ------
    TypeError
        If `module` is no module, or `optimizer` no function that returns an optimizer.
    ValueError
        With `optimizer`: if a table is shared, has an optimizer or a gradient already, is not a
        parameter on the CPU, or is in a model that exchanges gradients; or if the optimizers are
        not one for each table. Nothing has been changed then.

    Warns
    -----
    UserWarning
        If there is no module to convert.

    Notes
    -----
    *With* `optimizer`, do not give the tables to an optimizer of PyTorch too; one that has them
    skips them, as they have no gradient. The step is taken with the sum of the gradients of all
    calls in the graph, before ``backward`` returns. So gradients cannot be accumulated over several
    backward passes, clipped by ``clip_grad_norm_`` or scaled afterwards: enlarge the batch, give
    the optimizer ``clip_norm``, and use no gradient scaler. A learning rate may follow a scheduler
    of PyTorch: ``Adagrad(lambda step: torch_optimizer.param_groups[0]["lr"])``. The ``state_dict``
    of the model has the state of the optimizers.

    Examples
    --------
    >>> import torch, ebagx.torch
    >>> model = torch.nn.Sequential(torch.nn.EmbeddingBag(1000, 16), torch.nn.Linear(16, 2))
    >>> model = ebagx.torch.accelerate(model, optimizer=lambda: ebagx.optim.Adagrad(0.1))
    >>> head = torch.optim.Adagrad(model[1].parameters(), 0.1)
    >>> loss = model(torch.tensor([[1, 2], [4, 2]])).square().sum()
    >>> loss.backward()  # updates the table
    >>> head.step()
    """
    if not isinstance(module, torch.nn.Module):
        raise TypeError(f"module must be a torch.nn.Module, got {shown(module)}")
    found = {
        name: part
        for name, part in module.named_modules()
        if type(part) in (torch.nn.EmbeddingBag, EmbeddingBag, UpdatingEmbeddingBag)
    }
    if not found:
        warnings.warn(
            f"accelerate has found no torch.nn.EmbeddingBag in {type(module).__name__}; subclasses "
            "and torch.nn.Embedding are left as they are",
            stacklevel=2,
        )
    optimizers = {} if optimizer is None else _optimizers_of(module, found, optimizer)
    for name, part in found.items():
        if name in optimizers:
            part.__class__ = UpdatingEmbeddingBag
            part._updates = Updates(optimizers[name])
        elif type(part) is torch.nn.EmbeddingBag:
            part.__class__ = EmbeddingBag
    _report(module, found)
    return module


def _optimizers_of(
    module: Any, found: dict[str, Any], optimizer: Callable[[], Optimizer]
) -> dict[str, Optimizer]:
    """Return an optimizer for each table, or raise before anything has been changed."""
    if isinstance(optimizer, Optimizer) or not callable(optimizer):
        raise TypeError(
            "optimizer must be a function that returns an ebagx.optim.Optimizer, such as lambda: "
            f"ebagx.optim.Adagrad(0.1), got {shown(optimizer)}"
        )
    if any(isinstance(part, DistributedDataParallel) for part in module.modules()):
        raise ValueError(
            "DistributedDataParallel exchanges the gradients of parameters, and an optimizer in "
            "backward leaves none: use accelerate(module) without optimizer"
        )
    uses = _uses_of_parameters(module)
    for name, part in found.items():
        _check_updatable(name, part, uses)
    made = {name: optimizer() for name in found}
    for one in made.values():
        if not isinstance(one, Optimizer):
            raise TypeError(f"optimizer must return an ebagx.optim.Optimizer, got {shown(one)}")
    if len({id(one) for one in made.values()}) < len(made):
        raise ValueError("optimizer must return another optimizer in each call, one for each table")
    return made


def _uses_of_parameters(module: Any) -> dict[int, list[str]]:
    """Return the names of the parameters at each address."""
    uses: dict[int, list[str]] = {}
    for name, part in module.named_modules():  # a module with two names is one
        for own, parameter in part.named_parameters(recurse=False, remove_duplicate=False):
            if is_plain(parameter) and parameter.numel():
                uses.setdefault(parameter.data_ptr(), []).append(f"{name}.{own}".removeprefix("."))
    return uses


def _check_updatable(name: str, part: Any, uses: dict[int, list[str]]) -> None:
    """Raise ValueError unless an optimizer may update the table of a module in backward."""
    weight, name = part.weight, f"{name}.weight".removeprefix(".")
    if type(part) is UpdatingEmbeddingBag:
        raise ValueError(f"{name} has an optimizer already, {part.optimizer!r}")
    if type(weight) is not torch.nn.Parameter or not is_plain(weight):
        raise ValueError(f"{name} must be a parameter on the CPU, got one on {weight.device}")
    if weight.dtype not in TABLE_DTYPES:
        raise ValueError(f"{name} cannot be updated in backward in {weight.dtype}")
    if weight.grad is not None:
        raise ValueError(f"{name} has a gradient: call module.zero_grad() before")
    if weight._backward_hooks:
        raise ValueError(
            f"{name} has hooks, which an optimizer in backward does not call: remove them, or use "
            "accelerate(module) without optimizer"
        )
    others = uses.get(weight.data_ptr(), [])
    if len(others) > 1:
        raise ValueError(
            f"{name} is shared, by {', '.join(others)}, and an optimizer in backward updates the "
            "table of one module: use accelerate(module) without optimizer"
        )


def _report(module: Any, found: dict[str, Any]) -> None:
    for name, part in found.items():
        _LOG.info("%s runs on ebagx: %r", name or "the module", part)
    for name, part in module.named_modules():
        if isinstance(part, torch.nn.EmbeddingBag) and not isinstance(part, EmbeddingBag):
            kind = type(part).__qualname__
            _LOG.info("%s is left as it is, of the subclass %s", name or "the module", kind)
