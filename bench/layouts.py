"""Time tables in several memory layouts: python bench/layouts.py.

A call reads the rows of its lookups in place, in every layout; `copy` is the time of copying the
table to C order, once. Times are in milliseconds, the shortest of several calls.
"""

import argparse
import sys
import tracemalloc
from collections.abc import Callable

import numpy as np

import ebagx
from worker import time_call

LAYOUTS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "C order": lambda table: table.copy(),
    "Fortran order": np.asfortranarray,
    "columns reversed": lambda table: table[:, ::-1].copy()[:, ::-1],
    "every other column": lambda table: np.repeat(table, 2, axis=1)[:, ::2],
    "misaligned": lambda table: misaligned(table),
    "one column, repeated": lambda table: np.broadcast_to(table[:, :1].copy(), table.shape),
}


def misaligned(table: np.ndarray) -> np.ndarray:
    """Return a copy that starts at an odd address."""
    copy = np.zeros(table.nbytes + 1, np.uint8)[1:].view(table.dtype).reshape(table.shape)
    copy[...] = table
    return copy


def operations(table: np.ndarray, ids: np.ndarray) -> dict[str, Callable[[], object]]:
    """Return the calls that are timed, by name."""
    grad, weights = np.ones((len(ids), table.shape[1]), table.dtype), np.ones(ids.shape)
    calls: dict[str, Callable[[], object]] = {
        "sum": lambda: ebagx.embedding_bag(ids, table, mode="sum"),
        "max": lambda: ebagx.embedding_bag(ids, table, mode="max"),
        "gradients": lambda: ebagx.embedding_bag_backward(
            grad, ids, table, sparse="rows", mode="sum", per_sample_weights=weights
        ),
    }
    if table.flags.writeable:
        bag = ebagx.EmbeddingBag.from_pretrained(table, freeze=False, mode="sum")
        optimizer = ebagx.optim.SGD(learning_rate=1e-9)

        def step() -> None:
            bag(ids)
            bag.backward_update(grad, optimizer)

        calls["step"] = step
    return calls


def peak(call: Callable[[], object]) -> float:
    """Return the most memory in MB that a call takes at once."""
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1] / 1e6
    finally:
        tracemalloc.stop()


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=400_000)
    parser.add_argument("--dim", type=int, default=100)
    parser.add_argument("--budget", type=float, default=0.5, help="seconds for each figure")
    args = parser.parse_args()
    rng = np.random.default_rng(0)
    table = rng.standard_normal((args.rows, args.dim), np.float32)
    batches = {"10 lookups": (1, 10), "1,024 bags of 32": (1024, 32)}
    print("| lookups | layout | sum | max | gradients | step | peak of sum, MB | copy |")
    print("|---|---|---|---|---|---|---|---|")
    for batch, shape in batches.items():
        ids = rng.integers(0, args.rows, shape)
        for name, lay_out in LAYOUTS.items():
            laid_out = lay_out(table)
            calls = operations(laid_out, ids)
            times = {
                key: f"{time_call(call, args.budget) * 1e3:.3f}" for key, call in calls.items()
            }
            copy = time_call(lambda laid_out=laid_out: np.array(laid_out, order="C"), args.budget)
            figures = [times.get(key, "") for key in ("sum", "max", "gradients", "step")]
            used = f"{peak(calls['sum']):.2f} | {copy * 1e3:.0f}"
            print(f"| {batch} | {name} | {' | '.join(figures)} | {used} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
