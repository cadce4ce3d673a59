"""Run cases beyond 2^31 in sparse memory maps, and cases whose arrays another thread changes."""

import tempfile
import threading
from contextlib import suppress
from typing import Any

import numpy as np

import ebagx
from fuzz.source import Source

DTYPES = ("f2", "f4", "f8")
MODES = ("sum", "mean", "sqrtn", "max", "min")


def run(source: Source) -> str:
    """Run one case of a giant table or of arrays that change."""
    return _run_giant(source) if source.below(2) else _run_changing(source)


def sparse_map(shape: tuple[int, int], dtype: Any) -> np.memmap:
    """Return zeros in a file with a hole, which takes no disk, and memory only where it is read."""
    with tempfile.TemporaryFile() as file:
        file.truncate(shape[0] * shape[1] * np.dtype(dtype).itemsize)
        return np.memmap(file, dtype, "r+", shape=shape)


def _run_giant(source: Source) -> str:
    """Look up, differentiate and update the far end of a table of over 2^31 elements."""
    shape = source.choice(((2**31 + 5, 1), (2**27, 17), (2**33, 1), (3, 2**30)))
    dtype = np.dtype(source.choice(DTYPES))
    table = sparse_map(shape, dtype)
    rows = np.array([shape[0] - 1, 0, shape[0] - 2, shape[0] - 1])
    table[rows, -1] = [2, 4, 1, 2]
    mode = source.choice(MODES)
    if shape[1] > 100:  # a result of its own size would not be cheap
        return "giant"
    pooled = ebagx.embedding_bag(rows[np.newaxis], table, mode=mode)
    expected = {"sum": 9, "mean": 9 / 4, "sqrtn": 9 / 2, "max": 4, "min": 1}[mode]
    assert pooled[0, -1] == expected, (shape, dtype, mode, pooled)
    for wrong in (shape[0], -1, shape[0] + 2**32):
        try:
            ebagx.embedding_bag([[wrong]], table)
        except IndexError:
            continue
        raise AssertionError(f"index {wrong} was taken for a table of {shape}")
    grad = np.ones((1, shape[1]))
    gradient, _ = ebagx.embedding_bag_backward(
        grad, rows[np.newaxis], table, mode="sum", sparse="rows"
    )
    assert gradient.rows.tolist() == [0, shape[0] - 2, shape[0] - 1]
    assert gradient.values[:, -1].tolist() == [1, 1, 2]
    ebagx.optim.SGD(1.0).update(table, gradient)
    assert table[[0, shape[0] - 2, shape[0] - 1], -1].tolist() == [3, 0, 0]
    return "giant"


def _run_changing(source: Source) -> str:
    """Call while another thread writes to the arguments: wrong numbers, but no crash or hang."""
    rng = source.rng
    n, rows, dim = source.choice((1000, 50000)), 100, source.choice((1, 8, 33))
    indices = rng.integers(0, rows, n).astype(source.choice(("i4", "i8")))
    offsets = np.sort(rng.integers(0, n + 1, 200)).astype(indices.dtype)
    offsets[0] = 0
    weights = np.ones(n, "f4")
    valid = {"indices": indices.copy(), "offsets": offsets.copy()}
    table, grad = np.ones((rows, dim), "f4"), np.ones((200, dim), "f4")
    stop = threading.Event()

    def scribble() -> None:
        info = np.iinfo(indices.dtype)
        while not stop.is_set():
            indices[rng.integers(n, size=50)] = rng.integers(info.min, info.max, 50)
            offsets[rng.integers(1, 200, size=20)] = rng.integers(info.min, info.max, 20)
            indices[:], offsets[:] = valid["indices"], valid["offsets"]

    thread = threading.Thread(target=scribble)
    thread.start()
    try:
        for mode in MODES:
            given: dict[str, Any] = {"offsets": offsets, "mode": mode}
            given["num_threads"] = source.choice((1, 2))
            if mode in MODES[:3] and source.below(2):
                given["per_sample_weights"] = weights
            given["padding_idx"] = source.choice((None, 3))
            for _ in range(5):
                with suppress(ValueError, IndexError, RuntimeError):
                    ebagx.embedding_bag(indices, table, max_norm=100.0, **given)
                form = source.choice((False, True, "rows"))
                with suppress(ValueError, IndexError, RuntimeError):
                    ebagx.embedding_bag_backward(grad, indices, table, sparse=form, **given)
    finally:
        stop.set()
        thread.join()
    return "changing"
