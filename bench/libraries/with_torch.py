"""PyTorch, with tables as it allocates them and gradients as autograd returns them."""

# ruff: noqa: D102 - the methods are named after the operations

from typing import Any

import numpy as np
import torch

from libraries import BaseSubject, Run
from operations import LEARNING_RATE, MAX_NORM, FloatArray, probe_rows
from workloads import Data

# This is PyTorch's default, set here because Adagrad warns where it is not set.
torch.sparse.check_sparse_tensor_invariants.disable()


class Subject(BaseSubject):
    """The operations as a user of PyTorch writes them."""

    def __init__(self, data: Data) -> None:
        super().__init__(data)
        self.table = torch.tensor(data.weight)
        self.indices = torch.tensor(data.indices)
        self.offsets = torch.tensor(data.offsets)
        self.grad_output = torch.tensor(data.grad_output)

    def read(self, result: Any) -> tuple[FloatArray, ...]:
        """Return the checked part of a result, of coalesced gradients too."""
        if isinstance(result, tuple) or not result.is_sparse:
            return super().read(result)
        rows = np.searchsorted(result.indices()[0].numpy(), probe_rows(self.data))
        return (result.values().numpy()[rows],)

    def forward(self, table: torch.Tensor, mode: str = "sum", **options: Any) -> Run:
        """Return a call of ``embedding_bag``."""
        embedding_bag = torch.nn.functional.embedding_bag
        return lambda: embedding_bag(self.indices, table, self.offsets, mode=mode, **options)

    def backward(self, sparse: bool) -> Run:
        """Return a call of autograd that runs only the backward pass."""
        table = self.table.detach().requires_grad_()
        output = self.forward(table, sparse=sparse)()
        grad = torch.autograd.grad
        return lambda: grad(output, table, self.grad_output, retain_graph=True)[0]

    def sum(self) -> Run:
        return self.forward(self.table)

    def weighted_sum(self) -> Run:
        weights = torch.tensor(self.data.per_sample_weights)
        return self.forward(self.table, per_sample_weights=weights)

    def sum_float16(self) -> Run:
        return self.forward(self.table.half())

    def sum_giant(self) -> Run:
        giant = self.data.giant
        bags = torch.tensor(giant.indices), self.table, torch.tensor(giant.offsets)
        return lambda: torch.nn.functional.embedding_bag(*bags, mode="sum")

    def mean(self) -> Run:
        return self.forward(self.table, mode="mean")

    def max(self) -> Run:
        max_mode = 2

        def run() -> tuple[torch.Tensor, torch.Tensor]:
            result = torch.embedding_bag(self.table, self.indices, self.offsets, False, max_mode)
            return result[0], result[3]

        return run

    def sum_padding(self) -> Run:
        return self.forward(self.table, padding_idx=self.data.padding_idx)

    def sum_float64(self) -> Run:
        return self.forward(self.table.double())

    def sum_max_norm(self) -> Run:
        return self.forward(self.table.clone(), max_norm=MAX_NORM)

    def grad_dense(self) -> Run:
        return self.backward(sparse=False)

    def grad_dense_reused(self) -> Run:
        module = torch.nn.EmbeddingBag.from_pretrained(self.table, freeze=False, mode="sum")

        def run() -> torch.Tensor:
            module.zero_grad(set_to_none=False)
            module(self.indices, self.offsets).backward(self.grad_output)
            return module.weight.grad

        return run

    def grad_sparse(self) -> Run:
        backward = self.backward(sparse=True)
        return lambda: backward().coalesce()

    grad_rows = grad_sparse

    def step_adagrad(self) -> Run:
        module = torch.nn.EmbeddingBag.from_pretrained(
            self.table.clone(), freeze=False, mode="sum", sparse=True
        )
        optimizer = torch.optim.Adagrad(module.parameters(), lr=LEARNING_RATE)

        def step() -> torch.Tensor:
            optimizer.zero_grad()
            module(self.indices, self.offsets).backward(self.grad_output)
            optimizer.step()
            return module.weight.detach()

        return step

    def bag_of_ten(self) -> Run:
        module = self.mean_module()
        indices, offsets = self.indices[:10], torch.zeros(1, dtype=torch.int64)
        return lambda: module(indices, offsets)

    def mean_module(self) -> torch.nn.EmbeddingBag:
        """Return a module in eval mode."""
        return torch.nn.EmbeddingBag.from_pretrained(self.table, mode="mean").eval()

    def ten_by_function(self) -> Run:
        embedding_bag = torch.nn.functional.embedding_bag
        indices, offsets = self.indices[:10], torch.zeros(1, dtype=torch.int64)
        return lambda: embedding_bag(indices, self.table, offsets, mode="mean")

    def ten_in_row(self) -> Run:
        module, indices = self.mean_module(), self.indices[:10].reshape(1, 10)
        return lambda: module(indices)

    def ten_in_list(self) -> Run:
        module, bags = self.mean_module(), [self.indices[:10].tolist()]
        return lambda: module(torch.tensor(bags))

    def ten_step(self) -> Run:
        table = self.table.clone()
        module = torch.nn.EmbeddingBag.from_pretrained(table, freeze=False, sparse=True)
        optimizer = torch.optim.Adagrad(module.parameters(), lr=LEARNING_RATE)
        indices, offsets = self.indices[:10], torch.zeros(1, dtype=torch.int64)
        grad = self.grad_output[:1]

        def step() -> torch.Tensor:
            optimizer.zero_grad()
            pooled = module(indices, offsets)
            pooled.backward(grad)
            optimizer.step()
            return pooled.detach()

        return step
