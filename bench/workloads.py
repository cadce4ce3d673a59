"""Define the workloads of the benchmark: shapes of table and bags, drawn from fixed seeds."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Workload:
    """Shape of a table and of the bags looked up in it.

    Parameters
    ----------
    name : str
        Name on the command line.
    num_embeddings, embedding_dim : int
        Shape of the table.
    num_bags : int
        Bags in one call.
    mean_length : int
        Mean of the Poisson distribution of lookups per bag; no bag is empty, because
        ``np.add.reduceat`` cannot represent one.
    zipf : float or None
        Exponent of the popularity of the rows; None for uniform rows.
    """

    name: str
    num_embeddings: int
    embedding_dim: int
    num_bags: int
    mean_length: int
    zipf: float | None


COMPARED = {
    workload.name: workload
    for workload in (
        Workload("small64", 10_000, 64, 1024, 32, zipf=None),
        Workload("zipf100", 100_000, 100, 2048, 50, zipf=1.2),
        Workload("uni128", 1_000_000, 128, 4096, 32, zipf=None),
        Workload("zipf128", 1_000_000, 128, 4096, 32, zipf=1.2),
    )
}

# The cost of one batch must not grow with the size of the table; these are for ebagx alone.
FLAT = {
    workload.name: workload
    for workload in (
        Workload("flat100k", 100_000, 16, 4096, 32, zipf=1.2),
        Workload("flat1m", 1_000_000, 16, 4096, 32, zipf=1.2),
        Workload("flat10m", 10_000_000, 16, 4096, 32, zipf=1.2),
    )
}

WORKLOADS = COMPARED | FLAT


# The giant bag has so many lookups, and so many usual bags follow it. A library whose threads
# take whole bags leaves the giant one to a single thread.
GIANT_LENGTH = 1_000_000
GIANT_FOLLOWERS = 1000


@dataclass(frozen=True)
class Data:
    """Arrays of one workload, the same in every process.

    ``indices``, ``offsets`` and ``per_sample_weights`` are one batch of bags, ``weight`` is the
    table and ``grad_output`` the gradient of one pooled batch.
    """

    workload: Workload
    weight: npt.NDArray[np.float32]
    indices: npt.NDArray[np.int64]
    indptr: npt.NDArray[np.int64]
    per_sample_weights: npt.NDArray[np.float32]
    grad_output: npt.NDArray[np.float32]

    @property
    def offsets(self) -> npt.NDArray[np.int64]:
        """Start of each bag."""
        return self.indptr[:-1]

    @cached_property
    def lengths(self) -> npt.NDArray[np.int64]:
        """Lookups of each bag."""
        return np.diff(self.indptr)

    @cached_property
    def bag_of_lookup(self) -> npt.NDArray[np.int64]:
        """Bag that each lookup belongs to."""
        return np.repeat(np.arange(len(self.lengths)), self.lengths)

    @property
    def padding_idx(self) -> int:
        """A row that does occur in the bags."""
        return int(self.indices[0])

    @cached_property
    def giant(self) -> "Data":
        """The same table with another batch: a giant bag before a thousand usual ones."""
        lengths = giant_lengths(self.workload)
        indices = draw_rows(self.workload, int(lengths.sum()), np.random.default_rng(1))
        return replace(self, indices=indices, indptr=np.concatenate(([0], np.cumsum(lengths))))


def draw_lengths(workload: Workload, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """Draw the number of lookups of each bag."""
    return np.maximum(rng.poisson(workload.mean_length, workload.num_bags), 1)


def count_lookups(workload: Workload, seed: int = 0) -> int:
    """Count the lookups of one batch, without making its arrays."""
    return int(draw_lengths(workload, np.random.default_rng(seed)).sum())


def giant_lengths(workload: Workload) -> npt.NDArray[np.int64]:
    """Return the number of lookups of each bag of `Data.giant`."""
    followers = draw_lengths(workload, np.random.default_rng(0))[:GIANT_FOLLOWERS]
    return np.concatenate(([GIANT_LENGTH], followers))


def count_giant_lookups(workload: Workload) -> int:
    """Count the lookups of the batch with a giant bag, without making its arrays."""
    return int(giant_lengths(workload).sum())


def draw_rows(workload: Workload, size: int, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """Draw the row of each lookup.

    Popular rows are scattered over the table by a permutation, as hashed or arbitrary ids are:
    with the popular rows side by side, the hot part of the table would span a few pages and
    every library would look better than it is.
    """
    num_rows = workload.num_embeddings
    if workload.zipf is None:
        return rng.integers(num_rows, size=size)
    cumulated = np.cumsum(np.arange(1, num_rows + 1) ** -workload.zipf)
    ranks = np.searchsorted(cumulated, rng.random(size) * cumulated[-1])
    scattered: npt.NDArray[np.int64] = rng.permutation(num_rows)[ranks]
    return scattered


def make_data(workload: Workload, seed: int = 0) -> Data:
    """Draw the arrays of a workload.

    Examples
    --------
    >>> data = make_data(WORKLOADS["small64"])
    >>> data.weight.shape, len(data.offsets)
    ((10000, 64), 1024)
    """
    rng = np.random.default_rng(seed)
    lengths = draw_lengths(workload, rng)
    num_lookups = int(lengths.sum())
    num_rows, dim = workload.num_embeddings, workload.embedding_dim
    return Data(
        workload=workload,
        indices=draw_rows(workload, num_lookups, rng),
        indptr=np.concatenate(([0], np.cumsum(lengths))),
        per_sample_weights=rng.random(num_lookups, dtype=np.float32),
        grad_output=rng.standard_normal((workload.num_bags, dim), dtype=np.float32),
        weight=rng.standard_normal((num_rows, dim), dtype=np.float32),
    )
