"""Define the operations that are timed, with the target ratios and expected values of each.

The expected values are computed in float64 by plain NumPy, for the first bags or the rows they
touch only, so that checks cost little beside the timing.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from workloads import COMPARED, WORKLOADS, Data, Workload, count_giant_lookups, count_lookups

FloatArray = npt.NDArray[Any]
Expected = tuple[FloatArray, ...]

MAX_NORM = 1.0
LEARNING_RATE = 0.01
NUM_PROBES = 16
# A popular row's gradient is a sum of thousands of float32 numbers of either sign.
GRADIENT_TOLERANCE = 1e-2
# Adding a popular row 100,000 times to a float32 sum rounds the same way most times.
GIANT_TOLERANCE = 1e-2


@dataclass(frozen=True)
class Target:
    """Target for the ratio of a peer's time to that of ebagx.

    ``mean`` is the target of the geometric mean over the workloads, ``worst`` that of each
    workload; ``stretch`` is a higher target.
    """

    mean: float
    worst: float
    stretch: "Target | None" = None

    def verdict(self, mean: float, worst: float) -> str:
        """Return the word for ratios: MISSED, met, or stretch."""
        if mean < self.mean or worst < self.worst:
            return "MISSED"
        stretch = self.stretch
        reached = stretch and mean >= stretch.mean and worst >= stretch.worst
        return "stretch" if reached else "met"


def at_least(ratio: float, stretch: float | None = None) -> Target:
    """Return a target with the same ratio for the mean and for each workload."""
    return Target(ratio, ratio, None if stretch is None else Target(stretch, stretch))


@dataclass(frozen=True)
class Operation:
    """One operation of the benchmark.

    Parameters
    ----------
    name : str
        Name on the command line, and of the method that sets it up for each library.
    expected : callable
        Maps ``Data`` to the float64 arrays that a result must agree with.
    target : Target or None
        Target against PyTorch.
    itemsize : int
        Bytes of an element of the gathered rows.
    tolerance : float
        Relative and absolute, for comparison with ``expected``.
    workloads : tuple of str
        Workloads of the operation.
    count_lookups : callable
        Maps a workload to the number of lookups of one call.
    """

    name: str
    expected: Callable[[Data], Expected]
    target: Target | None
    itemsize: int = 4
    tolerance: float = 1e-4
    workloads: tuple[str, ...] = tuple(COMPARED)
    count_lookups: Callable[[Workload], int] = count_lookups


def probe_bags(data: Data) -> list[slice]:
    """Return the slices of the bags that are checked."""
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


def expect_giant(data: Data) -> Expected:
    """Sum of the rows of each bag; of the giant by counting, as its rows would fill a gigabyte."""
    giant, *others = probe_bags(data.giant)
    counts = np.bincount(data.giant.indices[giant], minlength=len(data.weight))
    total = np.einsum("n,nd->d", counts, data.weight, dtype=np.float64)
    return (np.stack([total, *(lookup(data.giant, bag).sum(axis=0) for bag in others)]),)


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


def gradient(name: str, target: Target, workloads: tuple[str, ...] = tuple(COMPARED)) -> Operation:
    """Return an operation whose result is the gradient of the sum."""
    return Operation(
        name, expect_gradient, target, tolerance=GRADIENT_TOLERANCE, workloads=workloads
    )


def ten(name: str, target: Target | None) -> Operation:
    """Return an operation on one bag of ten rows, which is almost nothing but the call."""
    return Operation(
        name,
        expect_ten,
        target,
        workloads=("small64",),
        count_lookups=lambda workload: 10,  # noqa: ARG005 - whatever the workload
    )


# The forward sum of PyTorch is fast already: both are limited by the memory.
CLOSE = Target(1.05, 0.9, stretch=Target(1.25, 1.0))

OPERATIONS = {
    operation.name: operation
    for operation in (
        Operation("sum", expect_sum, CLOSE, workloads=tuple(WORKLOADS)),
        Operation("weighted_sum", expect_weighted, CLOSE),
        Operation("sum_float16", expect_sum, CLOSE, itemsize=2, tolerance=2e-2),
        Operation(
            "sum_giant",
            expect_giant,
            CLOSE,
            tolerance=GIANT_TOLERANCE,
            workloads=("zipf100", "uni128"),
            count_lookups=count_giant_lookups,
        ),
        Operation("mean", expect_mean, at_least(1.4, stretch=1.8)),
        Operation("max", expect_max, at_least(12, stretch=25)),
        Operation("sum_padding", expect_padding, at_least(8, stretch=12)),
        Operation("sum_float64", expect_sum, at_least(8, stretch=12), itemsize=8, tolerance=1e-9),
        Operation("sum_max_norm", expect_max_norm, at_least(30, stretch=60)),
        gradient("grad_dense", at_least(1.5, stretch=3)),
        gradient("grad_dense_reused", at_least(10, stretch=30)),
        gradient("grad_sparse", at_least(12, stretch=25)),
        gradient("grad_rows", at_least(12, stretch=25), workloads=tuple(WORKLOADS)),
        Operation("step_adagrad", expect_step, at_least(12, stretch=25)),
        ten("bag_of_ten", at_least(3, stretch=5)),
        ten("ten_by_function", at_least(2)),
        ten("ten_in_row", at_least(3, stretch=5)),
        ten("ten_in_csr", None),
        ten("ten_in_list", at_least(2)),
        ten("ten_step", at_least(4)),
    )
}

# This is for the products that scipy has too, as ``csr @ dense`` on one thread.
SCIPY_TARGET = at_least(2)
