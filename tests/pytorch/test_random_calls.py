"""Compare values and gradients with those of PyTorch in a thousand random calls."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import ebagx.torch  # noqa: E402
from support.torch_cases import DTYPES, assert_like, random_call, run, widened  # noqa: E402


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("seed", range(5))
def test_fifty_calls(dtype, seed):
    rng = np.random.default_rng([seed, DTYPES.index(dtype)])
    for _ in range(50):
        call = random_call(rng, dtype)
        expected = run(torch.nn.functional.embedding_bag, *widened(*call))
        actual = run(ebagx.torch.embedding_bag, *call)
        for ours, theirs in zip(actual, expected, strict=True):
            if theirs is None:
                assert ours is None
                continue
            assert ours.dtype == dtype
            assert_like(ours, theirs)


def test_without_gradient():
    rng = np.random.default_rng(9)
    for _ in range(100):
        table, tensors, options, _ = random_call(rng, torch.float32)
        theirs, ours = table.clone(), table.clone()
        expected = torch.nn.functional.embedding_bag(weight=theirs, **tensors, **options)
        actual = ebagx.torch.embedding_bag(weight=ours, **tensors, **options)
        assert not actual.requires_grad
        assert_like(actual, expected)
        assert_like(ours, theirs)
