"""Time the forward pass on the same bags in every ragged form.

    python bench/ragged.py
    python bench/ragged.py --bags 1000000 --length 10 --dim 1

The first line is the form to which the others are brought. Forms whose package is not installed are
left out.
"""

import argparse
import importlib.util
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import ebagx

NUM_ROWS = 10_000


def shortest(call: Callable[[], Any], seconds: float) -> float:
    """Return the shortest time of a call in milliseconds, of at least three."""
    end, times = time.perf_counter() + seconds, []
    while len(times) < 3 or time.perf_counter() < end:
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return 1000 * min(times)


def forms_of(ids: np.ndarray, offsets: np.ndarray) -> Iterator[tuple[str, Any]]:
    """Yield names and values of the bags in ragged forms."""
    arrays = np.split(ids, offsets[1:-1])
    yield "list of arrays", arrays
    yield "list of lists", [bag.tolist() for bag in arrays]
    objects = np.empty(len(arrays), object)
    objects[:] = arrays
    yield "object array of arrays", objects
    if importlib.util.find_spec("torch"):
        import torch

        yield "list of tensors", list(map(torch.from_numpy, arrays))
    if importlib.util.find_spec("pyarrow"):
        import pyarrow

        column = pyarrow.LargeListArray.from_arrays(offsets, ids)
        yield "pyarrow large list", column
        yield "pyarrow list", column.cast(pyarrow.list_(pyarrow.int64()))
        half = len(column) // 2
        yield "pyarrow, two chunks", pyarrow.chunked_array([column[:half], column[half:]])
        if importlib.util.find_spec("polars"):
            import polars

            yield "polars list", polars.Series(column)


def main() -> int:
    """Print the times of all forms."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bags", type=int, default=10_000)
    parser.add_argument("--length", type=int, default=10, help="mean length of a bag")
    parser.add_argument("--dim", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=0.5, help="for each form")
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    offsets = np.append(0, np.cumsum(rng.poisson(options.length, options.bags)))
    ids = rng.integers(0, NUM_ROWS, offsets[-1])
    table = rng.standard_normal((NUM_ROWS, options.dim), dtype=np.float32)
    arrays = np.split(ids, offsets[1:-1])

    def flat() -> Any:
        return ebagx.embedding_bag(ids, table, offsets, mode="sum", include_last_offset=True)

    expected = flat()
    print(f"{'ids and offsets':<26}{shortest(flat, options.seconds):10.3f} ms")
    joined = shortest(lambda: np.concatenate(arrays), options.seconds)
    print(f"{'numpy.concatenate alone':<26}{joined:10.3f} ms")
    for name, bags in forms_of(ids, offsets):

        def call(bags: Any = bags) -> Any:
            return ebagx.embedding_bag(bags, table, mode="sum")

        np.testing.assert_array_equal(call(), expected)
        print(f"{name:<26}{shortest(call, options.seconds):10.3f} ms")
    return 0


if __name__ == "__main__":
    sys.exit(main())
