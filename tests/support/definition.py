"""Define pooling, one bag at a time, in float64: slow, and independent of the package."""

from collections import Counter

import numpy as np

EXTREME = {"max": (np.max, np.argmax), "min": (np.min, np.argmin)}


def divisor(weights: np.ndarray, mode: str) -> float:
    squares = weights * weights
    return {"sum": 1.0, "mean": weights.sum(), "sqrtn": np.sqrt(squares.sum())}[mode]


def kept_entries(table, bags, weights, padding_idx=None, invalid="raise", default_row=None):
    """Yield each bag as (rows, weights, places), without padding and skipped entries.

    A bag without entries has the entry `default_row`, of weight 1, which has no place.
    """
    for b, bag in enumerate(bags):
        inside = [row for row in bag if 0 <= row < len(table)]
        assert invalid == "skip" or len(inside) == len(bag)
        of_rows = np.ones(len(bag)) if weights is None else np.array(weights[b], np.float64)
        places = [k for k, row in enumerate(bag) if 0 <= row < len(table) and row != padding_idx]
        if not places and default_row is not None:
            yield np.array([default_row]), np.ones(1), places
        else:
            yield np.array([bag[k] for k in places], np.int64), of_rows[places], places


def pooled(table, bags, weights, mode, *policies):
    """Return the pooled bags (B, D); the policies are those of `kept_entries`."""
    table = table.astype(np.float64)
    result = np.zeros((len(bags), table.shape[1]))
    entries = kept_entries(table, bags, weights, *policies)
    for out, (rows, w, _) in zip(result, entries, strict=True):
        if len(rows) and mode in EXTREME:
            out[:] = EXTREME[mode][0](table[rows], axis=0)
        elif len(rows) and divisor(w, mode):
            out[:] = w @ table[rows] / divisor(w, mode)
    return result


def winners(table, bags, mode, *policies):
    """Return the table row of the extreme of each column (B, D), -1 in empty bags."""
    result = np.full((len(bags), table.shape[1]), -1)
    entries = kept_entries(table, bags, None, *policies)
    for out, (rows, _, _) in zip(result, entries, strict=True):
        if len(rows):
            out[:] = rows[EXTREME[mode][1](table[rows].astype(np.float64), axis=0)]
    return result


def touched_rows(table, bags, padding_idx=None, *policies):
    """Return the rows that take a gradient, ascending."""
    entries = kept_entries(table, bags, None, padding_idx, *policies)
    return sorted({row for rows, _, _ in entries for row in rows.tolist()} - {padding_idx})


def table_gradient(grad, table, bags, weights, mode, padding_idx=None, *policies, by_freq=False):
    """Return the gradient (N, D) of the table."""
    entries = list(kept_entries(table, bags, weights, padding_idx, *policies))
    counts = Counter(row for rows, _, _ in entries for row in rows.tolist())
    won = winners(table, bags, mode, padding_idx, *policies) if mode in EXTREME else None
    result = np.zeros(table.shape)
    for b, (rows, w, _) in enumerate(entries):
        if won is not None:
            for row in set(rows.tolist()):
                result[row] += np.where(won[b] == row, grad[b], 0) / (counts[row] if by_freq else 1)
        elif len(rows) and divisor(w, mode):
            for row, scale in zip(rows.tolist(), w / divisor(w, mode), strict=True):
                result[row] += scale * grad[b] / (counts[row] if by_freq else 1)
    if padding_idx is not None:  # as `default_row`, it is read
        result[padding_idx] = 0
    return result


def weights_gradient(grad, table, bags, weights, mode, *policies):
    """Return the gradients of the weights, one array per bag."""
    table = table.astype(np.float64)
    result = [np.zeros(len(bag)) for bag in bags]
    for b, (rows, w, places) in enumerate(kept_entries(table, bags, weights, *policies)):
        q = divisor(w, mode)
        if not places or not q:
            continue
        dots = table[rows] @ grad[b]
        shared = w @ dots / q
        result[b][places] = {
            "sum": dots,
            "mean": (dots - shared) / q,
            "sqrtn": (dots - w * shared / q) / q,
        }[mode]
    return result
