"""Optimizers that touch only the rows a batch used, and schedules for their learning rates."""

from ebagx.optim._adagrad import Adagrad, RowwiseAdagrad
from ebagx.optim._adam import Adam, AdamW
from ebagx.optim._optimizer import Optimizer
from ebagx.optim._schedules import (
    cosine_decay,
    exponential_decay,
    inverse_scaling,
    linear_decay,
    warmup,
)
from ebagx.optim._sgd import SGD

__all__ = [
    "SGD",
    "Adagrad",
    "Adam",
    "AdamW",
    "Optimizer",
    "RowwiseAdagrad",
    "cosine_decay",
    "exponential_decay",
    "inverse_scaling",
    "linear_decay",
    "warmup",
]
