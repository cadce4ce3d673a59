"""The executable specification: a pure-NumPy twin of every kernel, same name and arguments.

Each function does what the compiled kernel of its name does, in the same order of operations, so
that results agree bit for bit. `num_threads` has no effect. ``EBAGX_LEVEL=reference`` runs the
whole library on these functions: slowly, and with everything visible to a debugger.

Axis letters: b bag, k lookup, r table row, u touched row (ascending, unique), d dimension.
"""

import math
from collections.abc import Callable
from functools import wraps
from itertools import pairwise
from typing import Any, TypeVar

import numpy as np

_PoolArrays = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]
_Kernel = TypeVar("_Kernel", bound=Callable[..., Any])

# The numbers by which compiled kernels know divisors and rules, too.
IN_ORDER, SUM, MEAN, SQRTN = range(-1, 3)
LONG_BAG = 512
SGD, MOMENTUM, NESTEROV, ADAGRAD, ROWWISE_ADAGRAD, ADAM = range(6)
LANES = 16  # partial sums of a dot product

INDEX_DTYPES: tuple[np.dtype[Any], ...] = (np.dtype(np.int32), np.dtype(np.int64))

# 16-bit floats come as their bits.
FLOATS_OF_BITS = {np.dtype(np.uint16): "float16", np.dtype(np.int16): "bfloat16"}


def _as_floats(cells: np.ndarray) -> np.ndarray:
    """Return the cells of a table as floating-point numbers, in the same memory."""
    name = FLOATS_OF_BITS.get(cells.dtype)
    return cells if name is None else cells.view(name)


def _sum_dtype(cells: np.ndarray) -> np.dtype[Any]:
    """Return the dtype in which sums of floating-point cells are kept: float32 at least."""
    return np.promote_types(cells.dtype, np.float32)


def _quietly(kernel: _Kernel) -> _Kernel:
    """Keep NumPy from warning of overflow and of NaN, which compiled kernels pass over."""

    @wraps(kernel)
    def quiet(*arguments: Any) -> Any:
        # A context for each call: NumPy 1's is not made to be shared by threads.
        with np.errstate(all="ignore"):
            return kernel(*arguments)

    return quiet  # type: ignore[return-value]


def indices_valid(indices_k: np.ndarray, num_rows: int, num_threads: int) -> bool:
    """Return whether every index is in [0, num_rows)."""
    return bool(np.all((indices_k >= 0) & (indices_k < num_rows)))


def offsets_valid(offsets_b: np.ndarray, num_lookups: int) -> bool:
    """Return whether offsets run from 0 to num_lookups without decreasing."""
    rising = np.all(offsets_b[1:] >= offsets_b[:-1])
    return bool(rising and offsets_b[0] == 0 and offsets_b[-1] == num_lookups)


def close_offsets(ends_b: np.ndarray, starts_b: np.ndarray, num_lookups: int) -> bool:
    """Write the starts of bags and where the last one ends; return as `offsets_valid` does."""
    ends_b[:-1] = starts_b
    ends_b[-1] = num_lookups
    return offsets_valid(ends_b, num_lookups)


def select_lookups(
    kept_indices_k: np.ndarray,
    kept_offsets_b: np.ndarray,
    kept_weights_k: np.ndarray,
    indices_k: np.ndarray,
    offsets_b: np.ndarray,
    weights_k: np.ndarray,
    num_rows: int,
    padding_row: int,
    default_row: int,
) -> bool:
    """Copy the bags without the lookups of padding_row and those outside [0, num_rows).

    A bag that is left empty gets one lookup of default_row, with weight 1. A row of -1 is none.
    Return whether every index is in [0, num_rows).
    """
    inside = (indices_k >= 0) & (indices_k < num_rows)
    keep = inside & (indices_k != padding_row)
    ends_b = np.concatenate([[0], np.cumsum(keep)])[offsets_b]
    filled = (np.diff(ends_b) == 0) & (default_row >= 0)
    places = ends_b[:-1][filled]
    kept_offsets_b[:] = ends_b + np.concatenate([[0], np.cumsum(filled)])
    kept_indices_k[: kept_offsets_b[-1]] = np.insert(indices_k[keep], places, default_row)
    if len(weights_k):
        kept_weights_k[: kept_offsets_b[-1]] = np.insert(weights_k[keep], places, 1)
    return bool(inside.all())


def _divisor(weights: np.ndarray, count: int, mode: int, real: np.dtype[Any]) -> Any:
    """Return what a bag's sum is divided by: added in float64, in order, rounded once."""
    if mode <= SUM or count == 0:
        return real.type(min(count, 1))
    total = float(count)
    if len(weights):
        exact = weights.astype(np.float64)
        total = float(np.cumsum(exact if mode == MEAN else exact * exact)[-1])
    return real.type(math.sqrt(total) if mode == SQRTN else total)


def _add_in_order(rows_kd: np.ndarray) -> np.ndarray:
    """Add rows to zeros, one after the other: what `np.sum` does not promise."""
    zeros = np.zeros_like(rows_kd, shape=(1, rows_kd.shape[1]))
    terms_kd = np.concatenate([zeros, rows_kd])
    total_d: np.ndarray = np.cumsum(terms_kd, axis=0, dtype=rows_kd.dtype)[-1]
    return total_d


def _add_in_parts(rows_kd: np.ndarray) -> np.ndarray:
    """Add rows in parts of LONG_BAG, and the sums of several parts in float64."""
    if len(rows_kd) <= LONG_BAG:
        return _add_in_order(rows_kd)
    starts = range(0, len(rows_kd), LONG_BAG)
    parts = [_add_in_order(rows_kd[start : start + LONG_BAG]) for start in starts]
    return _add_in_order(np.array(parts, np.float64))


@_quietly
def pool(
    out_bd: np.ndarray,
    table_rd: np.ndarray,
    indices_k: np.ndarray,
    offsets_b: np.ndarray,
    weights_k: np.ndarray,
    mode: int,
    num_threads: int,
) -> bool:
    """Pool the table rows of each bag: sum(w * row) / divisor, 0 where the divisor is 0.

    Return whether every index is in [0, num_rows); row 0 stands for the others.
    """
    out_bd, table_rd = _as_floats(out_bd), _as_floats(table_rd)
    real = _sum_dtype(table_rd)
    outside = (indices_k < 0) | (indices_k >= len(table_rd))
    indices_k = np.where(outside, 0, indices_k)
    for b, (start, end) in enumerate(pairwise(offsets_b)):
        rows_kd = table_rd[indices_k[start:end]].astype(real)
        if len(weights_k):
            rows_kd *= weights_k[start:end, np.newaxis]
        sum_d = _add_in_order(rows_kd) if mode == IN_ORDER else _add_in_parts(rows_kd)
        divisor = _divisor(weights_k[start:end], end - start, mode, real)
        out_bd[b] = (sum_d / divisor).astype(real) if divisor != 0 else 0
    return not outside.any()


def pool_many(jobs_j: tuple[tuple[_PoolArrays, int], ...], num_threads: int) -> bool:
    """Pool the bags of many tables: each job has the arrays of `pool`, and its mode.

    Return whether every index of every job is inside its table.
    """
    valid = True
    for arrays, mode in jobs_j:
        if arrays[0].size:
            valid &= pool(*arrays, mode, num_threads)
    return valid


def pool_plain(
    out_bd: Any,
    ends_b: np.ndarray | None,
    table_rd: Any,
    indices: Any,
    offsets_b: Any,
    weights: Any,
    mode: int,
    is_closed: bool,
    num_threads: int,
) -> bool:
    """Check the bags of a caller, close their offsets and pool them; return whether it can.

    The outputs may have any values if not.
    """
    bags = plain_bags(out_bd, ends_b, indices, offsets_b, weights, is_closed)
    out_bd, table_rd = np.asarray(out_bd), np.asarray(table_rd)
    if bags is None or out_bd.shape[1] != table_rd.shape[1]:
        return False
    return bool(table_rd.size) and pool(out_bd, table_rd, *bags, mode, num_threads)


def plain_bags(
    out_bd: Any,
    ends_b: np.ndarray | None,
    indices: Any,
    offsets_b: Any,
    weights: Any,
    is_closed: bool,
) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """Return indices, closed offsets and weights as `pool` takes them; None if some are wrong."""
    given = [array for array in (indices, offsets_b, weights) if array is not None]
    if not all(_is_plain(array, type(out_bd)) for array in given):
        return None
    out_bd, indices, offsets_b, weights = (
        None if array is None else np.asarray(array)
        for array in (out_bd, indices, offsets_b, weights)
    )
    real = np.dtype(np.float64 if out_bd.dtype == np.float64 else np.float32)
    if weights is not None and (weights.dtype != real or weights.shape != indices.shape):
        return None
    ends = _ends_of(indices, offsets_b, is_closed)
    if ends is None or len(ends) != len(out_bd) + 1 or 0 in out_bd.shape:
        return None
    if ends_b is None and len(out_bd) < 64:
        ends_b = np.empty(len(ends), indices.dtype)
    if ends_b is None or ends_b.dtype != indices.dtype or len(ends_b) != len(ends):
        return None
    if not offsets_valid(ends, indices.size):
        return None
    ends_b[:] = ends
    flat = np.empty(0, real) if weights is None else weights.reshape(-1)
    return indices.reshape(-1), ends_b, flat


def _is_plain(array: Any, kind: type) -> bool:
    """Return whether an object is a memoryview or an array in ordinary memory, and contiguous."""
    if type(array) is not kind:
        return False
    plain: Any = array
    if kind is memoryview:
        return bool(plain.c_contiguous)
    base = plain.base
    is_ordinary = base is None or (type(base) is np.ndarray and base.base is None)
    return bool(is_ordinary and plain.flags.c_contiguous and plain.flags.aligned)


def _ends_of(indices: np.ndarray, offsets: np.ndarray | None, is_closed: bool) -> Any:
    """Return the offsets (B + 1,) of bags; None if they are not what `pool_plain` takes."""
    if indices.dtype not in INDEX_DTYPES:
        return None
    if offsets is None:
        return np.arange(len(indices) + 1) * indices.shape[1] if indices.ndim == 2 else None
    if indices.ndim != 1 or offsets.ndim != 1 or offsets.dtype not in INDEX_DTYPES:
        return None
    return offsets if is_closed else np.append(offsets, len(indices))


@_quietly
def extreme(
    out_bd: np.ndarray,
    winners_bd: np.ndarray,
    table_rd: np.ndarray,
    indices_k: np.ndarray,
    offsets_b: np.ndarray,
    direction: int,
    num_threads: int,
) -> None:
    """Take the elementwise maximum (minimum) of each bag's rows and the table row it is from."""
    out_bd, table_rd = _as_floats(out_bd), _as_floats(table_rd)
    for b, (start, end) in enumerate(pairwise(offsets_b)):
        rows = indices_k[start:end]
        if len(rows) == 0:
            out_bd[b], winners_bd[b] = 0, -1
            continue
        values = table_rd[rows].astype(np.float64)
        first = np.argmax(values, axis=0) if direction == 1 else np.argmin(values, axis=0)
        winners_bd[b] = rows[first]
        out_bd[b] = table_rd[rows[first], np.arange(table_rd.shape[1])]


@_quietly
def extreme_gradient(
    out_ud: np.ndarray,
    grad_bd: np.ndarray,
    winners_bd: np.ndarray,
    rows_u: np.ndarray,
    bags_k: np.ndarray,
    row_offsets_u: np.ndarray,
    scales_k: np.ndarray,
    num_threads: int,
) -> None:
    """Give each bag's gradient, column by column, to the row that won it."""
    for u, row in enumerate(rows_u):
        ks = np.arange(row_offsets_u[u], row_offsets_u[u + 1])
        # A row that a bag holds twice still wins it once.
        ks = ks[np.diff(bags_k[ks], prepend=-1) != 0]
        scaled_kd = grad_bd[bags_k[ks]]
        if len(scales_k):
            scaled_kd = scaled_kd * scales_k[ks, np.newaxis]
        won_kd = winners_bd[bags_k[ks]] == row
        out_ud[u] = _add_in_order(np.where(won_kd, scaled_kd, grad_bd.dtype.type(0)))


def sort_lookups(
    keys_k: np.ndarray,
    scratch_k: np.ndarray,
    counts: np.ndarray,
    indices_k: np.ndarray,
    offsets_b: np.ndarray,
    num_rows: int,
    payload_bits: int,
    num_threads: int,
) -> None:
    """Sort the keys row << payload_bits | bag of all lookups, stably, by row."""
    bags_k = np.repeat(np.arange(len(offsets_b) - 1), np.diff(offsets_b))
    order = np.argsort(indices_k, kind="stable")
    keys_k[:] = (indices_k.astype(np.uint64) << payload_bits | bags_k.astype(np.uint64))[order]


def group_rows(
    rows_u: np.ndarray,
    row_offsets_u: np.ndarray,
    payloads_k: np.ndarray,
    keys_k: np.ndarray,
    payload_bits: int,
) -> int:
    """Return the number of distinct rows; write them, where their lookups start, and payloads."""
    rows, starts = np.unique(keys_k >> payload_bits, return_index=True)
    rows_u[: len(rows)] = rows
    row_offsets_u[: len(rows)] = starts
    row_offsets_u[len(rows)] = len(keys_k)
    payloads_k[:] = keys_k & ((1 << payload_bits) - 1)
    return len(rows)


def count_lookups(
    rows_u: np.ndarray,
    row_offsets_u: np.ndarray,
    payloads_k: np.ndarray,
    counts: np.ndarray,
    indices_k: np.ndarray,
    offsets_b: np.ndarray,
    num_threads: int,
) -> int:
    """Return the number of distinct rows; write them, where their lookups start, and their bags."""
    bags_k = np.repeat(np.arange(len(offsets_b) - 1), np.diff(offsets_b))
    order = np.argsort(indices_k, kind="stable")
    payloads_k[:] = bags_k[order]
    return group_rows(rows_u, row_offsets_u, np.empty_like(payloads_k), indices_k[order], 0)


@_quietly
def transpose_lookups(
    bags_k: np.ndarray,
    scales_k: np.ndarray,
    scratch_bags_k: np.ndarray,
    scratch_scales_k: np.ndarray,
    order_k: np.ndarray,
    offsets_b: np.ndarray,
    weights_k: np.ndarray,
    mode: int,
    num_threads: int,
) -> None:
    """Write, in sorted order, the bag of each lookup and its scale w / divisor."""
    counts = np.diff(offsets_b)
    bags_k[:] = np.repeat(np.arange(len(counts)), counts)[order_k]
    if not len(scales_k):
        return
    real = scales_k.dtype
    scales = np.zeros(len(order_k), real)
    for start, end in pairwise(offsets_b):
        divisor = _divisor(weights_k[start:end], end - start, mode, real)
        if divisor != 0:
            weights = weights_k[start:end] if len(weights_k) else np.ones(end - start, real)
            scales[start:end] = weights / divisor
    scales_k[:] = scales[order_k]


def transpose_few(
    rows_u: np.ndarray,
    row_offsets_u: np.ndarray,
    bags_k: np.ndarray,
    scales_k: np.ndarray,
    indices_k: np.ndarray,
    offsets_b: np.ndarray,
    weights_k: np.ndarray,
    num_rows: int,
    mode: int,
) -> int:
    """Do what the three kernels before do; return the number of distinct rows."""
    order_k = np.argsort(indices_k, kind="stable")
    keys_k = indices_k[order_k]
    touched = group_rows(rows_u, row_offsets_u, np.empty_like(keys_k), keys_k, 0)
    transpose_lookups(bags_k, scales_k, bags_k, scales_k, order_k, offsets_b, weights_k, mode, 1)
    return touched


@_quietly
def scatter(
    table_rd: np.ndarray,
    grad_bd: np.ndarray,
    indices_k: np.ndarray,
    offsets_b: np.ndarray,
    weights_k: np.ndarray,
    mode: int,
    num_threads: int,
) -> None:
    """Add w / divisor * gradient of the bag to the row of each lookup."""
    real = table_rd.dtype
    for b, (start, end) in enumerate(pairwise(offsets_b)):
        divisor = _divisor(weights_k[start:end], end - start, mode, real)
        weights = weights_k[start:end] if len(weights_k) else np.ones(end - start, real)
        scales = weights / divisor if divisor != 0 else np.zeros_like(weights)
        # Lookup by lookup, where a row occurs more than once.
        np.add.at(table_rd, indices_k[start:end], scales[:, np.newaxis] * grad_bd[b])


def add_lanes(terms: np.ndarray) -> Any:
    """Add as kernels do: term d goes to partial sum d % LANES, those are added in halves."""
    lanes = np.zeros(LANES, terms.dtype)
    for start in range(0, len(terms), LANES):
        chunk = terms[start : start + LANES]
        lanes[: len(chunk)] += chunk
    half = LANES // 2
    while half:
        lanes[:half] += lanes[half : 2 * half]
        half //= 2
    return lanes[0]


@_quietly
def weights_gradient(
    out_k: np.ndarray,
    grad_bd: np.ndarray,
    table_rd: np.ndarray,
    indices_k: np.ndarray,
    offsets_b: np.ndarray,
    weights_k: np.ndarray,
    mode: int,
    num_threads: int,
) -> None:
    """Write the gradient of each lookup's weight."""
    table_rd = _as_floats(table_rd)
    real = out_k.dtype
    for b, (start, end) in enumerate(pairwise(offsets_b)):
        weights = weights_k[start:end]
        divisor = _divisor(weights, end - start, mode, real)
        if divisor == 0:
            out_k[start:end] = 0
            continue
        rows = table_rd[indices_k[start:end]].astype(real)
        dots = np.array([add_lanes(grad_bd[b] * row) for row in rows], real)
        out_k[start:end] = dots
        if mode == SUM:
            continue
        pooled = np.cumsum(weights.astype(np.float64) * dots.astype(np.float64))[-1]
        shared = real.type(pooled / np.float64(divisor))
        if mode == MEAN:
            out_k[start:end] = (dots - shared) / divisor
        else:
            out_k[start:end] = (dots - weights * (shared / divisor)) / divisor


def _norm(row: np.ndarray, norm_type: float) -> float:
    """Return the p-norm of a row in float64."""
    sizes = np.abs(row.astype(np.float64))
    if math.isinf(norm_type):
        return float(np.max(sizes) if norm_type > 0 else np.min(sizes))
    if norm_type == 2:
        return math.sqrt(add_lanes(sizes * sizes))
    if norm_type == 1:
        return float(add_lanes(sizes))
    if norm_type == 0:
        return float(np.count_nonzero(sizes))
    return _pow(add_lanes(np.array([_pow(size, norm_type) for size in sizes])), 1 / norm_type)


def _pow(base: float, exponent: float) -> float:
    """Return C's pow: NumPy's own differs in the last bit on some processors."""
    try:
        return math.pow(base, exponent)
    except (ValueError, OverflowError):
        return math.inf


@_quietly
def renorm(
    table_rd: np.ndarray, rows_u: np.ndarray, max_norm: float, norm_type: float, num_threads: int
) -> None:
    """Scale rows with a norm over max_norm by max_norm / (norm + 1e-7), norm in float64."""
    table_rd = _as_floats(table_rd)
    real = _sum_dtype(table_rd)
    if table_rd.size == 0:
        return
    for row in rows_u:
        norm = _norm(table_rd[row], norm_type)
        if norm > max_norm:
            factor = real.type(max_norm / (norm + 1e-7))
            table_rd[row] = table_rd[row].astype(real) * factor


@_quietly
def add_rows(
    table_rd: np.ndarray, rows_u: np.ndarray, values_ud: np.ndarray, num_threads: int
) -> None:
    """Add values to rows."""
    table_rd[rows_u] += values_ud


def clear_rows(table_rd: np.ndarray, rows_k: np.ndarray, num_threads: int) -> None:
    """Set rows to zero."""
    table_rd[rows_k] = 0


def _with_decay(grad_ud: np.ndarray, values_ud: np.ndarray, decay: float) -> np.ndarray:
    """Return the gradient with that of L2; without decay itself: 0 * inf would be NaN."""
    return grad_ud + grad_ud.dtype.type(decay) * values_ud if decay else grad_ud


@_quietly
def step_rows(
    table_rd: np.ndarray,
    first_rd: np.ndarray,
    second_rd: np.ndarray,
    scales_u: np.ndarray,
    rows_u: np.ndarray,
    grad_ud: np.ndarray,
    numbers: np.ndarray,
    rule: int,
    num_threads: int,
) -> None:
    """Take one step of an optimizer on the rows of a gradient."""
    table_rd = _as_floats(table_rd)
    real = grad_ud.dtype.type
    rate, _, first, second, eps = map(real, numbers)
    values_ud = table_rd[rows_u].astype(real)
    if len(scales_u):
        values_ud = values_ud * scales_u[:, np.newaxis]
    if rule == ROWWISE_ADAGRAD:
        values_ud = values_ud.astype(table_rd.dtype).astype(real)
    grad_ud = _with_decay(grad_ud, values_ud, numbers[1])
    if rule in (MOMENTUM, NESTEROV):
        velocity_ud = first * first_rd[rows_u] + grad_ud
        first_rd[rows_u] = velocity_ud
        moved_ud = velocity_ud if rule == MOMENTUM else grad_ud + first * velocity_ud
        step_ud = rate * moved_ud
    elif rule == ADAGRAD:
        first_rd[rows_u] += grad_ud * grad_ud
        step_ud = rate * grad_ud / (np.sqrt(first_rd[rows_u]) + eps)
    elif rule == ROWWISE_ADAGRAD:
        first_rd[rows_u, 0] += (_row_squares(grad_ud) / grad_ud.shape[1]).astype(real)
        roots = np.sqrt(first_rd[rows_u, 0].astype(np.float64)) + numbers[4]
        step_ud = (numbers[0] / roots).astype(real)[:, np.newaxis] * grad_ud
    elif rule == ADAM:
        means_ud, squares_ud = first_rd[rows_u], second_rd[rows_u]
        means_ud = means_ud + first * (grad_ud - means_ud)
        squares_ud = squares_ud + second * (grad_ud * grad_ud - squares_ud)
        first_rd[rows_u], second_rd[rows_u] = means_ud, squares_ud
        step_ud = rate * means_ud / (np.sqrt(squares_ud) + eps)
    else:
        step_ud = rate * grad_ud
    table_rd[rows_u] = values_ud - step_ud


def _row_squares(grad_ud: np.ndarray) -> np.ndarray:
    """Return the sum of squares of each row, in float64."""
    exact = grad_ud.astype(np.float64)
    return np.array([add_lanes(row * row) for row in exact], np.float64)


@_quietly
def row_squares(out_u: np.ndarray, grad_ud: np.ndarray) -> None:
    """Write the sum of squares of each row, in float64."""
    out_u[:] = _row_squares(grad_ud)
