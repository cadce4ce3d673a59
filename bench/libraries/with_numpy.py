"""NumPy alone has a gather, then ``reduceat``, and ``add.at`` for gradients."""

# ruff: noqa: D102 - the methods are named after the operations

import numpy as np

from libraries import BaseSubject, Run
from operations import FloatArray


class Subject(BaseSubject):
    """The operations in two or three lines of NumPy; max without the winning rows."""

    def reduce(self, ufunc: np.ufunc, table: FloatArray) -> Run:
        """Return a call that gathers the rows and reduces them per bag."""
        data = self.data
        return lambda: ufunc.reduceat(table[data.indices], data.offsets)

    def sum(self) -> Run:
        return self.reduce(np.add, self.data.weight)

    def weighted_sum(self) -> Run:
        data = self.data
        weights = data.per_sample_weights[:, None]
        return lambda: np.add.reduceat(data.weight[data.indices] * weights, data.offsets)

    def sum_float16(self) -> Run:
        data = self.data
        table = data.weight.astype(np.float16)
        return lambda: np.add.reduceat(table[data.indices], data.offsets, dtype=np.float32)

    def mean(self) -> Run:
        total, lengths = self.sum(), self.data.lengths[:, None].astype(np.float32)
        return lambda: total() / lengths

    def max(self) -> Run:
        return self.reduce(np.maximum, self.data.weight)

    def sum_float64(self) -> Run:
        return self.reduce(np.add, self.data.weight.astype(np.float64))

    def grad_dense(self) -> Run:
        data = self.data

        def run() -> FloatArray:
            gradient = np.zeros_like(data.weight)
            np.add.at(gradient, data.indices, data.grad_output[data.bag_of_lookup])
            return gradient

        return run

    def bag_of_ten(self) -> Run:
        weight, indices = self.data.weight, self.data.indices[:10]
        return lambda: weight[indices].mean(axis=0, keepdims=True)
