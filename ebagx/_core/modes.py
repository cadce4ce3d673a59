"""The pooling modes have one row each here, which all other code reads."""

from typing import NamedTuple


class Mode(NamedTuple):
    """A way to pool the rows of a bag.

    The weighted sum is divided by the divisor that has the number `divisor` in the kernels
    (``forward/pool.pxi``). If `is_extreme`, the mode takes the extreme of each column instead, the
    largest for `direction` 1, the smallest for -1, and has no weights. `norm` is the divisor's name
    in scikit-learn, by which training scales bags.
    """

    name: str
    divisor: int = 0
    is_extreme: bool = False
    direction: int = 0
    norm: str | None = None


MODES = {
    mode.name: mode
    for mode in (
        Mode("sum", divisor=0),
        Mode("mean", divisor=1, norm="l1"),
        Mode("sqrtn", divisor=2, norm="l2"),
        Mode("max", is_extreme=True, direction=1),
        Mode("min", is_extreme=True, direction=-1),
    )
}
SUM = MODES["sum"]
# Sums of gradients are not added up in parts, as those of long bags are.
IN_ORDER = Mode("sum", divisor=-1)
EXTREME_MODES = tuple(name for name, mode in MODES.items() if mode.is_extreme)
# Estimators train in these modes, which are weighted sums.
WEIGHTED_MODES = tuple(name for name, mode in MODES.items() if not mode.is_extreme)
