"""Run valid calls of an EmbeddingBag against the definitions, with bad calls in between."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import scipy.sparse

import ebagx
from fuzz import oracle, steps, sums
from fuzz.calls import SPARSE_FORMS, Call, Errors, sum_dtype, valid_call
from fuzz.layouts import WRITEABLE, lay_out
from fuzz.source import Source
from fuzz.spoilers import NO_INTEGERS, NO_NUMBERS, spoil
from support import definition

NO_SIZE = (-1, -(2**70), *NO_INTEGERS)
TOO_LARGE = (2**40, 2**62, 2**63, 2**64, 2**70)
WRONG_DTYPES = ("i4", "?", "c8", ">f4", "O", "nonsense", 5, "f4,f4", "(", "(2,)f4")
WRONG_TABLES = (np.ones((5, 3)), np.ones(10), np.ones((5, 2), "i4"), "text", 1, [[]])
CALL = ("input", "offsets", "per_sample_weights")


@dataclass
class Life:
    """One call of a module."""

    operation: str
    arguments: dict[str, Any] = field(default_factory=dict)
    bags: Any = None
    form: str = "module"


def run(source: Source) -> str:
    """Run one case of a module."""
    kind = source.below(6)
    if kind == 0:
        return _run_bad_construction(source)
    if kind > 3:
        return sums.run(source)
    return _run_life(source, spoiled=kind > 1)


def _run_bad_construction(source: Source) -> str:
    name, values, errors = source.choice(
        (
            ("num_embeddings", NO_SIZE, (ValueError, TypeError)),
            ("embedding_dim", NO_SIZE, (ValueError, TypeError)),
            ("num_embeddings", TOO_LARGE, (MemoryError, ValueError)),
            ("embedding_dim", TOO_LARGE, (MemoryError, ValueError)),
            ("max_norm", (-1, float("nan"), 10**400, *NO_NUMBERS), (ValueError, TypeError)),
            ("mode", ("average", None, 1, b"sum", ["sum"]), (ValueError,)),
            ("sparse", ("bsr", None, 1, np.array([True])), (ValueError,)),
            ("padding_idx", (5, -6, 2**70, *NO_INTEGERS), (ValueError, TypeError)),
            ("default_row", (5, -6, 2**70, *NO_INTEGERS), (ValueError, TypeError)),
            ("invalid", ("ignore", None, 1, b"skip", True), (ValueError,)),
            ("num_threads", (0, -1, *NO_INTEGERS), (ValueError, TypeError)),
            ("dtype", WRONG_DTYPES, (TypeError, ValueError)),
            ("rng", (-1, "text", 1.5, [1.5], object()), (ValueError, TypeError)),
            ("_weight", WRONG_TABLES, (ValueError, TypeError)),
        )
    )  # fmt: skip
    life = Life(
        "EmbeddingBag", {"num_embeddings": 5, "embedding_dim": 2, name: source.choice(values)}
    )
    try:
        ebagx.EmbeddingBag(**life.arguments)
    except errors:
        return "construction raises"
    except Exception as error:
        raise oracle.FuzzError(f"{oracle.describe(life)}: unexpected {error!r}") from error
    raise oracle.FuzzError(f"{oracle.describe(life)}: no error, expected {errors}")


def _run_life(source: Source, spoiled: bool) -> str:
    call = valid_call(source)
    while call.operation != "backward" and source.below(4):
        call = valid_call(source)
    if call.grad is None:
        call.grad = np.ones((len(call.bags), call.table.shape[1]))
    table = lay_out(source, call.table, WRITEABLE)
    options = {
        "mode": call.mode,
        "sparse": source.choice((False, True, "rows")),
        "scale_grad_by_freq": call.by_freq,
        "include_last_offset": call.arguments.get("include_last_offset", False),
        "padding_idx": call.padding_idx,
        "invalid": call.invalid,
        "default_row": call.default_row,
        "_weight": table,
    }
    life = Life("EmbeddingBag", {**options, **call.arguments}, call.bags)
    bag = ebagx.EmbeddingBag(*table.shape, **options)
    lookups = {name: call.arguments[name] for name in CALL if name in call.arguments}
    call.max_norm = None
    pooled = bag(**lookups)
    with oracle.judged(life):
        oracle.assert_close(pooled, definition.pooled(*call.meaning), table.dtype)
    if spoiled:
        _refuse_call(source, bag, call, life)
    total = np.zeros(table.shape)
    for _ in range(source.between(0, 2)):
        total += _go_backward(bag, call, lookups, life)
        _check_gradient(bag, total, table, life)
    if source.below(2):
        bag.backward(call.grad)
        _step(source, bag, life)
    if spoiled:
        _refuse_change(source, bag, life)
    return "life with errors" if spoiled else "life"


def _go_backward(bag: Any, call: Call, lookups: dict[str, Any], life: Life) -> np.ndarray:
    bag.backward(call.grad)
    bag(**lookups)  # for the next one
    if call.weights is not None and call.form not in SPARSE_FORMS:
        with oracle.judged(life):
            assert bag.per_sample_weights_grad is not None
    return definition.table_gradient(call.grad, *call.meaning, by_freq=call.by_freq)


def _check_gradient(bag: Any, total: np.ndarray, table: np.ndarray, life: Life) -> None:
    with oracle.judged(life):
        forms = {False: np.ndarray, True: scipy.sparse.bsr_array, "rows": ebagx.RowGradient}
        assert isinstance(bag.grad, forms[bag.sparse])
        dense = bag.grad if bag.sparse is False else bag.grad.toarray()
        assert dense.dtype == sum_dtype(table)
        terms = len(bag._saved.bags.indices)
        oracle.assert_close(dense, total, np.dtype("f4"), terms)
        oracle.assert_close(bag.row_gradient().toarray(), total, np.dtype("f4"), terms)


def _step(source: Source, bag: Any, life: Life) -> None:
    optimizer, model = steps.optimizer_of(source)
    life.arguments["optimizer"] = repr(optimizer)
    gradient = bag.row_gradient()
    expected = bag.weight.astype("f8")
    optimizer.step(bag)
    model.step(expected, gradient.rows.tolist(), gradient.toarray())
    if np.isfinite(expected).all():
        # The size of a step is rate * sign: the last bit of a tiny gradient makes any step.
        with oracle.judged(life):
            oracle.assert_close(
                bag.weight,
                expected,
                np.dtype("f2") if bag.weight.itemsize > 2 else bag.weight.dtype,
            )


def _state(bag: Any) -> list[Any]:
    grad = bag.grad
    if grad is not None and not isinstance(grad, np.ndarray):
        grad = grad.toarray()
    return [
        None if array is None else array.tobytes()
        for array in (bag.weight, grad, bag.per_sample_weights_grad)
    ]


def _refuse(life: Life, bag: Any, errors: Errors, action: Any, what: str) -> None:
    before, saved = _state(bag), bag._saved
    try:
        action()
    except errors as error:
        if _state(bag) != before or bag._saved is not saved:
            raise oracle.FuzzError(
                f"{oracle.describe(life)}: {what} raised and changed it"
            ) from error
        return
    except Exception as error:
        raise oracle.FuzzError(f"{oracle.describe(life)}: {what}: unexpected {error!r}") from error
    raise oracle.FuzzError(f"{oracle.describe(life)}: {what}: no error, expected {errors}")


def _refuse_call(source: Source, bag: Any, call: Call, life: Life) -> None:
    wrong = Call(**{**vars(call), "arguments": dict(call.arguments), "operation": "forward"})
    wrong.bags, saved = list(call.bags), bag._saved
    spoil(source, wrong)
    changed = {
        name
        for name, value in wrong.arguments.items()
        if name not in call.arguments or call.arguments[name] is not value
    }
    if not wrong.errors or wrong.may_pass or not changed <= set(CALL):
        return
    arguments = {name: wrong.arguments[name] for name in CALL if name in wrong.arguments}
    life.arguments["refused"] = arguments
    _refuse(life, bag, wrong.errors, lambda: bag(**arguments), "forward")
    assert bag._saved is saved


def _refuse_change(source: Source, bag: Any, life: Life) -> None:
    rows, dim = bag.weight.shape
    anything = (ValueError, TypeError, KeyError, RuntimeError, IndexError)
    wrong_table = source.choice(
        (
            np.ones((rows + 1, dim)),
            np.ones(3),
            None,
            "text",
            np.ones((rows, dim), "i4"),
            np.ones((rows, dim), ">f4"),
        )
    )
    other = np.dtype("f4") if bag.weight.dtype != np.dtype("f4") else np.dtype("f8")
    state = source.choice(
        ({}, {"weight": None}, {"weight": bag.weight, "bias": 1}, None, 5, ["weight"],
         {1: 2, "a": 3}, {"weight": np.ones((rows, dim), other)},
         {"weight": np.ones((rows + 1, dim))})
    )  # fmt: skip
    shape = bag.weight.shape
    wrong_grad = source.choice((np.ones((3, 3, 3)), "text", None, np.ones((99, dim + 1))))
    attribute, value = source.choice(
        (("mode", "average"), ("mode", None), ("num_threads", 0), ("num_threads", -5),
         ("num_threads", "2"), ("max_norm", -1), ("max_norm", "1"),
         ("invalid", "pass"), ("invalid", None), ("default_row", rows), ("default_row", 0.0))
    )  # fmt: skip

    def assign_and_call() -> None:
        before = getattr(bag, attribute)
        setattr(bag, attribute, value)
        try:
            bag(np.zeros((1, 1), int) if shape[0] else np.zeros((1, 0), int))
        finally:
            setattr(bag, attribute, before)

    what, action = source.choice(
        (
            ("weight", lambda: setattr(bag, "weight", wrong_table)),
            ("load_state_dict", lambda: bag.load_state_dict(state)),
            ("backward", lambda: bag.backward(wrong_grad)),
            (f"{attribute} = {value!r}", assign_and_call),
        )
    )
    _refuse(life, bag, anything, action, what)
