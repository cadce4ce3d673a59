"""Run a case and check it: the right result, or the right error and nothing changed."""

import contextlib
import copy
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import scipy.sparse

import ebagx
from ebagx._core import levels, threads
from fuzz import (
    classifiers,
    collections,
    estimators,
    factorizations,
    giants,
    models,
    modules,
    quantized,
    readers,
    recommenders,
    rounds,
    steps,
)
from fuzz.calls import POOLING, Call, sum_dtype, valid_call
from fuzz.layouts import Convertible
from fuzz.source import Source
from fuzz.spoilers import spoil
from support import definition

# Targets by name, and the kinds of cases, of 64, that each has; `torch` is run by name alone.
TARGETS: dict[str, tuple[range, Callable[[Source], str]]] = {
    "steps": (range(40, 50), steps.run),
    "modules": (range(50, 54), lambda s: giants.run(s) if s.one_in(160) else modules.run(s)),
    "classifiers": (range(54, 55), classifiers.run),
    "factorizations": (range(55, 56), factorizations.run),
    "recommenders": (range(56, 57), recommenders.run),
    "models": (range(57, 58), models.run),
    "quantized": (range(58, 59), quantized.run),
    "readers": (range(59, 60), readers.run),
    "rounds": (range(60, 61), rounds.run),
    "collections": (range(61, 62), collections.run),
    "estimators": (range(62, 64), estimators.run),
}

# A call may raise only these, and only those that it expects.
ERRORS = (ValueError, TypeError, IndexError, KeyError, RuntimeError, MemoryError)


levels.report_times(None)  # where processors are busy, calls would have one thread


class FuzzError(AssertionError):
    """The package broke a promise."""


def run_case(data: bytes, target: str | None = None) -> str:
    """Run the case of these bytes, of one target or of any; return its kind, or raise."""
    source = Source(data)
    with warnings.catch_warnings(), np.errstate(all="ignore"), many_threads(source):
        warnings.simplefilter("ignore")
        if target is not None:
            return _run_of(target)(source)
        kind = source.below(64)
        for kinds, run in TARGETS.values():
            if kind in kinds:
                return run(source)
        return _run_call(source, spoiled=kind % 4 != 0)


def _run_of(target: str) -> Callable[[Source], str]:
    if target == "torch":  # no other target needs PyTorch
        from fuzz import bridges

        return bridges.run
    return TARGETS[target][1]


@contextlib.contextmanager
def many_threads(source: Source) -> Iterator[None]:
    """Let small calls use several threads, too, in a quarter of the cases."""
    usual = threads.WORK_PER_THREAD
    threads.WORK_PER_THREAD = 1 if source.one_in(4) else usual
    try:
        yield
    finally:
        threads.WORK_PER_THREAD = usual


def _run_call(source: Source, spoiled: bool) -> str:
    call = valid_call(source)
    if spoiled:
        spoil(source, call)
    function = getattr(
        ebagx, {"forward": "embedding_bag", "backward": "embedding_bag_backward"}[call.operation]
    )
    before = Snapshot(call.arguments)
    try:
        result = function(**call.arguments)
    except ERRORS as error:
        if not isinstance(error, call.errors):
            raise FuzzError(f"{describe(call)}: unexpected {error!r}") from error
        before.check(call, error)
        return f"{call.operation} raises"
    if call.errors and not call.may_pass:
        raise FuzzError(f"{describe(call)}: no error, expected {call.errors}")
    written = {"out"} | ({"weight"} if call.max_norm is not None else set())
    if not call.errors:
        before.check(call, but=written)
        with judged(call):
            {"forward": check_forward, "backward": check_backward}[call.operation](call, result)
    return f"{call.operation} {'may pass' if call.errors else 'valid'}"


@contextlib.contextmanager
def judged(call: Any) -> Iterator[None]:
    """Raise for a wrong result, with the call."""
    try:
        yield
    except AssertionError as error:
        raise FuzzError(f"{describe(call)}: {error}") from error


def describe(call: Any) -> str:
    """Return a call as text for a report."""
    parts = ", ".join(f"{name}={_shown(value)}" for name, value in call.arguments.items())
    return f"{call.operation}({parts}) of bags {call.bags} ({call.form})"


def _shown(value: Any) -> str:
    if isinstance(value, np.ndarray):
        shown = np.array2string(np.asarray(value), threshold=30, separator=", ").replace("\n", "")
        return (
            f"{type(value).__name__}({shown}, {value.dtype}, shape={value.shape}, "
            f"strides={value.strides}, writeable={value.flags.writeable})"
        )
    if scipy.sparse.issparse(value):
        parts = {name: part for name, part in vars(value).items() if name != "_shape"}
        return f"{type(value).__name__}{value.shape}({parts})"
    return repr(value)[:500]


class Snapshot:
    """The content of arguments before a call."""

    def __init__(self, arguments: dict[str, Any]) -> None:
        self._before = [
            (name, array, array.tobytes(), array.shape, array.dtype)
            for name, value in arguments.items()
            for array in _arrays(value)
        ]
        self._parts = [
            (name, value, copy.copy(vars(value)))
            for name, value in arguments.items()
            if scipy.sparse.issparse(value)
        ]

    def check(self, call: Any, error: Exception | None = None, but: Any = ()) -> None:
        """Raise unless nothing has changed."""
        what = f"raised {error!r} and" if error else "has"
        for name, array, content, shape, dtype in self._before:
            same = array.tobytes() == content and (array.shape, array.dtype) == (shape, dtype)
            if name not in but and not same:
                raise FuzzError(f"{describe(call)} {what} changed {name}")
        for name, matrix, parts in self._parts:
            now = vars(matrix)
            if any(now.get(part) is not value for part, value in parts.items()):
                raise FuzzError(f"{describe(call)} {what} changed attributes of {name}")


def _arrays(value: Any) -> Iterator[np.ndarray]:
    """Yield the arrays in an argument whose content can be compared."""
    if isinstance(value, Convertible):
        value = value._array
    if isinstance(value, np.ndarray) and value.dtype != object:
        yield value.view(np.ndarray) if type(value) is np.memmap else np.asarray(value)
    elif scipy.sparse.issparse(value):
        for part in vars(value).values():
            for array in part if isinstance(part, tuple) else (part,):
                if isinstance(array, np.ndarray) and array.dtype != object:
                    yield array


def tolerance(dtype: np.dtype[Any]) -> dict[str, float]:
    """Return how much a result may differ from one in float64."""
    return {
        "f8": {"rtol": 1e-12, "atol": 1e-12},
        "f4": {"rtol": 1e-4, "atol": 1e-4},
        "f2": {"rtol": 4e-3, "atol": 4e-3},
    }.get(dtype.str[1:], {"rtol": 2e-2, "atol": 2e-2})


def assert_close(actual: Any, expected: np.ndarray, dtype: np.dtype[Any], terms: int = 1) -> None:
    """Compare with the result of a definition, in the precision of a dtype.

    Sums of many terms may cancel: `atol` grows with them.
    """
    actual = np.asarray(actual)
    assert actual.shape == expected.shape, f"shape {actual.shape}, not {expected.shape}"
    limits = tolerance(dtype)
    limits["atol"] *= max(terms / 100, 1)
    np.testing.assert_allclose(actual.astype("f8"), expected, **limits)


def check_forward(call: Call, result: Any) -> None:
    """Compare the pooled bags with their definition."""
    pooled, winners = result if call.arguments.get("return_indices") else (result, None)
    table = call.table
    if call.max_norm is not None:
        table = _renormed(call)
        weight = np.asarray(call.arguments["weight"])
        assert_close(weight, table.astype("f8"), table.dtype)
        call.table = weight  # pooled from the present table, with its rounding
    assert pooled.dtype == table.dtype
    assert_close(pooled, definition.pooled(*call.meaning), table.dtype)
    if "out" in call.arguments:
        assert pooled is call.arguments["out"]
    if winners is not None:
        expected = definition.winners(call.table, call.bags, call.mode, *call.policies)
        np.testing.assert_array_equal(winners, expected)


def _renormed(call: Call) -> np.ndarray:
    table = call.table.astype("f8")
    p = call.arguments.get("norm_type", 2.0)
    for row in call.scaled_rows:
        if not table.shape[1]:
            continue
        # In NumPy, the norm of type -inf is the smallest value, of type 0 the number of non-zeros.
        norm = np.linalg.norm(table[row], p)
        if norm > call.max_norm:
            table[row] *= call.max_norm / (norm + 1e-7)
    return table.astype(call.table.dtype)


def check_backward(call: Call, result: Any) -> None:
    """Compare the gradients with their definition."""
    of_table, of_weights = result
    real = sum_dtype(call.table)
    expected = definition.table_gradient(call.grad, *call.meaning, by_freq=call.by_freq)
    if not call.arguments.get("weight_grad", True):
        assert of_table is None
    else:
        dense = of_table if isinstance(of_table, np.ndarray) else of_table.toarray()
        assert dense.dtype == real
        terms = sum(map(len, call.bags))
        assert_close(dense, expected, np.dtype("f4") if real.itemsize == 4 else real, terms)
    if "out" in call.arguments:
        assert of_table is call.arguments["out"]
    wanted = call.arguments.get("per_sample_weights_grad", "per_sample_weights" in call.arguments)
    assert (of_weights is not None) == bool(wanted)
    if wanted and call.mode in POOLING:
        of_bags = definition.weights_gradient(call.grad, *call.meaning)
        flat = np.concatenate([*of_bags, np.zeros(0)])
        assert_close(np.asarray(of_weights).reshape(-1), flat, np.dtype("f4"))
