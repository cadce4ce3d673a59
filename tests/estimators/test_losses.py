"""Compare gradients of losses with differences of the loss, and test extreme scores."""

import numpy as np
import pytest
import scipy.special
from scipy import sparse

pytest.importorskip("sklearn")

from ebagx.sklearn.training.losses import (
    Huber,
    Poisson,
    Sigmoid,
    Softmax,
    SquaredError,
    target_batches,
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
def test_gradient_is_the_derivative_of_the_loss(loss):
    scores, targets = case(loss)
    gradient = scores.copy()
    loss.gradient(gradient, targets)
    step = 1e-6
    for k, b in np.ndindex(K, B):
        values = []
        for sign in (1, -1):
            moved = scores.copy()
            moved[k, b] += sign * step
            values.append(loss.gradient(moved, targets)[b])
        np.testing.assert_allclose(gradient[k, b], (values[0] - values[1]) / step / 2, atol=1e-7)


@losses
def test_losses_are_at_least_0_and_0_for_a_perfect_score(loss):
    scores, targets = case(loss)
    assert (loss.gradient(scores, targets) > 0).all()
    if isinstance(loss, (Softmax, Sigmoid)):
        perfect = np.full((K, B), -100.0)
        perfect.reshape(-1)[targets] = 100
    else:
        perfect = (
            np.log(np.maximum(targets, 1e-30)) if isinstance(loss, Poisson) else targets.copy()
        )
    np.testing.assert_allclose(loss.gradient(perfect, targets), 0, atol=1e-12)


def test_large_scores_do_not_overflow():
    scores = np.array([[1000, -1000], [0, 1000], [999, 0]], np.float32)
    losses = Softmax().gradient(scores, np.array([0, 3]))
    np.testing.assert_allclose(losses, [np.log(1 + np.exp(-1)), 0], rtol=1e-4)
    np.testing.assert_allclose(scores[:, 0], [-0.26894, 0, 0.26894], rtol=1e-4)
    scores = np.array([[1000], [-1000]], np.float32)
    assert Softmax().gradient(scores.copy(), np.array([1])) == pytest.approx(87.3, abs=0.1)
    assert Sigmoid().gradient(scores.copy(), np.array([1])) == 2000


@pytest.mark.parametrize("num_classes", [2, 3, 10, 101])
def test_softmax_in_place_has_the_bits_of_scipy(num_classes):
    scores = np.random.default_rng(0).standard_normal((num_classes, 128)).astype(np.float32)
    gradient = 3 * scores
    expected = scipy.special.softmax(gradient, axis=0)
    expected[0] -= 1
    Softmax().gradient(gradient, np.arange(128))
    np.testing.assert_array_equal(gradient, expected)


def test_huber_is_the_squared_error_of_small_errors_and_linear_beyond():
    scores = np.array([[0.5, -3.0]])
    losses = Huber(2.0).gradient(scores, np.zeros((1, 2)))
    np.testing.assert_array_equal(losses, [0.125, 2 * (3 - 1)])
    np.testing.assert_array_equal(scores, [[0.5, -2]])


@pytest.mark.parametrize("size", [1, 2, 3, 7, 10])
def test_target_batches(size):
    rng = np.random.default_rng(0)
    order = rng.permutation(7)
    indicator = (rng.random((7, 4)) < 0.5).astype(int)
    batches = [order[first : first + size] for first in range(0, 7, size)]
    for rows, positives in zip(
        batches, target_batches(sparse.csr_array(indicator), order, size), strict=True
    ):
        found = np.zeros((4, len(rows)), int)
        found.reshape(-1)[positives] = 1
        np.testing.assert_array_equal(found, indicator[rows].T)
    for rows, numbers in zip(
        batches, target_batches(indicator.astype("f"), order, size), strict=True
    ):
        np.testing.assert_array_equal(numbers, indicator[rows].T)
