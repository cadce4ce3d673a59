"""Test the estimators on clusters of processes: bits, kinds of data, predictions, checkpoints."""

import json
import pickle
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from scipy import sparse

pytest.importorskip("sklearn")
pytest.importorskip("distributed")

import dask.array as da
import dask.bag as db
from sklearn.base import clone
from sklearn.metrics import accuracy_score, r2_score
from sklearn.model_selection import cross_val_score

import dask
from ebagx.dask import DaskEmbeddingBagClassifier, DaskEmbeddingBagRegressor
from ebagx.optim import Adam
from ebagx.sklearn import EmbeddingBagClassifier, EmbeddingBagRegressor, load_estimator
from support import dask_cases as cases
from support.dask_clusters import rows_of

LENGTHS = (250, 40, 0, 310)
N = 90
pytestmark = pytest.mark.usefixtures("few_rounds")


@pytest.fixture(scope="module")
def data():
    return cases.labelled_bags(num_columns=N)


@pytest.fixture(scope="module")
def collections(data):
    X, y = data
    return rows_of(X, LENGTHS), rows_of(y, LENGTHS)


def make(client, **options):
    given = {"random_state": 0, "max_iter": 3, **options}
    return DaskEmbeddingBagClassifier(6, client=client, **given)


@pytest.fixture(scope="module")
def fitted(two_workers, collections):
    return make(two_workers).fit(*collections)


def bits(estimator):
    return cases.fingerprint([*cases.weights_of(estimator), np.array(estimator.loss_curve_)])


@pytest.mark.parametrize("num_blocks", [1, 2, 3])
def test_workers_and_blocks_change_no_bit(one_worker, two_workers, collections, fitted, num_blocks):
    for client in (one_worker, two_workers):
        assert bits(make(client, n_blocks=num_blocks).fit(*collections)) == bits(fitted)


def test_shards_do_not_depend_on_chunks(two_workers, data):
    X, y = data
    found = set()
    for lengths in (LENGTHS, (600,), (100,) * 6):
        model = make(two_workers, n_shards=4, rounds_per_pass=2)
        found.add(bits(model.fit(rows_of(X, lengths), rows_of(y, lengths))))
    assert len(found) == 1


def test_unknown_lengths_and_series(two_workers, data, fitted):
    pandas = pytest.importorskip("pandas")
    X, y = data
    unknown = rows_of(X, LENGTHS, known=False), rows_of(y, LENGTHS, known=False)
    assert bits(make(two_workers).fit(*unknown)) == bits(fitted)
    labels = np.array(["a", "b", "c"])[y]
    named = rows_of(labels, LENGTHS).map_blocks(pandas.Series, meta=np.empty(0, labels.dtype))
    model = make(two_workers).fit(unknown[0], named)
    assert model.classes_.tolist() == ["a", "b", "c"]
    np.testing.assert_array_equal(model.coef_, fitted.coef_)


def test_it_learns(fitted, data):
    assert fitted.n_iter_ == len(fitted.loss_curve_) == 3
    model = make(fitted.client, max_iter=8, rounds_per_pass=2, batch_size=16)
    lengths = (200, 200, 200)
    model.fit(rows_of(data[0], lengths), rows_of(data[1], lengths))
    assert model.score(*data) > 0.85


def test_local_model(fitted, data):
    local = fitted.to_local()
    assert type(local) is EmbeddingBagClassifier
    np.testing.assert_array_equal(local.predict_proba(data[0]), fitted.predict_proba(data[0]))
    assert local.loss_curve_ == fitted.loss_curve_
    assert not hasattr(local, "_state")


def test_it_is_saved_as_its_local_model(fitted, data, tmp_path):
    fitted.save(tmp_path / "model")
    local = load_estimator(tmp_path / "model")
    assert type(local) is EmbeddingBagClassifier
    np.testing.assert_array_equal(local.predict_proba(data[0]), fitted.predict_proba(data[0]))


def test_lazy_predictions_have_the_bits_of_local_ones(fitted, collections, data):
    X, y = data
    for name in ("predict", "predict_proba", "decision_function", "transform"):
        lazy, local = getattr(fitted, name)(collections[0]), getattr(fitted, name)(X)
        assert dask.is_dask_collection(lazy)
        assert lazy.shape == local.shape
        assert lazy.dtype == local.dtype
        np.testing.assert_array_equal(fitted.client.compute(lazy).result(), local)
    weights = np.arange(600.0)
    expected = accuracy_score(y, fitted.predict(X), sample_weight=weights)
    score = fitted.score(*collections, rows_of(weights, LENGTHS))
    assert score == pytest.approx(expected, rel=1e-12)
    lazy = fitted.score(*collections, compute=False)
    assert dask.is_dask_collection(lazy)
    assert lazy.compute(scheduler="sync") == fitted.score(*collections) == fitted.score(X, y)


def test_bags_and_dataframes(two_workers, data):
    pandas, frames = pytest.importorskip("pandas"), pytest.importorskip("dask.dataframe")
    X, y = data
    names = [f"word {column}" for column in range(N)]
    whole = pandas.DataFrame(X.toarray(), columns=names)
    frame = frames.from_pandas(whole, npartitions=3, sort=False)
    labels = frames.from_pandas(pandas.Series(y), npartitions=3, sort=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        model = make(two_workers).fit(frame, labels)
        assert model.feature_names_in_.tolist() == names
        expected = model.predict(whole)
        np.testing.assert_array_equal(model.predict(frame).compute(scheduler="sync"), expected)
        assert model.score(frame, labels) > 0.4
    assert model.to_local().feature_names_in_.tolist() == names
    with pytest.raises(ValueError, match="got 'word 89' in place of 'word 0'"):
        model.predict(frame[names[::-1]])
    ids = [row.indices.repeat(row.data.astype(int)).tolist() for row in X]
    bag = model.predict_proba(db.from_sequence(ids, npartitions=4))
    same = model.to_local().predict_proba(whole)
    np.testing.assert_allclose(bag.compute(scheduler="sync"), same, rtol=1e-5, atol=1e-6)


def test_two_classes(one_worker, data):
    X, y = data[0], data[1] > 0
    model = make(one_worker, n_shards=2).fit(rows_of(X, LENGTHS), rows_of(y, LENGTHS))
    lazy = model.decision_function(rows_of(X, LENGTHS))
    assert lazy.shape == (600,)
    np.testing.assert_array_equal(lazy.compute(scheduler="sync"), model.decision_function(X))


@pytest.mark.parametrize("form", [np.asarray, sparse.csr_matrix])
def test_multilabel(two_workers, data, form):
    X, y = data
    targets = np.stack([y == 0, y >= 1, y <= 1], axis=1).astype(int)
    lazy_X, lazy_y = rows_of(X, LENGTHS), rows_of(form(targets), LENGTHS)
    model = make(two_workers, negatives=2, class_weight={0: 2.0, 1: 1.0, 2: 1.0})
    model.fit(lazy_X, lazy_y)
    assert model.multilabel_
    found = model.predict(lazy_X).compute(scheduler="sync")
    assert sparse.issparse(found) == sparse.issparse(form(targets))
    expected = model.predict(X)
    assert (found != expected).sum() == 0
    score = model.score(lazy_X, lazy_y)
    assert score == model.score(X, targets)


@pytest.mark.parametrize("loss", ["squared_error", "poisson", "huber"])
@pytest.mark.parametrize("num_outputs", [1, 2])
def test_regressor(two_workers, data, loss, num_outputs):
    X, y = data
    targets = (y + 1.0) if num_outputs == 1 else np.stack([y + 1.0, 9.0 - y], axis=1)
    lazy_X, lazy_y = rows_of(X, LENGTHS), rows_of(targets, LENGTHS)
    model = DaskEmbeddingBagRegressor(
        6, loss=loss, client=two_workers, random_state=0, max_iter=8, n_shards=2
    )
    model.fit(lazy_X, lazy_y)
    local = EmbeddingBagRegressor(6, loss=loss, random_state=0, max_iter=1).fit(X, targets)
    np.testing.assert_allclose(model._location, local._location)
    np.testing.assert_allclose(model._scale, local._scale)
    found = model.predict(lazy_X)
    assert found.shape == targets.shape
    np.testing.assert_array_equal(found.compute(scheduler="sync"), model.predict(X))
    score = model.score(lazy_X, lazy_y)
    assert score == pytest.approx(r2_score(targets, model.predict(X)), rel=1e-9)
    assert score > 0.3
    np.testing.assert_array_equal(model.to_local().predict(X), model.predict(X))


def test_sample_and_class_weights(two_workers, data):
    X, y = data
    weights = np.where(y == 2, 0.0, 1.0)
    weights[:250] = 0  # a whole chunk
    lazy = rows_of(X, LENGTHS), rows_of(y, LENGTHS), rows_of(weights, LENGTHS)
    model = make(two_workers, max_iter=6).fit(*lazy)
    assert not np.any(model.predict(X) == 2)
    only = weights > 0
    kept = (40, 0, 310)
    same = make(two_workers, class_weight={0: 1.0, 1: 1.0, 2: 0.0}, max_iter=6)
    same.fit(rows_of(X[250:], kept), rows_of(y[250:], kept))
    assert only[250:].any()
    assert same.loss_curve_[-1] == pytest.approx(model.loss_curve_[-1], rel=0.2)
    balanced = make(two_workers, class_weight="balanced").fit(*lazy[:2])
    rows = 600 / (3 * np.bincount(y))
    given = make(two_workers, class_weight=dict(enumerate(rows.tolist()))).fit(*lazy[:2])
    np.testing.assert_array_equal(balanced.coef_, given.coef_)


def test_early_stopping(two_workers, data):
    lazy = rows_of(data[0], (200, 400)), rows_of(data[1], (200, 400))
    model = make(two_workers, early_stopping=True, max_iter=40, n_iter_no_change=2)
    model.fit(*lazy)
    assert len(model.validation_scores_) == model.n_iter_ < 40
    assert model.best_validation_score_ == model.validation_scores_[model.best_iter_ - 1]
    shorter = make(two_workers, early_stopping=True, max_iter=model.best_iter_).fit(*lazy)
    np.testing.assert_array_equal(shorter.embedding_, model.embedding_)


def test_cross_validation(one_worker, data):
    """Scores of collections are numbers, so that the tools of scikit-learn take them."""
    X, y = (da.from_array(values, chunks=300) for values in (data[0].toarray(), data[1]))
    X = X.rechunk({1: -1})
    model = make(one_worker, max_iter=1)
    scores = cross_val_score(model, X, y, cv=2, error_score="raise")
    assert scores.shape == (2,)
    assert ((scores > 0) & (scores < 1)).all()
    without_client = model.fit(X, y).set_params(client=None)
    assert float(without_client.score(X, y, compute=False)) == without_client.score(X, y)


@pytest.mark.parametrize(
    "options",
    [
        {"optimizer": "rowwise_adagrad", "schedule": "linear"},
        {"optimizer": Adam(0.01), "hidden": 4},
        {"alpha": 1e-3, "mode": "sqrtn"},
    ],
)
def test_options(one_worker, two_workers, collections, options):
    models = [
        make(client, n_blocks=blocks, **options).fit(*collections)
        for client, blocks in ((one_worker, 1), (two_workers, 3))
    ]
    assert bits(models[0]) == bits(models[1])
    assert models[0].loss_curve_[-1] < models[0].loss_curve_[0]


def test_divergence_keeps_the_last_good_pass(two_workers, collections):
    def rate(step):
        return 0.1 if step < 6 else 1e30

    model = make(two_workers, optimizer="sgd", schedule=rate, max_iter=9)
    with pytest.raises(ValueError, match="diverged in pass 3.*the model of pass 2 is kept"):
        model.fit(*collections)
    assert model.n_iter_ == 2
    assert np.isfinite(model.embedding_).all()
    good = make(two_workers, optimizer="sgd", schedule=rate, max_iter=2).fit(*collections)
    np.testing.assert_array_equal(model.embedding_, good.embedding_)


def test_clones_share_the_client_and_pickles_have_none(fitted, data):
    assert clone(fitted).client is fitted.client
    copy = pickle.loads(pickle.dumps(fitted))
    assert copy.client is None
    np.testing.assert_array_equal(copy.predict(data[0]), fitted.predict(data[0]))


def test_progress(two_workers, collections, capsys):
    make(two_workers, verbose=True, rounds_per_pass=2, max_iter=2).fit(*collections)
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("pass 1 of 2, round 2: loss ")
    assert second.endswith(" s a round, 0 s left")


def test_errors(two_workers, collections, data):
    X, y = collections
    model = make(two_workers)
    with pytest.raises(TypeError, match="X must be a collection of Dask, got csr_matrix.*memory"):
        model.fit(data[0], data[1])
    with pytest.raises(TypeError, match="y must be a collection of Dask, got ndarray"):
        model.fit(X, data[1])
    dense = da.from_array(data[0].toarray(), chunks=(300, 50))
    with pytest.raises(ValueError, match=r"2 chunks in a row: X.rechunk\(\{1: -1\}\) joins them"):
        model.fit(dense, y)
    with pytest.raises(ValueError, match="got 250 rows in chunk 0, where X has 200"):
        model.fit(rows_of(data[0], (200, 400)), rows_of(data[1], (250, 350)))
    with pytest.raises(ValueError, match="the 2 chunks of X, got 4"):
        model.fit(rows_of(data[0], (200, 400)), y)
    unknown = rows_of(data[0], (200, 400), known=False)
    with pytest.raises(ValueError, match=r"X has \d00 rows in chunk \d, where y has \d50"):
        model.fit(unknown, rows_of(data[1], (250, 350)))
    with pytest.raises(ValueError, match="at least 2 classes"):
        model.fit(X, da.zeros_like(y))
    with pytest.raises(ValueError, match="n_shards must not exceed the 600 rows"):
        make(two_workers, n_shards=601).fit(X, y)
    with pytest.raises(ValueError, match="warm_start must be False"):
        make(two_workers, warm_start=True).fit(X, y)
    with pytest.raises(TypeError, match="client must be a dask.distributed.Client or None"):
        make("tcp://localhost:8786").fit(X, y)
    with pytest.raises(ValueError, match="client is None, and there is no default client"):
        make(None).fit(X, y)
    negative = da.from_array(np.full(600, -1.0), chunks=(LENGTHS,))
    with pytest.raises(ValueError, match="sample_weight must not be negative"):
        model.fit(X, y, negative)
    assert not hasattr(model, "classes_")


def test_scheduler_forgets_the_tasks_of_old_rounds(two_workers, collections):
    def num_tasks(dask_scheduler):
        return len(dask_scheduler.tasks)

    found = []

    model = make(two_workers, max_iter=20, n_shards=4)
    from ebagx.dask import _driver

    play = _driver.Training._play

    def counted(training):
        play(training)
        found.append(two_workers.run_on_scheduler(num_tasks))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_driver.Training, "_play", counted)
        patch.setattr(_driver, "_TASKS_PER_COPY", 200)
        model.fit(*collections)
    assert len(found) == 21  # the first pass has two
    # The next round runs already, so that up to its tasks more are known.
    assert max(found[10:]) <= max(found[:10]) + 60
    assert max(found) < 600


def test_checkpoint(two_workers, collections, data, fitted, tmp_path):
    folder = tmp_path / "model"
    model = make(two_workers, checkpoint=folder, n_blocks=3).fit(*collections)
    assert [path.name for path in folder.glob("round-*")] == ["round-00004"]
    assert json.loads((folder / "state.json").read_text())["finished"]
    assert bits(model) == bits(fitted)
    for name in ("predict", "predict_proba", "transform"):
        expected = getattr(fitted, name)(data[0])
        np.testing.assert_array_equal(getattr(model, name)(data[0]), expected)
        lazy = getattr(model, name)(collections[0])
        np.testing.assert_array_equal(two_workers.compute(lazy).result(), expected)
    np.testing.assert_array_equal(model.to_local().predict(data[0]), fitted.predict(data[0]))
    assert len(pickle.dumps(model)) < len(pickle.dumps(fitted))
    # A finished fit is no reason to go on: the next one begins anew.
    assert bits(make(two_workers, checkpoint=folder).fit(*collections)) == bits(fitted)


@pytest.mark.parametrize("early_stopping", [False, True])
def test_resume(two_workers, collections, tmp_path, early_stopping):
    options = {"max_iter": 6, "early_stopping": early_stopping, "rounds_per_pass": 2}
    options["n_iter_no_change"] = 9
    expected = make(two_workers, **options).fit(*collections)
    from ebagx.dask import _driver

    play = _driver.Training._play

    def interrupted(training):
        if training._number == 5:
            raise KeyboardInterrupt
        play(training)

    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        patch.setattr(_driver.Training, "_play", interrupted)
        first = make(two_workers, checkpoint=tmp_path, **options).fit(*collections)
    assert first.n_iter_ == 2
    other = make(two_workers, checkpoint=tmp_path, learning_rate=0.2, **options)
    with pytest.raises(ValueError, match=r"unfinished fit with learning_rate = 0.1, not 0.2"):
        other.fit(*collections)
    counts = []

    def counted(training):
        counts.append(training._number)
        play(training)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_driver.Training, "_play", counted)
        resumed = make(two_workers, checkpoint=tmp_path, **options).fit(*collections)
    assert counts == [5, 6, 7, 8, 9, 10, 11]
    assert bits(resumed) == bits(expected)
    assert resumed.validation_scores_ == expected.validation_scores_


def test_interruption_keeps_the_last_model(two_workers, collections):
    from ebagx.dask import _driver

    play = _driver.Training._play

    def interrupted(training):
        if training._number == 3:  # the first pass has two rounds
            raise KeyboardInterrupt
        play(training)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_driver.Training, "_play", interrupted)
        with pytest.warns(UserWarning, match="interrupted in pass 3 of 3"):
            model = make(two_workers, optimizer="sgd").fit(*collections)
    # With Adagrad, this one would end with the mean of all shards.
    expected = make(two_workers, optimizer="sgd", max_iter=2).fit(*collections)
    np.testing.assert_array_equal(model.embedding_, expected.embedding_)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the limit is one of Linux")
def test_tables_larger_than_the_limit_of_a_process(tmp_path):
    """The table has 1.07 GiB, and no process may have more than 1 GiB."""
    script = Path(cases.__file__).with_name("dask_large.py")
    command = [sys.executable, "-P", str(script), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert "learned" in done.stdout
