import numpy as np
import pytest

from ebagx.optim import Adam, AdamW
from support import optim_cases as cases

BETAS = (0.8, 0.95)


@pytest.mark.torch
def test_equals_pytorch_s_sparse_adam():
    expected = cases.run_torch(
        lambda optim, p: optim.SparseAdam(p, lr=0.1, betas=BETAS, eps=1e-3), sparse=True
    )
    np.testing.assert_allclose(cases.run(Adam(0.1, BETAS, 1e-3)), expected, rtol=1e-11)


@pytest.mark.torch
def test_decay_equals_pytorch_s_adam_with_all_rows():
    # PyTorch adds eps in another place.
    expected = cases.run_torch(
        lambda optim, p: optim.Adam(p, lr=0.1, betas=BETAS, eps=0, weight_decay=0.3),
        cases.ALL_ROWS,
    )
    table = cases.run(Adam(0.1, BETAS, 0, weight_decay=0.3), cases.ALL_ROWS)
    np.testing.assert_allclose(table, expected, rtol=1e-10)


@pytest.mark.torch
def test_adamw_equals_pytorch_with_all_rows():
    expected = cases.run_torch(
        lambda optim, p: optim.AdamW(p, lr=0.1, betas=BETAS, eps=1e-3, weight_decay=0.3),
        cases.ALL_ROWS,
    )
    table = cases.run(AdamW(0.1, BETAS, 1e-3, weight_decay=0.3), cases.ALL_ROWS)
    np.testing.assert_allclose(table, expected, rtol=1e-10)


@pytest.mark.torch
def test_adamw_decays_rows_that_nothing_touched():
    rows = np.array([1, 4])
    optimizer = AdamW(0.1, weight_decay=0.3)
    table = cases.run(optimizer, rows)
    others = np.setdiff1d(cases.ALL_ROWS, rows)
    np.testing.assert_array_equal(table[others], cases.start()[others])
    optimizer.catch_up(table)
    expected = cases.run_torch(lambda optim, p: optim.AdamW(p, lr=0.1, weight_decay=0.3), rows)
    np.testing.assert_allclose(table, expected, rtol=1e-11)


def test_adamw_decays_by_default():
    assert AdamW().weight_decay == 0.01
    assert Adam().weight_decay == 0


@pytest.mark.parametrize("betas", [(1.0, 0.9), (-0.1, 0.9), (float("nan"), 0.9)])
def test_bad_betas(betas):
    with pytest.raises(ValueError, match=rf"^betas\[0\] must be in \[0, 1\), got {betas[0]}$"):
        Adam(betas=betas)
    with pytest.raises(ValueError, match=r"^betas\[1\] must be in"):
        Adam(betas=betas[::-1])
