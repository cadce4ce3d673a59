"""Simulate a round of training on a cluster, transfer by transfer, against the model of `estimate`.

    python bench/dask_simulation.py                        # 16 to 1,024 workers
    python bench/dask_simulation.py --blocks 0             # a block for each worker

No cluster is needed. The scheduler starts one task after the other; a transfer takes the links of
both its ends, which carry one transfer at a time; each worker has one core. The model adds up the
parts of a round instead, and takes all links for equally busy. The workload is that of the notes on
`estimate`: a thousand million texts of 50 words, 10 million rows of 100 columns, RowwiseAdagrad.
"""

import argparse
import sys
from typing import NamedTuple

import numpy as np

from ebagx.dask import estimate
from ebagx.dask._estimate import (
    ADDITIONS_PER_SECOND,
    LOOKUPS_PER_SECOND,
    MOST_BLOCKS,
    SECONDS_PER_TASK,
    touched_rows,
)

TEXTS, WORDS, ROWS, DIM, LINK = 1_000_000_000, 50, 10_000_000, 100, 5e8
ROW_BYTES = 4 * (DIM + 1 + 1)  # a row, its state, its number


class Cluster:
    """The times until which the links, the cores and the scheduler of a cluster are busy."""

    def __init__(self, num_workers: int) -> None:
        self.link, self.core = np.zeros(num_workers), np.zeros(num_workers)
        self._scheduler = 0.0

    def task(self) -> float:
        """Return the time at which the scheduler has handled one more task."""
        self._scheduler += SECONDS_PER_TASK
        return self._scheduler

    def transfer(self, source: int, target: int, num_bytes: float, ready: float) -> float:
        """Return the time at which a transfer ends."""
        if source == target:
            return ready
        start = max(ready, self.link[source], self.link[target])
        self.link[[source, target]] = start + num_bytes / LINK
        return float(start + num_bytes / LINK)

    def compute(self, worker: int, seconds: float, ready: float) -> float:
        """Return the time at which a computation ends."""
        self.core[worker] = max(ready, self.core[worker]) + seconds
        return float(self.core[worker])


class Round(NamedTuple):
    """Seconds of a round: simulated, by the model, and of computation alone."""

    simulated: float
    by_model: float
    compute: float


def simulated(num_workers: int, num_blocks: int) -> Round:
    """Simulate a round in which each worker trains one shard, and the first ones keep a block."""
    cluster = Cluster(num_workers)
    lookups = TEXTS * WORDS / num_workers
    touched, compute = touched_rows(lookups, ROWS), lookups / LOOKUPS_PER_SECOND
    piece = touched / num_blocks * ROW_BYTES
    # Neighbouring transfers have different ends, as those of a cluster at work.
    pairs = [(k, (k + i) % num_blocks) for i in range(num_blocks) for k in range(num_workers)]
    taken, given = np.zeros(num_workers), np.zeros(num_blocks)
    for shard, block in pairs:
        taken[shard] = max(taken[shard], cluster.transfer(block, shard, piece, cluster.task()))
    trained = np.array(
        [
            cluster.compute(shard, compute, max(taken[shard], cluster.task()))
            for shard in range(num_workers)
        ]
    )
    for shard, block in pairs:
        ready = max(trained[shard], cluster.task())
        given[block] = max(given[block], cluster.transfer(shard, block, piece, ready))
    additions = num_workers * touched / num_blocks * DIM / ADDITIONS_PER_SECOND
    ends = [cluster.compute(block, additions, given[block]) for block in range(num_blocks)]
    by_model = estimate(
        *(TEXTS, num_workers),
        embedding_dim=DIM,
        lookups_per_row=WORDS,
        num_embeddings=ROWS,
        link_bytes_per_second=LINK,
    )
    return Round(max(ends), by_model.seconds_per_pass, compute)


def main() -> int:
    """Print a line for each number of workers."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--workers", nargs="+", type=int, default=[16, 32, 64, 128, 256, 512, 1024])
    parser.add_argument("--blocks", type=int, default=MOST_BLOCKS, help="0: one for each worker")
    options = parser.parse_args()
    print(f"{'workers':>7}{'blocks':>7}{'compute s':>11}{'model s':>9}{'simulated s':>13}")
    for workers in options.workers:
        blocks = min(options.blocks or workers, workers)
        of_round = simulated(workers, blocks)
        times = f"{of_round.compute:11.1f}{of_round.by_model:9.1f}{of_round.simulated:13.1f}"
        print(f"{workers:7}{blocks:7}{times}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
