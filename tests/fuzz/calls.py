"""Make valid calls of the functional form, in every form of bags."""

from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
import scipy.sparse

from fuzz.layouts import ARRAYS, WRITEABLE, lay_out
from fuzz.source import Source
from support import definition

MODES = ("sum", "mean", "sqrtn", "max", "min")
POOLING = MODES[:3]
SPARSE_FORMS = ("csr", "csc", "coo", "lil", "bsr", "dok")
FORMS = ("offsets", "last offset", "rows", "lists", "ragged", *SPARSE_FORMS)
INTEGERS = ("i8", "i4", "i1", "u1", "i2", "u2", "u4", "u8", ">i4", ">i8", ">u2")
TABLE_DTYPES = [np.dtype(name) for name in ("f4", "f8", "f2")]
try:
    import ml_dtypes
except ImportError:
    pass
else:
    TABLE_DTYPES.append(np.dtype(ml_dtypes.bfloat16))
LENGTHS = (2, 0, 1, 3, 5, 9, 40)
# These are outside every table here, also when a dtype of 8 bits wraps them.
OUTSIDE = (-1, -7, 121, 127)
DIMS = (2, 1, 3, 8, 0, 17, 70)

Errors = tuple[type[BaseException], ...]


@dataclass
class Call:
    """Arguments of one call, the bags that they stand for, and the expected errors."""

    operation: str
    table: np.ndarray
    bags: list[list[int]]
    weights: list[list[float]] | None
    mode: str
    padding_idx: int | None
    form: str
    arguments: dict[str, Any] = field(default_factory=dict)
    grad: np.ndarray | None = None
    by_freq: bool = False
    invalid: str = "raise"
    default_row: int | None = None
    max_norm: float | None = None
    # The call must raise one of these; if there are none, the result must be right.
    errors: Errors = ()
    # With errors, a result is allowed too. The call may neither crash nor change anything.
    may_pass: bool = False

    @property
    def num_lookups(self) -> int:
        """The number of lookups n."""
        return sum(map(len, self.bags))

    @property
    def meaning(self) -> tuple[Any, ...]:
        """The arguments of the functions in definition.py."""
        weights = self.weights if self.mode in POOLING else None
        return self.table, self.bags, weights, self.mode, *self.policies

    @property
    def policies(self) -> tuple[Any, ...]:
        """The last arguments of those functions."""
        return self.padding_idx, self.invalid, self.default_row

    @property
    def scaled_rows(self) -> set[int]:
        """The rows that `max_norm` may change: all looked-up ones, padding and default included."""
        entries = definition.kept_entries(self.table, self.bags, None, *self.policies)
        looked_up = {row for bag in self.bags for row in bag if 0 <= row < len(self.table)}
        return looked_up.union(*(rows.tolist() for rows, _, _ in entries))


def eighths(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Return small multiples of 1/8, whose sums are exact."""
    return rng.integers(-32, 33, shape) / 8


def sum_dtype(table: np.ndarray) -> np.dtype[Any]:
    """Return the dtype of the table's gradient."""
    return np.dtype("f8") if table.dtype == np.dtype("f8") else np.dtype("f4")


def valid_call(source: Source) -> Call:
    """Return a call whose result must be right."""
    operation = source.choice(("forward", "backward"))
    mode, form = source.choice(MODES), source.choice(FORMS)
    rng = source.rng
    num_rows = source.choice((5, 1, 2, 9, 0, 120))
    table = eighths(rng, num_rows, source.choice(DIMS)).astype(source.choice(TABLE_DTYPES))
    if source.one_in(8) and table.size:
        table[rng.integers(num_rows)] = rng.choice([np.nan, np.inf, -np.inf, -0.0, 0])
    invalid = source.choice(("raise", "skip"))
    bags = _bags(source, rng, form, num_rows)
    if invalid == "skip" and form not in SPARSE_FORMS[1:]:  # SciPy converts the others
        for bag in bags:
            bag[:] = [source.choice(OUTSIDE) if source.one_in(4) else row for row in bag]
    weighted = form in SPARSE_FORMS or (mode in POOLING and source.below(2) == 1)
    weights = [(rng.integers(-8, 9, len(bag)) / 4).tolist() for bag in bags] if weighted else None
    padding_idx = source.below(num_rows) if num_rows and source.one_in(3) else None
    call = Call(operation, table, bags, weights, mode, padding_idx, form, invalid=invalid)
    if num_rows and source.one_in(3):
        call.default_row = source.below(num_rows)
    if weights is not None and form not in SPARSE_FORMS[1:] and source.one_in(3):
        _forget_weights(call)
    call.arguments = {"mode": mode, **_lookups(source, call)}
    if invalid == "skip":
        call.arguments["invalid"] = invalid
    if call.default_row is not None:
        call.arguments["default_row"] = call.default_row - num_rows * source.below(2)
    if padding_idx is not None:
        call.arguments["padding_idx"] = padding_idx - num_rows * source.below(2)
    num_threads = source.choice((None, 1, 2, 3, 2**70, np.int8(2)))
    if num_threads is not None:
        call.arguments["num_threads"] = num_threads
    {"forward": _add_forward, "backward": _add_backward}[operation](source, call)
    return call


def _bags(source: Source, rng: np.random.Generator, form: str, num_rows: int) -> list[list[int]]:
    """Return bags that the form can write, entries in the order in which it keeps them."""
    num_bags = source.choice((2, 0, 1, 3, 5, 20))
    length = source.choice(LENGTHS)
    bags = []
    for _ in range(num_bags):
        size = length if form == "rows" else source.choice(LENGTHS)
        if num_rows == 0:
            size = 0
        bag = rng.integers(0, max(num_rows, 1), size).tolist()
        if form in ("coo", "dok", "lil", "bsr"):  # these know no duplicates
            bag = list(set(bag))
        keeps_order = form in ("csr", "rows", "lists", "ragged") or "offset" in form
        bags.append(bag if keeps_order else sorted(bag))
    return bags


def _forget_weights(call: Call) -> None:
    """Make the weights of entries that are left out NaN, which must not matter."""
    entries = definition.kept_entries(call.table, call.bags, None, *call.policies)
    for weights, (_, _, places) in zip(call.weights or (), entries, strict=True):
        weights[:] = [w if k in places else np.nan for k, w in enumerate(weights)]


def _lookups(source: Source, call: Call) -> dict[str, Any]:
    """Return the bags, written in the form of the call."""
    flat = np.array([row for bag in call.bags for row in bag], np.int64)
    ends = np.cumsum([0, *map(len, call.bags)])
    values = None
    if call.weights is not None:
        values = np.array([w for bag in call.weights for w in bag])
    if call.form in SPARSE_FORMS:
        return {"input": as_sparse(source, call, flat, ends, values)}
    if call.form == "lists":
        return _lists(source, call)
    if call.form == "ragged":
        from fuzz.ragged import ragged

        written = {"input": ragged(source, call.bags, False)}
        if call.weights is not None:
            written["per_sample_weights"] = ragged(source, call.weights, True)
        return written
    indices = flat.astype(source.choice(INTEGERS))
    weights = None if values is None else values.astype(source.choice(("f4", "f8", "f2", ">f8")))
    if call.form == "rows":
        shape = len(call.bags), len(call.bags[0]) if call.bags else 0
        written = {"input": lay_out(source, indices.reshape(shape))}
        if weights is not None:
            written["per_sample_weights"] = lay_out(source, weights.reshape(shape))
        return written
    last = call.form == "last offset"
    if not last and not call.bags:  # without bags, there may be no offsets
        ends = ends[:1]
    offsets = (ends if last else ends[:-1]).astype(
        source.choice([name for name in INTEGERS if ends[-1] <= np.iinfo(name).max])
    )
    written = {"input": lay_out(source, indices), "offsets": lay_out(source, offsets)}
    if weights is not None:
        written["per_sample_weights"] = lay_out(source, weights)
    if last:
        written["include_last_offset"] = True
    return written


def _lists(source: Source, call: Call) -> dict[str, Any]:
    kind = source.choice((list, tuple, np.array, range))
    bags: list[Any] = [list(bag) for bag in call.bags]
    for b, bag in enumerate(bags):
        if kind is np.array:
            bags[b] = np.array(bag, np.int64)
        elif kind is tuple:
            bags[b] = tuple(map(np.int32, bag))
        elif kind is range and bag == list(range(len(bag))):
            bags[b] = range(len(bag))
    written: dict[str, Any] = {"input": tuple(bags) if source.below(2) else bags}
    if call.weights is not None:
        written["per_sample_weights"] = [list(bag) for bag in call.weights]
    return written


def as_sparse(
    source: Source, call: Call, flat: np.ndarray, ends: np.ndarray, values: np.ndarray
) -> Any:
    """Return bags as a scipy.sparse matrix or array, without adding up duplicates."""
    shape = len(call.bags), len(call.table)
    dtype = source.choice((np.int32, np.int64))
    kind = source.choice(("array", "matrix"))
    make = getattr(scipy.sparse, f"csr_{kind}")
    csr = make((values, flat.astype(dtype), ends.astype(dtype)), shape=shape)
    if call.form == "csr":
        if source.one_in(3):  # room to spare, and layouts that SciPy would not make itself
            csr.indices = lay_out(
                source,
                np.concatenate([csr.indices, csr.indices[:0], [7, -1]]).astype(dtype),
                ARRAYS,
            )
            csr.data = lay_out(source, np.concatenate([csr.data, [np.nan, np.nan]]), ARRAYS)
            csr.indptr = lay_out(source, csr.indptr, ARRAYS)
        return csr
    if call.form == "coo":
        rows = np.repeat(np.arange(shape[0]), np.diff(ends)).astype(dtype)
        make = getattr(scipy.sparse, f"coo_{kind}")
        return make((values, (rows, flat.astype(dtype))), shape=shape)
    if call.form in ("lil", "dok", "bsr"):  # these may drop stored zeros
        csr.data[csr.data == 0] = 1
        call.weights = [csr.data[start:end].tolist() for start, end in pairwise(ends)]
    return csr.tobsr((1, 1)) if call.form == "bsr" else csr.asformat(call.form)


def _add_forward(source: Source, call: Call) -> None:
    arguments = call.arguments
    shape = len(call.bags), call.table.shape[1]
    layouts: Any = None
    if source.one_in(4):
        call.max_norm = source.choice((1.0, 0, 2, np.inf, 0.5))
        arguments["max_norm"] = call.max_norm
        arguments["norm_type"] = source.choice((2, 1.0, 0, np.inf, 3, -1, -np.inf))
        layouts = WRITEABLE
    arguments["weight"] = lay_out(source, call.table, *([layouts] if layouts else []))
    if source.one_in(4):
        arguments["out"] = lay_out(source, np.full(shape, 9).astype(call.table.dtype), WRITEABLE)
    if call.mode not in POOLING and source.below(2):
        arguments["return_indices"] = True


def _add_backward(source: Source, call: Call) -> None:
    arguments = call.arguments
    shape = len(call.bags), call.table.shape[1]
    call.grad = eighths(source.rng, *shape)
    arguments["weight"] = lay_out(source, call.table)
    arguments["grad_output"] = lay_out(
        source, call.grad.astype(source.choice(("f8", "f4", "f2", ">f4")))
    )
    arguments["sparse"] = source.choice((False, True, "rows"))
    call.by_freq = source.one_in(3)
    if call.by_freq:
        arguments["scale_grad_by_freq"] = True
    if not arguments["sparse"] and source.one_in(4):
        out = np.full(call.table.shape, 9).astype(sum_dtype(call.table))
        arguments["out"] = lay_out(source, out, WRITEABLE)
    if call.form in SPARSE_FORMS and call.mode in POOLING and source.below(2):
        arguments["per_sample_weights_grad"] = bool(call.num_lookups)
    if "per_sample_weights" in arguments and "out" not in arguments and source.one_in(4):
        arguments["weight_grad"] = False
