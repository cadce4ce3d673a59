"""Test scikit-learn's rules, the arithmetic and the accuracy of EmbeddingBagClassifier."""

import subprocess
import sys

import numpy as np
import pytest
from scipy import sparse

pytest.importorskip("sklearn")

from sklearn.exceptions import NotFittedError
from sklearn.feature_extraction.text import CountVectorizer, HashingVectorizer, TfidfVectorizer
from sklearn.utils.estimator_checks import parametrize_with_checks

from ebagx.datasets import load_wordnet10
from ebagx.optim import SGD
from ebagx.sklearn import EmbeddingBagClassifier
from support.estimator_rules import expected_failed_checks

MODES = ("mean", "sqrtn", "sum")


@parametrize_with_checks(
    [
        *(EmbeddingBagClassifier(mode=mode) for mode in MODES),
        EmbeddingBagClassifier(hidden=8, optimizer="adam", schedule="cosine", alpha=1e-4),
        EmbeddingBagClassifier(optimizer="rowwise_adagrad", early_stopping=True),
        EmbeddingBagClassifier(optimizer=SGD(0.5, 0.9), num_threads=2),
    ],
    expected_failed_checks=expected_failed_checks,
)
def test_scikit_learn_rules(estimator, check):
    check(estimator)


@pytest.fixture(scope="module")
def glosses():
    texts, labels = load_wordnet10()
    return texts[:8000], labels[:8000], texts[8000:], labels[8000:]


@pytest.fixture
def bags():
    """Signed weights, an empty row, a column in no bag and a stored zero."""
    rng = np.random.default_rng(0)
    dense = rng.standard_normal((40, 7)) * (rng.random((40, 7)) < 0.5)
    dense[3] = 0
    dense[:, 5] = 0
    X = sparse.csr_array(dense)
    X.data[10] = 0
    return X, rng.choice(["a", "b", "c"], 40)


def divisors(X, mode):
    norms = {
        "mean": np.abs(X).sum(axis=1),
        "sqrtn": np.sqrt((X**2).sum(axis=1)),
        "sum": np.ones(len(X)),
    }[mode]
    return np.where(norms == 0, 1, norms)[:, None]


def softmax(scores):
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


class DenseTwin:
    """The same model by matrix products in float64."""

    def __init__(self, X, y, model):
        self.pooling = X.toarray() / divisors(X.toarray(), model.mode)
        classes, labels = np.unique(y, return_inverse=True)
        seed = np.random.RandomState(model.random_state).randint(2**31 - 1)
        rng = np.random.default_rng(seed)
        used = np.unique(X.indices)
        dim = model.embedding_dim
        E = np.zeros((X.shape[1], dim))
        E[used] = (2 * rng.random((len(used), dim), dtype=np.float32) - 1) / dim
        self.weights = [E, np.zeros((len(classes), dim)), np.zeros(len(classes))]
        self.squares = [np.zeros_like(weight) for weight in self.weights]
        self.losses = []
        for _ in range(model.max_iter):
            order = rng.permutation(len(y))
            batches = np.split(order, range(model.batch_size, len(y), model.batch_size))
            loss = sum(self.step(rows, labels, model.learning_rate) for rows in batches)
            self.losses.append(loss / len(y))

    def step(self, rows, labels, rate):
        E, W, b = self.weights
        A = self.pooling[rows]
        errors = softmax(A @ E @ W.T + b)
        loss = -np.log(errors[np.arange(len(rows)), labels[rows]]).sum()
        errors[np.arange(len(rows)), labels[rows]] -= 1
        errors /= len(rows)
        gradients = [A.T @ errors @ W, errors.T @ (A @ E), errors.sum(axis=0)]
        for weight, square, gradient in zip(self.weights, self.squares, gradients, strict=True):
            square += gradient**2
            weight -= rate * gradient / (np.sqrt(square) + 1e-10)
        return loss


@pytest.mark.parametrize("mode", MODES)
def test_training_equals_dense_arithmetic(bags, mode):
    X, y = bags
    model = EmbeddingBagClassifier(
        5, mode=mode, learning_rate=0.3, batch_size=7, max_iter=4, random_state=3
    ).fit(X, y)
    twin = DenseTwin(X, y, model)
    fitted = model.embedding_, model.coef_, model.intercept_
    for value, expected in zip(fitted, twin.weights, strict=True):
        assert value.dtype == np.float32
        np.testing.assert_allclose(value, expected, rtol=2e-3, atol=2e-4)
    np.testing.assert_allclose(model.loss_curve_, twin.losses, rtol=1e-4)
    assert model.n_iter_ == len(model.loss_curve_) == 4
    E, W, b = twin.weights
    np.testing.assert_allclose(
        model.predict_proba(X), softmax(twin.pooling @ E @ W.T + b), rtol=5e-3, atol=5e-4
    )


@pytest.mark.parametrize("mode", MODES)
def test_empty_rows_only(bags, mode):
    X, y = bags
    model = EmbeddingBagClassifier(4, mode=mode, random_state=0).fit(X, y)
    empty = np.zeros((3, 7))
    expected = np.tile(model.decision_function(X)[3], (3, 1))
    for rows in (empty, sparse.csr_array(empty), sparse.csr_array(empty, dtype=np.float32)):
        np.testing.assert_array_equal(model.decision_function(rows), expected)
    assert not model.transform(empty).any()


def test_column_in_no_bag_says_nothing(bags):
    X, y = bags
    model = EmbeddingBagClassifier(random_state=0).fit(X, y)
    assert not model.embedding_[5].any()
    assert model.embedding_[[0, 1, 2, 3, 4, 6]].any(axis=1).all()


@pytest.mark.parametrize(
    "convert",
    [
        sparse.csr_matrix,
        sparse.csc_array,
        sparse.coo_matrix,
        lambda X: X.astype(np.float32),
        lambda X: X.toarray(),
        lambda X: sparse.csr_array((X.data, X.indices.astype("q"), X.indptr.astype("q")), X.shape),
    ],
    ids=["csr_matrix", "csc", "coo", "float32", "dense", "int64"],
)
def test_every_form_of_input_gives_the_same_model(bags, convert):
    X, y = bags
    X.eliminate_zeros()
    X.data = X.data.astype(np.float32).astype(float)
    models = [EmbeddingBagClassifier(random_state=0).fit(form, y) for form in (X, convert(X))]
    np.testing.assert_array_equal(*(model.embedding_ for model in models))
    np.testing.assert_array_equal(*(model.predict_proba(X) for model in models))


@pytest.mark.parametrize("writeable", [True, False])
def test_input_is_left_alone_and_may_be_read_only(bags, writeable):
    X, y = bags[0].astype(np.float32), bags[1]
    parts = X.data, X.indices, X.indptr
    for part in parts:
        part.flags.writeable = writeable
    copies = [part.copy() for part in parts]
    model = EmbeddingBagClassifier(random_state=0).fit(X, y)
    model.predict(X)
    for part, copy in zip(parts, copies, strict=True):
        np.testing.assert_array_equal(part, copy)


def test_sparse_input_stays_sparse():
    """This matrix would take 80 GB as an array."""
    shape = 1000, 20_000_000
    X = sparse.csr_array((np.ones(1000), np.arange(1000) * 19_997, np.arange(1001)), shape=shape)
    model = EmbeddingBagClassifier(1, max_iter=1, random_state=0).fit(X, np.arange(1000) % 2)
    assert model.embedding_.shape == (20_000_000, 1)


@pytest.mark.parametrize("vectorizer", [CountVectorizer(), TfidfVectorizer(), HashingVectorizer()])
def test_learns_from_what_vectorizers_make(glosses, vectorizer):
    texts, labels, unseen_texts, unseen_labels = glosses
    model = EmbeddingBagClassifier(max_iter=3, random_state=0)
    model.fit(vectorizer.fit_transform(texts), labels)
    assert model.score(vectorizer.transform(unseen_texts), unseen_labels) >= 0.78


def test_rows_are_reshuffled_though_they_come_sorted_by_class(glosses):
    texts, labels, unseen_texts, unseen_labels = glosses
    order = np.argsort(labels, kind="stable")
    vectorizer = CountVectorizer()
    X = vectorizer.fit_transform(texts)[order]
    model = EmbeddingBagClassifier(random_state=0).fit(X, np.array(labels)[order])
    assert model.score(vectorizer.transform(unseen_texts), unseen_labels) >= 0.80
    assert model.loss_curve_ == sorted(model.loss_curve_, reverse=True)


def test_same_bits_for_any_number_of_threads(glosses):
    texts, labels = glosses[:2]
    X = CountVectorizer(ngram_range=(1, 3)).fit_transform(texts)
    models = [
        EmbeddingBagClassifier(
            64, batch_size=1024, max_iter=1, random_state=0, num_threads=num_threads
        ).fit(X, labels)
        for num_threads in (1, 2, 3)
    ]
    for model in models[1:]:
        np.testing.assert_array_equal(model.embedding_, models[0].embedding_)
        np.testing.assert_array_equal(model.coef_, models[0].coef_)
        np.testing.assert_array_equal(model.intercept_, models[0].intercept_)
        assert model.loss_curve_ == models[0].loss_curve_


def test_random_state(bags):
    X, y = bags
    first, same, other = (EmbeddingBagClassifier(random_state=s).fit(X, y) for s in (1, 1, 2))
    np.testing.assert_array_equal(first.embedding_, same.embedding_)
    assert not np.array_equal(first.embedding_, other.embedding_)


def test_two_classes_have_one_decision(bags):
    X, y = bags
    y = np.where(y == "a", "yes", "no")
    model = EmbeddingBagClassifier(random_state=0).fit(X, y)
    decision, chances = model.decision_function(X), model.predict_proba(X)
    assert decision.shape == (40,)
    np.testing.assert_allclose(1 / (1 + np.exp(-decision)), chances[:, 1], rtol=1e-5)
    np.testing.assert_array_equal(model.predict(X), np.where(decision > 0, "yes", "no"))


@pytest.mark.parametrize(
    ("parameters", "error", "message"),
    [
        ({"embedding_dim": 0}, ValueError, "^embedding_dim must be at least 1, got 0$"),
        ({"batch_size": 0}, ValueError, "^batch_size must be at least 1, got 0$"),
        ({"max_iter": -1}, ValueError, "^max_iter must be at least 1, got -1$"),
        ({"embedding_dim": 2.0}, TypeError, "^embedding_dim must be an integer, got 2.0$"),
        ({"max_iter": True}, TypeError, "^max_iter must be an integer, got True$"),
        ({"learning_rate": 0}, ValueError, "^learning_rate must be positive and finite, got 0$"),
        ({"learning_rate": float("nan")}, ValueError, "learning_rate must be pos.* got nan$"),
        ({"learning_rate": float("inf")}, ValueError, "learning_rate must be pos.* got inf$"),
        ({"learning_rate": "fast"}, TypeError, "^learning_rate must be a number, got 'fast'$"),
        ({"mode": "max"}, ValueError, "^mode must be one of 'sum', 'mean', 'sqrtn', got 'max'$"),
        ({"num_threads": 0}, ValueError, "^num_threads must be at least 1 or None, got 0$"),
    ],
)
def test_bad_parameters(bags, parameters, error, message):
    with pytest.raises(error, match=message):
        EmbeddingBagClassifier(**parameters).fit(*bags)


@pytest.mark.parametrize("value", [np.nan, -np.inf])
@pytest.mark.parametrize("convert", [sparse.csr_array, sparse.csr_array.toarray])
def test_values_must_be_finite(bags, value, convert):
    X, y = bags
    X.data[3] = value
    with pytest.raises(ValueError, match="NaN|infinity"):
        EmbeddingBagClassifier().fit(convert(X), y)


def test_one_class(bags):
    with pytest.raises(ValueError, match="^y must hold at least 2 classes, got 1 class: 7$"):
        EmbeddingBagClassifier().fit(bags[0], np.full(40, 7))


def test_another_number_of_columns(bags):
    X, y = bags
    model = EmbeddingBagClassifier().fit(X, y)
    with pytest.raises(ValueError, match="has 6 features, but .* is expecting 7"):
        model.predict(X[:, :6])


def test_not_fitted(bags):
    with pytest.raises(NotFittedError):
        EmbeddingBagClassifier().predict(bags[0])


def test_diverging_loss(bags):
    X, y = bags
    X.data *= 1e25
    with pytest.raises(ValueError, match=r"^the loss diverged in pass \d+; learning_rate = 1e\+30"):
        (model := EmbeddingBagClassifier(mode="sum", learning_rate=1e30)).fit(X, y)
    with pytest.raises(NotFittedError):
        model.predict(X)


def test_progress_bar(bags, capsys):
    pytest.importorskip("tqdm")
    X, y = bags
    EmbeddingBagClassifier().fit(X, y)
    assert capsys.readouterr() == ("", "")
    EmbeddingBagClassifier(verbose=True).fit(X, y)
    out, err = capsys.readouterr()
    assert out == ""
    assert "/400 " in err


def test_progress_bar_without_tqdm(bags, monkeypatch):
    monkeypatch.setitem(sys.modules, "tqdm", None)
    with pytest.raises(ModuleNotFoundError, match="^verbose=True needs tqdm: pip install"):
        EmbeddingBagClassifier(verbose=True).fit(*bags)


def run_python(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def test_ebagx_itself_imports_neither_scikit_learn_nor_tqdm():
    code = "import sys, ebagx; print(sorted({'sklearn', 'tqdm'}.intersection(sys.modules)))"
    assert run_python(code).stdout == "[]\n"


def test_without_scikit_learn():
    result = run_python("import sys; sys.modules['sklearn'] = None; import ebagx.sklearn")
    assert "ebagx.sklearn needs scikit-learn: pip install 'ebagx[sklearn]'" in result.stderr
