"""Parameters of estimators that are trained in passes, and their checks."""

from typing import ClassVar

from ebagx._core.checks import AT_LEAST_0, PART, POSITIVE, shown
from ebagx._training.optimizers import OPTIMIZERS, SCHEDULES, is_optimizer
from ebagx._training.passes import TrainedInPasses
from ebagx.sklearn.parameters import (
    NUM_THREADS,
    Constraints,
    Flag,
    Integer,
    Number,
    OneOf,
    Seed,
    Verbosity,
    check_parameters,
)


class MadeInPasses(TrainedInPasses):
    """Estimators that train on shuffled mini-batches, and keep the model of one pass."""

    _constraints: ClassVar[Constraints] = {
        "embedding_dim": Integer(1),
        "optimizer": OneOf(tuple(OPTIMIZERS), is_optimizer, " or an ebagx.optim.Optimizer"),
        "learning_rate": Number(POSITIVE),
        "schedule": OneOf((None, *SCHEDULES), callable, " or a callable"),
        "batch_size": Integer(1),
        "max_iter": Integer(1),
        "alpha": Number(AT_LEAST_0),
        "early_stopping": Flag(),
        "validation_fraction": Number(PART),
        "n_iter_no_change": Integer(1),
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

    def _check_unchanged(self, *names: str) -> None:
        """Raise ValueError if parameters differ from those with which the model was made."""
        for name in names:
            now, before = getattr(self, name), self._made_with.get(name, getattr(self, name))
            if now != before:
                raise ValueError(
                    f"{name} = {shown(now)} differs from {shown(before)}, with which the model was "
                    "fitted: set it back, or call fit with warm_start=False"
                )
