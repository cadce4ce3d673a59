"""Parameters of estimators that are trained in passes, and their checks."""

from typing import ClassVar

from ebagx._core.arguments import AT_LEAST_0, PART, POSITIVE, shown
from ebagx._training.optimizers import OPTIMIZERS, SCHEDULES, is_optimizer
from ebagx._training.passes import TrainedInPasses
from ebagx.sklearn.parameters import (
    COUNT,
    NUM_THREADS,
    SIZE,
    Constraints,
    Flag,
    Number,
    OneOf,
    Seed,
    Verbosity,
    check_parameters,
    check_same_values,
)


class MadeInPasses(TrainedInPasses):
    """Estimators that train on shuffled mini-batches, and keep the model of one pass."""

    _constraints: ClassVar[Constraints] = {
        "embedding_dim": SIZE,
        "optimizer": OneOf(tuple(OPTIMIZERS), is_optimizer, " or an ebagx.optim.Optimizer"),
        "learning_rate": Number(POSITIVE),
        "schedule": OneOf((None, *SCHEDULES), callable, " or a callable"),
        "batch_size": COUNT,
        "max_iter": COUNT,
        "alpha": Number(AT_LEAST_0),
        "early_stopping": Flag(),
        "validation_fraction": Number(PART),
        "n_iter_no_change": COUNT,
        "tol": Number(AT_LEAST_0),
        "warm_start": Flag(),
        "random_state": Seed(),
        "verbose": Verbosity(),
        "num_threads": NUM_THREADS,
    }

    def _check_parameters(self) -> None:
        """Raise TypeError or ValueError unless the parameters are good, also together."""
        check_parameters(self)
        if self.schedule is not None and is_optimizer(self.optimizer):
            raise ValueError(
                f"schedule must be None with an optimizer object, got {shown(self.schedule)}; "
                "make the optimizer with the schedule as its learning_rate"
            )
        if not is_optimizer(self.optimizer) and not callable(self.schedule):
            self._check_decay()

    def _check_decay(self) -> None:
        """Raise ValueError if a step would shrink rows to less than nothing."""
        if not self.learning_rate * self.alpha < 1:
            raise ValueError(
                "learning_rate * alpha must be less than 1, got "
                f"{self.learning_rate} * {self.alpha}"
            )

    def _check_unchanged(self, *names: str) -> None:
        """Raise ValueError if parameters differ from those with which the model was made."""
        made_with = {name: self._made_with[name] for name in names if name in self._made_with}
        check_same_values(self, made_with, "call fit with warm_start=False")
