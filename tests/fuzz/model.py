"""Compute the state of a module and its optimizers by definition: slow, dense, in float64."""

import math
from typing import Any

import numpy as np


def renormed(table: np.ndarray, rows: Any, max_norm: float, p: float) -> np.ndarray:
    """Return a float64 table whose rows are within `max_norm`, each scaled once."""
    table = table.astype("f8")
    for row in set(rows) if table.shape[1] else ():
        norm = np.linalg.norm(table[row], p)
        if norm > max_norm:
            table[row] *= max_norm / (norm + 1e-7)
    return table


class OptimizerModel:
    """One optimizer's steps on the rows that a gradient touches, by the formulas of its docs."""

    def __init__(self, rule: str, rate: float, options: dict[str, Any]) -> None:
        self.rule, self.rate = rule, rate
        self.momentum = options.get("momentum", 0.0)
        self.nesterov = options.get("nesterov", False)
        self.decay = options.get("weight_decay", 0.01 if rule == "AdamW" else 0.0)
        self.clip_value = options.get("clip_value")
        self.clip_row_norm = options.get("clip_row_norm")
        self.clip_norm = options.get("clip_norm")
        self.eps = options.get("eps", 1e-10 if "Adagrad" in rule else 1e-8)
        self.betas = options.get("betas", (0.9, 0.999))
        self.start = options.get("initial_accumulator_value", 0.0)
        self.steps = 0
        self.factors: list[float] = []  # factor of the decay in each step
        self.seen: dict[int, int] = {}  # number of steps whose decay a row has
        self.first: dict[int, Any] = {}
        self.second: dict[int, Any] = {}

    def step(self, table: np.ndarray, rows: Any, grad: np.ndarray) -> None:
        """Update the rows of a float64 table, in place, for a dense gradient."""
        missed = {row: self._missed(row) for row in rows}
        self.steps += 1
        self.factors.append(1 - self.rate * self.decay)
        grads = self._clipped({row: grad[row].astype("f8") for row in rows})
        for row, g in grads.items():
            table[row] *= missed[row]
            self.seen[row] = self.steps
            if self.rule == "AdamW":
                table[row] *= self.factors[-1]
            else:
                g = g + self.decay * table[row]
            table[row] -= self._change(row, g)

    def settle(self, table: np.ndarray) -> None:
        """Apply the decay that rows have missed."""
        for row in range(len(table)):
            table[row] *= self._missed(row)
            self.seen[row] = self.steps

    def _missed(self, row: int) -> float:
        return math.prod(self.factors[self.seen.get(row, 0) :])

    def _clipped(self, grads: dict[int, np.ndarray]) -> dict[int, np.ndarray]:
        if self.clip_value is not None:
            grads = {r: g.clip(-self.clip_value, self.clip_value) for r, g in grads.items()}
        if self.clip_row_norm is not None:
            grads = {
                r: g * min(1, self.clip_row_norm / (np.linalg.norm(g) + 1e-6))
                for r, g in grads.items()
            }
        if self.clip_norm is not None:
            norm = math.sqrt(sum(float(g @ g) for g in grads.values()))
            grads = {r: g * min(1, self.clip_norm / (norm + 1e-6)) for r, g in grads.items()}
        return grads

    def _change(self, row: int, g: np.ndarray) -> np.ndarray:
        if self.rule == "SGD":
            if not self.momentum:
                return self.rate * g
            v = self.first[row] = self.momentum * self.first.get(row, 0.0) + g
            return self.rate * (g + self.momentum * v if self.nesterov else v)
        if self.rule in ("Adagrad", "RowwiseAdagrad"):
            square = g * g if self.rule == "Adagrad" else np.mean(g * g) if len(g) else 0.0
            total = self.first[row] = self.first.get(row, self.start) + square
            return self._quotient(self.rate * g, np.sqrt(total) + self.eps)
        one, two = self.betas
        m = self.first[row] = one * self.first.get(row, 0.0) + (1 - one) * g
        v = self.second[row] = two * self.second.get(row, 0.0) + (1 - two) * g * g
        root = math.sqrt(1 - two**self.steps)
        eps = self.eps * root if self.rule == "AdamW" else self.eps
        return self._quotient(self.rate * root / (1 - one**self.steps) * m, np.sqrt(v) + eps)

    @staticmethod
    def _quotient(numerator: np.ndarray, denominator: Any) -> np.ndarray:
        with np.errstate(invalid="ignore", divide="ignore"):
            return numerator / denominator
