"""ebagx, with tables as ``EmbeddingBag`` allocates them."""

# ruff: noqa: D102 - the methods are named after the operations

from typing import Any

import numpy as np
import scipy.sparse

import ebagx
from ebagx.optim import Adagrad
from libraries import BaseSubject, Run
from operations import LEARNING_RATE, MAX_NORM, FloatArray, probe_rows
from workloads import Data


def make_table(weight: FloatArray) -> FloatArray:
    """Copy an array into memory that the library allocates and aligns."""
    table = ebagx.EmbeddingBag(*weight.shape, dtype=weight.dtype).weight
    table[...] = weight
    return table


class Subject(BaseSubject):
    """The operations as a user of ebagx writes them."""

    def __init__(self, data: Data) -> None:
        super().__init__(data)
        self.table = make_table(data.weight)

    def read(self, result: Any) -> tuple[FloatArray, ...]:
        """Return the checked part of a result, of sparse gradients too."""
        rows = probe_rows(self.data)
        if isinstance(result, ebagx.RowGradient):
            return (result.values[np.searchsorted(result.rows, rows)],)
        if hasattr(result, "tocsr"):
            return (result.tocsr()[rows].toarray(),)
        return super().read(result)

    def forward(self, table: FloatArray, mode: str = "sum", **options: Any) -> Run:
        """Return a call of ``embedding_bag``."""
        indices, offsets = self.data.indices, self.data.offsets
        return lambda: ebagx.embedding_bag(indices, table, offsets, mode=mode, **options)

    def backward(self, table: FloatArray, sparse: bool | str) -> Run:
        """Return a call of ``embedding_bag_backward``."""
        data = self.data
        bags = (data.indices, table, data.offsets)

        def run() -> Any:
            gradients = ebagx.embedding_bag_backward(
                data.grad_output, *bags, mode="sum", sparse=sparse
            )
            return gradients.weight

        return run

    def sum(self) -> Run:
        return self.forward(self.table)

    def weighted_sum(self) -> Run:
        return self.forward(self.table, per_sample_weights=self.data.per_sample_weights)

    def sum_float16(self) -> Run:
        return self.forward(make_table(self.data.weight.astype(np.float16)))

    def sum_giant(self) -> Run:
        giant = self.data.giant
        return lambda: ebagx.embedding_bag(giant.indices, self.table, giant.offsets, mode="sum")

    def mean(self) -> Run:
        return self.forward(self.table, mode="mean")

    def max(self) -> Run:
        return self.forward(self.table, mode="max", return_indices=True)

    def sum_padding(self) -> Run:
        return self.forward(self.table, padding_idx=self.data.padding_idx)

    def sum_float64(self) -> Run:
        return self.forward(make_table(self.data.weight.astype(np.float64)))

    def sum_max_norm(self) -> Run:
        return self.forward(make_table(self.data.weight), max_norm=MAX_NORM)

    def grad_dense(self) -> Run:
        return self.backward(self.table, sparse=False)

    def grad_dense_reused(self) -> Run:
        data = self.data
        module = ebagx.EmbeddingBag(*self.table.shape, mode="sum", _weight=self.table)

        def run() -> FloatArray:
            module.zero_grad()
            module(data.indices, data.offsets)
            module.backward(data.grad_output)
            return module.grad

        return run

    def grad_sparse(self) -> Run:
        return self.backward(self.table, sparse=True)

    def grad_rows(self) -> Run:
        return self.backward(self.table, sparse="rows")

    def step_adagrad(self) -> Run:
        data = self.data
        bag = ebagx.EmbeddingBag(
            *data.weight.shape, mode="sum", sparse="rows", _weight=make_table(data.weight)
        )
        optimizer = Adagrad(learning_rate=LEARNING_RATE)

        def step() -> FloatArray:
            bag(data.indices, data.offsets)
            bag.backward_update(data.grad_output, optimizer)
            return bag.weight

        return step

    def bag_of_ten(self) -> Run:
        module = self.mean_module()
        indices, offsets = self.data.indices[:10], np.zeros(1, dtype=np.int64)
        return lambda: module(indices, offsets)

    def mean_module(self) -> ebagx.EmbeddingBag:
        """Return a module in eval mode."""
        return ebagx.EmbeddingBag.from_pretrained(self.table, mode="mean").eval()

    def ten_by_function(self) -> Run:
        indices, offsets = self.data.indices[:10], np.zeros(1, dtype=np.int64)
        return lambda: ebagx.embedding_bag(indices, self.table, offsets, mode="mean")

    def ten_in_row(self) -> Run:
        module, indices = self.mean_module(), self.data.indices[:10].reshape(1, 10)
        return lambda: module(indices)

    def ten_in_csr(self) -> Run:
        module, indices = self.mean_module(), self.data.indices[:10]
        parts = np.ones(10, np.float32), indices, np.array([0, 10])
        matrix = scipy.sparse.csr_array(parts, (1, len(self.table)))
        return lambda: module(matrix)

    def ten_in_list(self) -> Run:
        module, bags = self.mean_module(), [self.data.indices[:10].tolist()]
        return lambda: module(bags)

    def ten_step(self) -> Run:
        weight = make_table(self.data.weight)
        bag = ebagx.EmbeddingBag(*weight.shape, sparse="rows", _weight=weight)
        optimizer = Adagrad(learning_rate=LEARNING_RATE)
        indices, offsets = self.data.indices[:10], np.zeros(1, dtype=np.int64)
        grad = self.data.grad_output[:1]

        def step() -> FloatArray:
            pooled = bag(indices, offsets)
            bag.backward_update(grad, optimizer)
            return pooled

        return step
