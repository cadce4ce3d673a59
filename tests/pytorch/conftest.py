"""Settings of the tests of `ebagx.torch`."""

import importlib.util

import pytest


@pytest.fixture(autouse=True, scope="session")
def one_thread_of_torch():
    """Keep the threads of PyTorch from waiting for processors that other tests use."""
    if importlib.util.find_spec("torch") is None:
        yield
        return
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
