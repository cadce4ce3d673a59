"""What is timed: the operations, the ratios wanted of each, and the values expected of each.

The expected values are computed in float64 by plain NumPy, for the first bags or the rows they
touch only, so that checking costs nothing beside timing.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from workloads import WORKLOADS, Data, Workload, count_lookups

FloatArray = npt.NDArray[Any]
Expected = tuple[FloatArray, ...]

MAX_NORM = 1.0
LEARNING_RATE = 0.01
NUM_PROBES = 16
# A popular row's gradient is a sum of thousands of float32 numbers of either sign.
GRADIENT_TOLERANCE = 1e-2


@dataclass(frozen=True)
class Target:
    """Wanted ratio of a peer's time to that of ebagx.

    ``mean`` is wanted of the geometric mean over the workloads, ``worst`` on each workload.
    """

    mean: float
    worst: float


@dataclass(frozen=True)
class Operation:
    """One operation of the benchmark.

    Parameters
    ----------
    name : str
        Name on the command line, and of the method that sets it up for each library.
    expected : callable
        Maps ``Data`` to the float64 arrays that a result must agree with.
    target : Target
        What is wanted against PyTorch.
    itemsize : int
        Bytes of an element of what is gathered.
    tolerance : float
        Relative and absolute, for comparison with ``expected``.
    workloads : tuple of str
        The workloads it makes sense on.
    num_lookups : int or None
        Lookups of one call; None for all of the workload.
    """

    name: str
    expected: Callable[[Data], Expected]
    target: Target
    itemsize: int = 4
    tolerance: float = 1e-4
    workloads: tuple[str, ...] = tuple(WORKLOADS)
    num_lookups: int | None = None

    def gathered_bytes(self, workload: Workload) -> int:
        """Count the bytes of the rows that one call looks up."""
        num_lookups = self.num_lookups or count_lookups(workload)
        return num_lookups * workload.embedding_dim * self.itemsize


def probe_bags(data: Data) -> list[slice]:
    """Return where the bags start and end that are checked."""
    return [slice(*data.indptr[bag : bag + 2]) for bag in range(NUM_PROBES)]


def probe_rows(data: Data) -> npt.NDArray[np.int64]:
    """Return the table rows whose gradient or update is checked."""
    return np.unique(data.indices[:NUM_PROBES])


def lookup(data: Data, bag: slice) -> FloatArray:
    """Return the table rows of one bag in float64."""
    return data.weight[data.indices[bag]].astype(np.float64)


def expect_sum(data: Data) -> Expected:
    """Sum of the rows of each bag."""
    return (np.stack([lookup(data, bag).sum(axis=0) for bag in probe_bags(data)]),)


def expect_mean(data: Data) -> Expected:
    """Mean of the rows of each bag."""
    return (np.stack([lookup(data, bag).mean(axis=0) for bag in probe_bags(data)]),)


def expect_weighted(data: Data) -> Expected:
    """Weighted sum of the rows of each bag."""
    weights = data.per_sample_weights
    return (np.stack([weights[bag] @ lookup(data, bag) for bag in probe_bags(data)]),)


def expect_max(data: Data) -> Expected:
    """Largest element per column, and the table row it comes from."""
    bags = probe_bags(data)
    values = np.stack([lookup(data, bag).max(axis=0) for bag in bags])
    rows = np.stack([data.indices[bag][lookup(data, bag).argmax(axis=0)] for bag in bags])
    return values, rows


def expect_padding(data: Data) -> Expected:
    """Sum of the rows of each bag but the padding row."""
    bags = probe_bags(data)
    kept = [data.indices[bag] != data.padding_idx for bag in bags]
    return (np.stack([keep @ lookup(data, bag) for keep, bag in zip(kept, bags, strict=True)]),)


def expect_max_norm(data: Data) -> Expected:
    """Sum of the rows of each bag, scaled down to the maximal norm."""
    sums = []
    for bag in probe_bags(data):
        rows = lookup(data, bag)
        norms = np.linalg.norm(rows, axis=1, keepdims=True)
        sums.append((rows * np.minimum(1.0, MAX_NORM / norms)).sum(axis=0))
    return (np.stack(sums),)


def expect_gradient(data: Data) -> Expected:
    """Gradient of the sum, for the probed rows."""
    gradient = [
        data.grad_output[data.bag_of_lookup[data.indices == row]].sum(axis=0, dtype=np.float64)
        for row in probe_rows(data)
    ]
    return (np.stack(gradient),)


def expect_step(data: Data) -> Expected:
    """Table after the first step of Adagrad, which moves by the sign of the gradient."""
    (gradient,) = expect_gradient(data)
    return (data.weight[probe_rows(data)] - LEARNING_RATE * np.sign(gradient),)


def expect_ten(data: Data) -> Expected:
    """Mean of ten rows."""
    return (data.weight[data.indices[:10]].mean(axis=0, keepdims=True, dtype=np.float64),)


OPERATIONS = {
    operation.name: operation
    for operation in (
        Operation("sum", expect_sum, Target(1.05, 0.9)),
        Operation("weighted_sum", expect_weighted, Target(1.05, 0.9)),
        Operation("sum_float16", expect_sum, Target(1.05, 0.9), itemsize=2, tolerance=2e-2),
        Operation("mean", expect_mean, Target(1.4, 1.4)),
        Operation("max", expect_max, Target(12, 12)),
        Operation("sum_padding", expect_padding, Target(8, 8)),
        Operation("sum_float64", expect_sum, Target(8, 8), itemsize=8, tolerance=1e-9),
        Operation("sum_max_norm", expect_max_norm, Target(30, 30)),
        Operation("grad_dense", expect_gradient, Target(1.5, 1.5), tolerance=GRADIENT_TOLERANCE),
        Operation("grad_sparse", expect_gradient, Target(12, 12), tolerance=GRADIENT_TOLERANCE),
        Operation("grad_rows", expect_gradient, Target(12, 12), tolerance=GRADIENT_TOLERANCE),
        Operation("step_adagrad", expect_step, Target(12, 12)),
        Operation("bag_of_ten", expect_ten, Target(2, 2), workloads=("small64",), num_lookups=10),
    )
}

# Of the products that scipy has too, against ``csr @ dense`` on one thread.
SCIPY_TARGET = Target(2, 2)
