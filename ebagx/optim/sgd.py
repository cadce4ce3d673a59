"""`SGD` is stochastic gradient descent, with or without momentum."""

from collections.abc import Mapping
from typing import Any, Unpack

from ebagx.optim.optimizer import Optimizer
from ebagx.optim.options import COMMON, MOMENTUM, NESTEROV, LearningRate
from ebagx.optim.rules import RULES, Rule, StepConstants, states_of
from ebagx.optim.stored import OptimizerOptions

__all__ = ["SGD"]


class SGD(Optimizer):
    r"""Stochastic gradient descent, with or without momentum.

    Parameters
    ----------
    learning_rate : float or callable, default=0.01
        Step size, at least 0, or a schedule; see `Optimizer`.
    momentum : float, default=0.0
        Part of the velocity of a row's last step that a step keeps, in [0, 1).
    nesterov : bool, default=False
        Use Nesterov's formula; needs `momentum`.
    weight_decay, clip_value, clip_row_norm, clip_norm, num_threads
        Keywords of every optimizer; see `Optimizer`. The decay is that of L2.

    Notes
    -----
    For each touched row, with its gradient g and velocity v (zeros at first),

        v = momentum · v + g;  row -= learning_rate · v

    and with `nesterov` ``row -= learning_rate · (g + momentum · v)`` [1]_, as ``torch.optim.SGD``
    without dampening. Rows that a batch did not touch keep their velocity and do not change, while
    PyTorch moves them on, for sparse gradients too. Without momentum there is no state, and the
    result of weight decay is that of dense steps on all rows. While an assigned momentum is 0,
    velocities stay as they are, as in PyTorch.

    References
    ----------
    .. [1] Sutskever, Martens, Dahl, Hinton: On the importance of initialization and momentum in
       deep learning, ICML 2013.

    Examples
    --------
    >>> import numpy as np, ebagx
    >>> table = np.ones((5, 2))
    >>> gradient = ebagx.RowGradient(np.array([3]), np.array([[2.0, -4.0]]), (5, 2))
    >>> ebagx.optim.SGD(learning_rate=0.25).update(table, gradient)
    >>> table[3]
    array([0.5, 2. ])
    """

    __slots__ = tuple(MOMENTUM | NESTEROV)
    name = "sgd"
    _options = COMMON | MOMENTUM | NESTEROV
    _states = states_of("sgd", "momentum", "nesterov")

    momentum: float
    nesterov: bool

    def __init__(
        self,
        learning_rate: LearningRate = 0.01,
        momentum: float = 0.0,
        nesterov: bool = False,
        **options: Unpack[OptimizerOptions],
    ) -> None:
        super().__init__(learning_rate, **options)
        self.momentum = momentum
        self.nesterov = nesterov

    def _check_together(self, values: Mapping[str, Any]) -> None:
        nesterov = values.get("nesterov", getattr(self, "nesterov", False))
        if nesterov and not values.get("momentum", getattr(self, "momentum", 0.0)):
            raise ValueError("nesterov needs momentum, which is 0")

    def _rule(self) -> Rule:
        if not self.momentum:
            return RULES["sgd"]
        return RULES["nesterov" if self.nesterov else "momentum"]

    def _constants(self, rate: float, decay: float) -> StepConstants:
        return StepConstants(rate, decay, self.momentum)
