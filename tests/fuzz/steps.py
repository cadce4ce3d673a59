"""Run gradients and optimizers: valid steps against the model; all others must raise."""

import copy
import io
import pickle
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import scipy.sparse

import ebagx
from ebagx import RowGradient
from fuzz import oracle
from fuzz.calls import DIMS, INTEGERS, TABLE_DTYPES, Errors, eighths, sum_dtype
from fuzz.layouts import ANY, WRITEABLE, lay_out
from fuzz.model import OptimizerModel
from fuzz.source import Source

RULES = ("SGD", "Adagrad", "RowwiseAdagrad", "Adam", "AdamW")
RATES = (0.1, 0.5, 0.0, np.float32(0.25))
DECAYS = (0.5, 0, 0.01)
LIMITS = ("clip_value", "clip_row_norm", "clip_norm")
NO_NUMBERS = ("1", None, 1j, True, [1.0], b"1", object(), np.array([1.0, 2.0]))
NO_SIZES = (-0.1, float("nan"), float("inf"), 10**400, -(10**400))


@dataclass
class Step:
    """One step of an optimizer, with names of the arguments for the oracle's reports."""

    operation: str
    arguments: dict[str, Any] = field(default_factory=dict)
    errors: Errors = ()
    bags: str = "none"
    form: str = "gradient"


def run(source: Source) -> str:
    """Run one case of gradients and optimizers."""
    kind = source.below(6)
    if kind == 0:
        return _run_gradient(source)
    if kind == 1:
        return _run_bad_options(source)
    return _run_steps(source, spoiled=kind % 2 == 1)


def optimizer_of(source: Source) -> tuple[Any, OptimizerModel]:
    """Return an optimizer with valid options, and its model."""
    rule = source.choice(RULES)
    options: dict[str, Any] = {}
    if rule == "SGD" and source.below(2):
        options["momentum"] = source.choice((0.5, 0.9))
        options["nesterov"] = source.below(2) == 1
    if source.one_in(2):
        options["weight_decay"] = source.choice(DECAYS)
    for name in LIMITS:
        if source.one_in(4):
            options[name] = source.choice((1.0, 0.25))
    if rule != "SGD":
        options["eps"] = source.choice((1e-3, 0.5))  # smaller: tiny gradients differ much
    rate = source.choice(RATES)
    model = OptimizerModel(rule, float(rate), options)
    wanted = source.choice((rate, lambda step: rate))
    return getattr(ebagx.optim, rule)(wanted, **options), model


def assign(source: Source, optimizer: Any, model: OptimizerModel) -> None:
    """Assign an option of an optimizer and of its model."""
    name = source.choice(("learning_rate", "weight_decay", *LIMITS, "momentum"))
    if name == "learning_rate":
        model.rate = source.choice(RATES)
        wanted = source.choice((model.rate, lambda _, rate=model.rate: rate))
        optimizer.learning_rate, model.rate = wanted, float(model.rate)
        return
    if name == "weight_decay":
        model.decay = optimizer.weight_decay = source.choice(DECAYS)
    elif name in LIMITS:
        value = source.choice((None, 1.0, 0.25))
        setattr(optimizer, name, value)
        setattr(model, name, value)
    elif model.rule == "SGD":
        value = source.choice((0.5, 0.0, 0.9))
        if model.nesterov and not value:
            optimizer.nesterov = model.nesterov = False
        optimizer.momentum = model.momentum = value


def resumed(source: Source, optimizer: Any) -> Any:
    """Return the optimizer, or one that goes on with its state."""
    way = source.below(6)
    if way == 0:
        return copy.copy(optimizer)
    if way == 1:
        optimizer.unbind()
    if way == 2 and not callable(optimizer.learning_rate):
        return pickle.loads(pickle.dumps(optimizer))
    if way in (3, 4):
        file, state = io.BytesIO(), optimizer.state_dict()
        np.savez(file, **state)
        file.seek(0)
        if way == 3:
            optimizer.load_state_dict(np.load(file, allow_pickle=False))
            return optimizer
        other = type(optimizer)(optimizer.learning_rate, num_threads=optimizer.num_threads)
        other.load_state_dict({name: np.asarray(value) for name, value in state.items()})
        return other
    return optimizer


def table_of(source: Source) -> np.ndarray:
    """Return a table with a few rows."""
    dtype = source.choice(TABLE_DTYPES)
    rows = source.choice((5, 1, 2, 9, 0))
    return eighths(source.rng, rows, source.choice(DIMS)).astype(dtype)


def gradient_of(source: Source, table: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows and the values of a gradient."""
    rng = source.rng
    rows = np.flatnonzero(rng.random(len(table)) < source.choice((0.5, 0, 1)))
    return rows, eighths(rng, len(rows), table.shape[1])


def _run_steps(source: Source, spoiled: bool) -> str:
    optimizer, model = optimizer_of(source)
    values = table_of(source)
    table = lay_out(source, values, WRITEABLE)
    expected, real = values.astype("f8"), sum_dtype(values)
    for _ in range(source.between(1, 4)):
        rows, grads = gradient_of(source, values)
        given = lay_out(source, rows.astype(source.choice(INTEGERS)))
        gradient = RowGradient(given, lay_out(source, grads.astype(real)), values.shape)
        step = Step("step", {"table": table, "rows": gradient.rows, "values": gradient.values})
        optimizer.update(table, gradient)
        dense = np.zeros(values.shape)
        dense[rows] = grads
        model.step(expected, rows.tolist(), dense)
        _compare(step, table, expected, values.dtype)
        expected = np.asarray(table).astype("f8")  # without the rounding errors of the steps
        if source.below(2):
            assign(source, optimizer, model)
        optimizer = resumed(source, optimizer)
    optimizer.update(table, RowGradient([], np.empty((0, values.shape[1])), values.shape))
    model.step(expected, [], np.zeros(values.shape))
    if source.below(2):
        optimizer.catch_up(table)
        model.settle(expected)
        _compare(step, table, expected, values.dtype)
    if spoiled:
        _spoil_step(source, optimizer, table)
        return "step raises"
    return "step valid"


def _compare(step: Step, table: np.ndarray, expected: np.ndarray, dtype: np.dtype[Any]) -> None:
    with oracle.judged(step):
        oracle.assert_close(table, expected, np.dtype("f4") if dtype == "f8" else dtype)


def refused(optimizer: Any, table: Any, gradient: Any, step: Step, errors: Errors) -> None:
    """Check that a step raises one of the errors, and changes nothing."""
    before = oracle.Snapshot({"table": table})
    state = {name: np.array(value) for name, value in optimizer.state_dict().items()}
    try:
        optimizer.update(table, gradient)
    except errors as error:
        before.check(step, error)
        for name, value in optimizer.state_dict().items():
            if not np.array_equal(
                np.array(value), state[name], equal_nan=state[name].dtype != object
            ):
                raise oracle.FuzzError(f"{oracle.describe(step)} changed {name}") from error
        return
    raise oracle.FuzzError(f"{oracle.describe(step)}: no error, expected {errors}")


def _spoil_step(source: Source, optimizer: Any, table: np.ndarray) -> None:
    num_rows, dim = table.shape
    rows, values = gradient_of(source, table)
    kind = source.below(7)
    errors: Errors = (ValueError, TypeError, IndexError)
    gradient: Any = None
    if kind == 0:
        gradient = source.choice((None, values, "text", scipy.sparse.csr_array(table.shape)))
    elif kind == 1:
        row = table[0] if num_rows else None
        other_tables = np.ones((num_rows + 1, dim)), table.astype("i4"), table.astype("c8")
        table = source.choice((table.tolist(), row, None, *other_tables))
    elif kind == 2:
        table = table.copy()
        table.flags.writeable = False
    elif kind == 3 and source.below(2):
        optimizer.learning_rate = source.choice((lambda _: -1, lambda _: "1", lambda _: None))
    elif kind == 3:
        _spoil_assignment(source, optimizer, table)
        return
    elif kind == 4 and num_rows > 1 and dim:
        table = np.lib.stride_tricks.as_strided(table, table.shape, (0, table.strides[1]))
    elif kind == 5:
        table = np.ones((num_rows + source.below(2), dim), table.dtype)
    else:
        other = np.dtype("f4") if table.dtype == np.dtype("f8") else np.dtype("f8")
        table = table.astype(other)
    step = Step("step", {"table": table, "rows": rows, "values": values})
    if kind:
        shape = np.shape(table) if np.ndim(table) == 2 and kind == 5 else (num_rows, dim)
        gradient = RowGradient(rows, values, shape)
    refused(optimizer, table, gradient, step, errors)


def _spoil_assignment(source: Source, optimizer: Any, table: np.ndarray) -> None:
    """Check that a bad assignment or a bad state raises, and changes nothing."""
    name = source.choice(("learning_rate", "weight_decay", "num_steps", "eps", "nonsense"))
    value = source.choice((*NO_SIZES, *NO_NUMBERS))
    before, shown = optimizer.state_dict(), repr(optimizer)
    step = Step("assignment", {"table": table, name: value})
    arrays = [key for key, array in before.items() if isinstance(array, np.ndarray)]
    entry = source.choice(("weight_decay", "num_steps", "nonsense", *arrays))
    if entry in arrays:
        value = source.choice((-1.0, "1", object(), np.ones(3, int), np.ones((1, 1, 1))))
    for wrong in (
        lambda: setattr(optimizer, name, value),
        lambda: optimizer.load_state_dict({**before, entry: value}),
    ):
        try:
            wrong()
        except (ValueError, TypeError, AttributeError, KeyError):
            continue
        raise oracle.FuzzError(f"{oracle.describe(step)}: no error, or none for {entry}")
    if optimizer.state_dict() != before or repr(optimizer) != shown:
        raise oracle.FuzzError(f"{oracle.describe(step)} changed the optimizer")


def _run_gradient(source: Source) -> str:
    table = table_of(source)
    rows, values = gradient_of(source, table)
    dense = np.zeros(table.shape)
    dense[rows] = values
    given: dict[str, Any] = {
        "rows": lay_out(source, rows.astype(source.choice(INTEGERS)), ANY),
        "values": lay_out(source, values.astype(source.choice(("f4", "f8"))), ANY),
        "shape": table.shape,
    }
    errors = _spoil_gradient(source, given, rows, table.shape) if source.below(2) else ()
    step = Step("RowGradient", given, errors)
    before = oracle.Snapshot(given)
    try:
        gradient = RowGradient(**given)
        forms = [gradient.toarray(), gradient.tobsr().toarray(), gradient.tocsr().toarray()]
        doubled = (gradient + gradient).toarray()
        repr(gradient)
    except oracle.ERRORS as error:
        if not isinstance(error, errors):
            raise oracle.FuzzError(f"{oracle.describe(step)}: unexpected {error!r}") from error
        before.check(step, error)
        return "gradient raises"
    if errors:
        raise oracle.FuzzError(f"{oracle.describe(step)}: no error, expected {errors}")
    with oracle.judged(step):
        for form in forms:
            np.testing.assert_array_equal(form, dense)
        np.testing.assert_array_equal(doubled, 2 * dense)
    return "gradient valid"


def _spoil_gradient(
    source: Source, given: dict[str, Any], rows: np.ndarray, shape: tuple[int, ...]
) -> Errors:
    count = len(rows)
    kind = source.below(5)
    if kind == 0 and count:
        wrong = rows.copy()
        wrong[source.choice((0, -1))] = source.choice((-1, shape[0], 2**40))
        given["rows"] = wrong
    elif kind == 1 and count > 1:
        given["rows"] = source.choice((rows[::-1], rows[[0] * count]))
    elif kind == 2:
        given["rows"] = source.choice(
            (
                rows.astype("f8"),
                rows[..., np.newaxis],
                None,
                "text",
                np.array(1),
                rows.astype(object),
            )
        )
    elif kind == 3:
        given["shape"] = source.choice(
            (
                (-1, 2),
                (shape[0],),
                (*shape, 1),
                None,
                "ab",
                (2**70, 2**70),
                (1.5, 2),
                (shape[0], shape[1] + 1),
            )
        )
    else:
        wrong_values = (
            np.zeros((count + 1, shape[1])),
            np.zeros(count),
            np.zeros((count, shape[1]), "O"),
        )
        given["values"] = source.choice(
            (
                *wrong_values,
                None,
                "text",
                np.zeros((count, shape[1]), "c16"),
                np.zeros((count, shape[1]), "U1"),
            )
        )
    return ValueError, TypeError, IndexError, MemoryError


def _run_bad_options(source: Source) -> str:
    rule = source.choice(RULES)
    sizes = ["weight_decay"] + ["eps"] * (rule != "SGD")
    name = source.choice((*sizes, *LIMITS, "num_threads", "learning_rate", "betas", "nonsense"))
    value = source.choice((*NO_SIZES, *NO_NUMBERS))
    if name in LIMITS and value is None:
        value = 0
    if name == "num_threads":
        value = source.choice((0, -1, 1.0, "2", True, 2.5))
    if name == "betas":
        value = source.choice(
            ((1, 0.9), (0.9, 1.0), (-0.1, 0), (0.9,), 0.9, None, ("a", "b"), (True, 0))
        )
    step = Step(rule, {name: value}, (ValueError, TypeError))
    try:
        getattr(ebagx.optim, rule)(**step.arguments)
    except (ValueError, TypeError):
        return "options raise"
    except Exception as error:
        raise oracle.FuzzError(f"{oracle.describe(step)}: unexpected {error!r}") from error
    raise oracle.FuzzError(f"{oracle.describe(step)}: no error")
