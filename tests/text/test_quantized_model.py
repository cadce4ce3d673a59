"""Test text classifiers whose embeddings have few bits a value."""

import copy
import pickle
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("sklearn")

import ebagx
from ebagx.datasets import load_langid30, load_wordnet10
from ebagx.io.model_folder import saved_size
from ebagx.text import TextClassifier, load_model
from ebagx.text.lines import Lines
from ebagx.text.small import by_importance, count_lines
from support.storage_cases import TEXTS as FEW, make_model

TEXTS = ["a small cat", "the cat purrs", "dogs bark", "a big dog barks", "pie of äpfel", "soup"]
LABELS = ["cat", "cat", "dog", "dog", "food", "food"]
BITS = [8, 4, 2]


@pytest.fixture(scope="module")
def fitted():
    options = {"char_ngrams": (2, 3), "n_buckets": 1000, "epochs": 30}
    return TextClassifier(6, random_state=0, **options).fit(TEXTS, LABELS)


def as_floats(small):
    """Return a classifier with the values of the codes."""
    other = copy.copy(small)
    other._model = replace(small._model, embedding=small.embedding_.toarray())
    return other


@pytest.mark.parametrize("bits", BITS)
def test_answers_are_those_of_the_values(fitted, bits):
    small = fitted.quantize(bits)
    expected = as_floats(small)
    assert small.embedding_.bits == bits
    for texts in (TEXTS, TEXTS * 2000, ["cat"], ["nothing known zzz"], []):
        for method in ("predict_proba", "vectors", "decision_function", "predict_log_proba"):
            found, wanted = (getattr(model, method)(texts) for model in (small, expected))
            np.testing.assert_array_equal(found, wanted)
    assert small.predict_top(TEXTS) == expected.predict_top(TEXTS)
    assert small.predict(TEXTS).tolist() == LABELS
    assert small.nearest("cat", 3) == expected.nearest("cat", 3)
    assert small.keywords("food", 3) == expected.keywords("food", 3)


def test_rows_are_those_of_quantize(fitted):
    small = fitted.quantize(4)
    rows = ebagx.quantize(fitted.embedding_, 4).toarray()
    before, after = fitted._model.features, small._model.features
    for word, column in after.columns.items():
        np.testing.assert_array_equal(
            small.embedding_.toarray()[column], rows[before.columns[word]]
        )
    n_words = before.words.count
    np.testing.assert_array_equal(small.embedding_.toarray()[n_words:], rows[n_words:])
    np.testing.assert_array_equal(after.table.buckets(), before.table.buckets())
    np.testing.assert_array_equal(small.coef_, fitted.coef_.astype(np.float16))
    np.testing.assert_array_equal(small.intercept_, fitted.intercept_)


def test_the_model_stays_as_it_was(fitted):
    before = pickle.dumps(fitted._model)
    small = fitted.quantize(2, cutoff=5)
    assert pickle.dumps(fitted._model) == before
    assert small.get_params() == fitted.get_params()
    assert (small.n_features_, small.loss_curve_) == (5, fitted.loss_curve_)


@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("cutoff", [None, 7])
def test_saved_and_loaded(fitted, tmp_path, bits, cutoff):
    small = fitted.quantize(bits, cutoff)
    small.save(tmp_path / "small")
    loaded = load_model(tmp_path / "small")
    assert isinstance(loaded.embedding_, ebagx.QuantizedTable)
    np.testing.assert_array_equal(loaded.predict_proba(TEXTS), small.predict_proba(TEXTS))
    assert loaded._model.features.words.names() == small._model.features.words.names()
    files = [path for path in (tmp_path / "small").rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) == saved_size(small._model)
    again = tmp_path / "again"
    loaded.save(again)
    names = ("words.zlib", "buckets.zlib", "embedding.codes", "coef.npy", "intercept.npy")
    for name in names:
        (first,), (second,) = ((tmp_path / d).glob(f"*/{name}") for d in ("small", "again"))
        assert first.read_bytes() == second.read_bytes()


def test_floats_and_codes_replace_each_other(fitted, tmp_path):
    small = fitted.quantize()
    for model in (fitted, small, fitted, small):
        model.save(tmp_path / "model")
        loaded = load_model(tmp_path / "model")
        assert type(loaded._model.embedding) is not type(None)
        np.testing.assert_array_equal(loaded.predict_proba(TEXTS), model.predict_proba(TEXTS))
        assert len(list((tmp_path / "model").iterdir())) == 2


def test_copies_and_threads(fitted):
    small = fitted.quantize(4, cutoff=20)
    expected = small.predict_proba(TEXTS)
    for other in (pickle.loads(pickle.dumps(small)), copy.deepcopy(small), copy.copy(small)):
        np.testing.assert_array_equal(other.predict_proba(TEXTS), expected)
    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(small.predict_proba, [TEXTS] * 40):
            np.testing.assert_array_equal(found, expected)
    for threads in (1, 2):
        small.set_params(num_threads=threads)
        np.testing.assert_array_equal(small.predict_proba(TEXTS * 500), np.tile(expected, (500, 1)))


def test_no_training_goes_on(fitted, tmp_path):
    small = fitted.quantize()
    small.save(tmp_path / "small")
    for model in (small, load_model(tmp_path / "small")):
        before = model.predict_proba(TEXTS)
        message = "the model is quantised to 4 bits, and is only read: take the model that it was "
        with pytest.raises(ValueError, match=message):
            model.partial_fit(TEXTS, LABELS)
        model.set_params(warm_start=True)
        with pytest.raises(ValueError, match=message):
            model.fit(TEXTS, LABELS)
        with pytest.raises(ValueError, match=message):
            model.quantize()
        np.testing.assert_array_equal(model.predict_proba(TEXTS), before)
    model.set_params(warm_start=False).fit(TEXTS, LABELS)
    assert isinstance(model.embedding_, np.ndarray)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"bits": 3}, ValueError, "bits must be 8, 4 or 2, got 3"),
        ({"bits": 0}, ValueError, "bits must be 8, 4 or 2, got 0"),
        ({"bits": 4.0}, TypeError, "bits must be an integer"),
        ({"cutoff": 0}, ValueError, "cutoff must be at least 1 or None, got 0"),
        ({"cutoff": "5"}, TypeError, "cutoff must be an integer"),
        ({"texts": ["a cat"]}, ValueError, "^texts needs cutoff: without it, all features are"),
        ({"cutoff": 5, "texts": []}, ValueError, "^texts must hold at least 1 text, got 0"),
        ({"cutoff": 5, "texts": "a cat"}, ValueError, "texts must be an iterable of texts, got a "),
        ({"cutoff": 5, "texts": [1]}, TypeError, "texts\\[0\\] must be str"),
    ],
)
def test_bad_parameters(fitted, options, error, message):
    with pytest.raises(error, match=message):
        fitted.quantize(**options)


def test_not_fitted():
    with pytest.raises(ValueError, match="this TextClassifier is not fitted yet"):
        TextClassifier().quantize()


def test_weights_that_float16_has_not():
    model = make_model()
    model.coef[1, 2] = 70000
    classifier = TextClassifier._of(model)
    with pytest.raises(ValueError, match="coef_ has a weight of 70000, and a quantised model"):
        classifier.quantize()


def order_by(lengths, model, lines=None):
    model.embedding[:] = 0
    model.embedding[:, 1] = lengths
    return by_importance(model, counted(model, lines)).tolist()


def counted(model, lines):
    return None if lines is None else count_lines(model.features, lines)


def test_importance_of_features():
    model = make_model()
    n = model.features.n_columns
    lengths = np.random.default_rng(0).permutation(n) + 1.0
    plain = replace(model, accumulators=None)
    assert order_by(lengths, plain) == np.argsort(-lengths).tolist()
    model.accumulators.rows_n[:] = 1
    model.accumulators.rows_n[3] = np.inf  # frozen
    assert order_by(lengths, model)[0] == 3
    assert sorted(order_by(lengths, model)) == list(range(n))
    squares = np.arange(1.0, n + 1)
    model.accumulators.rows_n[:] = squares**8
    assert order_by(np.ones(n), model) == list(range(n))[::-1]
    words = model.features.columns
    lines = Lines.of(["cat cat"] * 15 + ["dogs"], tokenizer=model.features.tokenizer)
    lengths = np.full(n, 0.01)
    for factor, first in ((0.999, "cat"), (1.001, "dogs")):
        lengths[words["cat"]], lengths[words["dogs"]] = 1, (16 / 2) ** 0.25 * factor
        assert order_by(lengths, model, lines)[0] == words[first]


@pytest.mark.parametrize("texts", [None, FEW])
def test_cutoff_keeps_the_most_important(texts):
    model = make_model()
    classifier = TextClassifier._of(model)
    lines = None if texts is None else Lines.of(texts, tokenizer=model.features.tokenizer)
    order, n_words = by_importance(model, counted(model, lines)), model.features.words.count
    for cutoff in (1, 5, model.features.n_columns - 1, model.features.n_columns + 1):
        small = classifier.quantize(8, cutoff, texts)
        kept = {*order[:cutoff].tolist()}
        names = [model.features.words.name(i) for i in kept if i < n_words]
        assert small._model.features.words.names() == sorted(names, key=str.encode)
        buckets = model.features.table.buckets()[sorted(i - n_words for i in kept if i >= n_words)]
        np.testing.assert_array_equal(small._model.features.table.buckets(), buckets)
        np.testing.assert_allclose(
            small.embedding_.toarray()[len(names) :],
            model.embedding[[i for i in sorted(kept) if i >= n_words]],
            atol=0.02,
        )


@pytest.mark.parametrize(
    ("load", "n_training", "options", "cutoff", "most", "least"),
    [
        (load_wordnet10, 8000, {"word_ngrams": 1}, None, 320_000, 0.818),
        (
            load_langid30,
            7099,
            {"dim": 16, "epochs": 20, "word_ngrams": 1, "char_ngrams": (2, 4), "n_buckets": 10**5},
            20_000,
            265_000,
            0.955,
        ),
    ],
)
def test_size_and_accuracy(load, n_training, options, cutoff, most, least, tmp_path):
    # fastText's quantize: 482,310 bytes and 0.810; 1,258,999 bytes and 0.937.
    X, y = load()
    model = TextClassifier(random_state=0, **options).fit(X[:n_training], y[:n_training])
    small = model.quantize(4, cutoff)
    small.save(tmp_path / "small")
    assert saved_size(small._model) <= most
    assert load_model(tmp_path / "small").score(X[n_training:], y[n_training:]) >= least
