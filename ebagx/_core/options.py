"""`Options` are the checked options of a forward pass and of its gradients."""

from functools import lru_cache
from typing import Any, NamedTuple

from ebagx._core.checks import (
    check_flag,
    check_max_norm,
    check_mode,
    check_num_threads,
    check_padding_idx,
)
from ebagx._core.modes import Mode


class Options(NamedTuple):
    """The options of a forward pass and of its gradients, as the passes take them.

    `checked_options` makes them of a caller's arguments: it is the one place where these are
    checked and normalised. Functions call it once a call, a module once for each option that is
    set.
    """

    mode: Mode
    max_norm: float | None
    norm_type: float
    scale_grad_by_freq: bool
    include_last_offset: bool
    padding_idx: int | None  # in [0, N)
    num_threads: int | None

    def changed(self, num_rows: int, **options: Any) -> "Options":
        """Return the options with some of them set anew, checked like all others."""
        return checked_options(num_rows, **{**self._asdict(), "mode": self.mode.name, **options})


def checked_options(
    num_rows: int,
    mode: Any,
    max_norm: Any = None,
    norm_type: Any = 2.0,
    scale_grad_by_freq: Any = False,
    include_last_offset: Any = False,
    padding_idx: Any = None,
    num_threads: Any = None,
) -> Options:
    """Return the options over a table of `num_rows` rows.

    Programs repeat their arguments: those of the last calls are not checked again, which takes a
    third of the time.

    Raises
    ------
    ValueError
        If a value is not allowed.
    TypeError
        If a number or a flag has another type.
    """
    arguments = (
        num_rows,
        mode,
        max_norm,
        norm_type,
        scale_grad_by_freq,
        include_last_offset,
        padding_idx,
        num_threads,
    )
    try:
        return _known_options(*arguments)
    except TypeError:  # of a check, or as an argument cannot be hashed
        return _checked_options(*arguments)


def _checked_options(
    num_rows: int,
    mode: Any,
    max_norm: Any,
    norm_type: Any,
    scale_grad_by_freq: Any,
    include_last_offset: Any,
    padding_idx: Any,
    num_threads: Any,
) -> Options:
    row = check_mode(mode)
    check_max_norm(max_norm, norm_type)
    check_flag(scale_grad_by_freq, "scale_grad_by_freq")
    check_flag(include_last_offset, "include_last_offset")
    return Options(
        row,
        max_norm,
        norm_type,
        bool(scale_grad_by_freq),
        bool(include_last_offset),
        check_padding_idx(padding_idx, num_rows),
        check_num_threads(num_threads),
    )


_known_options = lru_cache(maxsize=64, typed=True)(_checked_options)
