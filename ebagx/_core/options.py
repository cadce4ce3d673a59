"""`Options` are the checked options of a forward pass and of its gradients; `Option` is one."""

from functools import lru_cache
from typing import Any, Generic, NamedTuple, Protocol, Self, TypeVar, overload

from ebagx._core.arguments import (
    RAISE,
    check_flag,
    check_invalid,
    check_max_norm,
    check_mode,
    check_num_threads,
    check_row,
)
from ebagx._core.modes import Mode

_T = TypeVar("_T")


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
    invalid: str  # policy for indices outside [0, N)
    default_row: int | None  # in [0, N)
    selects: bool  # True if bags may lose lookups, or gain `default_row`
    pools_plainly: bool  # True if the pass is one call of the kernel ``pool``

    def changed(self, num_rows: int, **options: Any) -> "Options":
        """Return the options with some of them set anew, checked like all others."""
        arguments = {**self._asdict(), "mode": self.mode.name, **options}
        del arguments["selects"], arguments["pools_plainly"]
        return checked_options(num_rows, **arguments)


def checked_options(
    num_rows: int,
    mode: Any,
    max_norm: Any = None,
    norm_type: Any = 2.0,
    scale_grad_by_freq: Any = False,
    include_last_offset: Any = False,
    padding_idx: Any = None,
    num_threads: Any = None,
    invalid: Any = RAISE,
    default_row: Any = None,
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
    arguments: tuple[Any, ...] = (
        num_rows,
        mode,
        max_norm,
        norm_type,
        scale_grad_by_freq,
        include_last_offset,
        padding_idx,
        num_threads,
    )
    if not (invalid is RAISE and default_row is None):
        arguments = (*arguments, invalid, default_row)
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
    invalid: Any = RAISE,
    default_row: Any = None,
) -> Options:
    row = check_mode(mode)
    check_max_norm(max_norm, norm_type)
    check_flag(scale_grad_by_freq, "scale_grad_by_freq")
    check_flag(include_last_offset, "include_last_offset")
    padding_idx = check_row(padding_idx, "padding_idx", num_rows)
    default_row = check_row(default_row, "default_row", num_rows)
    invalid = check_invalid(invalid)
    selects = not (padding_idx is None and default_row is None and invalid == RAISE)
    return Options(
        row,
        max_norm,
        norm_type,
        bool(scale_grad_by_freq),
        bool(include_last_offset),
        padding_idx,
        check_num_threads(num_threads),
        invalid,
        default_row,
        selects,
        not (selects or row.is_extreme) and max_norm is None,
    )


_known_options = lru_cache(maxsize=64, typed=True)(_checked_options)


class HasOptions(Protocol):
    """An object whose attributes are options over a table of `num_embeddings` rows."""

    _options: Options

    @property
    def num_embeddings(self) -> int:
        """The number of table rows."""


class Option(Generic[_T]):
    """An attribute of a module that is checked and normalised when it is set, and not later."""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    @overload
    def __get__(self, module: None, owner: type) -> Self: ...

    @overload
    def __get__(self, module: "HasOptions", owner: type) -> _T: ...

    def __get__(self, module: "HasOptions | None", owner: type) -> Any:
        if module is None:
            return self
        value = getattr(module._options, self._name)
        return value.name if self._name == "mode" else value

    def __set__(self, module: "HasOptions", value: _T) -> None:
        module._options = module._options.changed(module.num_embeddings, **{self._name: value})
