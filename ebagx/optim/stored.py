"""`StoredOptimizer` has what an optimizer keeps: options, state, and their way into files."""

import copy
import inspect
from collections.abc import Callable, Mapping
from itertools import chain
from typing import Any, ClassVar, Self, TypedDict, Unpack, cast

import numpy as np

from ebagx._core.dtypes import sum_dtype
from ebagx._core.identity import Binding
from ebagx._core.memory import PackedArray, copy_sparsely, unpacked
from ebagx.optim.decay import LazyDecay
from ebagx.optim.options import COMMON, LearningRate, Options
from ebagx.optim.rules import Rule
from ebagx.optim.state import (
    NO_ARRAY,
    NO_SEEN,
    SEEN,
    TOTAL,
    Arrays,
    check_arrays,
    plain,
    read_arrays,
    read_total,
)

# The checks of `__setattr__` are not needed for what it sets itself in each step.
set_unchecked = object.__setattr__


class OptimizerOptions(TypedDict, total=False):
    """Keywords of every optimizer."""

    weight_decay: float
    clip_value: float | None
    clip_row_norm: float | None
    clip_norm: float | None
    num_threads: int | None


class StoredOptimizer:
    """The options and the state of an optimizer: checks, copies, pickles, state dicts."""

    __slots__ = ("__weakref__", "_bound", "_decay", "_state", *COMMON)

    _options: ClassVar[Options] = COMMON
    _states: ClassVar[tuple[str, ...]] = ()  # names of all arrays that its rules have
    _traits: ClassVar[Mapping[str, bool]] = {}  # to tell classes with the same names of states
    _default_decay = 0.0

    learning_rate: LearningRate
    weight_decay: float
    clip_value: float | None
    clip_row_norm: float | None
    clip_norm: float | None
    num_threads: int | None
    num_steps: int
    _bound: Binding | None
    _decay: LazyDecay
    _state: dict[str, np.ndarray]

    def __init__(self, learning_rate: LearningRate, **options: Unpack[OptimizerOptions]) -> None:
        unknown = set(options) - set(OptimizerOptions.__annotations__)
        if unknown:
            raise TypeError(f"{type(self).__name__} has no argument {min(unknown)!r}")
        self._bound, self._decay, self._state = None, LazyDecay(), {}
        self.learning_rate = learning_rate
        self.weight_decay = options.get("weight_decay", self._default_decay)
        self.clip_value = options.get("clip_value")
        self.clip_row_norm = options.get("clip_row_norm")
        self.clip_norm = options.get("clip_norm")
        self.num_threads = options.get("num_threads")
        self.num_steps = 0

    def __setattr__(self, name: str, value: Any) -> None:
        """Check and normalise an option; refuse attributes that have no meaning."""
        option = self._options.get(name)
        if option is not None:
            value = option.check(value, name)
            self._check_assigned(name, value)
        try:
            super().__setattr__(name, value)
        except AttributeError:
            raise AttributeError(
                f"{type(self).__name__} has no attribute {name!r} that can be assigned; "
                f"it has {', '.join(self._options)}"
            ) from None

    def __repr__(self) -> str:
        own = self._options.keys() - COMMON.keys()
        names = ["learning_rate", *filter(own.__contains__, self._options)]
        names += OptimizerOptions.__annotations__
        defaults = self._defaults()
        shown = [
            f"{name}={getattr(self, name)!r}"
            for name in names
            if name == "learning_rate" or getattr(self, name) != defaults.get(name)
        ]
        return f"{type(self).__name__}({', '.join(shown)})"

    @classmethod
    def _defaults(cls) -> dict[str, Any]:
        """Return the defaults of the options; those of a subclass come before those of its base."""
        defaults: dict[str, Any] = {"weight_decay": cls._default_decay}
        for base in reversed(cls.__mro__):
            made_by = vars(base).get("__init__")
            if made_by is not None and base is not object:
                parameters = inspect.signature(made_by).parameters.values()
                defaults |= {p.name: p.default for p in parameters if p.default is not p.empty}
        return defaults

    def __delattr__(self, name: str) -> None:
        """Refuse to delete what every optimizer has."""
        if name in self._options:
            raise AttributeError(f"{name} of {type(self).__name__} cannot be deleted")
        super().__delattr__(name)

    def __copy__(self) -> Self:
        """Return a copy with arrays of its own, which is free for any table."""
        return self._fill(object.__new__(type(self)), lambda values: values)

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """Return a copy with arrays and a schedule of its own, which is free for any table."""
        memo[id(self)] = other = object.__new__(type(self))
        return self._fill(other, lambda values: copy.deepcopy(values, memo))

    def _fill(self, other: Self, copy_values: Callable[[Any], Any]) -> Self:
        own, slots = self._contents(copy_sparsely)
        arrays = {name: slots.pop(name) for name in ("_state", "_decay")}
        other.__setstate__((copy_values(own), {**copy_values(slots), **arrays}))
        return other

    def fresh(self) -> Self:
        """Return an optimizer with the same options and schedule, before its first step.

        Examples
        --------
        >>> from ebagx.optim import Adagrad
        >>> template = Adagrad(0.1, clip_norm=1.0)
        >>> optimizers = {name: template.fresh() for name in ("users", "items")}
        """
        own, slots = self._contents(lambda _: None)
        other = object.__new__(type(self))
        start = {"num_steps": 0, "_state": {}, "_decay": (0.0, None)}
        other.__setstate__((own, {**slots, **start}))
        return other

    def __getstate__(self) -> tuple[Any, dict[str, Any]]:
        """Return the contents of a pickle: without the table, and without pages of zeros."""
        return self._contents(PackedArray.of)

    def _contents(self, form: Callable[[np.ndarray], Any]) -> tuple[Any, dict[str, Any]]:
        """Return the attributes of a subclass, or None, and those of all optimizers."""
        own, slots = cast(tuple[Any, dict[str, Any]], object.__getstate__(self))
        seen = self._decay.seen
        slots["_bound"] = None
        slots["_decay"] = self._decay.total, None if seen is None else form(seen)
        slots["_state"] = {name: form(array) for name, array in self._state.items()}
        return own, slots

    def __setstate__(self, state: tuple[Any, dict[str, Any]]) -> None:
        """Continue from the contents of an optimizer."""
        own, slots = state
        total, seen = slots["_decay"]
        states = {name: unpacked(array) for name, array in slots["_state"].items()}
        decay = LazyDecay(total, None if seen is None else unpacked(seen))
        for name, value in {**(own or {}), **slots, "_state": states, "_decay": decay}.items():
            set_unchecked(self, name, value)

    def unbind(self) -> None:
        """Set the optimizer free, with its state: the next step binds it to a table again.

        This is for another array of the same table: one that was copied, say, or loaded again.
        """
        self._bound = None

    def state_dict(self) -> dict[str, Any]:
        """Return all that the results of the next steps depend on; arrays are not copied.

        Returns
        -------
        dict
            Numbers and arrays only, so that ``numpy.savez`` and similar formats take it:

            * ``num_steps``;
            * ``decay_total`` (float) and ``decay_seen`` (float64, shape (N,)) of the weight decay;
            * the optimizer's own arrays, of the table's shape, in float64 for float64 tables and
              float32 for others: ``momentum_buffer`` (SGD), ``squares`` (Adagrad; shape (N, 1) if
              row-wise), ``exp_avg`` and ``exp_avg_sq`` (Adam);
            * the options by their names, `betas` as ``beta1`` and ``beta2``. A limit of infinity
              means None. `num_threads` is left out, and so is `learning_rate` if it is a schedule;
            * ``per_row`` (Adagrad) or ``decoupled_weight_decay`` (Adam), which tell classes apart.

            Arrays that there are not, as before the first step, have the shape (0,) or (0, 0).
        """
        decay = self._decay
        seen = NO_SEEN if decay.seen is None else decay.seen
        entries: dict[str, Any] = {"num_steps": self.num_steps}
        entries |= {TOTAL: decay.total if seen.size else 0.0, SEEN: seen}
        entries |= {name: self._state.get(name, NO_ARRAY) for name in self._states}
        for name, option in self._options.items():
            entries |= option.to_numbers(name, getattr(self, name))
        return {**entries, **self._traits}

    def load_state_dict(self, state_dict: Mapping[str, Any], *, copy: bool = True) -> None:
        """Continue from a `state_dict`, with its options, on any table that its arrays fit.

        Parameters
        ----------
        state_dict : mapping
            As `state_dict` returns it, or a file of ``numpy.savez``. Numbers may be arrays without
            dimensions. Options that are not in it stay as they are, and so does a schedule.
        copy : bool, default=True
            Copy the arrays; pages of zeros take no memory in the copies. With False, they are used
            in place and must be writeable: memory maps for a table that is larger than memory, say
            (new ones hold zeros). Then their numbers are not checked.

        Raises
        ------
        KeyError
            If names are missing or unknown, as in the state of an optimizer of another class.
        TypeError
            If an array has another dtype, or an option another type.
        ValueError
            If shapes do not fit each other or the table of the optimizer, if an option has a value
            that cannot be assigned, or an array has numbers that no steps can give.
        """
        required = "num_steps", TOTAL, SEEN, *self._states
        options = {name: option.names(name) for name, option in self._options.items()}
        optional = [name for name in chain(*options.values(), self._traits) if name not in required]
        entries = plain(state_dict, required, optional)
        for trait, own in self._traits.items():
            if entries.get(trait, own) != own:
                raise ValueError(
                    f"state_dict is of an optimizer of another class than {type(self).__name__}: "
                    f"it has {trait} = {entries[trait]}, not {own}"
                )
        values = {
            name: self._options[name].from_numbers(name, entries)
            for name, names in options.items()
            if not entries.keys().isdisjoint(names) and not callable(getattr(self, name))
        }
        self._check_together(values)
        total = read_total(entries[TOTAL])
        arrays = read_arrays(entries, self._states, copy)
        self._check_arrays(arrays)
        for name, value in values.items():
            set_unchecked(self, name, value)
        self._state, self._decay = arrays.states, LazyDecay(total, arrays.seen)
        self.unbind()

    def _check_arrays(self, arrays: Arrays) -> None:
        """Raise ValueError unless arrays fit the present table; if there is none, each other."""
        if self._bound is not None:
            shape, dtype = self._bound.shape, sum_dtype(self._bound.dtype)
        elif arrays.states:
            first = next(iter(arrays.states.values()))
            shape, dtype = first.shape, first.dtype
        else:
            return
        check_arrays(*arrays, self._rule().state_shape(shape), shape[0], dtype)

    def _check_assigned(self, name: str, value: Any) -> None:
        """Raise ValueError if an option cannot have this value now."""
        self._check_together({name: value})

    def _check_together(self, values: Mapping[str, Any]) -> None:
        """Raise ValueError if options, with these new values, do not go together."""

    def _rule(self) -> Rule:
        """Return the rule of a step."""
        raise NotImplementedError
