"""Define pooling, one bag at a time, in float64: slow, and independent of the package."""

from collections import Counter

import numpy as np

EXTREME = {"max": (np.max, np.argmax), "min": (np.min, np.argmin)}


def divisor(weights: np.ndarray, mode: str) -> float:
    squares = weights * weights
    return {"sum": 1.0, "mean": weights.sum(), "sqrtn": np.sqrt(squares.sum())}[mode]


def kept_entries(bags, weights, padding_idx):
    """Yield each bag as (rows, weights, places) without its padding."""
    for b, bag in enumerate(bags):
        rows = np.array(bag, np.int64)
        of_rows = np.ones(len(rows)) if weights is None else np.array(weights[b], np.float64)
        places = np.flatnonzero(rows != padding_idx)
        yield rows[places], of_rows[places], places


def pooled(table, bags, weights, mode, padding_idx=None):
    """Return the pooled bags (B, D)."""
    table = table.astype(np.float64)
    result = np.zeros((len(bags), table.shape[1]))
    for out, (rows, w, _) in zip(result, kept_entries(bags, weights, padding_idx), strict=True):
        if len(rows) and mode in EXTREME:
            out[:] = EXTREME[mode][0](table[rows], axis=0)
        elif len(rows) and divisor(w, mode):
            out[:] = w @ table[rows] / divisor(w, mode)
    return result


def winners(table, bags, mode, padding_idx=None):
    """Return the table row of the extreme of each column (B, D), -1 in empty bags."""
    result = np.full((len(bags), table.shape[1]), -1)
    for out, (rows, _, _) in zip(result, kept_entries(bags, None, padding_idx), strict=True):
        if len(rows):
            out[:] = rows[EXTREME[mode][1](table[rows].astype(np.float64), axis=0)]
    return result


def table_gradient(grad, table, bags, weights, mode, padding_idx=None, by_freq=False):
    """Return the gradient (N, D) of the table."""
    entries = list(kept_entries(bags, weights, padding_idx))
    counts = Counter(row for rows, _, _ in entries for row in rows.tolist())
    won = winners(table, bags, mode, padding_idx) if mode in EXTREME else None
    result = np.zeros(table.shape)
    for b, (rows, w, _) in enumerate(entries):
        if won is not None:
            for row in set(rows.tolist()):
                result[row] += np.where(won[b] == row, grad[b], 0) / (counts[row] if by_freq else 1)
        elif len(rows) and divisor(w, mode):
            for row, scale in zip(rows.tolist(), w / divisor(w, mode), strict=True):
                result[row] += scale * grad[b] / (counts[row] if by_freq else 1)
    return result


def weights_gradient(grad, table, bags, weights, mode, padding_idx=None):
    """Return the gradients of the weights, one array per bag."""
    table = table.astype(np.float64)
    result = [np.zeros(len(bag)) for bag in bags]
    for b, (rows, w, places) in enumerate(kept_entries(bags, weights, padding_idx)):
        q = divisor(w, mode)
        if not len(rows) or not q:
            continue
        dots = table[rows] @ grad[b]
        shared = w @ dots / q
        result[b][places] = {
            "sum": dots,
            "mean": (dots - shared) / q,
            "sqrtn": (dots - w * shared / q) / q,
        }[mode]
    return result
