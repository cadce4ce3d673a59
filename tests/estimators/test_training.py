"""Test training: passes and partial fits, early stopping, schedules, Ctrl-C and divergence."""

import copy
import pickle
import re
import signal

import numpy as np
import pytest

pytest.importorskip("sklearn")

from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from ebagx._training.network import Network
from ebagx.optim import SGD, Adagrad, Adam, AdamW, RowwiseAdagrad, linear_decay
from ebagx.sklearn import EmbeddingBagClassifier
from support.estimator_cases import KINDS, assert_same_model, make

kinds = pytest.mark.parametrize("kind", KINDS)
two_kinds = pytest.mark.parametrize("kind", ["softmax", "huber"])


def first_call(y):
    """Return the arguments of the first call of partial_fit."""
    return {"classes": ["a", "b", "c"]} if np.asarray(y).dtype.kind == "U" else {}


@kinds
@pytest.mark.parametrize("hidden", [None, 6])
def test_loss_falls(kind, hidden):
    model, X, y = make(kind, hidden=hidden, max_iter=30)
    losses = model.fit(X, y).loss_curve_
    assert losses[-1] < 0.95 * losses[0]
    assert model.n_iter_ == model.best_iter_ == len(losses) == 30
    assert model.validation_scores_ is model.best_validation_score_ is None
    shape = (5,) if hidden is None else (6,)
    assert model.coef_.shape[1:] == shape
    assert (model.hidden_coef_ is None) == (hidden is None)
    if hidden:
        assert model.hidden_coef_.shape == (6, 5)
        assert model.hidden_intercept_.any()


@kinds
def test_partial_fits_are_the_passes_of_fit(kind):
    model, X, y = make(kind, max_iter=3)
    model.fit(X, y)
    other = clone(model)
    other.partial_fit(X, y, **first_call(y)).partial_fit(X, y)
    other = pickle.loads(pickle.dumps(other)).partial_fit(X, y)
    if KINDS[kind][2] in ("numbers", "columns"):  # whose head changes its units in between
        np.testing.assert_allclose(model.embedding_, other.embedding_, rtol=1e-4, atol=1e-5)
    else:
        assert_same_model(model, other)
    np.testing.assert_allclose(model.loss_curve_, other.loss_curve_, rtol=1e-5)
    assert other.n_iter_ == 3


@kinds
def test_partial_fit_goes_on_with_a_fitted_model(kind):
    model, X, y = make(kind, schedule="linear")
    model.fit(X, y)
    assert_same_model(model, pickle.loads(pickle.dumps(model)))
    before = model.embedding_.copy()
    model.partial_fit(X, y)
    assert not np.array_equal(model.embedding_, before)
    assert model.n_iter_ == len(model.loss_curve_) == 11
    assert model.loss_curve_[-1] < model.loss_curve_[0]


def test_partial_fit_may_meet_new_columns():
    model, X, y = make("softmax", mode="sum")
    X = X.tolil()
    half = X.copy()
    half[:, 2] = 0
    model.partial_fit(half.tocsr(), y, ["a", "b", "c"])
    assert not model.embedding_[2].any()
    model.partial_fit(X.tocsr(), y)
    assert model.embedding_[2].any()


@kinds
def test_same_bits_for_any_number_of_threads(kind, monkeypatch):
    monkeypatch.setattr("ebagx._core.threads.WORK_PER_THREAD", 1)
    models = []
    for num_threads in (1, 2, 3):
        model, X, y = make(kind, hidden=4, num_threads=num_threads, early_stopping=True)
        models.append(model.fit(X, y))
        assert models[-1].loss_curve_ == models[0].loss_curve_
        assert models[-1].validation_scores_ == models[0].validation_scores_
        assert_same_model(models[-1], models[0])


def test_warm_start():
    model, X, y = make("softmax", max_iter=2, warm_start=True)
    model.fit(X, y)
    table, losses = model.embedding_.copy(), model.loss_curve_
    model.set_params(learning_rate=1e-20).fit(X, y)
    np.testing.assert_array_equal(model.embedding_, table)
    assert model.loss_curve_[0] < losses[-1]
    model.set_params(warm_start=False, learning_rate=0.1).fit(X, y)
    assert model.loss_curve_[0] == losses[0]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("sgd", SGD),
        ("adagrad", Adagrad),
        ("rowwise_adagrad", RowwiseAdagrad),
        ("adam", Adam),
        ("adamw", AdamW),
    ],
)
def test_optimizers_by_name_and_as_objects(name, kind):
    given = kind(0.05, weight_decay=1e-3)
    models = []
    for parameters in ({"optimizer": name, "alpha": 1e-3}, {"optimizer": given}):
        model, X, y = make("softmax", hidden=3, learning_rate=0.05, **parameters)
        models.append(model.fit(X, y))
    assert_same_model(*models)
    assert given.num_steps == 0
    assert all(np.size(array) < 2 for array in given.state_dict().values())


def test_schedules():
    models = {}
    steps = 6 * 3  # of 40 bags in batches of 7
    for name, schedule in {
        "constant": None,
        "linear": "linear",
        "callable": linear_decay(0.2, steps),
        "cosine": "cosine",
    }.items():
        model, X, y = make("softmax", learning_rate=0.2, max_iter=3, schedule=schedule)
        models[name] = model.fit(X, y)
    assert_same_model(models["linear"], models["callable"])
    tables = {models[name].embedding_.tobytes() for name in models}
    assert len(tables) == 3


def test_linear_schedule_ends_at_0():
    model, X, y = make("softmax", learning_rate=0.2, max_iter=3)
    seen = []

    def spy(step):
        seen.append(linear_decay(0.2, 18)(step))
        return seen[-1]

    model.set_params(schedule=spy).fit(X, y)
    assert len(set(seen)) == 18
    assert min(seen) == pytest.approx(0.2 / 18)


def test_alpha_decays_rows_that_are_no_longer_met():
    model, X, y = make("softmax", optimizer="sgd", alpha=0.1, max_iter=1)
    model.partial_fit(X, y, ["a", "b", "c"])
    before = model.embedding_[2].copy()
    rows = np.flatnonzero(X[:, [2]].toarray().ravel() == 0)
    model.partial_fit(X[rows], y[rows])
    steps = -(-len(rows) // 7)
    np.testing.assert_allclose(model.embedding_[2], before * (1 - 0.01) ** steps, rtol=1e-5)


def scores_of(monkeypatch, kind, scores, **parameters):
    """Fit with early stopping, where the held-out bags have these scores."""
    model, X, y = make(kind, early_stopping=True, **parameters)
    iterator = iter(scores)
    monkeypatch.setattr(type(model), "_score", lambda *_: next(iterator))
    return model.fit(X, y)


def clone_weights(model):
    return [model.embedding_.copy(), model.coef_.copy(), model.intercept_.copy()]


@kinds
def test_early_stopping_keeps_the_best_model(kind, monkeypatch):
    scores = [0.1, 0.5, 0.4, 0.49, 0.5, 0.9]
    model = scores_of(monkeypatch, kind, scores, n_iter_no_change=3, hidden=2)
    assert model.validation_scores_ == scores[:5]
    assert model.best_validation_score_ == 0.5
    assert model.best_iter_ == 2
    assert model.n_iter_ == len(model.loss_curve_) == 5
    other = scores_of(monkeypatch, kind, scores, max_iter=2, hidden=2)
    assert_same_model(model, other)


@kinds
def test_early_stopping_keeps_a_model_that_no_pass_makes_better(kind, monkeypatch):
    model = scores_of(monkeypatch, kind, [0.1, 0.5], max_iter=2, warm_start=True)
    before = clone_weights(model)
    scores = iter([0.6, 0.4, 0.6, 0.59])
    monkeypatch.setattr(type(model), "_score", lambda *_: next(scores))
    _, X, y = make(kind)
    model.set_params(n_iter_no_change=3, max_iter=9).fit(X, y)
    assert (model.best_iter_, model.n_iter_) == (0, 3)
    assert model.best_validation_score_ == 0.6
    assert model.validation_scores_ == [0.4, 0.6, 0.59]
    for now, then in zip(clone_weights(model), before, strict=True):
        np.testing.assert_array_equal(now, then)


@pytest.mark.parametrize(("tol", "passes"), [(0, 6), (0.005, 6), (0.05, 3)])
def test_rises_under_tol_do_not_count(monkeypatch, tol, passes):
    scores = [0.5, 0.51, 0.52, 0.53, 0.54, 0.55]
    model = scores_of(monkeypatch, "softmax", scores, tol=tol, n_iter_no_change=2, max_iter=6)
    assert model.n_iter_ == model.best_iter_ == passes


@kinds
def test_early_stopping_scores_held_out_rows(kind):
    model, X, y = make(kind, early_stopping=True, validation_fraction=0.25, max_iter=4)
    held_out = []
    original = model._score
    model._score = lambda scores, examples: held_out.append(examples) or original(scores, examples)
    model.fit(X, y)
    assert {examples.num_bags for examples in held_out} == {10}
    score = model.validation_scores_[0]
    assert 0 < score <= 1 if kind == "softmax" else score < 0


def test_every_class_is_held_out_alike():
    model, X, _ = make("softmax", early_stopping=True, validation_fraction=0.1, max_iter=1)
    y = np.repeat(["a", "b"], [10, 30])
    held_out = []
    model._score = lambda _, examples: held_out.append(examples) or 0.0
    model.fit(X, y)
    np.testing.assert_array_equal(held_out[0].targets.sum(axis=0), [1, 3])


COPIES = {
    "pickle": lambda model: pickle.loads(pickle.dumps(model)),
    "deepcopy": copy.deepcopy,
    "copy": copy.copy,
}


@kinds
@pytest.mark.parametrize("warm_start", [False, True])
@pytest.mark.parametrize("way", COPIES)
def test_copies_go_on_alike(kind, warm_start, way):
    """Only with `warm_start` is the optimizer of `fit` kept, that of `partial_fit` always."""
    model, X, y = make(kind, max_iter=2, warm_start=warm_start)
    model.fit(X, y)
    steps = 3 * 6 if warm_start else 6
    for _ in range(2):
        other = COPIES[way](model)
        other.embedding_ = other.embedding_.copy()  # which a shallow copy would share
        if way == "copy" and hasattr(model, "_state"):
            other._state = copy.deepcopy(model._state)
        assert_same_model(model.partial_fit(X, y), other.partial_fit(X, y))
        assert [rule.num_steps for rule in other._state.optimizers] == [steps] * 2
        steps += 6


def test_pickles_of_a_fit_are_half_as_large():
    rng = np.random.default_rng(0)
    X, y = np.eye(1000, dtype="f")[rng.permutation(1000)], rng.integers(0, 2, 1000)
    sizes = []
    for warm_start in (False, True):
        model = EmbeddingBagClassifier(64, max_iter=1, warm_start=warm_start, random_state=0)
        sizes.append(len(pickle.dumps(model.fit(X, y))))
    assert model.embedding_.nbytes < sizes[0] < 1.1 * model.embedding_.nbytes
    assert sizes[1] > 1.9 * sizes[0]
    assert len(pickle.dumps(model.set_params(warm_start=False).fit(X, y))) == sizes[0]
    assert len(pickle.dumps(model.partial_fit(X, y))) > 1.9 * sizes[0]


def interrupt_in(step):
    """A schedule that sends Ctrl-C."""

    def rate(number):
        if number == step:
            signal.raise_signal(signal.SIGINT)
        return 0.1

    return rate


@kinds
def test_ctrl_c_leaves_what_was_learned(kind):
    model, X, y = make(kind, schedule=interrupt_in(15))
    with pytest.warns(UserWarning, match=r"^training was interrupted in pass 3 of 10; the model"):
        model.fit(X, y)
    assert model.n_iter_ == len(model.loss_curve_) == 2
    complete, X, y = make(kind, schedule=lambda _: 0.1, max_iter=2)
    complete.fit(X, y)
    assert model.loss_curve_ == complete.loss_curve_
    assert not np.array_equal(model.embedding_, complete.embedding_)
    assert np.isfinite(model.predict(X[:5]).astype(float) if kind != "softmax" else 0).all()
    model.set_params(schedule=None).partial_fit(X, y)


def test_ctrl_c_in_the_first_pass():
    model, X, y = make("softmax", schedule=interrupt_in(3))
    with pytest.warns(UserWarning, match="interrupted in pass 1 of 10"):
        model.fit(X, y)
    assert model.n_iter_ == 0
    assert model.embedding_.any()
    assert set(model.predict(X)) <= {"a", "b", "c"}


def test_ctrl_c_keeps_the_best_model_of_early_stopping(monkeypatch):
    scores = [0.1, 0.5, 0.4, 0.3]
    schedule = interrupt_in(6 * 3 + 2)
    with pytest.warns(UserWarning, match="interrupted in pass 4"):
        model = scores_of(monkeypatch, "softmax", scores, schedule=schedule)
    assert model.best_iter_ == 2
    other = scores_of(monkeypatch, "softmax", scores, schedule=lambda _: 0.1, max_iter=2)
    assert_same_model(model, other)


def explode_in(step):
    return lambda number: 1e38 if number >= step else 0.1


@kinds
@pytest.mark.parametrize("hidden", [None, 3])
def test_divergence_keeps_the_last_finite_model(kind, hidden):
    model, X, y = make(kind, hidden=hidden, schedule=explode_in(15))
    message = (
        r"^the loss diverged in pass 3; learning_rate = 0.1 or the values of X or y are too "
        r"large; the model of pass 2 is kept$"
    )
    with pytest.raises(ValueError, match=message):
        model.fit(X, y)
    assert model.n_iter_ == len(model.loss_curve_) == 2
    other, X, y = make(kind, hidden=hidden, schedule=explode_in(15), max_iter=2)
    assert_same_model(model, other.fit(X, y))
    model.set_params(schedule=None).partial_fit(X, y)
    assert np.isfinite(model.embedding_).all()


@kinds
def test_divergence_of_the_first_pass_leaves_no_model(kind):
    model, X, y = make(kind, schedule=explode_in(2))
    with pytest.raises(ValueError, match=r"^the loss diverged in pass 1; .*; there is no model$"):
        model.fit(X, y)
    with pytest.raises(NotFittedError):
        model.predict(X)
    model.set_params(schedule=None).fit(X, y)
    with pytest.raises(ValueError, match="diverged in pass 1"):
        model.set_params(schedule=explode_in(2)).fit(X, y)
    with pytest.raises(NotFittedError):
        model.predict(X)


@kinds
def test_divergence_of_a_partial_fit_leaves_the_model_as_it_was(kind):
    model, X, y = make(kind)
    model.fit(X, y)
    before = pickle.loads(pickle.dumps(model))
    with pytest.raises(ValueError, match="the loss diverged in pass 1; .* the model of before"):
        model.set_params(schedule=lambda _: 1e38).partial_fit(X, y)
    assert_same_model(model, before)
    assert model.n_iter_ == 10


def fail_in(step):
    def rate(number):
        if number >= step:
            raise LookupError(f"no rate of step {number}")
        return 0.1

    return rate


@kinds
@pytest.mark.parametrize("hidden", [None, 3])
def test_errors_in_training_leave_the_model_as_it_was(kind, hidden):
    model, X, y = make(kind, hidden=hidden)
    model.fit(X, y)
    before, attributes = pickle.loads(pickle.dumps(model)), dict(vars(model))
    few = X[:, :-2], y[::-1]
    for options, arguments in (
        ({}, (X, y)),
        ({}, few),
        ({"warm_start": True}, (X, y)),
    ):
        failing = copy.copy(model)
        failing.set_params(schedule=fail_in(3), **options)
        with pytest.raises(LookupError, match="no rate of step 3"):
            failing.fit(*arguments)
        assert_same_model(failing, before)
        kept = {name: value for name, value in vars(failing).items() if name.endswith("_")}
        assert all(value is attributes[name] for name, value in kept.items())
    with pytest.raises(LookupError, match="no rate of step"):
        model.set_params(schedule=fail_in(0)).partial_fit(X, y)
    assert_same_model(model, before)


def test_an_error_in_the_first_fit_leaves_no_model():
    model, X, y = make("softmax", schedule=fail_in(3))
    with pytest.raises(LookupError, match="no rate of step 3"):
        model.fit(X, y)
    assert vars(model).keys() == vars(clone(model)).keys()


def test_a_rate_that_is_too_large_for_the_decay_uses_no_random_numbers():
    model, X, y = make("softmax", alpha=1.0)
    model.partial_fit(X, y, **first_call(y))
    other = pickle.loads(pickle.dumps(model))
    with pytest.raises(ValueError, match=r"^learning_rate \* weight_decay must be less than 1"):
        model.set_params(schedule=lambda _: 1.0).partial_fit(X, y)
    model.set_params(schedule=None).partial_fit(X, y)
    assert_same_model(model, other.partial_fit(X, y))


def test_weights_that_overflow_in_the_last_step_are_a_divergence(monkeypatch):
    answers = iter([True, True, False])
    monkeypatch.setattr(Network, "is_finite", lambda _: next(answers))
    model, X, y = make("softmax", max_iter=3)
    with pytest.raises(ValueError, match="the loss diverged in pass 3; .* model of pass 2"):
        model.fit(X, y)
    monkeypatch.undo()
    other, X, y = make("softmax", max_iter=2)
    assert_same_model(model, other.fit(X, y))


class TestParametersChangedBetweenPasses:
    """A parameter that was changed has effect in the next pass, or the pass raises."""

    def passes(self, kind, changes, start=None, count=2):
        model, X, y = make(kind, **(start or {}))
        model.partial_fit(X, y, **first_call(y))
        model.set_params(**changes)
        for _ in range(count):
            model.partial_fit(X, y)
        return model

    @two_kinds
    @pytest.mark.parametrize(
        ("name", "value"), [("embedding_dim", 6), ("hidden", 3), ("mode", "sum"), ("loss", None)]
    )
    @pytest.mark.parametrize("warm", [False, True])
    def test_those_of_the_model_may_not_change(self, kind, name, value, warm):
        model, X, y = make(kind, warm_start=warm)
        model.fit(X, y)
        if name == "loss":
            if not hasattr(model, "loss"):
                return
            value = "huber" if model.loss == "squared_error" else "squared_error"
        before = copy.deepcopy(model)
        was = getattr(model, name)
        model.set_params(**{name: value})
        message = (
            f"{name} = {value!r} differs from {was!r}, with which the model was fitted: set it "
            "back, or call fit with warm_start=False"
        )
        with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
            (model.fit if warm else model.partial_fit)(X, y)
        if name in ("mode", "loss"):
            with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
                model.predict(X)
        assert_same_model(model, before)
        model.set_params(**{name: was}).partial_fit(X, y)
        model.set_params(**{name: value}, warm_start=False)
        if name != "loss":
            model.fit(X, y)
            assert_same_model(model, clone(model).fit(X, y))

    @two_kinds
    @pytest.mark.parametrize(
        "changes",
        [
            {"optimizer": "adam"},
            {"optimizer": Adam(0.01)},
            {"optimizer": Adagrad(0.1, eps=0.5)},
            {"alpha": 0.5},
            {"random_state": 1},
            {"random_state": np.random.RandomState(3)},
            {"batch_size": 3},
            {"learning_rate": 0.5},
            {"learning_rate": 0.5, "optimizer": "sgd"},
        ],
        ids="-".join,
    )
    def test_others_have_effect(self, kind, changes):
        changed, same = self.passes(kind, changes), self.passes(kind, {})
        assert (changed.embedding_ != same.embedding_).any()

    @two_kinds
    @pytest.mark.parametrize(
        "changes",
        [{}, {"optimizer": "adagrad"}, {"random_state": np.int64(0)}, {"num_threads": 1}],
        ids="-".join,
    )
    def test_what_is_the_same_has_none(self, kind, changes):
        assert_same_model(self.passes(kind, changes), self.passes(kind, {}))

    @two_kinds
    def test_a_rate_leaves_the_state_of_the_optimizer(self, kind):
        """The rate of an optimizer object is that of the object when the pass begins."""
        named = self.passes(kind, {"learning_rate": 0.01}, {"optimizer": "adam"})
        rate = Adam(0.1)
        model, X, y = make(kind, optimizer=rate)
        model.partial_fit(X, y, **first_call(y))
        rate.learning_rate = 0.01
        model.partial_fit(X, y).partial_fit(X, y)
        assert_same_model(model, named)
        decayed = self.passes(kind, {"alpha": 0.5, "num_threads": 1})
        for each in (model, named, decayed):
            assert each._state.optimizers[0].num_steps == 3 * 6

    @two_kinds
    def test_a_new_rule_has_new_optimizers(self, kind):
        model = self.passes(kind, {"optimizer": "sgd"}, {"alpha": 0.25})
        assert [type(rule) for rule in model._state.optimizers] == [SGD, SGD]
        assert [rule.weight_decay for rule in model._state.optimizers] == [0.25, 0.25]
        assert model._state.optimizers[0].num_steps == 2 * 6

    def test_a_copy_goes_on_with_the_same_random_state(self):
        model, X, y = make("softmax", random_state=np.random.RandomState(5))
        model.partial_fit(X, y, **first_call(y))
        other = pickle.loads(pickle.dumps(model))
        assert_same_model(model.partial_fit(X, y), other.partial_fit(X, y))


class TestAssignedAttributes:
    """A fitted attribute that is assigned has effect, or the next call raises."""

    @two_kinds
    @pytest.mark.parametrize("hidden", [None, 3])
    @pytest.mark.parametrize("way", ["float64", "list", "fortran"])
    def test_of_other_kinds_have_the_same_effect(self, kind, hidden, way):
        model, X, y = make(kind, hidden=hidden)
        model.fit(X, y)
        other = copy.deepcopy(model)
        for name in ("embedding_", "coef_", "intercept_", "hidden_coef_", "hidden_intercept_"):
            value = getattr(model, name)
            if value is not None:
                of_way = {"float64": lambda value: value.astype("f8"), "list": np.ndarray.tolist}
                setattr(other, name, of_way.get(way, np.asfortranarray)(value))
        np.testing.assert_allclose(model.transform(X), other.transform(X), rtol=1e-5, atol=1e-6)
        expected, predicted = model.predict(X), other.predict(X)
        if expected.dtype.kind == "f":
            np.testing.assert_allclose(predicted, expected, rtol=1e-4, atol=1e-5)
        else:
            np.testing.assert_array_equal(predicted, expected)
        assert_same_model(model.partial_fit(X, y), other.partial_fit(X, y))

    @two_kinds
    @pytest.mark.parametrize("call", ["predict", "partial_fit"])
    @pytest.mark.parametrize(
        ("name", "value", "message"),
        [
            (
                "coef_",
                np.ones((3, 4)),
                "coef_ and intercept_ must have shapes (n, 5)",
            ),
            ("coef_", 1.0, "coef_ and intercept_ must have shapes (n, 5) and (n,), got ()"),
            (
                "intercept_",
                np.ones(9),
                "coef_ and intercept_ must have shapes (n, 5)",
            ),
            (
                "embedding_",
                np.ones((7, 4)),
                "coef_ and intercept_ must have shapes (n, 4)",
            ),
            (
                "embedding_",
                np.ones((6, 5)),
                "embedding_ must have a row for each of the 7",
            ),
            (
                "hidden_coef_",
                np.ones((3, 5)),
                "hidden_coef_ and hidden_intercept_ must",
            ),
        ],
    )
    def test_of_other_shapes_raise(self, kind, call, name, value, message):
        model, X, y = make(kind)
        model.fit(X, y)
        before = copy.deepcopy(model)
        setattr(model, name, value)
        with pytest.raises(ValueError, match=f"^({re.escape(message)}|y must have 9 outputs)"):
            getattr(model, call)(*(X, y)[: 1 if call == "predict" else 2])
        setattr(model, name, copy.deepcopy(getattr(before, name)))
        assert_same_model(model.partial_fit(X, y), before.partial_fit(X, y))
