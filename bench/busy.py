"""Time calls on a busy machine: the default number of threads against one thread.

    python bench/busy.py                               # beside 0, 1 and 2 processes that compute
    python bench/busy.py --busy 0 --callers 4          # from four threads of Python at a time
    python bench/busy.py --busy 0 --processes 2        # from two processes at a time
    python bench/busy.py --operations fit --busy 1 2   # training

Processes with the default number of threads and such with ``num_threads=1`` take turns. The mean
time of a call counts, as the calls that wait for a thread are few and long. Ratios above 1.3 have a
star. Times are in microseconds.
"""

import argparse
import multiprocessing
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

NUM_ROWS, DIM, LENGTH, NUM_CLASSES = 100_000, 64, 20, 10
SIZES = (50e-6, 200e-6, 1e-3, 5e-3)  # seconds that a call takes on one thread
OPERATIONS = dict.fromkeys(("sum", "max", "rows", "adagrad"), SIZES)
OPERATIONS["dense"] = SIZES[3:]  # whose zeros take 1 ms
OPERATIONS["fit"] = (50e-3,)
LIMIT = 1.3
PAUSE = 0.05  # seconds until the threads of OpenMP sleep

Call = Callable[[], object]
Task = tuple[str, int]  # an operation, and a number of bags


def make_call(operation: str, num_bags: int, num_threads: int | None) -> Call:
    """Return a call of an operation for so many bags of 20 ids."""
    import ebagx

    rng = np.random.default_rng(0)
    ids = rng.integers(0, NUM_ROWS, (num_bags, LENGTH))
    if operation == "fit":
        return make_fit(ids, rng.integers(0, NUM_CLASSES, num_bags), num_threads)
    table = rng.standard_normal((NUM_ROWS, DIM), np.float32)
    grad, total = np.ones((num_bags, DIM), np.float32), np.zeros_like(table)
    optimizer = ebagx.optim.Adagrad(1e-3, num_threads=num_threads)
    options: dict[str, Any] = {"mode": "sum", "num_threads": num_threads}
    gradient = ebagx.embedding_bag_backward(grad, ids, table, sparse="rows", **options).weight
    calls: dict[str, Call] = {
        "sum": lambda: ebagx.embedding_bag(ids, table, **options),
        "max": lambda: ebagx.embedding_bag(ids, table, mode="max", num_threads=num_threads),
        "rows": lambda: ebagx.embedding_bag_backward(grad, ids, table, sparse="rows", **options),
        "dense": lambda: ebagx.embedding_bag_backward(grad, ids, table, out=total, **options),
        "adagrad": lambda: optimizer.update(table, gradient),
    }
    return calls[operation]


def make_fit(ids: np.ndarray, labels: np.ndarray, num_threads: int | None) -> Call:
    """Return a call that trains a classifier, two passes in batches of 128 bags."""
    from scipy import sparse

    from ebagx.sklearn import EmbeddingBagClassifier

    starts = np.arange(0, ids.size + 1, LENGTH)
    counts = np.ones(ids.size, np.float32)
    X = sparse.csr_array((counts, ids.ravel() % 5000, starts), (len(ids), 5000))
    model = EmbeddingBagClassifier(DIM, max_iter=2, random_state=0, num_threads=num_threads)
    return lambda: model.fit(X, labels)


def mean_time(call: Call, seconds: float) -> float:
    """Return the mean time of a call that is repeated for so many seconds."""
    count, started = 0, time.perf_counter()
    while (spent := time.perf_counter() - started) < seconds:
        call()
        count += 1
    return spent / count


def bags_of_size(operation: str, size: float) -> int:
    """Return how many bags make a call of an operation take so many seconds on one thread."""
    num_bags = 64
    for _ in range(4):
        call = make_call(operation, num_bags, 1)
        call()
        best = min(mean_time(call, 2e-3) for _ in range(5))
        num_bags = max(1, round(num_bags * min(size / best, 8)))
    return num_bags


def mean_of_callers(call: Call, seconds: float, callers: int) -> float:
    """Return the mean time of a call that so many threads of Python make at the same time."""
    with ThreadPoolExecutor(callers) as pool:
        return float(np.mean(list(pool.map(mean_time, [call] * callers, [seconds] * callers))))


def work(pipe: Connection, num_threads: int | None, callers: int) -> None:
    """Take a task or time its calls, as the other end of a pipe says."""
    call: Call = int
    while (order := pipe.recv()) is not None:
        if isinstance(order, tuple):
            call = make_call(*order, num_threads)
            call()
        else:
            pipe.send(mean_of_callers(call, order, callers))


def spin() -> None:
    """Compute until the process is killed."""
    while True:
        pass


def compare(
    groups: Sequence[Sequence[Connection]], task: Task, turns: int, seconds: float
) -> list[float]:
    """Return the mean time of a call in each group of processes; the groups take turns."""
    times = np.zeros(len(groups))
    for pipe in chain(*groups):
        pipe.send(task)
    for _ in range(turns):
        for number, group in enumerate(groups):
            time.sleep(PAUSE)
            for pipe in group:
                pipe.send(seconds)
            times[number] += np.mean([pipe.recv() for pipe in group])
    return list(times / turns)


def report(busy: int, task: str, size: float, default: float, alone: float) -> None:
    """Print a line of the table."""
    figures = f"{1e6 * size:9.0f}{1e6 * default:12.0f}{1e6 * alone:10.0f}{default / alone:7.2f}"
    print(f"{busy:4}  {task:9}{figures}{' *' if default > LIMIT * alone else ''}", flush=True)


def parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--busy", nargs="+", type=int, default=[0, 1, 2], metavar="N")
    parser.add_argument("--callers", type=int, default=1, help="threads of Python that call")
    parser.add_argument("--processes", type=int, default=1, help="that call at the same time")
    names = [name for name in OPERATIONS if name != "fit"]
    parser.add_argument("--operations", nargs="+", choices=OPERATIONS, default=names)
    parser.add_argument("--turns", type=int, default=3, help="of each number of threads")
    parser.add_argument("--seconds", type=float, default=0.25, help="of each turn")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a line for each number of busy processes, operation and size."""
    options = parse_arguments(arguments)
    context = multiprocessing.get_context("spawn")
    tasks = [
        (name, size, bags_of_size(name, size))
        for name in options.operations
        for size in OPERATIONS[name]
    ]
    groups: list[list[Connection]] = [[], []]
    for group, num_threads in zip(groups, (None, 1), strict=True):
        for _ in range(options.processes):
            pipe, other = context.Pipe()
            group.append(pipe)
            given = other, num_threads, options.callers
            context.Process(target=work, args=given, daemon=True).start()
    print(f"{'busy':>4}  {'call':9}{'size':>9}{'default':>12}{'1 thread':>10}{'ratio':>7}")
    for busy in options.busy:
        others = [context.Process(target=spin, daemon=True) for _ in range(busy)]
        for process in others:
            process.start()
        for name, size, num_bags in tasks:
            default, alone = compare(groups, (name, num_bags), options.turns, options.seconds)
            report(busy, name, size, default, alone)
        for process in others:
            process.kill()
    for pipe in chain(*groups):
        pipe.send(None)
    return 0


if __name__ == "__main__":
    sys.exit(main())
