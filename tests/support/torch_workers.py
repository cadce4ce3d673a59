"""Trainings for processes of their own, which import this file."""

from pathlib import Path

import torch

import ebagx.torch
from support.torch_cases import Model

STEPS = 3


def batch_of(step, rank):
    return (torch.arange(12).reshape(4, 3) * (rank + 1) + step) % 50


def make_model():
    torch.manual_seed(0)
    return ebagx.torch.accelerate(Model(mode="sum", sparse=True))


def train_distributed(rank, path):
    """Train on half of the bags, exchange gradients, and write the table to a file."""
    store = Path(path).with_name("store").as_uri()
    group = {"init_method": store, "rank": rank, "world_size": 2}
    torch.distributed.init_process_group("gloo", **group)
    try:
        model = make_model()
        parallel = torch.nn.parallel.DistributedDataParallel(model)
        optimizer = torch.optim.SGD(model.parameters(), 0.1)
        for step in range(STEPS):
            optimizer.zero_grad()
            parallel(batch_of(step, rank)).square().mean().backward()
            optimizer.step()
        torch.save(model.bag.weight.detach(), path)
    finally:
        torch.distributed.destroy_process_group()


def train_alone():
    """Return the table after training on all bags in one process."""
    model = make_model()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    for step in range(STEPS):
        optimizer.zero_grad()
        model(torch.cat([batch_of(step, rank) for rank in range(2)])).square().mean().backward()
        optimizer.step()
    return model.bag.weight.detach()
