"""Quantised tables and their files: values by the definition, sums with the bits of the values."""

import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

import ebagx
from ebagx import QuantizedTable
from ebagx._core.quantized.formats import FORMATS, RowFormat
from fuzz.readers import changed
from fuzz.source import Source

MODES = ("sum", "mean", "sqrtn", "max", "min")
DIMS = (4, 8, 1, 3, 16, 33, 64, 100, 129, 132, 260)
FLOATS = np.array([1, 0, -0.0, -1, 3.3, 1e-45, -1e-40, 1e-6, 65504, -7e4, 1e37, 1.7e38, np.nan])
MOST_CHANGES = 4
FOLDER = "/dev/shm" if Path("/dev/shm").is_dir() else None


class QuantizedError(AssertionError):
    """A quantised table broke a promise."""


def run(source: Source) -> str:
    """Make a table, pool some bags of it, and read its file, changed or not."""
    make = source.choice((rounded, packed))
    try:
        table, values = make(source)
    except ValueError as error:
        if len(str(error).splitlines()) != 1:
            raise QuantizedError(f"the message is {error}") from error
        return "quantized refuses"
    check_same(table.toarray(), values, "the values")
    for _ in range(1 + source.below(3)):
        check_call(source, table, values)
    check_formats(table, values)
    with tempfile.TemporaryDirectory(dir=FOLDER) as name:
        return check_file(source, table, values, Path(name, "table"))


def rounded(source: Source) -> tuple[QuantizedTable, np.ndarray]:
    """Return a quantised table, checked against the rows that it was made of."""
    rng, bits = source.rng, source.choice((8, 4, 2))
    shape = source.choice((5, 1, 0, 40)), source.choice(DIMS)
    rows = (rng.standard_normal(shape) * source.choice(FLOATS[:-1])).astype(np.float32)
    for row in rows:
        kind = source.below(6)
        if kind == 1:
            row[:] = source.choice(FLOATS[:-1])
        elif kind == 2:
            row[rng.integers(len(row))] = source.choice(FLOATS)
        elif kind == 3:
            row += np.float32(source.choice((1, 1000, -1e6)))
    table = ebagx.quantize(rows, bits)
    values = table.toarray()
    is_constant = (bits_of(rows) == bits_of(rows[:, :1])).all(axis=1)
    check_same(values[is_constant], rows[is_constant], "the rows of one value")
    wide = rows.astype(np.float64)
    step = np.ptp(wide, axis=1) / ((1 << bits) - 1)
    # Ends may be cut off with fewer than 8 bits; float32 rounds what is far from 0 or very near.
    most = step * (0.51 if bits == 8 else (1 << bits)) + 3e-7 * np.abs(wide).max(axis=1) + 4e-43
    if (np.abs(values - wide).max(axis=1) > most).any():
        raise QuantizedError(f"values are far from {rows.tolist()} with {bits} bits")
    return table, by_definition(table._packed.array, table._packed.format, shape[1])


def packed(source: Source) -> tuple[QuantizedTable, np.ndarray]:
    """Return a table of bytes in the format of another tool, and its values."""
    rng, name = source.rng, source.choice(sorted(FORMATS))
    layout, num_rows = FORMATS[name], source.choice((5, 1, 0, 40))
    dim = -(-source.choice(DIMS) // layout.per_byte) * layout.per_byte
    rows = rng.integers(0, 256, (num_rows, layout.row_bytes(dim)), np.uint8)
    constants = rng.standard_normal((num_rows, 2)).astype(layout.dtype)
    with np.errstate(over="ignore"):
        for pair in constants:
            if source.one_in(4):
                pair[source.below(2)] = source.choice(FLOATS)
    layout.write(rows, layout.codes(rows, dim).copy(), constants)
    if source.one_in(4):
        rows = np.asfortranarray(rows)
    table = QuantizedTable.from_packed(rows, name)
    if not np.isfinite(constants).all():
        raise QuantizedError(f"{constants.tolist()} are taken")
    return table, by_definition(rows, layout, dim)


def by_definition(rows: np.ndarray, layout: RowFormat, dim: int) -> np.ndarray:
    """Return the values of packed rows by their definition."""
    start = layout.constants_at(dim)
    constants = rows[:, start : start + layout.constant_bytes].copy().view(layout.dtype)
    scale, bias = constants.astype(np.float32).T[:, :, np.newaxis]
    every = np.arange(dim)
    codes = rows[:, layout.codes_at + every // layout.per_byte]
    codes = codes >> (every % layout.per_byte * layout.bits) & ((1 << layout.bits) - 1)
    values: np.ndarray = scale * codes.astype(np.float32) + bias
    return values


def check_call(source: Source, table: Any, values: np.ndarray) -> None:
    """Raise unless pooled bags have the bits that they have of the values."""
    rng, num_rows = source.rng, len(values)
    lengths = rng.integers(0, source.choice((6, 2, 40, 700)), source.choice((3, 0, 1, 70)))
    offsets = np.concatenate(([0], np.cumsum(lengths)))
    if not num_rows:
        offsets[:] = 0
    dtype = source.choice((np.int64, np.int32))
    indices = rng.integers(0, max(num_rows, 1), int(offsets[-1])).astype(dtype)
    options: dict[str, Any] = {"mode": source.choice(MODES), "include_last_offset": True}
    if options["mode"] not in ("max", "min") and source.one_in(2):
        options["per_sample_weights"] = rng.integers(-8, 9, len(indices)).astype(np.float32) / 4
    if num_rows and source.one_in(3):
        options["padding_idx"] = source.below(num_rows)
    threads = source.choice((1, 2, 3))
    is_bad = len(indices) > 0 and source.one_in(8)
    if is_bad:
        indices[rng.integers(len(indices))] = source.choice((-1, num_rows, 2**31 - 1))
    call = dict(options, num_threads=threads)
    try:
        found = ebagx.embedding_bag(indices, table, offsets.astype(dtype), **call)
    except (ValueError, IndexError):
        if not is_bad:
            raise
        return
    if is_bad:
        raise QuantizedError("a row outside the table was read")
    wanted = ebagx.embedding_bag(indices, values, offsets.astype(dtype), **options, num_threads=1)
    check_same(found, wanted, f"bags with {call}")


def check_formats(table: QuantizedTable, values: np.ndarray) -> None:
    """Raise unless the formats of other tools that can hold the rows give their values back."""
    for name in FORMATS:
        try:
            rows = table.to_packed(name)
        except ValueError:
            continue
        check_same(QuantizedTable.from_packed(rows, name).toarray(), values, name)


def check_file(source: Source, table: QuantizedTable, values: np.ndarray, path: Path) -> str:
    """Raise unless a file is refused with one line, or gives a table that is sound."""
    table.save(path)
    content = sound = path.read_bytes()
    for _ in range(source.below(MOST_CHANGES)):
        content = changed(source, content)
    path.write_bytes(content)
    try:
        loaded = QuantizedTable.load(path, mmap=bool(source.below(2)))
    except ValueError as error:
        message = str(error)
        is_named = os.fspath(path) in message and len(message.splitlines()) == 1
        if content == sound or not is_named:
            raise QuantizedError(f"the message is {message!r}") from error
        return "quantized file refused"
    if loaded.shape[1] > max(DIMS) + 1000:  # a file without rows may have any number of columns
        return "quantized file read"
    if content == sound:
        check_same(loaded.toarray(), values, "the values of a file")
    else:
        values = loaded.toarray()
    check_call(source, loaded, values)
    return "quantized file read"


def check_same(found: np.ndarray, wanted: np.ndarray, what: str) -> None:
    """Raise unless two arrays have the same shape and bits; all NaN are equal."""
    same = found.shape == wanted.shape and found.dtype == wanted.dtype
    if not same or not np.array_equal(bits_of(found), bits_of(wanted)):
        raise QuantizedError(f"{what}: {found.tolist()}, not {wanted.tolist()}"[:2000])


def bits_of(array: np.ndarray) -> np.ndarray:
    """Return the bits of numbers, with one NaN."""
    return np.where(np.isnan(array), np.float32(np.nan), array).view(np.uint32)
