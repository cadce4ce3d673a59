"""The arguments of `embedding_bag`: tensors, and settings."""

from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any, NamedTuple

import numpy as np
import torch

from ebagx._core.arguments import RAISE, check_flag
from ebagx._core.modes import MODES
from ebagx._core.options import Options, checked_options
from ebagx._core.threads import default_threads
from ebagx.torch.tensors import as_array


class Settings(NamedTuple):
    """The arguments of `embedding_bag` that are no tensors."""

    max_norm: float | None = None
    norm_type: float = 2.0
    scale_grad_by_freq: bool = False
    mode: str = "mean"
    sparse: bool = False
    include_last_offset: bool = False
    padding_idx: int | None = None
    invalid: str = RAISE
    default_row: int | None = None
    num_threads: int | None = None

    def options(self, num_rows: int) -> Options:
        """Return the checked options over a table of `num_rows` rows.

        As `checked_options`, this does not check the arguments of the last calls again.
        """
        most = min(torch.get_num_threads(), default_threads())
        try:
            return _known_options(num_rows, most, *self)
        except TypeError:  # of a check, or as an argument cannot be hashed
            return _checked_options(num_rows, most, *self)


def _checked_options(num_rows: int, most_threads: int, *settings: Any) -> Options:
    given = Settings(*settings)
    check_flag(given.sparse, "sparse")
    return checked_options(
        num_rows,
        given.mode,
        given.max_norm,
        given.norm_type,
        given.scale_grad_by_freq,
        given.include_last_offset,
        given.padding_idx,
        most_threads if given.num_threads is None else given.num_threads,
        given.invalid,
        given.default_row,
    )


_known_options = lru_cache(maxsize=64, typed=True)(_checked_options)


class Tensors(NamedTuple):
    """The arguments of `embedding_bag` that are tensors."""

    weight: Any
    input: Any
    offsets: Any = None
    per_sample_weights: Any = None


# These make the same of a tuple of all fields as the classes do, in a third of the time.
as_settings: Callable[[tuple[Any, ...]], Settings] = partial(tuple.__new__, Settings)
as_tensors: Callable[[tuple[Any, ...]], Tensors] = partial(tuple.__new__, Tensors)


def flattened(tensors: Tensors, settings: Settings) -> tuple[Tensors, Settings]:
    """Return jagged indices and weights as 1-D tensors with offsets, and bool indices as numbers.

    Others stay as they are.
    """
    weight, ids, _, weights = tensors
    if getattr(ids, "dtype", None) is torch.bool:
        return tensors._replace(input=ids.long()), settings
    given = [tensor for tensor in (ids, weights) if tensor is not None]
    are_jagged = all(getattr(tensor, "layout", None) is torch.jagged for tensor in given)
    if not are_jagged or ids.dim() != 2 or ids.lengths() is not None:
        return tensors, settings
    if weights is not None and weights.shape != ids.shape:
        return tensors, settings
    values = None if weights is None else weights.values()
    flat = Tensors(weight, ids.values(), ids.offsets(), values)
    return flat, settings._replace(include_last_offset=True)


def is_valid(tensors: Tensors, settings: Settings) -> bool:
    """Return whether PyTorch would take shapes and dtypes, apart from its missing features."""
    weight, ids, offsets, weights = tensors
    num_rows, padding_idx = (*weight.shape, 0)[0], settings.padding_idx
    if weights is not None and not (
        weights.shape == ids.shape and weights.is_floating_point() and settings.mode != "max"
    ):
        return False
    if padding_idx is not None and not -num_rows <= padding_idx < num_rows:
        return False
    has_offsets = offsets is not None and offsets.dim() == 1 and _are_integers(offsets)
    has_shape = has_offsets if ids.dim() == 1 else ids.dim() == 2 and offsets is None
    return weight.dim() == 2 and has_shape and _are_integers(ids) and settings.mode in MODES


def _are_integers(tensor: Any) -> bool:
    return not (tensor.is_floating_point() or tensor.is_complex())


def arrays_of(
    input: Any, offsets: Any, per_sample_weights: Any, include_last_offset: bool
) -> tuple[np.ndarray, np.ndarray | None, np.ndarray | None]:
    """Return the arrays in the memory of tensors.

    The last bag has all indices that are left, also where the last offset says less, as a test of
    PyTorch requires.
    """
    ids, starts = as_array(input), None if offsets is None else as_array(offsets)
    if include_last_offset and starts is not None and len(starts) and starts[-1] < len(ids):
        starts = np.append(starts[:-1], len(ids))
    return ids, starts, None if per_sample_weights is None else as_array(per_sample_weights)
