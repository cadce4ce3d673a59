"""`EmbeddingBag` is ``torch.nn.EmbeddingBag`` on the kernels of ebagx."""

from typing import Any

import torch

from ebagx._core.options import checked_options
from ebagx.optim import Optimizer
from ebagx.torch.arguments import as_settings, as_tensors
from ebagx.torch.functional import pooled
from ebagx.torch.updates import Updates

__all__ = ["EmbeddingBag"]


class EmbeddingBag(torch.nn.EmbeddingBag):  # type: ignore[misc]
    """A ``torch.nn.EmbeddingBag`` that runs on the kernels of ebagx on the CPU.

    Arguments, parameters and ``state_dict`` are those of ``torch.nn.EmbeddingBag``, which it is a
    subclass of. Calls with tensors that are not on the CPU run as there. `accelerate` makes such
    modules of those in a model.

    Parameters
    ----------
    *args, **kwargs
        As for ``torch.nn.EmbeddingBag``: num_embeddings, embedding_dim, max_norm, norm_type,
        scale_grad_by_freq, mode, sparse, _weight, include_last_offset, padding_idx, device, dtype.
        `mode` may also be "sqrtn" or "min".
    invalid : {"raise", "skip"}, default="raise"
        "skip" leaves out lookups whose index is outside the table.
    default_row : int, optional
        The row that a bag without lookups gives, in place of zeros.
    num_threads : int, optional
        Largest number of threads. By default that of PyTorch, ``torch.get_num_threads()``.

    Attributes
    ----------
    weight : Parameter of shape (N, D)
        The table.
    optimizer : ebagx.optim.Optimizer or None
        The optimizer that updates the table in backward, which `accelerate` adds.

    Notes
    -----
    All combinations of modes, `sparse`, weights and ``scale_grad_by_freq`` have gradients, also
    those that PyTorch refuses. A sparse gradient is coalesced. There is no second derivative.

    Examples
    --------
    >>> import torch, ebagx.torch
    >>> bag = ebagx.torch.EmbeddingBag(10, 3, mode="sum", sparse=True)
    >>> pooled = bag(torch.tensor([1, 2, 4, 5, 4, 3, 2, 9]), torch.tensor([0, 4]))
    >>> pooled.sum().backward()
    >>> bag.weight.grad.indices()
    tensor([[1, 2, 3, 4, 5, 9]])
    """

    # Modules that `accelerate` has converted lack these in their own dictionary.
    invalid = "raise"
    default_row: int | None = None
    num_threads: int | None = None
    _updates: Updates | None = None

    def __init__(
        self,
        *args: Any,
        invalid: str = "raise",
        default_row: int | None = None,
        num_threads: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        policies = {"invalid": invalid, "default_row": default_row, "num_threads": num_threads}
        checked_options(self.num_embeddings, self.mode, **policies)
        for name, value in policies.items():
            setattr(self, name, value)

    @property
    def optimizer(self) -> Optimizer | None:
        """The optimizer that updates the table in backward, or None."""
        return None if self._updates is None else self._updates.optimizer

    def forward(self, input: Any, offsets: Any = None, per_sample_weights: Any = None) -> Any:
        """Pool the bags of `input`.

        Parameters
        ----------
        input, offsets, per_sample_weights
            As in `ebagx.torch.embedding_bag`. Do not change them before backward: autograd raises
            an error.

        Returns
        -------
        Tensor of shape (B, D)
            In the dtype of `weight`.
        """
        settings = (
            self.max_norm,
            self.norm_type,
            self.scale_grad_by_freq,
            self.mode,
            self.sparse,
            self.include_last_offset,
            self.padding_idx,
            self.invalid,
            self.default_row,
            self.num_threads,
        )
        tensors = as_tensors((self.weight, input, offsets, per_sample_weights))
        return pooled(tensors, as_settings(settings), self._updates)

    def extra_repr(self) -> str:
        """Return the arguments in the representation."""
        text: str = super().extra_repr()
        for name in ("invalid", "default_row", "optimizer"):
            value = getattr(self, name)
            if value not in (None, "raise"):
                text += f", {name}={value!r}"
        return text

    def _get_name(self) -> str:
        return "ebagx.torch.EmbeddingBag"


class UpdatingEmbeddingBag(EmbeddingBag):
    """An `EmbeddingBag` whose table is updated in backward.

    Its ``state_dict`` has the state of the optimizer, too: PyTorch calls this the extra state.
    """

    _updates: Updates

    def get_extra_state(self) -> dict[str, Any]:
        """Return the state of the optimizer as numbers and tensors, which share its memory."""
        return self._updates.state()

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Continue with the state of the optimizer from a checkpoint."""
        self._updates.load(state)

    def _apply(self, fn: Any, recurse: bool = True) -> Any:
        self._updates.release()  # the module may get another table, and free this one
        return super()._apply(fn, recurse)

    def register_parameter(self, name: str, param: Any) -> None:
        """Assign a parameter. The optimizer goes on with a new table of the same shape."""
        super().register_parameter(name, param)
        if name == "weight":
            self._updates.detach()
