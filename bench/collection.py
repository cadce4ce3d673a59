"""Time a collection of 28 tables against its kernels alone, its tables one by one, and PyTorch.

    python bench/collection.py --threads 1 2

26 features have one id for each of 2,048 examples, two have bags of 0 to 19; each has a table of
100,000 x 16 in float32. ``kernels`` is the sum of the times of the compiled functions for one table
each, on allocated memory: a collection may take 1.3 times as long for the forward pass. Libraries
have processes of their own, which take turns; the shortest time of all turns counts.
"""

import argparse
import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from worker import time_call

NUM_ROWS, DIM, NUM_BAGS, ONE_ID, RAGGED, LONGEST = 100_000, 16, 2048, 26, 2, 20
BUDGET = 1.0  # seconds for each call and turn
LIBRARIES = ("ebagx", "torch")

Calls = dict[str, Callable[[], object]]


class Bags(NamedTuple):
    """The ids of one feature, and the start of each bag."""

    ids: np.ndarray
    starts: np.ndarray


def make_bags() -> list[Bags]:
    """Return the bags of every feature."""
    rng = np.random.default_rng(0)
    bags = []
    for feature in range(ONE_ID + RAGGED):
        ones = np.ones(NUM_BAGS, np.int64)
        lengths = ones if feature < ONE_ID else rng.integers(0, LONGEST, NUM_BAGS)
        starts = np.cumsum(lengths) - lengths
        bags.append(Bags(rng.integers(0, NUM_ROWS, lengths.sum()), starts))
    return bags


def calls_of_ebagx(bags: Sequence[Bags], threads: int) -> Calls:
    """Return the calls of ebagx by name."""
    import ebagx
    from ebagx._core.levels import kernels
    from ebagx._core.memory import aligned_empty

    def make() -> tuple[Any, Any]:
        tables = {
            str(number): ebagx.EmbeddingBag(NUM_ROWS, DIM, mode="sum", rng=0, num_threads=threads)
            for number in range(len(bags))
        }
        rules = {name: ebagx.optim.Adagrad(0.1, num_threads=threads) for name in tables}
        return ebagx.EmbeddingBagCollection(tables), rules

    (collection, _), (trained, trained_optimizers) = make(), make()
    collection.eval()
    given = {str(number): pair.ids if number < ONE_ID else pair for number, pair in enumerate(bags)}
    lengths = [np.diff(starts, append=len(ids)) for ids, starts in bags]
    ids = np.concatenate([pair.ids for pair in bags])
    keyed = ebagx.KeyedBags.from_lengths(given, ids, np.concatenate(lengths))
    grad = np.ones((NUM_BAGS, DIM * len(bags)), np.float32)
    parts = [np.ones((NUM_BAGS, DIM), np.float32) for _ in bags]
    outs = [aligned_empty((NUM_BAGS, DIM), np.dtype(np.float32)) for _ in bags]
    none = np.empty(0, np.float32)
    jobs = [
        (out, bag.weight, ids, np.append(starts, len(ids)), none, 0)
        for out, bag, (ids, starts) in zip(outs, collection.tables.values(), bags, strict=True)
    ]

    def run_kernels() -> None:
        for job in jobs:
            kernels.pool(*job, 1)

    def run_alone() -> np.ndarray:
        tables = collection.tables.values()
        return np.hstack([bag(*pair) for bag, pair in zip(tables, bags, strict=True)])

    def step() -> None:
        trained(given)
        trained.backward_update(grad, trained_optimizers)

    def step_alone() -> None:
        for (name, bag), pair, part in zip(trained.tables.items(), bags, parts, strict=True):
            bag(*pair)
            bag.backward_update(part, trained_optimizers[name])

    return {
        "kernels": run_kernels,
        "collection": lambda: collection(given),
        "keyed bags": lambda: collection(keyed),
        "one by one": run_alone,
        "step": step,
        "steps one by one": step_alone,
    }


def calls_of_torch(bags: Sequence[Bags], threads: int) -> Calls:
    """Return the calls of PyTorch by name."""
    import torch

    torch.set_num_threads(threads)
    tables = [torch.nn.EmbeddingBag(NUM_ROWS, DIM, mode="sum", sparse=True) for _ in bags]
    weights = [table.weight for table in tables]
    optimizer = torch.optim.Adagrad(weights, 0.1)
    given = [tuple(map(torch.from_numpy, pair)) for pair in bags]
    grad = torch.ones(NUM_BAGS, DIM * len(bags))

    def pooled() -> Any:
        return torch.cat([table(*pair) for table, pair in zip(tables, given, strict=True)], dim=1)

    def forward() -> None:
        with torch.no_grad():
            pooled()

    def step() -> None:
        optimizer.zero_grad()
        pooled().backward(grad)
        optimizer.step()

    return {"one by one": forward, "steps one by one": step}


def run_library(library: str, threads: int) -> None:
    """Time the calls of one library, and print their milliseconds."""
    make = {"ebagx": calls_of_ebagx, "torch": calls_of_torch}[library]
    calls = make(make_bags(), threads)
    print(json.dumps({name: 1e3 * time_call(call, BUDGET) for name, call in calls.items()}))


def turn(library: str, threads: int) -> dict[str, float]:
    """Time one library in a process of its own."""
    command = [sys.executable, __file__, "--library", library, "--threads", str(threads)]
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    times: dict[str, float] = json.loads(done.stdout)
    return times


def main() -> int:
    """Print a line for each call."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2], metavar="N")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each library")
    parser.add_argument("--library", choices=LIBRARIES, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.library:
        run_library(options.library, options.threads[0])
        return 0
    libraries = [name for name in LIBRARIES if importlib.util.find_spec(name) is not None]
    print(f"{'library':9}{'call':18}{'threads':>8}{'ms':>9}{'/ kernels':>11}")
    for threads in options.threads:
        best: dict[tuple[str, str], float] = {}
        for _ in range(options.rounds):
            for library in libraries:
                for name, ms in turn(library, threads).items():
                    best[library, name] = min(best.get((library, name), ms), ms)
        for (library, name), ms in best.items():
            ratio = ms / best["ebagx", "kernels"]
            print(f"{library:9}{name:18}{threads:8}{ms:9.3f}{ratio:11.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
