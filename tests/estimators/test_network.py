"""Test the table and the layers of networks: gradients, scores, snapshots."""

import numpy as np
import pytest
from scipy import sparse

pytest.importorskip("sklearn")

from ebagx.optim import SGD
from ebagx.sklearn.bags import bags_of
from ebagx.sklearn.training.examples import Examples
from ebagx.sklearn.training.losses import Softmax
from ebagx.sklearn.training.network import Layer, Network, initial_layers, scores_of
from ebagx.sklearn.training.steps import Steps

N, D, K, B = 6, 4, 3, 5


def make(hidden, rate=1.0, optimizer=SGD):
    """A network, steps for it whose first is its gradient, and the bags as a dense matrix."""
    rng = np.random.default_rng(0)
    table = rng.standard_normal((N, D)).astype("f")
    layers = [
        Layer(*(rng.standard_normal(part.shape).astype("f") for part in layer))
        for layer in initial_layers(D, hidden, K, rng)
    ]
    optimizers = [optimizer(rate) for _ in range(len(layers) + 1)]
    X = sparse.random_array((B, N), density=0.5, rng=rng, dtype=np.float32).tocsr()
    network = Network(table, layers, optimizers, np.arange(N), None)
    labels = np.array([0, 2, 1, 1, 0])
    targets = sparse.csr_array((np.ones(B, np.int8), labels, np.arange(B + 1)), (B, K))
    steps = Steps(network, Softmax(), Examples(bags_of(X, X.dtype), targets, None), 8)
    return network, steps, X.toarray().astype(float)


def loss_of(pooling, weights, positives):
    """The mean loss in float64."""
    table, *layers = weights
    values = pooling @ table
    for layer in layers[:-1]:
        values = np.maximum(values @ layer[:, :-1].T + layer[:, -1], 0)
    scores = values @ layers[-1][:, :-1].T + layers[-1][:, -1]
    return Softmax().gradient(np.ascontiguousarray(scores.T), positives).mean()


@pytest.mark.parametrize("hidden", [None, 7])
def test_step_is_against_the_gradient(hidden):
    network, steps, pooling = make(hidden)
    positives = np.array([0, 2, 1, 1, 0]) * B + np.arange(B)
    before = [network.table.astype(float)]
    before += [np.column_stack(layer).astype(float) for layer in network.layers]
    loss = steps.make_pass(np.arange(B), None)
    assert loss / B == pytest.approx(loss_of(pooling, before, positives), rel=1e-6)
    after = [network.table, *(np.column_stack(layer) for layer in network.layers)]
    for i, (old, new) in enumerate(zip(before, after, strict=True)):
        for place in np.ndindex(old.shape):
            values = []
            for sign in (1, -1):
                moved = [weight.copy() for weight in before]
                moved[i][place] += sign * 1e-6
                values.append(loss_of(pooling, moved, positives))
            slope = (values[0] - values[1]) / 2e-6
            np.testing.assert_allclose(old[place] - new[place], slope, atol=2e-5)


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
    assert repr(network.snapshot()) == "Snapshot(6 rows, 2 layers)"
    examples = Examples(steps._examples.bags, np.zeros((B, 2)), None)
    assert repr(examples) == "Examples(5 bags, 2 outputs)"
    weighted = examples._replace(weights=np.ones(B, "f"))
    assert repr(weighted) == "Examples(5 bags, 2 outputs, weighted)"


def test_is_finite():
    network, *_ = make(7)
    assert network.is_finite()
    network.table[2, 1] = np.inf
    assert not network.is_finite()
