"""Time training on a cluster of one machine, and measure the constants of `ebagx.dask.estimate`.

    python bench/dask_scale.py                             # 160,000 texts: a minute
    python bench/dask_scale.py --json dask-scale.json
    python bench/dask_scale.py --texts 20000 --turns 1     # a trial

The texts are made: 30 words each by Zipf's law, of 200,000 different ones, in 10 classes, and 64
dimensions. A pass is timed as a difference: that of `fit` with seven passes and with three, a
quarter of it. Local `fit`, a cluster of one worker and one of two, each worker with one thread,
take turns, and the best time of each number of passes counts. Targets: one worker takes at most
1.3 times as long as local `fit`, two workers are at least 1.6 times as fast as one.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

os.environ["OMP_NUM_THREADS"] = "1"  # before NumPy and ebagx are imported, here and in workers

import dask.array as da
import numpy as np
from distributed import Client, LocalCluster, wait
from scipy import sparse

import machine
from dask import delayed
from ebagx.dask import DaskEmbeddingBagClassifier
from ebagx.dask._combine import Sharing, combine
from ebagx.dask._estimate import SHARE_TOUCHED, touched_rows
from ebagx.dask._round import Block, Piece
from ebagx.optim import RowwiseAdagrad
from ebagx.sklearn import EmbeddingBagClassifier

WORDS, CLASSES, NUM_ROWS, DIM = 30, 10, 200_000, 64
WAYS = ("local fit", "1 worker", "2 workers")
SHARDS = 4
FEW, MANY = 3, 7  # passes; the first three have more rounds
MOST_OF_LOCAL, LEAST_GAIN = 1.3, 1.6
SENT = 1 << 26  # bytes
TASKS = 2000


class Chunk(NamedTuple):
    """Counts of some texts, and their classes."""

    X: sparse.csr_array
    y: np.ndarray


def chunk(number: int, num_texts: int) -> Chunk:
    """Make texts: one word in five is from a range of words that the class prefers."""
    rng = np.random.default_rng([0, number])
    labels = rng.integers(CLASSES, size=num_texts)
    weights = 1 / (np.arange(NUM_ROWS) + 10.0)
    drawn = np.searchsorted(np.cumsum(weights / weights.sum()), rng.random((num_texts, WORDS)))
    words = np.minimum(drawn, NUM_ROWS - 1)
    own = 1000 + 200 * labels[:, np.newaxis] + rng.integers(200, size=words.shape)
    words = np.where(rng.random(words.shape) < 0.2, own, words).astype(np.int32)
    ends = np.arange(num_texts + 1, dtype=np.int32) * WORDS
    counts = np.ones(words.size, np.float32), words.ravel(), ends
    X = sparse.csr_array(counts, (num_texts, NUM_ROWS))
    X.sum_duplicates()
    return Chunk(X, labels)


def collections(num_texts: int) -> tuple[Any, Any]:
    """Return the texts and classes as arrays of Dask, each chunk of which is made on a worker."""
    rows = num_texts // SHARDS
    empty = sparse.csr_array((0, NUM_ROWS), dtype=np.float32)
    made = [delayed(chunk)(number, rows) for number in range(SHARDS)]
    X = [da.from_delayed(each[0], (rows, NUM_ROWS), meta=empty) for each in made]
    y = [da.from_delayed(each[1], (rows,), dtype=np.int64) for each in made]
    return da.concatenate(X), da.concatenate(y)


class Times(NamedTuple):
    """The seconds of two trainings of different length."""

    few: float = float("inf")
    many: float = float("inf")

    @property
    def of_pass(self) -> float:
        """The seconds of a late pass."""
        return (self.many - self.few) / (MANY - FEW)

    def best(self, other: "Times") -> "Times":
        """Return the shorter times: the least difference would be that of a disturbed start."""
        return Times(*map(min, self, other))


def times_of(fit: Callable[[int], object]) -> Times:
    """Return the times of a training with few and with many passes."""
    times = []
    for passes in (FEW, MANY):
        start = time.perf_counter()
        fit(passes)
        times.append(time.perf_counter() - start)
    return Times(*times)


def local_times(whole: Chunk, optimizer: str) -> Times:
    """Return the times of the estimator in memory, on one thread."""
    options = {"optimizer": optimizer, "random_state": 0, "num_threads": 1}
    return times_of(
        lambda passes: EmbeddingBagClassifier(DIM, max_iter=passes, **options).fit(*whole)
    )


def cluster_times(client: Client, num_texts: int, optimizer: str) -> Times:
    """Return the times on a cluster."""
    X, y = (part.persist() for part in collections(num_texts))
    wait([X, y])
    options = {"optimizer": optimizer, "random_state": 0, "num_threads": 1, "client": client}
    return times_of(
        lambda passes: DaskEmbeddingBagClassifier(DIM, max_iter=passes, **options).fit(X, y)
    )


def connected(num_workers: int) -> Client:
    """Start a cluster of workers with one thread each; the client closes it."""
    options = {"dashboard_address": None, "memory_limit": 0}
    cluster = LocalCluster(n_workers=num_workers, threads_per_worker=1, **options)
    client = Client(cluster)
    client.wait_for_workers(num_workers)
    return client


def close(client: Client) -> None:
    """Close a client and its cluster."""
    cluster = client.cluster
    client.close()
    cluster.close()


def scheduler_seconds(client: Client) -> float:
    """Return the time of a task that does nothing, of many at a time."""
    start = time.perf_counter()
    client.gather(client.map(_nothing, range(TASKS), pure=False))
    return (time.perf_counter() - start) / TASKS


def _nothing(value: int) -> int:
    return value


def link_rate(client: Client) -> float:
    """Return the bytes per second that one worker sends to another."""
    source, target = client.scheduler_info()["workers"]
    best = float("inf")
    for _ in range(3):
        sent = client.submit(np.ones, SENT // 8, workers=[source], pure=False)
        wait(sent)
        start = time.perf_counter()
        wait(client.submit(len, sent, workers=[target], pure=False))
        best = min(best, time.perf_counter() - start)
    return SENT / best


def additions_per_second() -> float:
    """Return the numbers per second that a block adds up."""
    rng, touched = np.random.default_rng(0), NUM_ROWS // 2
    arrays = np.zeros((NUM_ROWS, DIM), np.float32), np.zeros((NUM_ROWS, 1), np.float32)
    pieces = []
    for _ in range(SHARDS):
        rows = np.sort(rng.permutation(NUM_ROWS)[:touched])
        values = tuple(np.ones((touched, array.shape[1]), np.float32) for array in arrays)
        pieces.append(Piece(rows, values, np.full(touched, DIM, np.float32)))
    start = time.perf_counter()
    combine(Block(0, arrays), Sharing.of(RowwiseAdagrad()), 1, *pieces)
    return SHARDS * touched * DIM / (time.perf_counter() - start)


def touched_share(whole: Chunk) -> float:
    """Return the part of the rows that uniform lookups would touch which a shard does touch."""
    shard = whole.X[: whole.X.shape[0] // SHARDS]
    return SHARE_TOUCHED * len(np.unique(shard.indices)) / touched_rows(shard.nnz, NUM_ROWS)


def measure(num_texts: int, turns: int, optimizer: str) -> dict[str, float]:
    """Return the times of a pass, and the constants."""
    parts = [chunk(number, num_texts // SHARDS) for number in range(SHARDS)]
    X = sparse.vstack([part.X for part in parts], format="csr")
    whole = Chunk(X, np.concatenate([part.y for part in parts]))
    best = dict.fromkeys(WAYS, Times())
    figures = {}
    for _ in range(turns):
        best[WAYS[0]] = best[WAYS[0]].best(local_times(whole, optimizer))
        for workers, name in enumerate(WAYS[1:], 1):
            client = connected(workers)
            best[name] = best[name].best(cluster_times(client, num_texts, optimizer))
            if workers == 2:
                figures["seconds per task"] = scheduler_seconds(client)
                figures["bytes per second between workers"] = link_rate(client)
            close(client)
    figures["lookups per second"] = X.nnz / best[WAYS[0]].of_pass
    figures["additions per second"] = additions_per_second()
    figures["share of rows touched"] = touched_share(whole)
    passes = {f"seconds of a pass, {name}": times.of_pass for name, times in best.items()}
    return passes | figures


def main() -> int:
    """Print the times, the constants and the targets."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--texts", type=int, default=160_000)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--optimizer", default="rowwise_adagrad")
    parser.add_argument("--json", type=Path, help="write the figures to a file")
    options = parser.parse_args()
    described = machine.describe()
    figures = measure(options.texts, options.turns, options.optimizer)
    for name, value in (described | figures).items():
        print(f"{name:36}{value if isinstance(value, str) else f'{value:.4g}'}")
    local, one, two = (figures[f"seconds of a pass, {name}"] for name in WAYS)
    for name, ratio, is_met in (
        (f"1 worker / local fit <= {MOST_OF_LOCAL}", one / local, one / local <= MOST_OF_LOCAL),
        (f"1 worker / 2 workers >= {LEAST_GAIN}", one / two, one / two >= LEAST_GAIN),
    ):
        print(f"{name:36}{ratio:.2f} {'met' if is_met else 'MISSED'}")
    if options.json:
        options.json.write_text(json.dumps({"machine": described, "figures": figures}, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
