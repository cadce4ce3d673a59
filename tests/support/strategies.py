"""Draw bags with hypothesis, in every form in which a caller may write them."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import scipy.sparse
from hypothesis import strategies as st

from support import definition
from support.arrow import Exported, lists
from support.kernel_cases import TABLE_DTYPES

MODES = ("sum", "mean", "sqrtn", "max", "min")
WEIGHTED_MODES = ("sum", "mean", "sqrtn")
SPARSE_FORMS = ("csr", "csc", "coo")
FORMS = ("offsets", "last offset", "rows", "lists", "arrays", "arrow", *SPARSE_FORMS)
# These are outside every table here, also when an unsigned or a short dtype wraps them.
OUTSIDE = (-1, -7, 100, 127)
INTEGERS = ("i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", ">i4", ">u2")

integer_dtypes = st.sampled_from(INTEGERS)
# Structure is drawn, and shrinks; values come from a generator, which is much faster.
generators = st.integers(0, 2**32 - 1).map(np.random.default_rng)


@dataclass
class Call:
    """The arguments of one call, and the bags that they stand for."""

    table: np.ndarray
    mode: str
    padding_idx: int | None
    form: str
    bags: list[list[int]]
    weights: list[list[float]] | None
    invalid: str = "raise"
    default_row: int | None = None
    lookups: dict[str, Any] = field(default_factory=dict)

    @property
    def arguments(self) -> dict[str, Any]:
        return {
            "weight": self.table,
            "mode": self.mode,
            "padding_idx": self.padding_idx,
            "invalid": self.invalid,
            "default_row": self.default_row,
            **self.lookups,
        }

    @property
    def meaning(self) -> tuple[Any, ...]:
        """The arguments of the functions in definition.py."""
        return self.table, self.bags, self.weights, self.mode, *self.policies

    @property
    def policies(self) -> tuple[Any, ...]:
        """The last arguments of those functions."""
        return self.padding_idx, self.invalid, self.default_row


def eighths(rng, *shape):
    """Return multiples of 1/8: sums of a few products are exact, except for the last rounding."""
    return rng.integers(-64, 65, shape) / 8


@st.composite
def tables(draw):
    shape = draw(st.integers(1, 9)), draw(st.sampled_from([1, 2, 3, 8, 11]))
    return eighths(draw(generators), *shape).astype(draw(st.sampled_from(TABLE_DTYPES)))


@st.composite
def bags_for(draw, form, num_rows, outside=False):
    """Bags that the form can write, entries in the order in which it will keep them.

    Some entries are outside the table, if that is allowed and SciPy does not convert the form.
    """
    length = draw(st.integers(0, 6)) if form == "rows" else None
    entries = st.integers(0, num_rows - 1)
    if outside and form not in ("csc", "coo"):
        entries |= st.sampled_from(OUTSIDE)
    bag = st.lists(
        entries,
        min_size=length or 0,
        max_size=6 if length is None else length,
        unique=form == "coo",  # scipy adds up duplicates when it converts one
    )
    bags = draw(st.lists(bag, min_size=0, max_size=6))
    return [sorted(bag) if form in ("csc", "coo") else bag for bag in bags]


@st.composite
def calls(draw, modes=MODES, forms=FORMS, policies=True):
    """Valid calls of every mode, form, dtype, padding and other policy, weighted or not."""
    mode, form = draw(st.sampled_from(modes)), draw(st.sampled_from(forms))
    table = draw(tables())
    invalid = draw(st.sampled_from(["raise", "skip"])) if policies else "raise"
    bags = draw(bags_for(form, len(table), outside=invalid == "skip"))
    weighted = form in SPARSE_FORMS or (mode in WEIGHTED_MODES and draw(st.booleans()))
    weights = None
    if weighted:
        rng = draw(generators)
        weights = [(rng.integers(-8, 9, len(bag)) / 4).tolist() for bag in bags]
    padding_idx = draw(st.none() | st.integers(0, len(table) - 1))
    default_row = draw(st.none() | st.integers(0, len(table) - 1)) if policies else None
    call = Call(table, mode, padding_idx, form, bags, weights, invalid, default_row)
    if weighted and policies and draw(st.booleans()):
        forget_weights(call)
    call.lookups = draw(lookups(call))
    if mode not in WEIGHTED_MODES:
        call.weights = None
    return call


def forget_weights(call):
    """Make the weights of entries that are left out NaN, which must not matter."""
    entries = definition.kept_entries(call.table, call.bags, None, *call.policies)
    for weights, (_, _, places) in zip(call.weights, entries, strict=True):
        weights[:] = [w if k in places else np.nan for k, w in enumerate(weights)]


@st.composite
def lookups(draw, call):
    """The bags of a call, written in its form."""
    flat = [row for bag in call.bags for row in bag]
    ends = np.cumsum([0, *map(len, call.bags)])
    values = None if call.weights is None else [w for bag in call.weights for w in bag]
    if call.form in SPARSE_FORMS:
        dtype = draw(st.sampled_from(["i4", "i8"]))
        shape = len(call.bags), len(call.table)
        return {"input": as_sparse(call.form, np.array(flat, dtype), ends, values, shape)}
    if call.form == "lists":
        return {"input": call.bags, "per_sample_weights": call.weights}
    if call.form == "arrays":
        bags = [np.array(bag, np.int64).astype(draw(integer_dtypes)) for bag in call.bags]
        weights = call.weights and [np.array(weights, float) for weights in call.weights]
        return {"input": bags, "per_sample_weights": weights}
    if call.form == "arrow":
        forms = st.sampled_from(["+l", "+L", "+vl"])
        letters = "cil" if min(flat, default=0) < 0 else "cSiLl"
        bags = Exported(lists(call.bags, draw(forms), draw(st.sampled_from(letters))))
        weights = call.weights
        if weights is not None:
            weights = Exported(lists(weights, draw(forms), draw(st.sampled_from("fg"))))
        return {"input": bags, "per_sample_weights": weights}
    indices = np.array(flat, np.int64).astype(draw(integer_dtypes))
    weights = None if values is None else np.array(values, draw(st.sampled_from("fd")))
    if call.form == "rows":
        shape = len(call.bags), len(call.bags[0]) if call.bags else 0
        weights = None if weights is None else weights.reshape(shape)
        return {"input": indices.reshape(shape), "per_sample_weights": weights}
    last = call.form == "last offset"
    offsets = (ends if last else ends[:-1]).astype(draw(integer_dtypes))
    return {
        "input": indices,
        "offsets": offsets,
        "per_sample_weights": weights,
        "include_last_offset": last,
    }


def as_sparse(form, indices, ends, values, shape):
    """Return bags as a scipy.sparse array, without adding up duplicates."""
    values = np.array(values, float)
    csr = scipy.sparse.csr_array((values, indices, ends.astype(indices.dtype)), shape=shape)
    if form == "coo":
        rows = np.repeat(np.arange(shape[0]), np.diff(ends))
        return scipy.sparse.coo_array((values, (rows, indices)), shape=shape)
    return csr.tocsc() if form == "csc" else csr
