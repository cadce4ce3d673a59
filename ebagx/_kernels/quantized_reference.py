"""The pure-NumPy twins of the kernels of quantised tables; see ``reference.py``."""

from typing import Any

import numpy as np

from ebagx._kernels.reference import _quietly, plain_bags, pool


def _values(
    codes_kb: np.ndarray, dim: int, bits: int, codes_at: int, constants_at: int, is_half: bool
) -> np.ndarray:
    """Return the values (n, D) of rows of codes: both operations round to float32."""
    dtype = np.dtype(np.float16 if is_half else np.float32)
    constants = codes_kb[:, constants_at : constants_at + 2 * dtype.itemsize]
    constants = np.ascontiguousarray(constants).view(dtype).astype(np.float32)
    per_byte = 8 // bits
    packed = codes_kb[:, codes_at : codes_at - (-dim // per_byte), np.newaxis]
    shifts = np.arange(0, 8, bits, dtype=np.uint8)
    codes = (packed >> shifts) & np.uint8((1 << bits) - 1)
    codes = codes.reshape(len(codes), packed.shape[1] * per_byte)[:, :dim].astype(np.float32)
    scale, bias = constants[:, :1], constants[:, 1:]
    values: np.ndarray = scale * codes + bias
    return values


@_quietly
def pool_codes(
    out_bd: np.ndarray,
    codes_rb: np.ndarray,
    indices_k: np.ndarray,
    offsets_b: np.ndarray,
    weights_k: np.ndarray,
    bits: int,
    codes_at: int,
    constants_at: int,
    is_half: bool,
    is_exact: bool,
    mode: int,
    num_threads: int,
) -> bool:
    """Pool the rows of codes of each bag, as `pool` does with their values.

    Return whether every index is in [0, num_rows); row 0 stands for the others.
    """
    layout = bits, codes_at, constants_at, is_half, is_exact
    outside = (indices_k < 0) | (indices_k >= len(codes_rb))
    rows = np.where(outside, 0, indices_k)
    values = np.empty((len(rows), out_bd.shape[1]), np.float32)
    unpack_codes(values, codes_rb, rows, *layout, num_threads)
    numbers = np.arange(len(rows), dtype=indices_k.dtype)
    pool(out_bd, values, numbers, offsets_b, weights_k, mode, num_threads)
    return not outside.any()


def pool_plain_codes(
    out_bd: Any,
    ends_b: np.ndarray | None,
    codes_rb: Any,
    indices: Any,
    offsets_b: Any,
    weights: Any,
    bits: int,
    codes_at: int,
    constants_at: int,
    is_half: bool,
    is_exact: bool,
    mode: int,
    is_closed: bool,
    num_threads: int,
) -> bool:
    """Check the bags of a caller, close their offsets and pool them; return whether it can."""
    bags = plain_bags(out_bd, ends_b, indices, offsets_b, weights, is_closed)
    if bags is None or 0 in codes_rb.shape:
        return False
    rest: Any = *bags, bits, codes_at, constants_at, is_half, is_exact, mode, num_threads
    return pool_codes(out_bd, codes_rb, *rest)


@_quietly
def unpack_codes(
    out_kd: np.ndarray,
    codes_rb: np.ndarray,
    indices_k: np.ndarray,
    bits: int,
    codes_at: int,
    constants_at: int,
    is_half: bool,
    is_exact: bool,
    num_threads: int,
) -> None:
    """Write the values of some rows of codes; row 0 stands for rows outside the table."""
    outside = (indices_k < 0) | (indices_k >= len(codes_rb))
    rows_kb = codes_rb[np.where(outside, 0, indices_k)]
    out_kd[:] = _values(rows_kb, out_kd.shape[1], bits, codes_at, constants_at, is_half)
