"""A cost model of training on a cluster: seconds and bytes of one pass over the data.

The time of a pass on W workers with one core each, S = W shards, J row blocks and R rounds a pass::

    compute    lookups / (W c)
    exchange   R bytes / B               bytes = 2 * 2 U (4 D + 4 s + 4), in and out of a worker
    scheduler  R S (3 J + 4) t           one task for each pair of a shard and a block, and others
    combine    R S U D / (J a)           each block adds up the changes of all shards

c is the rate of one core in lookups a second, B that of a link in bytes a second, D the number of
columns, s the number of floats of optimizer state a row, U the number of rows that a shard touches
in a round, t the time of a task in the scheduler, and a the rate of additions. The parts follow one
another. A worker sends and receives its rows twice, as a shard and as the owner of a block.

The driver's own link is not part of the model: without ``checkpoint=`` the model passes through it
once in each direction in a round.
"""

import math
import sys
from typing import NamedTuple

from ebagx._core.arguments import POSITIVE, check_integer, check_number, check_one_of
from ebagx._training.optimizers import OPTIMIZERS
from ebagx.optim.planning import rule_of

# ``bench/dask_scale.py`` measures them.
LOOKUPS_PER_SECOND = 9.5e6  # of one core in `fit`, with 64 columns
SECONDS_PER_TASK = 1e-3  # in the scheduler, which is one thread
ADDITIONS_PER_SECOND = 1e8
MOST_BLOCKS = 16  # more make rounds of many shards wait for the scheduler
# Texts use few words often: a shard touches half of the rows that uniform lookups would touch.
SHARE_TOUCHED = 0.5

_BYTES = 4  # of a float and of a row number
_MOST = sys.maxsize  # larger integers are beyond float


class Estimate(NamedTuple):
    """The cost of one pass over the data on a cluster.

    Attributes
    ----------
    seconds_per_pass : float
        Time of a pass.
    bytes_per_pass : float
        Traffic in and out of each worker.
    efficiency : float
        The part of the time in which workers train.

    Examples
    --------
    >>> from ebagx.dask import estimate
    >>> estimate(10**9, n_workers=16).efficiency > 0.9
    True
    """

    seconds_per_pass: float
    bytes_per_pass: float
    efficiency: float


def estimate(
    n_rows: int,
    n_workers: int,
    *,
    embedding_dim: int = 100,
    lookups_per_row: float = 50,
    num_embeddings: int = 10_000_000,
    link_bytes_per_second: float = 5e8,
    optimizer: str = "rowwise_adagrad",
    rounds_per_pass: int = 1,
) -> Estimate:
    """Estimate the cost of a pass of `DaskEmbeddingBagClassifier` before there is a cluster.

    The estimate needs neither data nor Dask. Workers have one core each, each trains one shard, and
    the model is kept in one block for each worker, in at most 16.

    Parameters
    ----------
    n_rows : int
        Number of rows of X (texts), at least 1.
    n_workers : int
        Number of workers, at least 1.
    embedding_dim : int, default=100
        Number of columns of the table.
    lookups_per_row : float, default=50
        Mean number of entries in a row of X.
    num_embeddings : int, default=10_000_000
        Number of columns of X, which are rows of the table.
    link_bytes_per_second : float, default=5e8
        Rate at which a worker sends or receives data: about half of what the link can carry, as
        Dask copies it. The default is that of 10 Gbit/s.
    optimizer : {"rowwise_adagrad", "adagrad", "sgd", "adam", "adamw"}, default="rowwise_adagrad"
        The optimizer, whose state travels with the rows.
    rounds_per_pass : int, default=1
        Number of exchanges in a pass.

    Returns
    -------
    Estimate
        A named tuple of ``seconds_per_pass``, ``bytes_per_pass`` (sent and received by each
        worker; one worker has no other to exchange with) and ``efficiency``, the part of the time
        in which workers train, between 0 and 1.

    Raises
    ------
    TypeError
        If a number has the wrong type.
    ValueError
        If a number is outside its range, or if the optimizer is another.

    Notes
    -----
    The times come from a model with constants that were measured on one machine, so that they tell
    10 seconds from 100, not 10 from 12. A simulation of single transfers takes 7 per cent longer
    on 16 workers, 40 per cent on 64, and twice as long on 512 and more. An efficiency below a half
    says that fewer workers, fewer rounds, or an optimizer with less state would cost little time.

    Examples
    --------
    A thousand million texts of 50 words on 64 workers:

    >>> from ebagx.dask import estimate
    >>> cost = estimate(1_000_000_000, 64)
    >>> round(cost.seconds_per_pass), round(cost.efficiency, 2)
    (122, 0.67)
    >>> round(estimate(100_000, 64).efficiency, 2)
    0.0
    """
    n_rows = check_integer(n_rows, "n_rows", 1, _MOST)
    n_workers = check_integer(n_workers, "n_workers", 1, _MOST)
    check_integer(embedding_dim, "embedding_dim", 1, _MOST)
    check_number(lookups_per_row, "lookups_per_row", POSITIVE)
    check_integer(num_embeddings, "num_embeddings", 1, _MOST)
    check_number(link_bytes_per_second, "link_bytes_per_second", POSITIVE)
    check_one_of(optimizer, "optimizer", OPTIMIZERS)
    check_integer(rounds_per_pass, "rounds_per_pass", 1, _MOST)
    shard_lookups = n_rows * lookups_per_row / (n_workers * rounds_per_pass)
    rows = touched_rows(shard_lookups, num_embeddings)
    compute = n_rows * lookups_per_row / n_workers / LOOKUPS_PER_SECOND
    moved = rounds_per_pass * bytes_of_round(rows, embedding_dim, optimizer) if n_workers > 1 else 0
    overhead = moved / link_bytes_per_second + rounds_per_pass * (
        scheduler_seconds(n_workers) + combine_seconds(rows, embedding_dim, n_workers)
    )
    return Estimate(compute + overhead, moved, compute / (compute + overhead))


def touched_rows(lookups: float, num_embeddings: int) -> float:
    """Return the number of rows that so many lookups touch."""
    return SHARE_TOUCHED * num_embeddings * -math.expm1(-lookups / num_embeddings)


def bytes_of_round(rows: float, embedding_dim: int, optimizer: str) -> float:
    """Return the bytes in and out of a worker in a round: it sends and receives its rows twice."""
    rule = rule_of(OPTIMIZERS[optimizer]())
    state = rule.state_shape((1, embedding_dim))[1] * len(rule.states)
    return 2 * 2 * rows * _BYTES * (embedding_dim + state + 1)


def scheduler_seconds(n_workers: int) -> float:
    """Return the time that the scheduler takes for the tasks of a round."""
    return n_workers * (3 * _num_blocks(n_workers) + 4) * SECONDS_PER_TASK


def combine_seconds(rows: float, embedding_dim: int, n_workers: int) -> float:
    """Return the time in which each block adds up the changes of a round."""
    return n_workers * rows * embedding_dim / _num_blocks(n_workers) / ADDITIONS_PER_SECOND


def _num_blocks(n_workers: int) -> int:
    return min(n_workers, MOST_BLOCKS)
