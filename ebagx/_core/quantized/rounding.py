"""Choose scale, bias and codes of each row of a table.

8 bits take the range from the smallest to the largest value of a row. With 4 or 2 bits it pays to
cut both ends off: values outside round to the ends, and all others have smaller steps. A search
finds the cuts of each row with a small sum of squared errors: the error of normally distributed
rows of 32 columns is 0.92 (4 bits) and 0.77 (2 bits) times that without cuts.

Rows lie in columns of arrays here: sums over a row are then made in the order of its columns, and
have the same bits on every machine.
"""

from typing import NamedTuple

import numpy as np

from ebagx._core.arguments import shown
from ebagx._core.quantized.formats import FLOAT, HALF, RAISED, RowFormat

# The first cuts to try, of both ends at once, as parts of the range; then the step by which either
# end is moved, and made smaller in each round.
_CUTS = {4: (0.03, 0.06, 0.09, 0.12), 2: (0.08, 0.14, 0.2, 0.26, 0.32)}
_STEPS = {4: (0.04, 0.02, 0.01), 2: (0.1, 0.06, 0.04, 0.02)}
# In float16, the steps of a row may be larger by this part than in float32.
_MOST_LOST = 1 / 32


class Lines(NamedTuple):
    """Scale and bias (R,) of some rows."""

    scale: np.ndarray
    bias: np.ndarray

    def codes(self, rows: np.ndarray, top: int) -> np.ndarray:
        """Return the nearest codes (D, R), 0 to `top`, of values (D, R)."""
        step = np.where(self.scale > 0, self.scale, np.float32(1))
        codes: np.ndarray = (rows - self.bias) / step
        np.rint(codes, out=codes)
        return np.clip(codes, 0, top, out=codes)

    def values(self, codes: np.ndarray) -> np.ndarray:
        """Return the values (D, R) of codes."""
        values: np.ndarray = self.scale * codes
        values += self.bias
        return values

    def where(self, mask: np.ndarray, other: "Lines") -> "Lines":
        """Return these where the mask is true, and others elsewhere."""
        pairs = zip(self, other, strict=True)
        return Lines(*(np.where(mask, mine, others) for mine, others in pairs))


def check_rows(rows: np.ndarray, first: int, name: str) -> None:
    """Raise ValueError unless rows can be quantised; `first` is the number of the first one."""
    finite = np.isfinite(rows)
    if not finite.all():
        r, d = np.argwhere(~finite)[0]
        raise ValueError(
            f"{name}[{first + r}, {d}] = {shown(rows[r, d].item())} is not finite in float32: "
            "replace it before quantising"
        )
    if not rows.size:
        return
    with np.errstate(over="ignore"):
        wide = np.isinf(rows.max(axis=1) - rows.min(axis=1))
    if wide.any():
        r = int(np.argmax(wide))
        d = int(np.argmax(np.abs(rows[r])))
        raise ValueError(
            f"{name}[{first + r}, {d}] = {shown(rows[r, d].item())} is out of range: the largest "
            "and smallest values of a row must differ by less than 3.4e38"
        )


def fit_half(rows: np.ndarray, bits: int) -> bool:
    """Return whether scale and bias of all rows may be float16.

    They may if steps stay nearly as small as in float32; rows of one value, which need a bias that
    float16 has, have steps of 0.
    """
    if not rows.size:
        return True
    low, high = rows.min(axis=1), rows.max(axis=1)
    with np.errstate(over="ignore", invalid="ignore"):  # infinite numbers do not fit
        lines = _lines(low, high, RowFormat(bits, HALF))
        reach = lines.scale.astype(np.float64) * ((1 << bits) - 1)
        is_narrow = reach <= (1 + _MOST_LOST) * (high.astype(np.float64) - low)
    is_lost = (lines.scale == 0) & (high > lines.bias)  # the step is too small for any float
    return bool((is_narrow & ~is_lost).all())


def quantise_rows(rows: np.ndarray, format: RowFormat) -> tuple[np.ndarray, np.ndarray]:
    """Return the bytes of the codes, and scale and bias (R, 2), of finite rows (R, D)."""
    columns = np.ascontiguousarray(rows.T)
    num_rows, top = len(rows), (1 << format.bits) - 1
    if columns.size:
        low, high = columns.min(axis=0), columns.max(axis=0)
        lines = _lines(low, high, format)
        if format.bits in _CUTS:
            lines = _searched(columns, low, high, lines, format)
    else:
        lines = Lines(np.zeros(num_rows, FLOAT), np.zeros(num_rows, FLOAT))
    codes = lines.codes(columns, top).astype(np.uint8).T
    constants = np.stack(lines, axis=1).astype(format.dtype)
    return _packed(codes, format), constants


def _packed(codes: np.ndarray, format: RowFormat) -> np.ndarray:
    """Return codes (R, D) side by side in bytes, the low bits first."""
    per_byte = format.per_byte
    whole = np.zeros((len(codes), format.code_bytes(codes.shape[1]) * per_byte), np.uint8)
    whole[:, : codes.shape[1]] = codes
    packed = whole[:, ::per_byte].copy()
    for place in range(1, per_byte):
        packed |= whole[:, place::per_byte] << np.uint8(place * format.bits)
    return packed


def _lines(low: np.ndarray, high: np.ndarray, format: RowFormat) -> Lines:
    """Return scale and bias with which the codes reach from `low` to `high`, as they are stored.

    Where both are the same, the scale is 0, with the sign of a bias of 0: so rows of -0.0 keep it.
    In float16, the bias rounds down and the scale up. In float32, the scale has 16 bits, and with 8
    bits the bias moves by up to 1/512 of it: kernels then round once (`are_exact`): faster.
    """
    top = np.float32((1 << format.bits) - 1)
    bias = low if format.dtype == FLOAT else _rounded(low, -np.inf)
    with np.errstate(over="ignore", invalid="ignore"):
        scale = np.where(high > bias, (high - bias) / top, np.where(bias == 0, bias, 0))
        scale = _rounded(scale, np.inf) if format.dtype == HALF else _with_16_bits(scale)
        if format.bits == 8:
            bias = _raisable(bias, scale)
    return Lines(scale, bias)


def _raisable(bias: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Return the nearest biases that can be moved by `RAISED` steps without rounding.

    Those that cannot be moved at all, and those of rows of one value, stay.
    """
    moved = np.float32(RAISED) * scale
    rounded = (bias - moved) + moved
    return np.where((scale == 0) | ~np.isfinite(rounded), bias, rounded)


def _with_16_bits(scale: np.ndarray) -> np.ndarray:
    """Return the nearest numbers of 16 significant bits; subnormal ones stay."""
    bits = np.ascontiguousarray(scale).view(np.uint32)
    rounded = ((bits + np.uint32(0x80)) & np.uint32(0xFFFFFF00)).view(FLOAT)
    return np.where(scale < np.finfo(FLOAT).tiny, scale, rounded)


def _rounded(values: np.ndarray, direction: float) -> np.ndarray:
    """Return numbers that float16 has, not before the given ones in a direction."""
    with np.errstate(over="ignore"):
        half = values.astype(HALF)
        misses = half < values if direction > 0 else half > values
        moved = np.nextafter(half, HALF.type(direction))
    return np.where(misses, moved, half).astype(FLOAT)


def _searched(
    columns: np.ndarray, low: np.ndarray, high: np.ndarray, lines: Lines, format: RowFormat
) -> Lines:
    """Return the lines with the least squared error that a search over cuts finds."""
    span, top = high - low, (1 << format.bits) - 1
    below, above = np.zeros_like(low), np.zeros_like(low)
    unit = np.where(span > 0, span, np.float32(1))
    best, error = lines, _error(columns, lines, top, unit)

    def move(new_below: np.ndarray, new_above: np.ndarray) -> None:
        nonlocal below, above, best, error
        tried = _lines(low + new_below * span, high - new_above * span, format)
        found = _error(columns, tried, top, unit)
        better = found < error
        best, error = tried.where(better, best), np.where(better, found, error)
        below, above = np.where(better, new_below, below), np.where(better, new_above, above)

    for cut in _CUTS[format.bits]:
        both = np.full_like(low, cut)
        move(both, both)
    for step in map(np.float32, _STEPS[format.bits]):
        for down, up in ((step, 0), (-step, 0), (0, step), (0, -step)):
            move(np.clip(below + down, 0, 0.45), np.clip(above + up, 0, 0.45))
    return best


def _error(columns: np.ndarray, lines: Lines, top: int, unit: np.ndarray) -> np.ndarray:
    """Return the sum of squared errors (R,), each in its row's unit, of values (D, R)."""
    lost = lines.values(lines.codes(columns, top))
    lost -= columns
    lost /= unit
    lost *= lost
    errors: np.ndarray = lost.sum(axis=0)
    return errors
