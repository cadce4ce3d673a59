"""`TrainedInPasses` has the optimizers and random numbers of a training, and deals with its end."""

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np

from ebagx._training.loop import History, Plan
from ebagx._training.optimizers import make_optimizers
from ebagx.optim import Optimizer


class DivergenceError(ValueError):
    """A loss that is infinite or NaN has ended the training in pass `number`."""

    def __init__(self, message: str, number: int) -> None:
        super().__init__(message, number)
        self.number = number

    def __str__(self) -> str:
        """Return the message."""
        return str(self.args[0])


class TrainedInPasses:
    """Attributes of what is trained on shuffled mini-batches, and keeps the model of one pass."""

    # Parameters that belong to a fitted model, and their values when it was made.
    _fixed: ClassVar[tuple[str, ...]] = ()
    _made_with: Mapping[str, Any] = MappingProxyType({})
    _fitted_name: ClassVar[str] = "embedding_"
    _data_names: ClassVar[str] = "X or y"
    _table_eps: float | None = None  # `eps` of the table's optimizer; None: the optimizer's default
    # Options of optimizers that are given by name, if they have them.
    _optimizer_options: ClassVar[Mapping[str, float]] = MappingProxyType({})

    optimizer: Any
    schedule: Any
    learning_rate: float
    alpha: float
    random_state: Any

    loss_curve_: list[float]
    validation_scores_: list[float] | None
    best_validation_score_: float | None
    best_iter_: int
    n_iter_: int

    @contextmanager
    def _unchanged_by_errors(self) -> Iterator[None]:
        """Give the object its attributes back if the block raises an error."""
        before = self.__dict__.copy()
        try:
            yield
        except BaseException:
            self.__dict__ = before
            raise

    def _is_fitted(self) -> bool:
        return hasattr(self, self._fitted_name)

    def _new_optimizers(self) -> list[Optimizer]:
        """Return the optimizers that a training begins with."""
        return make_optimizers(self)

    def _new_rng(self) -> np.random.Generator:
        return np.random.default_rng(drawn_seed(self.random_state))

    def _take_over(self, history: History, earlier: list[float], plan: Plan) -> None:
        """Set the attributes that describe the training; raise or warn if it ended early."""
        made = len(history.losses)
        if history.diverged:
            kept = f"pass {history.best_iter}" if history.best_iter else "before"
            outcome = f"the model of {kept} is kept" if self._is_fitted() else "there is no model"
            rate = self.learning_rate if isinstance(self.optimizer, str) else "the optimizer's"
            message = (
                f"the loss diverged in pass {made + 1}; learning_rate = {rate} or the values of "
                f"{self._data_names} are too large; {outcome}"
            )
        if self._is_fitted():
            self.loss_curve_ = [*earlier, *history.losses]
            self.n_iter_ = len(self.loss_curve_)
            self.best_iter_ = len(earlier) + history.best_iter
            self.validation_scores_ = None if plan.score is None else history.scores
            self.best_validation_score_ = max([*history.start, *history.scores], default=None)
        if history.diverged:
            raise DivergenceError(message, made + 1)
        if history.interrupted:
            warnings.warn(
                f"training was interrupted in pass {made + 1} of {plan.max_iter}; the model is "
                "the one learned until then",
                stacklevel=3,
            )

    def _forget(self) -> None:
        """Remove all fitted attributes."""
        for name in [name for name in self.__dict__ if name.endswith("_")] + [
            "_state",
            "_made_with",
        ]:
            self.__dict__.pop(name, None)


def drawn_seed(random_state: Any) -> int:
    """Return the seed that a parameter `random_state` gives: None, an int or a RandomState.

    None and a RandomState give another one each time, by the rules of scikit-learn's estimators.
    """
    source: Any = np.random if random_state is None else random_state
    if not hasattr(source, "randint"):
        source = np.random.RandomState(random_state)
    return int(source.randint(2**31 - 1))
