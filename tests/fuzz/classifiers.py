"""Lives of a `TextClassifier`: answers by the definition, files, and calls that are wrong."""

import copy
import pickle
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import expit, softmax

from ebagx.text import TextClassifier, load_model
from fuzz import oracle
from fuzz.source import Source
from support.ngram_definition import features_of

FOLDER = "/dev/shm" if Path("/dev/shm").is_dir() else None
WORDS = ("a", "cat", "Dog", "\u00e9\u0301", "x_1", "\u4e2d\u6587", "\U0001f600", "\n", "\0", "12")
LABELS: tuple[tuple[Any, ...], ...] = (("b", "a", "\u00e4"), (3, -1, 2**40), (" x", "y", ""))
NO_TEXTS = (None, "text", 5, [1], [None], [b"a"], [["a"]], ["\ud800"], np.zeros((2, 2)), [])
NO_LABELS = (None, "ab", 5, [], ["a"], [1.5, 2.5], [None, "a"], [["a"], 5], [{}], np.nan)
WRONG = {
    "dim": (0, -1, 2.5, "8", None, 2**70),
    "word_ngrams": (0, 9, 1.0),
    "char_ngrams": ((0, 2), (3, 2), (1, 99), 5, (1,), "ab"),
    "tokenizer": ("nltk", 5, None),
    "min_count": (0, 2**70, 10**6),
    "n_buckets": (0, -1, 2**40),
    "loss": ("hinge", None),
    "learning_rate": (0, -1, np.nan, "fast", 1e30),
    "epochs": (0, 1.5),
    "batch_size": (0, None),
    "negatives": (0, -1, "x"),
    "class_weight": ("even", 5, {"q": 1}, {"a": -1}, {"a": np.nan}),
    "pretrained": (5, "/nowhere", object()),
    "random_state": (-1, "x"),
    "num_threads": (0, -5, 1.5),
    "validation_fraction": (0, 2.0),
}
# Steps of this rate leave all weights as they are, but for those that are smaller than NEGLIGIBLE.
NO_STEP, NEGLIGIBLE = 1e-30, 1e-20
ERRORS = (TypeError, ValueError, OSError, AttributeError, MemoryError)


class Call:
    """A call of a classifier, as reports describe it."""

    def __init__(self, operation: str, arguments: dict[str, Any]) -> None:
        self.operation, self.arguments = operation, arguments
        self.bags, self.form = "none", "classifier"


def run(source: Source) -> str:
    """Fit a classifier and live with it; after an error it must be as it was."""
    model = TextClassifier(**_options(source))
    is_wrong = source.one_in(4)
    if is_wrong:
        name = source.choice(sorted(WRONG))
        model.set_params(**{name: source.choice(WRONG[name])})
    labels = source.choice(LABELS)
    texts = _texts(source, 6)
    call = Call(f"{model}.fit", {"X": texts, "y": _targets(source, model, labels, texts)})
    if _spoil(source, call):
        is_wrong = True
    kind = _train(model, call, "fit", is_wrong)
    if kind != "fit":
        return f"classifier {kind}"
    deeds = [source.choice((_continue, _question, _small, _stored, _grow)) for _ in range(3)]
    for deed in deeds:
        with oracle.judged(call):
            _check_answers(source, model)
        deed(source, model, labels)
    with oracle.judged(call):
        _check_answers(source, model)
    return "classifier lives"


def _options(source: Source) -> dict[str, Any]:
    return {
        "dim": source.choice((3, 1, 8, 33)),
        "word_ngrams": source.choice((1, 2, 5)),
        "char_ngrams": source.choice((None, (2, 3), (1, 1))),
        "tokenizer": source.choice(("words", "whitespace")),
        "lowercase": source.choice((None, True, False)),
        "min_count": source.choice((1, 1, 2)),
        "n_buckets": source.choice((1000, 1, 2**20)),
        "loss": source.choice(("softmax", "ova")),
        "epochs": source.choice((1, 2, 5)),
        "batch_size": source.choice((4, 1, 128)),
        "negatives": source.choice((None, None, 1)),
        "early_stopping": source.one_in(6),
        "warm_start": source.one_in(4),
        "random_state": source.below(256),
        "num_threads": source.choice((1, 2, 3)),
    }


def _texts(source: Source, most: int) -> list[str]:
    return [
        " ".join(source.choice(WORDS) for _ in range(source.below(6)))
        for _ in range(source.between(2, most))
    ]


def _targets(source: Source, model: Any, labels: tuple[Any, ...], texts: list[str]) -> Any:
    rng, count = source.rng, min(len(labels), 3)
    if model.loss != "ova":
        places = [i % 2 if i < 2 else int(rng.integers(count)) for i in range(len(texts))]
        y = [labels[place] for place in places]
        return y if source.below(2) else np.array(y)
    held = rng.random((len(texts), count)) < 0.5
    held[:2, :2] = np.eye(2)
    if getattr(model, "_form", "an indicator") == "an indicator" and source.below(2):
        return held.astype(int)
    return [[labels[i] for i in np.flatnonzero(row)] for row in held]


def _spoil(source: Source, call: Call) -> bool:
    """Put something wrong in the place of texts or labels, once in four times."""
    kind = source.below(8)
    if kind < 6:
        return False
    name, values = (("X", NO_TEXTS), ("y", NO_LABELS))[kind - 6]
    value = source.choice(values)
    if isinstance(value, list) and value and source.below(2):
        value = [*call.arguments[name][:-1], value[0]]
    call.arguments[name] = value
    return True


def _train(model: Any, call: Call, method: str, may_fail: bool) -> str:
    """Train; after an error the model must be the one before, with the same answers."""
    before, state = oracle.Snapshot(call.arguments), dict(vars(model))
    answers = None if model._model is None else model.vectors(list(WORDS)).tobytes()
    try:
        getattr(model, method)(**call.arguments)
    except ERRORS as error:
        before.check(call, error)
        changed = [name for name, value in vars(model).items() if value is not state.get(name)]
        if changed or set(state) - set(vars(model)):
            raise oracle.FuzzError(
                f"{oracle.describe(call)}: {error!r} changed {changed}"
            ) from error
        if answers is not None and model.vectors(list(WORDS)).tobytes() != answers:
            raise oracle.FuzzError(f"{oracle.describe(call)}: {error!r} changed answers") from error
        if not may_fail and not _may_be_refused(error):
            raise oracle.FuzzError(f"{oracle.describe(call)}: {error!r}") from error
        return f"{method} raises"
    before.check(call)
    return method


def _may_be_refused(error: Exception) -> bool:
    """Return whether texts of random words may be why."""
    reasons = (
        *("no word occurs", "at least 2 classes", "diverged", "requires several classes"),
        *("early_stopping", "differs from", "same kind as classes_", "least populated class"),
        *("y must have", "quantised", "validation", "test_size", "y must be", "known classes"),
        *("class_weight",),
    )
    return any(reason in str(error) for reason in reasons)


def _check_answers(source: Source, model: Any) -> None:
    """Compare vectors, probabilities and labels with those of the definition."""
    texts = [*_texts(source, 4), "", "unseen words"]
    inner = model._model
    ngrams, tokenizer = inner.features.ngrams, inner.features.tokenizer
    rows, table = _rows(model), inner.embedding
    table = (table if isinstance(table, np.ndarray) else table.toarray()).astype("f8")
    chars = (max(ngrams.min_chars, 1), ngrams.max_chars) if ngrams.max_chars else None
    expected = np.zeros((len(texts), model.vectors([]).shape[1]))
    for vector, text in zip(expected, texts, strict=True):
        cut = {"lowercase": tokenizer.lowercase, "tokenizer": tokenizer.name}
        counts = features_of(text, ngrams.word_ngrams, chars, ngrams.n_buckets, **cut)
        known = {rows[name]: count for name, count in counts.items() if name in rows}
        if known:
            total = sum(count * table[row] for row, count in known.items())
            vector[:] = total / sum(known.values())
    vectors = model.vectors(texts)
    np.testing.assert_allclose(vectors, expected, 1e-4, 1e-5)
    scores = vectors.astype("f8") @ model.coef_.T.astype("f8") + model.intercept_
    wanted = expit(scores) if model.loss == "ova" else softmax(scores, 1)
    found = model.predict_proba(texts)
    np.testing.assert_allclose(found, wanted, 1e-3, 1e-5)
    _check_labels(model, texts, found)


def _rows(model: Any) -> dict[Any, int]:
    """Return the row of each word, and of each bucket of n-grams, by its number."""
    features = model._model.features
    rows = dict(features.columns)
    buckets = features.table.buckets().tolist()
    return rows | {bucket: len(rows) + i for i, bucket in enumerate(buckets)}


def _check_labels(model: Any, texts: list[str], found: np.ndarray) -> None:
    """Check that labels are those of the probabilities, for one text as for many."""
    top = model.predict_top(texts, 2)
    for row, pairs in zip(found, top, strict=True):
        assert [p for _, p in pairs] == sorted(row.tolist(), reverse=True)[:2]
        assert all(row[model.classes_.tolist().index(label)] == p for label, p in pairs)
    predicted = model.predict(texts)
    if model.loss == "softmax":
        places = [model.classes_.tolist().index(label) for label in predicted.tolist()]
        np.testing.assert_array_equal(found[np.arange(len(found)), places], found.max(1))
    for i, text in enumerate(texts):
        np.testing.assert_array_equal(model.predict_proba([text])[0], found[i])


def _continue(source: Source, model: Any, labels: tuple[Any, ...]) -> None:
    """Make a pass over other texts, some of them wrong."""
    texts = _texts(source, 5)
    call = Call(f"{model}.partial_fit", {"X": texts, "y": _targets(source, model, labels, texts)})
    is_wrong = _spoil(source, call)
    if source.one_in(4):
        call.arguments["classes"] = source.choice((list(labels), labels[:1], 5, "ab", [None]))
        is_wrong = True
    if source.one_in(4):
        n = len(texts)
        weights = (np.ones(n), np.zeros(n), -np.ones(n), np.full(n, np.nan), np.ones(n + 1), "a")
        call.arguments["sample_weight"] = source.choice(weights)
        is_wrong = True
    if source.one_in(6):
        name = source.choice(("dim", "word_ngrams", "loss"))
        kept = getattr(model, name)
        model.set_params(**{name: source.choice((5, "ova", None))})
        _train(model, call, "partial_fit", True)
        model.set_params(**{name: kept})
        return
    _train(model, call, "partial_fit", is_wrong)


def _question(source: Source, model: Any, labels: tuple[Any, ...]) -> None:
    """Ask what may have no answer; nothing may change."""
    state, texts = dict(vars(model)), ["a cat"]
    wrong = source.choice(NO_TEXTS)
    number = source.choice((0, -1, 1.5, None, "3", 10**6, 2))
    questions = (
        lambda: model.predict(wrong),
        lambda: model.predict_proba(wrong),
        lambda: model.predict_top(texts, number),
        lambda: model.predict_top(texts, 1, number),
        lambda: model.score(texts, source.choice(NO_LABELS)),
        lambda: model.nearest(source.choice(("cat", "", "zz", 5)), number),
        lambda: model.keywords(source.choice((labels[0], "zz", None, [1])), number),
        lambda: model.quantize(number),
        lambda: model.quantize(4, number, wrong),
        lambda: model.save(source.choice(("/proc/none/x", "", "\0", 5))),
    )
    try:
        source.choice(questions)()
    except ERRORS as error:
        if len(str(error).splitlines()) > 1:
            raise oracle.FuzzError(f"the message is {error}") from error
    if any(value is not state.get(name) for name, value in vars(model).items()):
        raise oracle.FuzzError(f"a question with {wrong!r}, {number!r} changed the model")


def _small(source: Source, model: Any, labels: tuple[Any, ...]) -> None:  # noqa: ARG001
    """Quantise a copy: it answers, its file answers alike, and it refuses to be trained."""
    if model._model.bits is not None:
        return
    cutoff = source.choice((None, 1, 5, 10**6))
    texts = list(WORDS) if cutoff and source.below(2) else None
    try:
        small = model.quantize(source.choice((8, 4, 2)), cutoff, texts)
    except ValueError as error:
        if "float16" in str(error):  # of a learning rate of 1e30
            return
        raise
    _check_answers(source, small)
    try:
        small.partial_fit(["a cat", "dog"], _targets(source, small, (1, 2, 3), ["a", "b"]))
    except ValueError:
        pass
    else:
        raise AssertionError("a quantised model is trained")
    _check_stored(source, small)


def _stored(source: Source, model: Any, labels: tuple[Any, ...]) -> None:  # noqa: ARG001
    _check_stored(source, model)


def _check_stored(source: Source, model: Any) -> None:
    """Compare the answers of a copy, a pickle and a file."""
    texts = [*_texts(source, 4), "a cat"]
    wanted = model.predict_proba(texts)
    for other in (copy.copy(model), copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        np.testing.assert_array_equal(other.predict_proba(texts), wanted)
    with tempfile.TemporaryDirectory(dir=FOLDER) as folder:
        try:
            model.save(Path(folder, "model"))
        except ValueError as error:
            if "cannot be saved" not in str(error):
                raise
            return
        loaded: Any = load_model(Path(folder, "model"))
        np.testing.assert_array_equal(loaded.predict_proba(texts), wanted)
        assert loaded.classes_.tolist() == model.classes_.tolist()
        if model._model.bits is None and source.below(2):
            loaded.partial_fit(texts, _targets(source, loaded, tuple(model.classes_), texts))
        np.testing.assert_array_equal(model.predict_proba(texts), wanted)


def _grow(source: Source, model: Any, labels: tuple[Any, ...]) -> None:
    """Add words and labels in steps that change nothing: what was learned keeps its bits."""
    if model._form == "an indicator" or model._model.bits is not None:
        return
    new = ("new", "Z") if isinstance(labels[0], str) else (77, -5)
    y = [source.choice((*labels, *new)) for _ in range(4)]
    texts = [f"{text} new words {i}" for i, text in enumerate(_texts(source, 2) * 2)]
    larger = copy.copy(model).set_params(learning_rate=NO_STEP)
    try:
        larger.partial_fit(texts[:4], [[label] for label in y] if model.loss == "ova" else y)
    except ValueError as error:
        if not _may_be_refused(error):
            raise
        return
    for before, after in zip(_learned(model), _learned(larger), strict=True):
        assert before.keys() <= after.keys()
        for name, values in before.items():
            np.testing.assert_array_equal(after[name], values, err_msg=repr(name))
    _check_answers(source, larger)


def _learned(model: Any) -> tuple[dict[Any, np.ndarray], dict[Any, np.ndarray]]:
    """Return the vector of each word and bucket, and weights and intercept of each label."""
    table, weights = model.embedding_.copy(), np.column_stack([model.coef_, model.intercept_])
    for array in (table, weights):
        array[np.abs(array) < NEGLIGIBLE] = 0
    vectors = {name: table[row] for name, row in _rows(model).items()}
    return vectors, dict(zip(model.classes_.tolist(), weights, strict=True))
