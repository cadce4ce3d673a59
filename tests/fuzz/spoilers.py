"""Make a valid call wrong in one way, and set the errors that it must raise."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np

from fuzz.calls import POOLING, SPARSE_FORMS, Call, Errors
from fuzz.ragged import spoil_ragged
from fuzz.source import Source
from fuzz.spoiled_sparse import spoil_sparse
from support import definition

Spoiler = Callable[[Source, Call], "Errors | None"]

WRONG_DTYPES = ("f8", "?", "O", "c16", "U3", "S2", "M8[s]", "m8[s]", "f2", "g")
WRONG_TABLES = (">f4", ">f8", "i8", "?", "c8", "O", "g", "U3", "M8[s]", "u2")
NO_INTEGERS = (1.0, "1", True, np.True_, 1j, [1], None.__class__, np.float32(1))
NO_NUMBERS = ("1", 1j, True, [1.0], b"1", object(), np.array([1.0, 2.0]))


def _array(call: Call, name: str) -> np.ndarray | None:
    """Return a writeable copy of an argument, if it is an array."""
    value = call.arguments.get(name)
    if value is None or isinstance(value, (list, tuple)):
        return None
    if call.form == "ragged" or call.form in SPARSE_FORMS:
        return None
    return np.array(np.asarray(value))


def index_value(source: Source, call: Call) -> Errors | None:
    """Put an index outside the table, which is no error if it is skipped."""
    far = (-1, len(call.table), 2**31, 2**32, -(2**31) - 1, -(2**63), 2**63 - 1)
    value = source.choice(far)
    if call.form == "lists":
        places = [b for b, bag in enumerate(call.bags) if bag]
        if not places:
            return None
        value = source.choice((*far, 2**63, 2**64 - 1, 2**64, -(2**64), 10**30))
        bags = [list(bag) for bag in call.bags]
        bags[source.choice(places)][-1] = value
        call.arguments["input"] = bags
        if call.invalid == "skip":
            call.bags = bags
            return None
        return (IndexError,)
    indices = _array(call, "input")
    if indices is None or not indices.size:
        return None
    indices = indices.astype(source.choice(("i8", "O") if value < 0 else ("i8", "u8", "O")))
    if indices.dtype == "u8":
        value = source.choice((value, 2**63, 2**64 - 1))
    place = source.below(indices.size)
    indices.flat[place] = value
    call.arguments["input"] = indices
    if call.invalid == "skip" and indices.dtype != "O":
        flat, ends = indices.reshape(-1).tolist(), np.cumsum([0, *map(len, call.bags)])
        call.bags = [flat[start:end] for start, end in pairwise(ends)]
        return None
    return (TypeError,) if indices.dtype == "O" else (IndexError,)


def index_dtype(source: Source, call: Call) -> Errors | None:
    """Give indices a dtype that is not an integer."""
    indices = _array(call, "input")
    if indices is None:
        return None
    call.arguments["input"] = indices.astype("i8").astype(source.choice(WRONG_DTYPES))
    return (TypeError,)


def index_shape(source: Source, call: Call) -> Errors | None:
    """Give indices another number of axes."""
    indices = _array(call, "input")
    if indices is None:
        return None
    kind = source.below(4)
    if kind == 0:
        call.arguments["input"] = indices[..., np.newaxis, np.newaxis]
    elif kind == 1:
        call.arguments["input"] = np.array(3)
    elif kind == 2:
        call.arguments["input"] = source.choice((None, 3, "text", b"bytes", {1: 2}, {1}, iter([1])))
        return ValueError, TypeError
    else:
        call.arguments["input"] = indices.reshape(-1)
        call.arguments.pop("offsets", None)  # 1-D input without offsets
    return (ValueError,)


class LyingSequence(list):  # type: ignore[type-arg]
    """A sequence that is shorter than its length."""

    def __len__(self) -> int:
        return 1000


def list_entries(source: Source, call: Call) -> Errors | None:
    """Put objects that are not integers into lists."""
    if call.form != "lists" or not call.bags:
        return None
    bags: list[Any] = [list(bag) for bag in call.bags]
    b = source.below(len(bags))
    bags[b] = source.choice(
        ([1.5], [None], ["a"], "ab", [[0]], [True], 7, None, [np.zeros(2, int)], [0j], bags,
         LyingSequence([0] * bool(len(call.table))), {"a": 1}, [np.datetime64(1, "s")], [object()])
    )  # fmt: skip
    call.arguments["input"] = bags
    return ValueError, TypeError


def offset_values(source: Source, call: Call) -> Errors | None:
    """Make offsets not start at 0, decrease, or reach beyond the indices."""
    offsets, n = _array(call, "offsets"), call.num_lookups
    if offsets is None or not len(offsets):
        return None
    kind, last = source.below(6), call.form == "last offset"
    offsets = offsets.astype("i8")
    place = source.below(len(offsets))
    if kind == 0:
        offsets[0] = source.choice((1, -1, -(2**63)))
    elif kind == 1 and len(offsets) > 2:
        offsets[1 + source.below(len(offsets) - 2)] = n + 1
    elif kind == 2:
        offsets[place] = source.choice((n + 1, 2**31, 2**63 - 1, 2**32))
    elif kind == 3:
        offsets = offsets.astype("u8")
        offsets[place] = source.choice((2**63, 2**64 - 1))
    elif kind == 4:
        offsets[place] = source.choice((-1, -(2**31), -(2**63)))
    elif last:
        offsets[-1] = n - 1 if n else 1
    else:
        return None
    call.arguments["offsets"] = offsets
    return (ValueError,)


def offset_form(source: Source, call: Call) -> Errors | None:
    """Give offsets another shape or dtype, or to input that has none."""
    offsets = _array(call, "offsets")
    if offsets is None:
        if call.form in ("lists", "ragged") and not call.bags:
            return None  # which may as well be no indices
        call.arguments["offsets"] = [0]
        return (ValueError, TypeError) if call.form != "lists" else (ValueError,)
    kind = source.below(4)
    if kind == 0:
        dtype = source.choice(WRONG_DTYPES)
        if len(offsets):
            call.arguments["offsets"] = offsets.astype("i8").astype(dtype)
            return (TypeError,)
    if kind == 1:
        call.arguments["offsets"] = offsets[source.choice((np.newaxis, (..., np.newaxis)))]
    elif kind == 2:
        call.arguments["offsets"] = source.choice((None, "text", 5, object(), np.array(0), 1.5))
        return ValueError, TypeError
    elif call.num_lookups or call.form == "last offset":
        call.arguments["offsets"] = source.choice(([], offsets[:0]))
    else:
        return None
    return (ValueError,)


def weights(source: Source, call: Call) -> Errors | None:
    """Give per-sample weights another shape or dtype, or to input that has none."""
    given = call.arguments.get("per_sample_weights")
    if given is None:
        if call.form in SPARSE_FORMS or call.mode not in POOLING:
            call.arguments["per_sample_weights"] = np.ones(call.num_lookups)
            return (ValueError,)
        return None
    array = _array(call, "per_sample_weights")
    if array is None:
        wrong: list[Any] = [1, [[1.0]] * (len(call.bags) + 1), "text", [1.0] * (len(call.bags) + 1)]
        if call.num_lookups:
            wrong.append([[1j] * len(bag) for bag in call.bags])
        call.arguments["per_sample_weights"] = source.choice(wrong)
        return ValueError, TypeError
    if source.below(2):
        shape = source.choice(((array.size + 1,), (*array.shape, 1), ()))
        call.arguments["per_sample_weights"] = np.ones(shape)
        return (ValueError,)
    dtype = source.choice(("c16", "O", "U3", "M8[s]", "S1"))
    call.arguments["per_sample_weights"] = array.astype("i8").astype(dtype)
    return (TypeError,)


def table(source: Source, call: Call) -> Errors | None:
    """Give the table another shape or dtype."""
    array = call.table
    kind = source.below(3)
    if kind == 0:
        dtype = source.choice(WRONG_TABLES)
        call.arguments["weight"] = np.ones(array.shape, "i8").astype(dtype)
        return (TypeError,)
    if kind == 1:
        call.arguments["weight"] = array[
            source.choice((np.newaxis, (..., np.newaxis), 0 if len(array) else None))
        ]
        return (ValueError,)
    call.arguments["weight"] = source.choice((None, "text", 1, [[1.0], [1.0, 2.0]], {}, b"12"))
    return ValueError, TypeError


def options(source: Source, call: Call) -> Errors | None:
    """Give an option a value that it cannot have."""
    rows = len(call.table)
    name, values, errors = source.choice(
        (
            ("mode", ("average", "", "SUM", b"sum", None, 1, ["sum"]), (ValueError,)),
            ("padding_idx", (rows, -rows - 1, 2**70, -(2**70)), (ValueError,)),
            ("padding_idx", NO_INTEGERS, (TypeError,)),
            ("default_row", (rows, -rows - 1, 2**70, -(2**70)), (ValueError,)),
            ("default_row", NO_INTEGERS, (TypeError,)),
            ("invalid", ("ignore", "", None, 1, b"skip", ["skip"]), (ValueError,)),
            ("num_threads", (0, -1, -(2**70), np.int8(-3)), (ValueError,)),
            ("num_threads", NO_INTEGERS, (TypeError,)),
            ("include_last_offset", (np.array([True, False]), 1, "no"), (TypeError,)),
            ("max_norm", (float("nan"), -1, -0.5, 10**400, -float("inf")), (ValueError,)),
            ("max_norm", NO_NUMBERS, (TypeError,)),
            ("norm_type", (float("nan"), 10**400), (ValueError,)),
            ("norm_type", NO_NUMBERS, (TypeError,)),
        )
    )
    if name == "include_last_offset" and "offset" not in call.form:
        return None
    if name in ("max_norm", "norm_type"):
        if call.operation == "backward":
            return None
        call.arguments.setdefault("max_norm", 1.0)
        call.max_norm = call.arguments["max_norm"]
    call.arguments[name] = source.choice(values)
    return errors


def results(source: Source, call: Call) -> Errors | None:
    """Request results that do not exist, or memory that cannot hold them."""
    if call.operation == "forward" and source.below(3) == 0 and call.mode in POOLING:
        call.arguments["return_indices"] = True
        return (ValueError,)
    if call.operation == "backward" and source.below(3) == 0:
        call.arguments["sparse"] = source.choice(("bsr", None, 1, "", np.array(True)))
        return (ValueError,)
    return _out(source, call)


def _out(source: Source, call: Call) -> Errors | None:
    forward = call.operation == "forward"
    if not forward:
        call.arguments["sparse"] = False
        call.arguments.pop("weight_grad", None)
    shape = (len(call.bags), call.table.shape[1]) if forward else call.table.shape
    real = np.dtype("f8") if call.table.dtype == np.dtype("f8") else np.dtype("f4")
    dtype = call.table.dtype if forward else real
    kind = source.below(5)
    out: Any = np.zeros(shape, dtype)
    error: Errors = (ValueError,)
    if kind == 0:
        out = np.zeros((shape[0] + 1, shape[1]), dtype)
    elif kind == 1:
        out, error = np.zeros(shape, source.choice(("c16", "i8", ">f4", "?", "O"))), (TypeError,)
    elif kind == 2:
        out.flags.writeable = False
    elif kind == 3:
        out, error = source.choice((out.tolist(), "text", 5, memoryview(b"12"))), (TypeError,)
    elif out.size and shape[0] > 1:
        out = np.lib.stride_tricks.as_strided(out, shape, (0, out.itemsize))
    else:
        return None
    call.arguments["out"] = out
    return error


def gradient(source: Source, call: Call) -> Errors | None:
    """Give the gradient of the result another shape or dtype, or wrong winners."""
    if call.grad is None:
        return None
    kind, shape = source.below(4), call.grad.shape
    if kind == 0:
        wrong = source.choice(((shape[0] + 1, shape[1]), (*shape, 1), (shape[0], shape[1] + 1), ()))
        call.arguments["grad_output"] = np.zeros(wrong)
        return (ValueError,)
    if kind == 1:
        dtype = source.choice(("c16", "O", "U3", "M8[s]"))
        call.arguments["grad_output"] = np.zeros(shape, "i8").astype(dtype)
        return (TypeError,)
    winners = np.zeros(shape, "i8")
    call.arguments["max_indices"] = winners
    if call.mode in POOLING:
        return (ValueError,)
    if kind == 2 and winners.size:
        winners.flat[source.below(winners.size)] = source.choice((-2, len(call.table), 2**40))
        return (IndexError,)
    looked_up = definition.touched_rows(call.table, call.bags, *call.policies)
    absent = set(range(len(call.table))) - set(looked_up)
    if kind == 3 and absent and looked_up and winners.size:
        winners[:] = absent.pop()  # a row that is in no bag
        return (ValueError,)
    wrong_winners = winners.astype(source.choice(("f8", "O", "?"))), winners[..., np.newaxis]
    call.arguments["max_indices"] = source.choice(wrong_winners)
    return ValueError, TypeError


SPOILERS: tuple[Spoiler, ...] = (
    index_value, index_dtype, index_shape, list_entries, offset_values, offset_form, weights, table,
    options, results, gradient, spoil_sparse, spoil_ragged,
)  # fmt: skip


def spoil(source: Source, call: Call) -> None:
    """Make a valid call wrong, if the chosen way applies to it."""
    spoiler = source.choice((*SPOILERS, spoil_sparse, spoil_sparse, spoil_ragged))
    call.errors = spoiler(source, call) or ()
