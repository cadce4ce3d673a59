"""Parameters, optimizers and random numbers of estimators as numbers and strings for JSON.

What JSON has stands for itself. Other values are dictionaries of one entry: ``{"pairs": [...]}`` is
a dictionary, ``{"slice": [...]}`` a slice, and ``{"optimizer": {...}}`` an optimizer. Tuples and
arrays of integers become lists. Functions have no such form.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from ebagx._core.arguments import shown
from ebagx._training.optimizers import OPTIMIZERS, is_optimizer
from ebagx.optim import Optimizer
from ebagx.optim.state import SEEN

Arrays = Mapping[str, npt.NDArray[Any]]

# The arrays that optimizers may have in their state.
STATES = sorted({SEEN, *(name for kind in OPTIMIZERS.values() for name in kind._states)})

_PLAIN = (bool, int, float, str, type(None))
_DEEPEST = 3  # levels of lists and dictionaries
_OF_RNG = {"bit_generator", "state", "has_uint32", "uinteger"}


def encoded_all(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return the forms of parameters, or raise ValueError if one has none."""
    return {name: encoded(value, name) for name, value in parameters.items()}


def decoded_all(given: Any, name: str) -> dict[str, Any]:
    """Return the parameters that have these forms."""
    if not isinstance(given, dict):
        raise ValueError(f"{name} is not a dictionary")
    return {key: _decoded(value, key, _DEEPEST) for key, value in given.items()}


def encoded(value: Any, name: str) -> Any:
    """Return the form of a parameter.

    Raises
    ------
    ValueError
        If it has none, as functions do.
    """
    if isinstance(value, np.generic):
        value = value.item()
    if type(value) in _PLAIN:
        return value
    if is_optimizer(value):
        about, arrays = encoded_optimizer(value, name)
        if not arrays:
            return {"optimizer": about}
    elif isinstance(value, list | tuple):
        return [encoded(part, name) for part in value]
    elif isinstance(value, slice):
        return {"slice": [encoded(n, name) for n in (value.start, value.stop, value.step)]}
    elif isinstance(value, Mapping):
        return {"pairs": [[encoded(k, name), encoded(v, name)] for k, v in value.items()]}
    elif isinstance(value, np.ndarray) and value.dtype.kind in "iu":
        return value.tolist()
    raise ValueError(
        f"{name} = {shown(value)} cannot be saved, as a folder holds no code: set it to None or "
        "another value with set_params, or pickle the estimator"
    )


def _decoded(given: Any, name: str, levels: int) -> Any:
    if type(given) in _PLAIN:
        return given
    if isinstance(given, list) and levels:
        return [_decoded(part, name, levels - 1) for part in given]
    if isinstance(given, dict) and len(given) == 1:
        ((form, content),) = given.items()
        if form == "optimizer":
            return decoded_optimizer(content, {}, name)
        parts = _decoded(content, name, levels) if isinstance(content, list) else None
        if form == "slice" and parts is not None and len(parts) == 3:
            return slice(*parts)
        if form == "pairs" and parts is not None and all(map(_is_pair, parts)):
            return dict(parts)
    raise ValueError(f"{name} is {given!r:.40}")


def _is_pair(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and type(value[0]) in _PLAIN


def encoded_optimizer(
    optimizer: Optimizer, name: str
) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]:
    """Return the form of an optimizer, without its arrays, and these.

    Raises
    ------
    ValueError
        If it is of a class of another library, or its rate is a function.
    """
    kind = type(optimizer)
    if OPTIMIZERS.get(getattr(kind, "name", "")) is not kind or callable(optimizer.learning_rate):
        raise ValueError(
            f"{name} = {shown(optimizer)} cannot be saved, as a folder holds no code: set its "
            "learning_rate to a number, or pickle the estimator"
        )
    entries = optimizer.state_dict()
    arrays = {key: value for key, value in entries.items() if isinstance(value, np.ndarray)}
    # Infinity, which JSON lacks, is a limit that there is not.
    numbers = {
        key: None if value == np.inf else value
        for key, value in entries.items()
        if key not in arrays
    }
    about = {"name": kind.name, "numbers": numbers, "num_threads": optimizer.num_threads}
    return about, {key: array for key, array in arrays.items() if array.size}


def decoded_optimizer(given: Any, arrays: Arrays, name: str) -> Optimizer:
    """Return the optimizer of a form and arrays; its state is checked, and copied."""
    if not isinstance(given, dict) or set(given) != {"name", "numbers", "num_threads"}:
        raise ValueError(f"{name} does not have name, numbers and num_threads")
    kind, numbers = given["name"], given["numbers"]
    if kind not in list(OPTIMIZERS) or not isinstance(numbers, dict):
        raise ValueError(f"{name} has name {kind!r:.40}, not {', '.join(OPTIMIZERS)}")
    optimizer: Optimizer = OPTIMIZERS[kind](1.0, num_threads=given["num_threads"])
    entries = {key: np.inf if value is None else value for key, value in numbers.items()}
    entries |= {key: arrays.get(key, []) for key in (SEEN, *optimizer._states)}
    optimizer.load_state_dict(entries)
    return optimizer


def decoded_rng(given: Any) -> np.random.Generator:
    """Return the generator of random numbers with this state."""
    rng = np.random.default_rng(0)
    is_whole = isinstance(given, dict) and set(given) == _OF_RNG
    if not is_whole or given["bit_generator"] != rng.bit_generator.state["bit_generator"]:
        raise ValueError("rng is not the state of a PCG64")
    try:
        rng.bit_generator.state = given
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"rng is not the state of a PCG64: {error}") from None
    return rng
