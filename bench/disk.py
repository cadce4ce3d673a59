"""Time training and lookups in tables on disk: python bench/disk.py --folder /data --gigabytes 25.

Two files of this size are written, a table and the state of Adagrad, and deleted at the end. The
figures are those of a table that is larger than memory only if both files together are. Each way of
reading starts without a page of them in memory:

* plain: the system reads ahead, and pages are read one by one, as without advice;
* random: the maps are advised that they are read in random order;
* asked: each batch asks for its pages, what ebagx does;
* ahead: a thread calls `EmbeddingBag.prefetch` for the next batch, too.

The last part repeats one batch, whose pages are then in memory: the cost of the advice.
"""

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

import ebagx
from ebagx._core import maps

WAYS = ("plain", "random", "asked", "ahead")
CHUNK = 1 << 26  # bytes that are written at a time


def write(path: Path, num_bytes: int) -> float:
    """Fill a file with small numbers, on the disk; return the seconds."""
    numbers = np.random.default_rng(0).random(CHUNK // 4, np.float32).tobytes()
    start = time.perf_counter()
    with path.open("wb", buffering=0) as file:
        left = num_bytes
        while left:
            left -= file.write(numbers[:left])
        os.fsync(file.fileno())
    return time.perf_counter() - start


def read_ahead_of(path: Path) -> str:
    """Return how much the system reads ahead on the disk of a file."""
    number = path.stat().st_dev
    device = Path(f"/sys/dev/block/{os.major(number)}:{os.minor(number)}")
    for folder in (device, device.resolve().parent):
        try:
            return f"{int((folder / 'queue/read_ahead_kb').read_text()):,} kB"
        except OSError:
            pass
    return "unknown"


def memory_of_process() -> float:
    """Return the GB of files that the process has in memory, where the system tells."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return float("nan")
    return next(int(line.split()[1]) for line in lines if line.startswith("RssFile:")) / 1e6


def evict(path: Path) -> None:
    """Drop the pages of a file from memory."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


@contextmanager
def advised(way: str) -> Iterator[None]:
    """Leave out the advice that a way of reading does without."""
    with ExitStack() as stack:
        if way == "plain":
            stack.enter_context(mock.patch.object(maps, "_advise"))
        if way in ("plain", "random"):
            stack.enter_context(mock.patch.object(maps, "read_ahead", return_value=False))
        yield


class Training:
    """A table and the state of its optimizer, both in memory maps."""

    def __init__(self, paths: list[Path], num_rows: int, dim: int) -> None:
        shape = num_rows, dim
        table, state = (np.memmap(path, np.float32, "r+", shape=shape) for path in paths)
        self.bag = ebagx.EmbeddingBag.from_pretrained(table, freeze=False, mode="sum")
        self.optimizer = ebagx.optim.Adagrad(learning_rate=1e-6)
        states: dict[str, Any] = {**self.optimizer.state_dict(), "squares": state}
        self.optimizer.load_state_dict(states, copy=False)

    def step(self, batch: np.ndarray) -> float:
        """Take one step; return the seconds of its forward pass."""
        start = time.perf_counter()
        pooled = self.bag(batch)
        seconds = time.perf_counter() - start
        self.bag.backward_update(pooled, self.optimizer)
        return seconds

    def prefetch(self, batch: np.ndarray) -> None:
        """Ask for the pages of a step."""
        self.bag.prefetch(batch, optimizer=self.optimizer)


Seconds = list[tuple[float, float]]


def times_of_steps(
    training: Training, batches: list[np.ndarray], way: str, limit: float
) -> Seconds:
    """Return the seconds of each step and of its forward pass, until the steps take the limit."""
    seconds: Seconds = []
    with ThreadPoolExecutor(1) as thread:
        for k, batch in enumerate(batches):
            start = time.perf_counter()
            following = batches[k + 1 : k + 2] if way == "ahead" else []
            asked = [thread.submit(training.prefetch, other) for other in following]
            forward = training.step(batch)
            for future in asked:
                future.result()
            seconds.append((time.perf_counter() - start, forward))
            if sum(step for step, _ in seconds) > limit:
                break
    return seconds


def shortest(call: Any, repeats: int = 30) -> float:
    """Return the shortest time of some calls in microseconds."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return min(times) * 1e6


def report_cold(paths: list[Path], shape: tuple[int, int], args: argparse.Namespace) -> None:
    """Print a line for each way of reading."""
    print("| way | steps | first step, s | others, median | of which forward | GB in memory |")
    print("|---|---|---|---|---|---|")
    for number, way in enumerate(args.ways):
        for path in paths:
            evict(path)
        rng = np.random.default_rng(number)
        batches = [rng.integers(0, shape[0], args.batch) for _ in range(args.steps)]
        with advised(way):
            training = Training(paths, *shape)
            seconds = times_of_steps(training, batches, way, args.seconds)
            columns = zip(*(seconds[1:] or [(float("nan"),) * 2]), strict=True)
            step, forward = map(statistics.median, columns)
            figures = f"{len(seconds)} | {seconds[0][0]:.2f} | {step:.2f} | {forward:.2f}"
            print(f"| {way} | {figures} | {memory_of_process():.1f} |", flush=True)
            del training


def report_warm(paths: list[Path], shape: tuple[int, int], args: argparse.Namespace) -> None:
    """Print the times of calls whose pages are in memory, with and without the advice."""
    print("\n| in memory, us | map | map without advice | ordinary array |")
    print("|---|---|---|---|")
    rows = min(shape[0], 100_000)
    mapped = np.memmap(paths[0], np.float32, "r", shape=(rows, shape[1]))
    copied = np.array(mapped)
    rng = np.random.default_rng(0)
    for name, size in (("one bag of ten", (1, 10)), ("the batch", tuple(args.batch))):
        ids, times = rng.integers(0, rows, size), []
        for table, way in ((mapped, "asked"), (mapped, "plain"), (copied, "plain")):
            with advised(way):
                bag = ebagx.EmbeddingBag.from_pretrained(table, mode="sum")
                times.append(shortest(lambda bag=bag, ids=ids: bag(ids), 2000))
        print(f"| {name} | {' | '.join(f'{us:.1f}' for us in times)} |")


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--gigabytes", type=float, default=5, help="of each of two files")
    parser.add_argument("--dim", type=int, default=100)
    parser.add_argument("--batch", type=int, nargs=2, default=(256, 20), help="bags, ids of each")
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=60, help="limit for each way of reading")
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=WAYS)
    args = parser.parse_args()
    if not hasattr(os, "posix_fadvise"):
        parser.error("this system has no posix_fadvise, by which pages are dropped from memory")
    shape = int(args.gigabytes * 1e9) // (4 * args.dim), args.dim
    num_bytes = 4 * shape[0] * shape[1]
    with tempfile.TemporaryDirectory(dir=args.folder, prefix="ebagx-disk-") as folder:
        paths = [Path(folder, name) for name in ("table", "state")]
        seconds = sum(write(path, num_bytes) for path in paths)
        speed = 2 * num_bytes / seconds / 1e9
        print(f"2 files of {num_bytes / 1e9:.1f} GB, {shape[0]:,} x {shape[1]} float32")
        print(f"written at {speed:.2f} GB/s; read-ahead of the disk: {read_ahead_of(paths[0])}\n")
        report_cold(paths, shape, args)
        report_warm(paths, shape, args)
    return 0


if __name__ == "__main__":
    sys.exit(main())
