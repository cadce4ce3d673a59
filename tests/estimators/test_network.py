"""Test the table and the layers of networks: gradients, scores, snapshots."""

import numpy as np
import pytest
from scipy import sparse

pytest.importorskip("sklearn")

from ebagx._training.bags import bags_of
from ebagx._training.examples import Examples
from ebagx._training.losses import (
    Huber,
    Poisson,
    Sigmoid,
    Softmax,
    SquaredError,
    targets_of,
)
from ebagx._training.network import Layer, Network, initial_layers, initial_rows, scores_of
from ebagx._training.steps import Steps
from ebagx.optim import SGD

N, D, K, B = 6, 4, 3, 5
LOSSES = [Softmax(), Sigmoid(), SquaredError(), Huber(1.35), Poisson()]
losses = pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: type(loss).__name__)


def targets_for(loss):
    """Classes, labels or numbers (B, K) of the bags."""
    rng = np.random.default_rng(1)
    if isinstance(loss, Softmax):
        return sparse.csr_array(np.eye(K, dtype=np.int8)[[0, 2, 1, 1, 0]])
    if isinstance(loss, Sigmoid):
        return sparse.csr_array((rng.random((B, K)) < 0.5).astype(np.int8))
    numbers = rng.poisson(2, (B, K)) if isinstance(loss, Poisson) else rng.normal(size=(B, K))
    return numbers.astype("f")


def make(hidden, loss=LOSSES[0]):
    """A network, steps for it whose first is its gradient, and the bags as a dense matrix."""
    rng = np.random.default_rng(0)
    table = rng.standard_normal((N, D)).astype("f")
    layers = [
        Layer(*(rng.standard_normal(part.shape).astype("f") for part in layer))
        for layer in initial_layers(D, hidden, K, rng)
    ]
    optimizers = [SGD(1.0) for _ in range(len(layers) + 1)]
    X = sparse.random_array((B, N), density=0.5, rng=rng, dtype=np.float32).tocsr()
    network = Network(table, layers, optimizers, np.arange(N), None)
    steps = Steps(network, loss, Examples(bags_of(X, X.dtype), targets_for(loss), None), 8)
    return network, steps, X.toarray().astype(float)


def loss_of(loss, pooling, weights, targets):
    """The mean loss in float64."""
    table, *layers = weights
    values = pooling @ table
    for layer in layers[:-1]:
        values = np.maximum(values @ layer[:, :-1].T + layer[:, -1], 0)
    scores = values @ layers[-1][:, :-1].T + layers[-1][:, -1]
    return loss.of(np.ascontiguousarray(scores.T), targets).mean()


@losses
@pytest.mark.parametrize("hidden", [None, 7])
def test_step_is_against_the_gradient(hidden, loss):
    """The slopes of the loss in NumPy are the gradient that the training kernel computes."""
    network, steps, pooling = make(hidden, loss)
    targets = targets_of(targets_for(loss))
    before = [network.table.astype(float)]
    before += [np.column_stack(layer).astype(float) for layer in network.layers]
    total = steps.make_pass(np.arange(B), None)
    assert total / B == pytest.approx(loss_of(loss, pooling, before, targets), rel=1e-6)
    after = [network.table, *(np.column_stack(layer) for layer in network.layers)]
    # Gradients of a softmax are small numbers, those of other losses may be large ones.
    limits = {"atol": 2e-5} if isinstance(loss, Softmax) else {"atol": 2e-5, "rtol": 1e-5}
    for i, (old, new) in enumerate(zip(before, after, strict=True)):
        for place in np.ndindex(old.shape):
            values = []
            for sign in (1, -1):
                moved = [weight.copy() for weight in before]
                moved[i][place] += sign * 1e-6
                values.append(loss_of(loss, pooling, moved, targets))
            slope = (values[0] - values[1]) / 2e-6
            np.testing.assert_allclose(old[place] - new[place], slope, **limits)


def gradient_of_scores(loss, scores, targets):
    """The gradient of the scores (K,) of one bag that the training kernel computes."""
    head = Layer(np.zeros((len(scores), 1), "f"), np.array(scores, "f"))
    network = Network(np.ones((1, 1), "f"), [head], [SGD(1.0), SGD(1.0)], np.arange(1), None)
    bags = bags_of(sparse.csr_array(np.ones((1, 1), "f")), np.dtype("f"))
    Steps(network, loss, Examples(bags, targets, None), 1).make_pass(np.arange(1), None)
    return -network.layers[0].coef[:, 0]  # the vector of the bag is 1


def test_gradients_of_large_scores():
    gradient = gradient_of_scores(
        Softmax(), [1000, 0, 999], sparse.csr_array(np.array([[1, 0, 0]], np.int8))
    )
    np.testing.assert_allclose(gradient, [-0.26894, 0, 0.26894], rtol=1e-4)
    gradient = gradient_of_scores(Huber(2.0), [0.5, -3.0], np.zeros((1, 2), "f"))
    np.testing.assert_array_equal(gradient, [0.5, -2])


def test_score_of_a_row_does_not_depend_on_the_rows_beside_it():
    rng = np.random.default_rng(0)
    pooled = rng.standard_normal((2100, 33)).astype("f")
    layers = [Layer(rng.standard_normal((9, 33)).astype("f"), np.zeros(9, "f"))]
    scores = scores_of(pooled, layers)
    for rows in (slice(0, 1), slice(5, 12), slice(1000, 2100)):
        np.testing.assert_array_equal(scores_of(pooled[rows], layers), scores[rows])


@pytest.mark.parametrize("used", [np.arange(N), np.array([1, 4])])
def test_snapshot(used):
    network, steps, _ = make(7)
    network = Network(network.table, network.layers, [SGD(1.0) for _ in range(3)], used, None)
    steps = Steps(network, Softmax(), steps._examples, 8)
    network.restore(network.snapshot(network.snapshot()))
    table, layers = network.table.copy(), network.layers
    kept = network.snapshot()
    steps.make_pass(np.arange(B), None)
    assert not any(np.array_equal(*pair) for pair in zip(network.layers[0], layers[0], strict=True))
    network.restore(kept)
    np.testing.assert_array_equal(network.table[used], table[used])
    for layer, old in zip(network.layers, layers, strict=True):
        np.testing.assert_array_equal(layer.coef, old.coef)
        np.testing.assert_array_equal(layer.intercept, old.intercept)


def test_reprs_are_short():
    network, steps, _ = make(7)
    assert repr(network.layers) == "[Layer(4 inputs, 7 outputs), Layer(7 inputs, 3 outputs)]"
    assert repr(network.snapshot()[1]) == "PartCopy(7 rows)"
    examples = Examples(steps._examples.bags, np.zeros((B, 2)), None)
    assert repr(examples) == "Examples(5 bags, 2 outputs)"
    weighted = examples._replace(weights=np.ones(B, "f"))
    assert repr(weighted) == "Examples(5 bags, 2 outputs, weighted)"


@np.errstate(over="ignore", invalid="ignore")  # as in `train`
def test_is_finite():
    network, *_ = make(7)
    assert network.is_finite()
    network.table[:3] = np.finfo("f").max  # whose sum is infinite
    assert network.is_finite()
    for values in ([np.nan, 0], [np.inf, 0], [-np.inf, np.inf]):
        network.table[2, :2] = values
        assert not network.is_finite()
    network.table[:] = 0
    assert network.is_finite()
    network.weights[0][1, 1] = np.nan
    assert not network.is_finite()


def test_only_rows_in_use_must_be_finite():
    network, *_ = make(7)
    network = Network(
        network.table, network.layers, [SGD(1.0) for _ in range(3)], np.array([1, 4]), None
    )
    network.table[2] = np.nan
    assert network.is_finite()
    network.table[4, 0] = np.inf
    assert not network.is_finite()


@pytest.mark.parametrize("step", [1, 3])
def test_rows_begin_with_one_run_of_random_numbers(step):
    """More of them than a block, each of odd length."""
    used = np.arange(0, 5000, step)
    table = initial_rows(used, (5000, 3), np.random.default_rng(7))
    expected = (2 * np.random.default_rng(7).random((len(used), 3), np.float32) - 1) / np.float32(3)
    np.testing.assert_array_equal(table[used], expected)
    assert np.count_nonzero(table.any(axis=1)) == len(used)
