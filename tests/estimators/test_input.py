"""Test which X, y and weights the trained estimators accept and which they reject."""

import re
from collections import Counter

import numpy as np
import pytest
from scipy import sparse

pytest.importorskip("sklearn")

from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from ebagx._core.forms import sparse as sparse_form
from support.estimator_cases import KINDS, assert_same_model, make

kinds = pytest.mark.parametrize("kind", KINDS)
bad_values = pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])


@kinds
@bad_values
@pytest.mark.parametrize("convert", [sparse.csr_array, sparse.csr_array.toarray])
def test_x_must_be_finite(kind, value, convert):
    model, X, y = make(kind)
    fitted = clone(model).fit(X, y)
    X.data[3] = value
    for call in (lambda: model.fit(convert(X), y), lambda: fitted.predict(convert(X))):
        with pytest.raises(ValueError, match="NaN|infinity"):
            call()
    with pytest.raises(ValueError, match="NaN|infinity"):
        fitted.transform(convert(X))


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "softmax"])
@bad_values
def test_y_must_be_finite(kind, value):
    model, X, y = make(kind)
    y = y.astype(float)
    y[3, ...] = value
    with pytest.raises(ValueError, match="NaN|infinity"):
        model.fit(X, y)


@kinds
@bad_values
def test_weights_must_be_finite(kind, value):
    model, X, y = make(kind)
    weights = np.ones(len(y))
    weights[7] = value
    with pytest.raises(ValueError, match=r"Input sample_weight contains (NaN|infinity)"):
        model.fit(X, y, weights)


@kinds
@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (
            np.r_[1, 1, -0.5, np.ones(37)],
            r"^sample_weight must not be .* sample_weight\[2\] = -0.5$",
        ),
        (np.zeros(40), "^sample_weight must contain at least one non-zero number$"),
        (np.ones(39), r"^sample_weight: .* inconsistent numbers of samples: \[40, 39\]"),
        (2.0, "^sample_weight: Input should have at least 1 dimension"),
        (np.ones((40, 1)), "^sample_weight must be 1-D, got 2-D$"),
        (["heavy"] * 40, "^sample_weight: could not convert string"),
    ],
)
def test_bad_weights(kind, weights, message):
    model, X, y = make(kind)
    for fit in (model.fit, model.partial_fit):
        with pytest.raises((TypeError, ValueError), match=message):
            fit(X, y, sample_weight=weights, **classes_for(fit, y))


def classes_for(fit, y):
    partial = fit.__name__ == "partial_fit" and y.dtype.kind == "U"
    return {"classes": ["a", "b", "c"]} if partial else {}


@kinds
def test_rows_of_weight_0_are_absent(kind):
    model, X, y = make(kind)
    kept = np.arange(40) % 3 > 0
    other = clone(model).fit(X[kept], y[kept], np.full(kept.sum(), 2.0))
    model.fit(X, y, 2.0 * kept)
    assert_same_model(model, other)


@kinds
def test_weights_of_1_change_nothing(kind):
    model, X, y = make(kind)
    other = clone(model).fit(X, y, np.ones(40))
    assert_same_model(model.fit(X, y), other)
    assert model.loss_curve_ == other.loss_curve_


@kinds
def test_heavy_rows_are_fitted_better(kind):
    model, X, y = make(kind, max_iter=40, hidden=16, mode="sum")
    heavy = np.arange(40) % 2 == 0
    losses = []
    for weights in (np.where(heavy, 1, 0.01), np.where(heavy, 0.01, 1)):
        fitted = clone(model).fit(X, y, weights)
        losses.append(fitted.set_params(warm_start=True, learning_rate=1e-30, max_iter=1))
        losses[-1] = losses[-1].fit(X[heavy], y[heavy]).loss_curve_[0]
    assert losses[0] < losses[1]


def test_class_weights_are_sample_weights():
    model, X, y = make("softmax")
    weights = np.select([y == "a", y == "b"], [3.0, 0.5], 1.0)
    other = clone(model).set_params(class_weight={"a": 3.0, "b": 0.5}).fit(X, y)
    assert_same_model(model.fit(X, y, weights), other)
    counts = {name: np.sum(y == name) for name in "abc"}
    balanced = clone(model).set_params(class_weight="balanced").fit(X, y)
    weights = np.array([40 / 3 / counts[name] for name in y])
    assert_same_model(clone(model).fit(X, y, weights), balanced)


@kinds
def test_tensors_are_arrays(kind):
    torch = pytest.importorskip("torch")
    model, X, y = make(kind)
    X = X.toarray()
    assert_same_model(clone(model).fit(X, y), clone(model).fit(torch.tensor(X), y))


@kinds
@pytest.mark.parametrize("as_texts", [list, tuple, np.array, "Series"])
def test_texts_need_a_vectorizer(kind, as_texts):
    if as_texts == "Series":
        as_texts = pytest.importorskip("pandas").Series
    model, X, y = make(kind)
    texts = as_texts(["a small cat"] * len(y))
    fitted = clone(model).fit(X, y)
    pipeline = re.escape(f"make_pipeline(TextVectorizer(), {type(model).__name__}())")
    message = f"^X must hold counts or weights, got texts; a vectorizer .*: {pipeline}$"
    for call in (lambda: model.fit(texts, y), lambda: fitted.predict(texts)):
        with pytest.raises(ValueError, match=message):
            call()


@kinds
def test_another_number_of_columns(kind):
    model, X, y = make(kind)
    model.fit(X, y)
    for call in (model.predict, model.transform, lambda X: model.partial_fit(X, y)):
        with pytest.raises(ValueError, match="has 6 features, but .* is expecting 7"):
            call(X[:, :6])


@kinds
def test_not_fitted(kind):
    model, X, _ = make(kind)
    for call in (model.predict, model.transform):
        with pytest.raises(NotFittedError):
            call(X)


@kinds
def test_read_only_table(kind):
    model, X, y = make(kind)
    model.fit(X, y)
    before = model.embedding_.copy()
    model.embedding_.flags.writeable = False
    model.predict(X)
    with pytest.raises(ValueError, match="^embedding_ is read-only, but training changes"):
        model.partial_fit(X, y)
    np.testing.assert_array_equal(model.embedding_, before)


@kinds
def test_one_row(kind):
    model, X, y = make(kind, early_stopping=True)
    with pytest.raises(ValueError, match="1 sample|1 class|type_of_target|all zeros"):
        model.fit(X[:1], y[:1])


@kinds
@pytest.mark.parametrize("index_dtype", [np.int32, np.int64])
def test_matrix_made_by_hand_with_a_wild_index(kind, index_dtype):
    model, X, y = make(kind)
    model.fit(X, y)
    for wild in (7, -1, 2**31 - 1):
        bad = X.copy()
        bad.indices = bad.indices.astype(index_dtype)
        bad.indices[4] = wild
        for call in (clone(model).fit, lambda X, _: model.predict(X)):
            with pytest.raises((IndexError, ValueError), match="out of range|indices|indptr"):
                call(bad, y)


def broken(matrix, form):
    """Return a matrix in a format, with an entry one row or column too far."""
    matrix = matrix.asformat(form)
    if form == "coo":
        matrix.row = np.append(matrix.row[:-1], matrix.shape[0])
    elif form == "lil":
        matrix.rows[0] = [matrix.shape[1]] * len(matrix.rows[0])
    else:
        matrix.indices[-1] = matrix.shape[form != "csc"]
    return matrix


@kinds
@pytest.mark.parametrize("form", ["csr", "csc", "coo", "bsr", "lil"])
def test_matrix_made_by_hand_that_scipy_would_convert(kind, form):
    model, X, y = make(kind)
    model.fit(X, y)
    calls = [model.predict, model.transform, lambda X: clone(model).fit(X, y)]
    if kind == "sigmoid":
        calls.append(lambda y: clone(model).fit(sparse.csr_array(np.eye(y.shape[0], 7)), y))
        calls.append(lambda y: clone(model).partial_fit(sparse.csr_array(np.eye(y.shape[0], 7)), y))
    for call in calls:
        with pytest.raises((IndexError, ValueError)):
            call(broken(X, form))


@kinds
def test_matrix_in_no_order_is_left_alone(kind):
    """SciPy would sort it and add up the duplicates, in the caller's arrays."""
    model, X, y = make(kind)
    parts = X.data, X.indices[::-1].copy(), X.indptr
    contents = [part.copy() for part in parts]
    X = sparse.csr_array(parts, shape=X.shape)
    model.fit(X, y).partial_fit(X, y)
    model.predict(X)
    for part, content in zip((X.data, X.indices, X.indptr), contents, strict=True):
        np.testing.assert_array_equal(part, content)


@pytest.mark.parametrize("form", ["csr", "csc", "coo"])
def test_sparse_labels_are_left_alone(form):
    """Stored zeros and duplicates are dropped from a copy."""
    model, X, y = make("sigmoid")
    labels = sparse.coo_array(y).asformat(form)
    labels.data[::3] = 0
    names = ("data", "row", "col") if form == "coo" else ("data", "indices", "indptr")
    arrays = [getattr(labels, name) for name in names]
    contents = [array.copy() for array in arrays]
    model.fit(X, labels).partial_fit(X, labels)
    for name, array, content in zip(names, arrays, contents, strict=True):
        assert getattr(labels, name) is array
        np.testing.assert_array_equal(array, content)


@kinds
def test_input_is_left_alone(kind):
    model, X, y = make(kind)
    X = X.astype(np.float32)
    copies = X.copy(), y.copy()
    model.fit(X, y).partial_fit(X, y)
    model.predict(X)
    np.testing.assert_array_equal(X.toarray(), copies[0].toarray())
    np.testing.assert_array_equal(y, copies[1])


@kinds
@pytest.mark.parametrize(("form", "num_csr"), [("csr", 1), ("dense", 0)])
def test_predictions_take_the_matrix_apart_once(kind, form, num_csr, monkeypatch):
    model, X, y = make(kind)
    model.fit(X, y)
    given = X if form == "csr" else X.toarray()
    calls = Counter()

    def counted(function):
        def call(*args, **kwargs):
            calls[function.__name__] += 1
            return function(*args, **kwargs)

        return call

    monkeypatch.setattr(sparse_form, "csr_parts", counted(sparse_form.csr_parts))
    monkeypatch.setattr(sparse.csr_array, "__init__", counted(sparse.csr_array.__init__))
    model.transform(given)
    assert calls == Counter({"csr_parts": num_csr, "__init__": num_csr})
    calls.clear()
    model.predict(given)
    assert calls["csr_parts"] == calls["__init__"] == num_csr


def test_fit_takes_the_matrix_apart_once(monkeypatch):
    model, X, y = make("columns")
    names = []
    take_apart = sparse_form.csr_parts
    monkeypatch.setattr(
        sparse_form,
        "csr_parts",
        lambda matrix, name: names.append(name) or take_apart(matrix, name),
    )
    model.fit(X, y)
    assert names == ["X"]


@kinds
def test_table_that_was_replaced_after_fit(kind):
    model, X, y = make(kind)
    model.fit(X, y)
    expected = model.transform(X)
    model.embedding_ = model.embedding_.astype(np.float16)
    np.testing.assert_allclose(model.transform(X), expected, atol=0.05)
    assert model.transform(X).dtype == np.float16
    model.embedding_ = model.embedding_[:3]
    with pytest.raises(ValueError, match="^embedding_ must have a row for each of the 7 features"):
        model.predict(X)


@kinds
def test_transform_gives_the_pooled_embeddings(kind):
    model, X, y = make(kind, mode="sqrtn", hidden=3)
    model.fit(X, y)
    norms = np.sqrt((X.toarray() ** 2).sum(axis=1, keepdims=True))
    pooled = model.transform(X)
    assert pooled.dtype == np.float32
    np.testing.assert_allclose(
        pooled, X.toarray() / np.where(norms, norms, 1) @ model.embedding_, rtol=1e-5, atol=1e-6
    )
    name = type(model).__name__.lower()
    assert list(model.get_feature_names_out()) == [f"{name}{d}" for d in range(5)]
    np.testing.assert_array_equal(clone(model).fit_transform(X, y), pooled)


@kinds
def test_feature_names_and_pandas_output(kind):
    pandas = pytest.importorskip("pandas")
    model, X, y = make(kind)
    frame = pandas.DataFrame(X.toarray(), columns=list("abcdefg"))
    model.set_output(transform="pandas").fit(frame, y)
    assert list(model.feature_names_in_) == list("abcdefg")
    assert list(model.transform(frame).columns) == list(model.get_feature_names_out())
    assert isinstance(model.predict(frame), np.ndarray)
    with pytest.raises(ValueError, match="feature names should match"):
        model.predict(frame[list("bacdefg")])


def test_one_class_and_unseen_classes():
    model, X, y = make("softmax")
    message = "^y must hold at least 2 classes, got 1 class: a$"
    with pytest.raises(ValueError, match=message):
        model.fit(X, np.full(40, "a"))
    with pytest.raises(ValueError, match=message):
        model.partial_fit(X, np.full(40, "a"), ["a"])
    with pytest.raises(
        ValueError, match="^classes must be given in the first call of partial_fit; np.unique"
    ):
        model.partial_fit(X, y)
    unseen = "^y must hold only the classes given, got the class c$"
    with pytest.raises(ValueError, match=unseen):
        model.partial_fit(X, y, ["a", "b"])
    assert not hasattr(model, "embedding_")
    few = y != "c"
    model.partial_fit(X[few], y[few], ["b", "a", "d"])
    assert list(model.classes_) == ["a", "b", "d"]
    before = model.embedding_.copy()
    with pytest.raises(ValueError, match=unseen):
        model.partial_fit(X, y)
    with pytest.raises(
        ValueError, match="^y must have labels of the same kind|^y must hold only .* 0$"
    ):
        model.partial_fit(X, np.arange(40) % 2)
    with pytest.raises(ValueError, match="^classes must be those of the first call, got"):
        model.partial_fit(X[few], y[few], ["a", "b", "c"])
    np.testing.assert_array_equal(model.embedding_, before)
    model.partial_fit(X[few], y[few], ["d", "b", "a"])


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        (np.linspace(0, 1, 40), "^Unknown label type: continuous; y must be class labels or a"),
        (np.arange(80).reshape(40, 2), "^Unknown label type: multiclass-multioutput; y must be"),
        (sparse.csr_array(np.arange(40)[:, None]), "^y must be dense unless it is a multilabel"),
        (np.zeros((40, 0)), "."),
        (np.zeros(39), "inconsistent numbers of samples"),
    ],
)
def test_y_that_are_no_classes(targets, message):
    model, X, _ = make("softmax")
    with pytest.raises(ValueError, match=message):
        model.fit(X, targets)
