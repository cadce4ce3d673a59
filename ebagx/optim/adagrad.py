"""Adagrad has an accumulator for each number of the table, or for each row."""

from collections.abc import Mapping
from typing import Any, ClassVar, Unpack

from ebagx.optim.optimizer import Optimizer
from ebagx.optim.options import ACCUMULATOR, COMMON, EPS, LearningRate
from ebagx.optim.rules import RULES, Rule, StepConstants, states_of
from ebagx.optim.stored import OptimizerOptions

__all__ = ["Adagrad", "RowwiseAdagrad"]


class Adagrad(Optimizer):
    r"""Adagrad: each number of the table has its own step size, which falls with its gradients.

    Parameters
    ----------
    learning_rate : float or callable, default=0.01
        Step size, at least 0, or a schedule; see `Optimizer`.
    eps : float, default=1e-10
        Added to the root of the summed squares, at least 0.
    initial_accumulator_value : float, default=0.0
        Initial value of the sums of squares, at least 0. It cannot change after the first step.
        Other values than 0 take the memory of all rows in that step.
    weight_decay, clip_value, clip_row_norm, clip_norm, num_threads
        Keywords of every optimizer; see `Optimizer`. The decay is that of L2.

    Notes
    -----
    For each touched row, elementwise, with its gradient g and sum of squares G [1]_,

        G += g²;  row -= learning_rate · g / (√G + eps)

    as ``torch.optim.Adagrad``. The sums take the memory of the table (float32 for float16 and
    bfloat16 tables), but only for rows that have been touched.

    References
    ----------
    .. [1] Duchi, Hazan, Singer: Adaptive subgradient methods for online learning and stochastic
       optimization, JMLR 12, 2011.

    Examples
    --------
    >>> import numpy as np, ebagx
    >>> table = np.ones((5, 2))
    >>> gradient = ebagx.RowGradient(np.array([3]), np.array([[2.0, -4.0]]), (5, 2))
    >>> ebagx.optim.Adagrad(learning_rate=0.5).update(table, gradient)
    >>> table[3]
    array([0.5, 1.5])
    """

    __slots__ = tuple(EPS | ACCUMULATOR)
    name = "adagrad"
    _options = COMMON | EPS | ACCUMULATOR
    _states = states_of("adagrad")
    _traits: ClassVar[Mapping[str, bool]] = {"per_row": False}

    eps: float
    initial_accumulator_value: float

    def __init__(
        self,
        learning_rate: LearningRate = 0.01,
        eps: float = 1e-10,
        *,
        initial_accumulator_value: float = 0.0,
        **options: Unpack[OptimizerOptions],
    ) -> None:
        super().__init__(learning_rate, **options)
        self.eps = eps
        self.initial_accumulator_value = initial_accumulator_value

    def _check_assigned(self, name: str, value: Any) -> None:
        super()._check_assigned(name, value)
        if name in ACCUMULATOR and self._state and value != getattr(self, name):
            raise ValueError(
                f"{name} is {getattr(self, name)} in the sums of squares, which exist since the "
                f"first step, and cannot become {value}: make a new optimizer"
            )

    def _rule(self) -> Rule:
        return RULES["adagrad"]

    def _constants(self, rate: float, decay: float) -> StepConstants:
        return StepConstants(rate, decay, eps=self.eps)

    def _initial_value(self) -> float:
        return self.initial_accumulator_value


class RowwiseAdagrad(Adagrad):
    r"""Adagrad with one accumulator for each row: the state is 1/D of the table's size.

    Parameters
    ----------
    learning_rate : float or callable, default=0.01
        Step size, at least 0, or a schedule; see `Optimizer`.
    eps : float, default=1e-10
        Added to the root of the accumulator, at least 0.
    initial_accumulator_value : float, default=0.0
        Initial value of the accumulators, at least 0. It cannot change after the first step.
    weight_decay, clip_value, clip_row_norm, clip_norm, num_threads
        Keywords of every optimizer; see `Optimizer`. The decay is that of L2.

    Notes
    -----
    For each touched row with its gradient g and accumulator G,

        G += mean(g²);  row -= learning_rate · g / (√G + eps)

    FBGEMM's "exact row-wise Adagrad" [1]_. The state has shape (N, 1).

    References
    ----------
    .. [1] Khudia et al.: FBGEMM: enabling high-performance low-precision deep learning inference,
       2021; `EXACT_ROWWISE_ADAGRAD` in its table batched embeddings.

    Examples
    --------
    >>> import numpy as np, ebagx
    >>> table = np.ones((5, 2))
    >>> gradient = ebagx.RowGradient(np.array([3]), np.array([[1.0, -7.0]]), (5, 2))
    >>> ebagx.optim.RowwiseAdagrad(learning_rate=0.5).update(table, gradient)
    >>> table[3]
    array([0.9, 1.7])
    """

    __slots__ = ()
    name = "rowwise_adagrad"
    _states = states_of("rowwise_adagrad")
    _traits: ClassVar[Mapping[str, bool]] = {"per_row": True}

    def _rule(self) -> Rule:
        return RULES["rowwise_adagrad"]
