"""The pooling modes have one row each here, which all other code reads."""

from typing import NamedTuple


class Mode(NamedTuple):
    """A way to pool the rows of a bag.

    With `direction` 0, the weighted sum is divided by the divisor that has the number `divisor` in
    the kernels (``forward/pool.pxi``). Otherwise the mode takes the extreme of each column, the
    largest for `direction` 1, the smallest for -1. `norm` is scikit-learn's name of the divisor,
    with which training scales bags.
    """

    name: str
    divisor: int = 0
    direction: int = 0
    norm: str | None = None

    @property
    def is_extreme(self) -> bool:
        """Return whether the mode takes extremes, and so has no weights."""
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
# Estimators train in these modes, which are weighted sums.
WEIGHTED_MODES = tuple(name for name, mode in MODES.items() if not mode.is_extreme)
