"""The pooling modes: one row for each, which everything else reads."""

from typing import NamedTuple


class Mode(NamedTuple):
    """A way to pool the rows of a bag.

    Either the weighted sum is divided by the divisor that kernels know by the number `divisor`
    (``forward/pool.pxi``), and `direction` is 0; or the extreme of each column is taken, the
    largest for the direction 1, the smallest for -1. `norm` is what scikit-learn calls the divisor,
    by which training scales bags.
    """

    name: str
    divisor: int = 0
    direction: int = 0
    norm: str | None = None

    @property
    def is_extreme(self) -> bool:
        """Whether the mode takes extremes, and so knows no weights."""
        return self.direction != 0


MODES = {
    mode.name: mode
    for mode in (
        Mode("sum", divisor=0),
        Mode("mean", divisor=1, norm="l1"),
        Mode("sqrtn", divisor=2, norm="l2"),
        Mode("max", direction=1),
        Mode("min", direction=-1),
    )
}
SUM = MODES["sum"]
# Those that estimators train with: weighted sums.
WEIGHTED_MODES = tuple(name for name, mode in MODES.items() if not mode.is_extreme)
