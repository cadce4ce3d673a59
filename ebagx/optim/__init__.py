"""Optimizers that touch only the rows a batch used, and schedules for their learning rates."""

from ebagx.optim.adagrad import Adagrad, RowwiseAdagrad
from ebagx.optim.adam import Adam, AdamW
from ebagx.optim.optimizer import Optimizer
from ebagx.optim.schedules import (
    cosine_decay,
    exponential_decay,
    inverse_scaling,
    linear_decay,
    warmup,
)
from ebagx.optim.sgd import SGD

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
