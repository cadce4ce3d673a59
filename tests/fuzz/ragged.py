"""Write bags in ragged forms, columns of the Arrow interface among them, and make these wrong."""

from collections import deque
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np

from fuzz.calls import Call, Errors
from fuzz.source import Source
from support.arrow import FLOATS, LETTERS, Column, Exported, Streamed, bits, lists, numbers

LISTS = ("+l", "+L", "+vl", "+vL")
Bags = list[list[Any]]


def ragged(source: Source, bags: Bags, real: bool) -> Any:
    """Return bags of ids or of weights in some form, which can be read twice."""
    write = source.choice((column, stream, objects, arrays, views))
    return write(source, bags, real)


def column(source: Source, bags: Bags, real: bool) -> Exported:
    """Return a column of one chunk, which may be a slice, and have nulls in place of empty bags."""
    return Exported(_column(source, bags, source.choice(LISTS), _letter(source, bags, real)))


def stream(source: Source, bags: Bags, real: bool) -> Streamed:
    """Return a column of several chunks."""
    form, letter = source.choice(LISTS), _letter(source, bags, real)
    cuts = sorted(source.below(len(bags) + 1) for _ in range(source.below(4)))
    ends = [0, *cuts, len(bags)]
    chunks = [_column(source, bags[start:stop], form, letter) for start, stop in pairwise(ends)]
    return Streamed(chunks, lists([], form, letter))


def objects(source: Source, bags: Bags, real: bool) -> np.ndarray:
    """Return an object array of lists or arrays."""
    whole = np.empty(len(bags), object)
    whole[:] = arrays(source, bags, real)
    return whole


def arrays(source: Source, bags: Bags, real: bool) -> list[Any]:
    """Return a list of lists, tuples and arrays of several dtypes."""
    dtypes = ("f8", "f4", ">f4") if real else ("i8", "u1", ">i4", "u8")
    kinds: tuple[Callable[[list[Any]], Any], ...] = (
        list,
        tuple,
        lambda bag: np.array(bag, dtypes[0]).astype(source.choice(dtypes)),
        lambda bag: np.ma.array(bag, "f8" if real else "i8"),
        lambda bag: np.array(bag, object),
        lambda bag: Exported(numbers(bag, "g" if real else "l")),
    )
    return [source.choice(kinds)(bag) for bag in bags]


def views(source: Source, bags: Bags, real: bool) -> Any:
    """Return a view of a dict, or a deque."""
    written = arrays(source, bags, real)
    return deque(written) if source.below(2) else dict(enumerate(written)).values()


def _letter(source: Source, bags: Bags, real: bool) -> str:
    if real:
        return str(source.choice(tuple(FLOATS)))
    indices = [0, *(index for bag in bags for index in bag)]
    fitting = [
        name
        for name, dtype in LETTERS.items()
        if np.iinfo(dtype).min <= min(indices) and max(indices) <= np.iinfo(dtype).max
    ]
    return str(source.choice(fitting))


def _column(source: Source, bags: Bags, form: str, letter: str) -> Column:
    before = source.choice((0, 0, 1, 7))
    entries = [[0] * 3] * before + [list(bag) for bag in bags]
    valid = None
    if source.one_in(3):
        valid = [bool(bag) for bag in entries]
        entries = [bag or [1] * source.below(3) for bag in entries]  # below nulls
    written = lists(entries, form, letter, valid, before=source.below(3))
    if not bags and source.one_in(2):
        return Column(form, 0, [None] * len(written.buffers), written.children)
    return written.sliced(before, len(bags)) if before else written


def spoil_ragged(source: Source, call: Call) -> Errors | None:
    """Make a column wrong, in a way that can be noticed."""
    name = source.choice(("input", "per_sample_weights"))
    exported = call.arguments.get(name)
    if isinstance(exported, Exported):
        spoiled: Any = Exported(_wrong(source, exported.column, call))
    elif isinstance(exported, Streamed) and exported.chunks:
        chunks = [*exported.chunks[:-1], _wrong(source, exported.chunks[-1], call)]
        if source.one_in(4):
            spoiled = Streamed(exported.chunks, exported.column, b"failed")
        else:
            spoiled = Streamed(chunks, exported.column)
    else:
        return None
    call.arguments[name] = spoiled
    call.may_pass = name == "input" and call.invalid == "skip"  # some are null ids
    return ValueError, TypeError


def _wrong(source: Source, good: Column, call: Call) -> Column:
    n_buffers, child = len(good.buffers), good.children[0]
    choices = [
        good.but(length=-1 - source.below(3)),
        good.but(offset=-1),
        good.but(length=2**60),
        good.but(null_count=-2),
        good.but(null_count=good.length + 1),
        good.but(buffers=good.buffers[:-1]),
        good.but(buffers=[*good.buffers, good.buffers[-1]]),
        good.but(array={"n_buffers": -n_buffers}),
        good.but(array={"n_children": source.choice((0, 2, -1))}),
        good.but(array={"children": None}),
        good.but(children=[child.but(array={"release": None})]),
        good.but(children=[child.but(array={"n_children": 1})]),
        good.but(children=[child.but(length=-1)]),
    ]
    if good.length:
        choices += [
            good.but(array={"buffers": None}),
            good.but(buffers=[good.buffers[0], *[None] * (n_buffers - 1)]),
        ]
    if good.length and call.bags and call.bags[-1]:  # the last chunk has the last bag
        choices += [
            good.but(children=[child.but(length=0)]),
            good.but(children=[child.but(buffers=[None, None])]),
            good.but(children=[child.but(buffers=[bits([0] * child.length)], null_count=-1)]),
            good.but(
                children=[
                    child.but(
                        buffers=[bits([0] * child.length), child.buffers[1]],
                        null_count=source.choice((-1, child.length)),
                    )
                ]
            ),
        ]
    chosen: Column = source.choice(choices)
    return chosen
