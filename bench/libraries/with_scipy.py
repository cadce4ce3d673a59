"""``csr @ dense`` with the matrix made in set-up; scipy has one thread only."""

# ruff: noqa: D102 - the methods are named after the operations

import numpy as np
from scipy.sparse import csr_array

from libraries import BaseSubject, Run
from operations import FloatArray


class Subject(BaseSubject):
    """The operations that are a product of sparse and dense matrix."""

    def bags(self, values: FloatArray) -> csr_array:
        """Return the bags as a matrix with these stored values."""
        data = self.data
        shape = (len(data.offsets), len(data.weight))
        return csr_array((values, data.indices, data.indptr), shape=shape)

    def product(self, values: FloatArray, table: FloatArray) -> Run:
        """Return a call that multiplies, in the table's dtype."""
        bags = self.bags(values.astype(table.dtype))
        return lambda: bags @ table

    def sum(self) -> Run:
        return self.product(np.ones(len(self.data.indices)), self.data.weight)

    def weighted_sum(self) -> Run:
        return self.product(self.data.per_sample_weights, self.data.weight)

    def sum_giant(self) -> Run:
        return Subject(self.data.giant).sum()

    def mean(self) -> Run:
        return self.product(1 / self.data.lengths[self.data.bag_of_lookup], self.data.weight)

    def sum_padding(self) -> Run:
        return self.product(self.data.indices != self.data.padding_idx, self.data.weight)

    def sum_float64(self) -> Run:
        return self.product(np.ones(len(self.data.indices)), self.data.weight.astype(np.float64))

    def grad_dense(self) -> Run:
        transposed = self.bags(np.ones(len(self.data.indices), dtype=np.float32)).T
        return lambda: transposed @ self.data.grad_output
