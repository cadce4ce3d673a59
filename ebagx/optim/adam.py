"""Adam and AdamW change only the moments of the touched rows."""

import math
from collections.abc import Mapping
from typing import ClassVar, Unpack

from ebagx.optim.optimizer import Optimizer
from ebagx.optim.options import BETAS, COMMON, EPS, LearningRate
from ebagx.optim.rules import RULES, Rule, StepConstants, states_of
from ebagx.optim.stored import OptimizerOptions

__all__ = ["Adam", "AdamW"]


class Adam(Optimizer):
    r"""Adam on the touched rows, as ``torch.optim.SparseAdam``.

    Parameters
    ----------
    learning_rate : float or callable, default=0.001
        Step size, at least 0, or a schedule; see `Optimizer`.
    betas : tuple of two floats, default=(0.9, 0.999)
        Parts of the means of the gradient and of its square that a step keeps, in [0, 1).
    eps : float, default=1e-8
        Added to the root of the mean square, at least 0.
    weight_decay, clip_value, clip_row_norm, clip_norm, num_threads
        Keywords of every optimizer; see `Optimizer`. The decay is that of L2.

    Notes
    -----
    For each touched row, elementwise, with its gradient g, in step t = 1, 2, ... of the table [1]_,

        m += (1 - β₁)(g - m);  v += (1 - β₂)(g² - v)
        row -= learning_rate · √(1 - β₂ᵗ) / (1 - β₁ᵗ) · m / (√v + eps)

    The means m and v of rows that a batch did not touch do not change. Each takes the memory of
    the table (float32 for float16 and bfloat16 tables), but only for rows that have been touched.

    References
    ----------
    .. [1] Kingma, Ba: Adam: a method for stochastic optimization, ICLR 2015, section 2.

    Examples
    --------
    >>> import numpy as np, ebagx
    >>> table = np.ones((5, 2))
    >>> gradient = ebagx.RowGradient(np.array([3]), np.array([[2.0, -4.0]]), (5, 2))
    >>> ebagx.optim.Adam(learning_rate=0.5).update(table, gradient)
    >>> table[3].round(6)
    array([0.5, 1.5])
    """

    __slots__ = tuple(BETAS | EPS)
    name = "adam"
    _options = COMMON | BETAS | EPS
    _states = states_of("adam")
    _traits: ClassVar[Mapping[str, bool]] = {"decoupled_weight_decay": False}

    betas: tuple[float, float]
    eps: float

    def __init__(
        self,
        learning_rate: LearningRate = 0.001,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        **options: Unpack[OptimizerOptions],
    ) -> None:
        super().__init__(learning_rate, **options)
        self.betas = betas
        self.eps = eps

    def _rule(self) -> Rule:
        return RULES["adam"]

    def _constants(self, rate: float, decay: float) -> StepConstants:
        first, second = self.betas
        root = math.sqrt(1 - second**self.num_steps)
        rate = rate * root / (1 - first**self.num_steps)
        return StepConstants(rate, decay, 1 - first, 1 - second, self._scaled_eps(root))

    def _scaled_eps(self, root: float) -> float:  # noqa: ARG002
        return self.eps


class AdamW(Adam):
    r"""Adam with decoupled weight decay, as ``torch.optim.AdamW`` on the touched rows.

    Parameters
    ----------
    learning_rate : float or callable, default=0.001
        Step size, at least 0, or a schedule; see `Optimizer`.
    betas : tuple of two floats, default=(0.9, 0.999)
        Parts of the means of the gradient and of its square that a step keeps, in [0, 1).
    eps : float, default=1e-8
        Added to the root of the corrected mean square, at least 0.
    weight_decay : float, default=0.01
        Rows are multiplied by ``1 - learning_rate · weight_decay`` for each step; see `Optimizer`.
    clip_value, clip_row_norm, clip_norm, num_threads
        Keywords of every optimizer; see `Optimizer`.

    Notes
    -----
    As `Adam`, except for the decay [1]_ and for eps, which has its place in PyTorch's dense Adam:
    ``m / (1 - β₁ᵗ) / (√(v / (1 - β₂ᵗ)) + eps)``.

    References
    ----------
    .. [1] Loshchilov, Hutter: Decoupled weight decay regularization, ICLR 2019.

    Examples
    --------
    >>> import numpy as np, ebagx
    >>> table = np.ones((5, 2))
    >>> gradient = ebagx.RowGradient(np.array([3]), np.array([[2.0, -4.0]]), (5, 2))
    >>> ebagx.optim.AdamW(learning_rate=0.5, weight_decay=0.2).update(table, gradient)
    >>> table[3].round(6)
    array([0.4, 1.4])
    """

    __slots__ = ()
    name = "adamw"
    _traits: ClassVar[Mapping[str, bool]] = {"decoupled_weight_decay": True}
    _decoupled = True
    _default_decay = 0.01

    def __init__(
        self,
        learning_rate: LearningRate = 0.001,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        **options: Unpack[OptimizerOptions],
    ) -> None:
        super().__init__(learning_rate, betas, eps, **options)

    def _scaled_eps(self, root: float) -> float:
        return self.eps * root
