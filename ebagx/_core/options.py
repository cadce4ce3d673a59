"""`Options` are the checked options of a forward pass and of its gradients."""

from typing import Any, NamedTuple, Self

from ebagx._core.checks import (
    RAISE,
    check_flag,
    check_invalid,
    check_max_norm,
    check_mode,
    check_num_threads,
    check_row,
)
from ebagx._core.modes import Mode


class Options(NamedTuple):
    """The options of a forward pass and of its gradients, as the passes take them.

    `checked` makes them of a caller's arguments: it is the one place where these are checked and
    normalised. The functions call it once a call, a module once for each option that is set.
    """

    mode: Mode
    max_norm: float | None
    norm_type: float
    scale_grad_by_freq: bool
    include_last_offset: bool
    padding_idx: int | None  # in [0, N)
    num_threads: int | None
    invalid: str  # policy for indices outside [0, N)
    default_row: int | None  # in [0, N)
    selects: bool  # True if bags may lose lookups, or gain `default_row`

    @classmethod
    def checked(
        cls,
        num_rows: int,
        *,
        mode: Any = "mean",
        max_norm: Any = None,
        norm_type: Any = 2.0,
        scale_grad_by_freq: Any = False,
        include_last_offset: Any = False,
        padding_idx: Any = None,
        num_threads: Any = None,
        invalid: Any = RAISE,
        default_row: Any = None,
    ) -> Self:
        """Return the options over a table of `num_rows` rows.

        Raises
        ------
        ValueError
            If a value is not allowed.
        TypeError
            If a number or a flag has another type.
        """
        row = check_mode(mode)
        check_max_norm(max_norm, norm_type)
        check_flag(scale_grad_by_freq, "scale_grad_by_freq")
        check_flag(include_last_offset, "include_last_offset")
        if padding_idx is not None:
            padding_idx = check_row(padding_idx, "padding_idx", num_rows)
        if default_row is not None:
            default_row = check_row(default_row, "default_row", num_rows)
        if invalid is not RAISE:
            invalid = check_invalid(invalid)
        return cls(
            row,
            max_norm,
            norm_type,
            bool(scale_grad_by_freq),
            bool(include_last_offset),
            padding_idx,
            check_num_threads(num_threads),
            invalid,
            default_row,
            not (padding_idx is None and default_row is None and invalid == RAISE),
        )

    def changed(self, num_rows: int, **options: Any) -> Self:
        """Return the options with some of them set anew, checked like all others."""
        arguments = {**self._asdict(), "mode": self.mode.name, **options}
        del arguments["selects"]
        return self.checked(num_rows, **arguments)
