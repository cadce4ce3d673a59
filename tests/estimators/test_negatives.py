"""Test training with many classes, of which each step uses some: estimates, bits, going on."""

import copy
import pickle

import numpy as np
import pytest
from scipy import sparse, stats

pytest.importorskip("sklearn")

from ebagx._training import steps as steps_module
from ebagx._training.bags import bags_of
from ebagx._training.examples import Examples
from ebagx._training.loop import Plan
from ebagx._training.losses import Sigmoid, Softmax
from ebagx._training.negatives import Drawing, Shape, chances_to_be_used
from ebagx._training.network import Layer, Network
from ebagx._training.steps import Steps
from ebagx.optim import SGD
from ebagx.sklearn import EmbeddingBagClassifier
from support.estimator_cases import assert_same_model

K = 200


def make_rows(num_rows=2000, seed=0):
    """Rows of X with noise and columns of their class, which is rare or frequent."""
    rng = np.random.default_rng(seed)
    labels = (K * rng.random(num_rows) ** 2).astype(int)
    columns = np.column_stack(
        [labels, 200 + labels % 37, rng.integers(240, 300, (num_rows, 2)).T[0]]
    )
    offsets = np.arange(0, columns.size + 1, 3)
    X = sparse.csr_array(
        (np.ones(columns.size, np.float32), columns.ravel(), offsets), (num_rows, 300)
    )
    return X, labels


def indicator_of(labels):
    ones = sparse.csr_array(
        (np.ones(len(labels), int), labels, np.arange(len(labels) + 1)), (len(labels), K)
    )
    ones += sparse.csr_array(ones[:, (np.arange(K) + 3) % K])
    return ones


def make(**options):
    return EmbeddingBagClassifier(
        16, **{"random_state": 0, "max_iter": 3, "batch_size": 32, "negatives": 20, **options}
    )


def test_learns_as_well_as_the_full_loss():
    X, y = make_rows()
    full, some = (make(negatives=n, max_iter=10).fit(X, y).score(X, y) for n in (None, 20))
    assert full > 0.9
    assert some > full - 0.05


def test_predictions_are_of_all_classes():
    X, y = make_rows()
    model = make().fit(X, y)
    probabilities = model.predict_proba(X[:9])
    assert probabilities.shape == (9, len(model.classes_))
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)
    scores = model.transform(X[:9]).astype(float) @ model.coef_.T + model.intercept_
    np.testing.assert_allclose(model.decision_function(X[:9]), scores, rtol=1e-4, atol=1e-5)


def test_learns_several_labels():
    """Labels that nobody has become unlikely, too."""
    X, y = make_rows()
    y = indicator_of(y % 190)
    unused = np.flatnonzero(y.sum(axis=0) == 0)
    model = make(max_iter=10).fit(X, y)
    assert (model.predict(X) != y).sum() < 0.5 * y.sum()
    assert len(unused)
    assert model.predict_proba(X)[:, unused].max() < 0.02


@pytest.mark.parametrize("negatives", [K, 10**9])
@pytest.mark.parametrize("several", [False, True])
def test_as_many_as_classes_are_all(negatives, several):
    X, y = make_rows(300)
    y[:K] = np.arange(K)
    y = indicator_of(y) if several else y
    assert_same_model(make(negatives=negatives).fit(X, y), make(negatives=None).fit(X, y))


@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize("threads", [2, 3, 8])
def test_threads_and_lengths_of_calls_change_no_bit(monkeypatch, threads, several):
    X, y = make_rows(500)
    y = indicator_of(y) if several else y
    expected = make(alpha=1e-3, num_threads=1).fit(X, y)
    monkeypatch.setattr(steps_module, "thread_count", lambda *_, **__: threads)
    monkeypatch.setattr(steps_module, "_FIRST_STEPS", threads)
    assert_same_model(make(alpha=1e-3).fit(X, y), expected)
    monkeypatch.setattr(steps_module, "_CALL_SECONDS", 0.0)  # a step a call
    assert_same_model(make(alpha=1e-3).fit(X, y), expected)


def test_seeds_give_other_draws():
    X, y = make_rows(500)
    first, other = (make(random_state=seed).fit(X, y) for seed in (0, 1))
    assert not np.array_equal(first.coef_, other.coef_)
    examples = Examples(bags_of(X, X.dtype), indicator_of(y), None)
    plan = Plan(32, 1, negatives=20)
    seeds = {plan.drawing(examples, np.random.default_rng(seed)).seed for seed in range(9)}
    assert len(seeds) == 9


def test_partial_fit_goes_on_after_a_pickle():
    X, y = make_rows(500)
    classes = np.arange(K)
    straight = make().partial_fit(X, y, classes).partial_fit(X, y).partial_fit(X, y)
    resumed = make().partial_fit(X, y, classes)
    for _ in range(2):
        resumed = pickle.loads(pickle.dumps(resumed))
        resumed.partial_fit(X, y)
    assert_same_model(resumed, straight)
    changed = copy.deepcopy(resumed).set_params(negatives=None).partial_fit(X, y)
    assert not np.array_equal(changed.coef_, resumed.partial_fit(X, y).coef_)


def test_training_goes_on_after_ctrl_c(monkeypatch):
    X, y = make_rows(500)
    model = make(warm_start=True)
    take, calls = Steps._take, []

    def interrupted(self, *arguments):
        calls.append(arguments)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return take(self, *arguments)

    monkeypatch.setattr(steps_module, "_FIRST_STEPS", 5)
    monkeypatch.setattr(Steps, "_take", interrupted)
    with pytest.warns(UserWarning, match="interrupted in pass 1 of 3"):
        model.fit(X, y)
    before = model.score(X, y)
    assert model.partial_fit(X, y).partial_fit(X, y).score(X, y) > before


def test_weight_decay_reaches_classes_that_no_step_uses():
    """A class is lowered to the same size whether steps use it or not."""
    X, y = make_rows(64)
    sizes = []
    for count in (None, 1):
        model = make(max_iter=1, negatives=count, optimizer="adamw", alpha=1e-3, warm_start=True)
        model.fit(X, np.append(y[:-1], K))
        decays = [optimizer._decay for optimizer in model._state.optimizers]
        sizes.append(decays[1].total)
        assert (decays[1].seen == decays[1].total).all()
    assert sizes[0] == sizes[1] < 0


@pytest.mark.parametrize(
    ("negatives", "error", "message"),
    [
        (0, ValueError, "negatives must be at least 1 or None, got 0"),
        (2.5, TypeError, "negatives must be an integer"),
        ("ns", TypeError, "negatives must be an integer"),
    ],
)
def test_bad_numbers(negatives, error, message):
    X, y = make_rows(300)
    with pytest.raises(error, match=message):
        make(negatives=negatives).fit(X, y)


COUNTS = np.array([1, 1, 2, 3, 8, 15, 0, 0])


@pytest.mark.parametrize("batch_size", [1, 4, 30])
def test_chances_to_be_used(batch_size):
    """They are the frequencies among random batches around one bag that lacks the class."""
    rng = np.random.default_rng(0)
    weights = np.sqrt(np.maximum(COUNTS, 1.0))
    shape = Shape(30, batch_size, batch_size, 5, 1, 1)
    expected = chances_to_be_used(weights, COUNTS, 3, shape)
    labels = np.repeat(np.arange(8), COUNTS)
    used = np.zeros(8)
    for _ in range(4000):
        drawn = rng.choice(8, 3, p=weights / weights.sum())
        for k in range(8):
            others = np.append(labels[labels != k][1:], labels[labels == k])
            batch = rng.choice(others, batch_size - 1, replace=False)
            used[k] += k in drawn or k in batch
    error = np.sqrt(expected * (1 - expected) / 4000) + 1e-9
    assert (np.abs(used / 4000 - expected) < 4 * error).all()


class Gradients:
    """Gradients of the head that single steps of plain SGD take, from the same start."""

    def __init__(self, loss, drawing, batch_size):
        rng = np.random.default_rng(3)
        self.num_bags, self.num_classes = 30, 24
        X = sparse.random_array((self.num_bags, 12), density=0.4, rng=rng, dtype=np.float32)
        labels = np.sort((self.num_classes * rng.random(self.num_bags) ** 2).astype(int))
        y = sparse.csr_array(
            (np.ones(self.num_bags, np.int8), labels, np.arange(self.num_bags + 1)),
            (self.num_bags, self.num_classes),
        )
        table = rng.standard_normal((12, 6)).astype(np.float32)
        coef = (rng.standard_normal((self.num_classes, 6)) / 4).astype(np.float32)
        layers = [Layer(coef, (rng.standard_normal(self.num_classes) / 4).astype(np.float32))]
        optimizers = [SGD(1e-30), SGD(1.0)]
        self.network = Network(table, layers, optimizers, np.arange(12), 1)
        examples = Examples(bags_of(X.tocsr(), X.dtype), y, None)
        self.steps = Steps(self.network, loss, examples, batch_size, drawing)
        self.start = self.network.weights[0].copy()
        self.batch_size, self.rng = batch_size, rng

    def take(self):
        np.copyto(self.network.weights[0], self.start)
        order = self.rng.permutation(self.num_bags)[: self.batch_size]
        self.steps.make_pass(order, None)
        return self.start.astype(float) - self.network.weights[0]

    def mean_and_error(self, count):
        taken = np.array([self.take() for _ in range(count)])
        return taken.mean(axis=0), taken.std(axis=0) / np.sqrt(count)


@pytest.mark.parametrize(("num_drawn", "batch_size"), [(2, 5), (9, 3), (1, 12)])
def test_gradient_of_several_labels_is_unbiased(num_drawn, batch_size):
    full = Gradients(Sigmoid(), None, 30).take()
    mean, error = Gradients(Sigmoid(), Drawing(num_drawn, 7), batch_size).mean_and_error(6000)
    scores = ((mean - full) / (error + 1e-6)).ravel()
    # Columns of a class depend on each other: the limit is that of independent numbers, doubled.
    assert (scores**2).sum() < 2 * stats.chi2.ppf(0.999, scores.size)
    assert np.abs(scores).max() < 6


def test_gradient_of_one_label_has_a_bias_that_falls_with_the_number_drawn():
    full = Gradients(Softmax(), None, 30).take()
    biases = []
    for num_drawn in (2, 8, 20):
        mean, _ = Gradients(Softmax(), Drawing(num_drawn, 7), 6).mean_and_error(4000)
        biases.append(np.linalg.norm(mean - full) / np.linalg.norm(full))
    assert biases[0] > biases[1] > biases[2]
    assert biases[0] < 0.25
    assert biases[2] < 0.08
