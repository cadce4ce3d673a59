"""Time the parts of ebagx's operations, each alone: a call cannot take less than all of its parts.

    python bench/parts.py --workloads small64 --threads 1

Each part is a kernel on allocated memory, without checks. ``GB/s`` counts the bytes
that the part must read and write, were every cache line used once per lookup.
"""

import argparse
import sys
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from ebagx._core import backward, passes, transpose
from ebagx._core.bags import Bags
from ebagx._core.levels import kernels
from ebagx._core.memory import aligned_empty, aligned_zeros
from ebagx._core.modes import MODES
from ebagx._core.table import Table
from ebagx.optim.rules import RULES
from worker import time_call
from workloads import COMPARED, make_data

BUDGET = 1.0  # seconds for each part
_NO_WEIGHTS = np.empty(0, np.float32)


class Part(NamedTuple):
    """A part, what it does, and the bytes of rows that it moves."""

    name: str
    run: Callable[[], object]
    moved: int


def parts_of(workload: str, threads: int) -> Iterator[Part]:
    """Yield the parts of forward, backward and an Adagrad step on one workload."""
    data = make_data(COMPARED[workload])
    weight = aligned_empty(data.weight.shape, np.dtype(np.float32))
    weight[...] = data.weight
    num_rows, dim = weight.shape
    bags, grad = Bags(data.indices, data.indptr, _NO_WEIGHTS), data.grad_output
    pooled, row_bytes = np.empty_like(grad), 4 * dim
    looked_up, given = row_bytes * len(bags.indices), row_bytes * bags.num_bags
    table, mode = Table.of(weight), MODES["sum"]
    yield Part("pool", lambda: passes.pool(pooled, table, bags, mode, threads), looked_up + given)
    with transpose.scratch_for(bags) as scratch:
        rows, transposed = transpose.transposed(bags, num_rows, mode, False, scratch, threads)
        values = aligned_empty((len(rows), dim), np.dtype(np.float32))
        touched, gradients = row_bytes * len(rows), Table.of(grad)

        def sort() -> None:
            with transpose.scratch_for(bags) as memory:
                transpose.transposed(bags, num_rows, mode, False, memory, threads)

        yield Part("sort lookups by row", sort, 16 * len(bags.indices))
        yield Part(
            "pool gradient per row",
            lambda: passes.pool(values, gradients, transposed, mode, threads),
            looked_up + touched,
        )
    yield from _parts_of_rows(weight, rows, values, threads)
    total = aligned_zeros(weight.shape, weight.dtype)
    yield Part(
        "scatter gradient",
        lambda: backward.scatter(total, grad, bags, mode, threads),
        2 * looked_up + given,
    )
    yield Part(
        "clear rows again", lambda: kernels.clear_rows(total, bags.indices, threads), looked_up
    )


def _parts_of_rows(
    weight: np.ndarray, rows: np.ndarray, values: np.ndarray, threads: int
) -> Iterator[Part]:
    state, nothing = aligned_zeros(weight.shape, weight.dtype), np.empty((0, 0), np.float32)
    numbers = np.array([0.01, 0.0, 0.0, 0.0, 1e-10])
    written = weight, state, nothing, _NO_WEIGHTS
    yield Part(
        "norms of rows",
        lambda: kernels.renorm(weight, rows, 1e9, 2.0, threads),
        values.nbytes,
    )
    yield Part(
        "Adagrad on rows",
        lambda: kernels.step_rows(*written, rows, values, numbers, RULES["adagrad"].code, threads),
        5 * values.nbytes,
    )


def main() -> int:
    """Print a line for each part."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workloads", nargs="+", default=list(COMPARED), choices=list(COMPARED))
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2], metavar="N")
    arguments = parser.parse_args()
    print(f"{'part':24}{'workload':10}{'threads':>8}{'ms':>9}{'GB/s':>7}")
    for workload in arguments.workloads:
        for threads in arguments.threads:
            for part in parts_of(workload, threads):
                seconds = time_call(part.run, BUDGET)
                speed = part.moved / seconds / 1e9
                print(f"{part.name:24}{workload:10}{threads:8}{1e3 * seconds:9.4f}{speed:7.1f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
