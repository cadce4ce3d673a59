"""Test known losses, and extreme scores. test_network.py compares their gradients."""

import numpy as np
import pytest
from scipy import sparse

pytest.importorskip("sklearn")

from ebagx._training.losses import (
    Huber,
    Poisson,
    Sigmoid,
    Softmax,
    SquaredError,
    targets_of,
)

K, B = 3, 5


def case(loss):
    """Scores (K, B) in float64 and targets for a loss."""
    rng = np.random.default_rng(0)
    scores = 3 * rng.standard_normal((K, B))
    if isinstance(loss, Softmax):
        return scores, rng.integers(K, size=B) * B + np.arange(B)
    if isinstance(loss, Sigmoid):
        return scores, np.flatnonzero(rng.random(K * B) < 0.4)
    numbers = rng.poisson(2, (K, B)) if isinstance(loss, Poisson) else rng.standard_normal((K, B))
    return scores, numbers.astype(float)


LOSSES = [Softmax(), Sigmoid(), SquaredError(), Huber(1.35), Poisson()]
losses = pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: type(loss).__name__)


@losses
def test_losses_are_at_least_0_and_0_for_a_perfect_score(loss):
    scores, targets = case(loss)
    assert (loss.of(scores, targets) > 0).all()
    if isinstance(loss, (Softmax, Sigmoid)):
        perfect = np.full((K, B), -100.0)
        perfect.reshape(-1)[targets] = 100
    else:
        perfect = (
            np.log(np.maximum(targets, 1e-30)) if isinstance(loss, Poisson) else targets.copy()
        )
    np.testing.assert_allclose(loss.of(perfect, targets), 0, atol=1e-12)


def test_large_scores_do_not_overflow():
    scores = np.array([[1000, -1000], [0, 1000], [999, 0]], np.float32)
    losses = Softmax().of(scores, np.array([0, 3]))
    np.testing.assert_allclose(losses, [np.log(1 + np.exp(-1)), 0], rtol=1e-4)
    scores = np.array([[1000], [-1000]], np.float32)
    assert Softmax().of(scores.copy(), np.array([1])) == pytest.approx(87.3, abs=0.1)
    assert Sigmoid().of(scores.copy(), np.array([1])) == 2000


def test_huber_is_the_squared_error_of_small_errors_and_linear_beyond():
    scores = np.array([[0.5, -3.0]])
    losses = Huber(2.0).of(scores, np.zeros((1, 2)))
    np.testing.assert_array_equal(losses, [0.125, 2 * (3 - 1)])


@losses
def test_scores_stay_as_they_are(loss):
    scores, targets = case(loss)
    before = scores.copy()
    loss.of(scores, targets)
    np.testing.assert_array_equal(scores, before)


@pytest.mark.parametrize("num_bags", [0, 1, 7])
def test_targets(num_bags):
    rng = np.random.default_rng(0)
    indicator = (rng.random((num_bags, 4)) < 0.5).astype(int)
    found = np.zeros((4, num_bags), int)
    found.reshape(-1)[targets_of(sparse.csr_array(indicator))] = 1
    np.testing.assert_array_equal(found, indicator.T)
    np.testing.assert_array_equal(targets_of(indicator.astype("f")), indicator.T)
