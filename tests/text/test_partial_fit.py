"""Test classifiers of texts that go on learning: new words, new labels, and what is kept."""

import copy
import pickle
import re
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("sklearn")

from ebagx._training.steps import Steps
from ebagx.datasets import load_wordnet10
from ebagx.io.model_folder import save_model
from ebagx.sklearn import EmbeddingBagClassifier, TextVectorizer
from ebagx.text import TextClassifier, load_model
from support.estimator_cases import assert_same_model
from support.storage_cases import make_model, save_format_2

TEXTS = ["a small cat", "a cat purrs", "dogs bark", "a big dog barks", "pie of \u00e4pfel", "pie"]
LABELS = ["cat", "cat", "dog", "dog", "food", "food"]
LISTS = [["cat", "small"], ["cat"], ["dog"], ["dog"], [], ["food"]]
INDICATOR = np.array([[1, 0], [1, 0], [0, 1], [1, 1], [0, 1], [0, 0]])
MORE, NEW = ["a canary sings", "birds sing", "a big cat sings"], ["bird", "bird", "cat"]
SMALL = {"dim": 4, "epochs": 60, "random_state": 0}


def fitted(**options):
    return TextClassifier(**{**SMALL, **options}).fit(TEXTS, LABELS)


def rows_of(model):
    """Return the row of each word and bucket, and of each label."""
    features = model._model.features
    names = [*features.words.names(), *features.table.buckets().tolist()]
    heads = np.column_stack([model.coef_, model.intercept_])
    return dict(zip(names, model.embedding_.copy(), strict=True)), dict(
        zip(model.classes_.tolist(), heads, strict=True)
    )


def weights_of(model):
    return model.embedding_.copy(), model.coef_.copy(), model.intercept_.copy()


def assert_same_weights(model, expected):
    for found, kept in zip(weights_of(model), expected, strict=True):
        np.testing.assert_array_equal(found, kept)


def test_all_classes_may_be_given_first():
    model = TextClassifier(**SMALL)
    for _ in range(60):
        model.partial_fit(TEXTS, LABELS, classes=["food", "dog", "cat", "bird"])
    assert model.classes_.tolist() == ["bird", "cat", "dog", "food"]
    assert model.predict(TEXTS).tolist() == LABELS
    assert model.n_iter_ == len(model.loss_curve_) == 60


@pytest.mark.parametrize("options", [{}, {"char_ngrams": (2, 3), "n_buckets": 50}])
def test_new_words_and_labels_get_rows(options):
    model = fitted(**options)
    words, labels = rows_of(model)
    losses = model.loss_curve_
    model.set_params(learning_rate=1e-30).partial_fit(MORE, NEW)
    more_words, more_labels = rows_of(model)
    assert model.classes_.tolist() == ["bird", "cat", "dog", "food"]
    assert {"canary", "sings", "birds", "sing"} == {
        name for name in more_words.keys() - words.keys() if isinstance(name, str)
    }
    assert model.n_features_ == len(more_words) > len(words)
    for name, row in words.items():
        np.testing.assert_array_equal(more_words[name], row)
    for name, row in labels.items():
        np.testing.assert_array_equal(more_labels[name], row)
    assert more_labels["bird"].tolist() == pytest.approx([0] * 5, abs=1e-25)
    assert 0 < np.abs(more_words["canary"]).max() <= 1 / 4
    assert more_words["canary"].tolist() != more_words["birds"].tolist()
    assert model.loss_curve_[:-1] == losses


def test_it_learns_what_is_new_and_forgets_little():
    model = fitted()
    for _ in range(60):
        model.partial_fit(MORE, NEW)
    assert model.predict(MORE).tolist() == NEW
    assert model.predict(TEXTS).tolist() == LABELS


def test_rare_words_get_rows_when_one_call_has_them_often():
    model = fitted(min_count=2, word_ngrams=1)
    assert set(model._model.features.words.names()) == {"a", "cat", "pie"}
    model.partial_fit(["dog bird"], ["dog"])
    assert "dog" not in model._model.features.columns
    model.partial_fit(["dog dog bird"], ["dog"])
    assert model._model.features.columns["dog"] == 3
    assert "bird" not in model._model.features.columns


def test_a_part_as_good_as_the_whole():
    texts, labels = load_wordnet10()
    half = TextClassifier(random_state=0).fit(texts[:4000], labels[:4000])
    before = half.score(texts[8000:], labels[8000:])
    after = half.partial_fit(texts[4000:8000], labels[4000:8000]).score(texts[8000:], labels[8000:])
    assert after > before + 0.02


def test_few_texts_do_not_spoil_what_many_have_taught(tmp_path):
    """Without the sums of squares that are kept, this takes 0.012 off the accuracy."""
    texts, labels = load_wordnet10()
    model = TextClassifier(random_state=0).fit(texts[:6000], labels[:6000])
    before = model.score(texts[8000:], labels[8000:])
    model.save(tmp_path / "m")
    loaded = load_model(tmp_path / "m")
    for each in (model, loaded):
        each.partial_fit(texts[6000:6030], labels[6000:6030])
        assert each.score(texts[8000:], labels[8000:]) > before - 0.004


@pytest.mark.parametrize("options", [{}, {"loss": "ova"}, {"char_ngrams": (1, 2)}])
def test_a_saved_model_goes_on_with_the_same_bits(tmp_path, options):
    y = LISTS if options.get("loss") else LABELS
    more = [[label] for label in NEW] if options.get("loss") else NEW
    model = TextClassifier(**SMALL, **options).fit(TEXTS, y)
    model.save(tmp_path / "m")
    loaded = load_model(tmp_path / "m")
    model.partial_fit(MORE, more)
    loaded.partial_fit(MORE, more)
    assert loaded.classes_.tolist() == model.classes_.tolist()
    assert_same_weights(loaded, weights_of(model))
    loaded.save(tmp_path / "m")
    again = load_model(tmp_path / "m")
    assert_same_weights(again, weights_of(model))
    again.partial_fit(TEXTS, y)


def test_threads_change_nothing():
    expected = fitted(num_threads=1).partial_fit(MORE, NEW)
    assert_same_weights(fitted(num_threads=2).partial_fit(MORE, NEW), weights_of(expected))


def test_several_labels():
    classes = ["cat", "dog", "food", "small"]
    model = TextClassifier(**SMALL, loss="ova")
    by_indicator = TextClassifier(**SMALL, loss="ova")
    for _ in range(60):
        model.partial_fit(TEXTS, LISTS, classes)
        by_indicator.partial_fit(TEXTS, INDICATOR)
    assert model.score(TEXTS, LISTS) == by_indicator.score(TEXTS, INDICATOR) == 1
    model.partial_fit(MORE, [["bird", "sings"], ["bird"], []])
    assert model.classes_.tolist() == ["bird", *classes[:3], "sings", "small"]
    by_indicator.partial_fit(MORE, [[0, 0, 1], [0, 0, 1], [1, 0, 1]])
    assert by_indicator.classes_.tolist() == [0, 1, 2]
    assert by_indicator.predict(MORE).shape == (3, 3)


@pytest.mark.parametrize(
    ("y", "more"),
    [
        ([5, 5, -1, -1, 30, 30], [7, 7, 5]),
        (np.array(LABELS, object), NEW),
        (LABELS, np.array(NEW, object)),
    ],
)
def test_labels_of_other_types(y, more):
    model = TextClassifier(**SMALL).fit(TEXTS, y).partial_fit(MORE, more)
    assert model.classes_.dtype.kind == np.array(y).dtype.kind
    assert model.classes_.tolist() == sorted({*np.array(y).tolist(), *np.array(more).tolist()})


def test_it_goes_on_as_one_training():
    once, twice = TextClassifier(**SMALL), TextClassifier(**SMALL)
    once.partial_fit(TEXTS, LABELS, LABELS).partial_fit(TEXTS, LABELS)
    twice.partial_fit(TEXTS, LABELS)
    twice = pickle.loads(pickle.dumps(twice)).partial_fit(TEXTS, LABELS)
    assert_same_model(once._learner, twice._learner)
    counts = TextVectorizer(word_ngrams=2).fit_transform(TEXTS)
    of_bags = EmbeddingBagClassifier(4, learning_rate=0.2, random_state=0)
    of_bags._table_eps = once._learner._table_eps
    of_bags.partial_fit(counts, LABELS, LABELS).partial_fit(counts, LABELS)
    assert_same_model(once._learner, of_bags)


def test_growth_keeps_the_whole_state():
    """A growth by labels that no text has changes nothing for the others but the softmax."""
    plain, grown = fitted(loss="softmax"), fitted(loss="softmax")
    for model in (plain, grown):
        model.partial_fit(TEXTS, LABELS)
    before = grown._learner._state.optimizers[0].state_dict()["squares"].copy()
    grown.set_params(learning_rate=1e-30).partial_fit(MORE, NEW)
    found = grown._learner._state.optimizers[0].state_dict()["squares"]
    names = plain._model.features.words.names()
    places = [grown._model.features.columns[name] for name in names]
    untouched = [i for i, name in enumerate(names) if not any(name in t.split() for t in MORE)]
    assert len(untouched) > 3
    np.testing.assert_array_equal(found[np.array(places)[untouched]], before[untouched])
    assert grown._learner._state.optimizers[1].num_steps == 2


def test_growth_goes_on_with_a_copy_of_the_random_numbers():
    learner = TextClassifier(**SMALL).partial_fit(TEXTS, LABELS)._learner
    columns, labels = np.arange(learner.n_features_in_), np.arange(3)
    grown = learner.enlarged(columns, len(columns) + 1, labels, 4)
    mine, other = learner._state.rng, grown._state.rng
    assert mine is not other
    assert mine.bit_generator.state == other.bit_generator.state


def test_fit_starts_anew_or_goes_on():
    model = fitted()
    expected = weights_of(model)
    assert_same_weights(model.fit(TEXTS, LABELS), expected)
    model.set_params(warm_start=True).fit(MORE, NEW)
    assert model.classes_.tolist() == ["bird", "cat", "dog", "food"]
    assert model.predict([*MORE, *TEXTS]).tolist() == [*NEW, *LABELS]
    assert model.n_iter_ == 60
    assert "_state" not in vars(model._learner)
    model.set_params(warm_start=False).fit(MORE, NEW)
    assert model.classes_.tolist() == ["bird", "cat"]


def test_balanced_classes_of_which_some_do_not_occur():
    model = fitted(warm_start=True, class_weight="balanced")
    model.fit(TEXTS[:5], LABELS[:5]).fit(MORE, NEW)
    assert model.classes_.tolist() == ["bird", "cat", "dog", "food"]


@pytest.mark.parametrize("call", ["fit", "partial_fit"])
@pytest.mark.parametrize(("texts", "y"), [(TEXTS, LABELS), (MORE, NEW)], ids=["known", "new"])
@pytest.mark.parametrize("diverges", [True, False])
def test_a_failure_leaves_the_model_as_it_was(monkeypatch, call, texts, y, diverges):
    model = fitted(warm_start=True)
    if call == "partial_fit":
        model.partial_fit(TEXTS, LABELS)
    twin = pickle.loads(pickle.dumps(model))
    before, expected = vars(model).copy(), weights_of(model)
    take, n_good, calls = Steps._take, 1 if call == "fit" else 0, []

    def fail(self, losses, order, count):
        is_busy = take(self, losses, order, count)
        calls.append(count)
        if len(calls) > n_good:
            if not diverges:
                raise MemoryError
            losses[:] = np.nan
        return is_busy

    monkeypatch.setattr(Steps, "_take", fail)
    with pytest.raises((ValueError, MemoryError)):
        getattr(model, call)(texts, y)
    monkeypatch.undo()
    assert vars(model) == before
    assert_same_weights(model, expected)
    assert model.predict(TEXTS).tolist() == LABELS
    assert_same_weights(model.partial_fit(texts, y), weights_of(twin.partial_fit(texts, y)))


@pytest.mark.parametrize(
    ("options", "y", "classes", "problem"),
    [
        ({}, ["bird"] * 6, ["cat", "owl"], "y must hold only the classes given, got the class bir"),
        ({}, [1, 2] * 3, None, "y must have labels of the same kind as classes_, got 1, which is "),
        (
            {},
            LABELS,
            [1],
            "y must have labels of the same kind as classes_, got 1, which is no str",
        ),
        ({"dim": 5}, LABELS, None, "dim = 5 differs from 4, with which the model was fitted"),
        ({"loss": "ova"}, LISTS, None, "loss = 'ova' differs from 'softmax', with which"),
        ({"class_weight": "balanced"}, LABELS, None, "class_weight must be None or a dict for"),
        ({"min_count": 0}, LABELS, None, "min_count must be at least 1, got 0"),
    ],
)
def test_bad_calls(options, y, classes, problem):
    model = fitted()
    before = copy.deepcopy(weights_of(model))
    with pytest.raises(ValueError, match="^" + re.escape(problem)):
        model.set_params(**options).partial_fit(TEXTS, y, classes)
    assert_same_weights(model, before)
    assert model.classes_.tolist() == ["cat", "dog", "food"]


def test_bad_first_calls():
    with pytest.raises(ValueError, match="^y must hold at least 2 classes, got 1 class: cat"):
        TextClassifier().partial_fit(TEXTS[:2], LABELS[:2])
    with pytest.raises(ValueError, match=r"^y\[0\] must hold only known classes, got 'small'$"):
        TextClassifier(loss="ova").partial_fit(TEXTS, LISTS, ["cat", "dog", "food"])
    model = TextClassifier(**SMALL, loss="ova").fit(TEXTS, LISTS)
    with pytest.raises(ValueError, match="^y must have 4 columns, got 5$"):
        model.partial_fit(TEXTS, np.eye(6, 5, dtype=int))


def test_classes_may_be_announced_later():
    model = fitted().partial_fit(TEXTS, LABELS, ["owl"])
    assert model.classes_.tolist() == ["cat", "dog", "food", "owl"]
    assert model.predict(TEXTS).tolist() == LABELS


def test_models_without_a_state_go_on(tmp_path):
    save_model(replace(make_model(), accumulators=None, recipe=None), tmp_path / "m")
    save_format_2(tmp_path / "older")
    for name in ("m", "older"):
        model = load_model(tmp_path / name).partial_fit(MORE, NEW)
        assert "bird" in model.classes_
        model.save(tmp_path / name)
        assert load_model(tmp_path / name).tokenizer == model.tokenizer


def test_labels_that_come_later_begin_as_others_do():
    """With negatives, labels begin with the logits of their shares."""
    names = [[f"l{i}"] for i in range(100)]
    texts = [f"w{i} common" for i in range(100)] * 3
    options = {"loss": "ova", "negatives": 8, "epochs": 40, "random_state": 0, "word_ngrams": 1}
    once = TextClassifier(**options).fit(texts, names * 3)
    later = TextClassifier(**options, warm_start=True).fit(texts[:50] * 3, names[:50] * 3)
    later.fit(texts, names * 3)
    vectors = SimpleNamespace(words=["w1", "w2"], table=np.eye(2, 32, dtype=np.float32))
    given = TextClassifier(**options, pretrained=vectors).fit(texts, names * 3)
    found = [model.predict_top(texts[:100], 1) for model in (once, later, given)]
    hits = [
        sum(top[0][0] == name for top, (name,) in zip(tops, names, strict=True)) for tops in found
    ]
    assert min(hits) >= 0.9 * hits[0] > 80


def test_new_labels_of_numpy_types():
    model = TextClassifier(**SMALL).fit(TEXTS, LABELS)
    model.partial_fit(["a zebra"], ["zebra"], classes=[*map(np.str_, [*set(LABELS), "zebra"])])
    assert "zebra" in model.classes_


def test_a_shallow_copy_is_trained_alone():
    model = fitted().partial_fit(TEXTS, LABELS)
    before = model.predict_proba(TEXTS)
    other = copy.copy(model).partial_fit(TEXTS, LABELS)
    np.testing.assert_array_equal(model.predict_proba(TEXTS), before)
    assert not np.array_equal(other.predict_proba(TEXTS), before)


def test_missing_labels_are_named():
    with pytest.raises(ValueError, match="^y must have labels of one type, and no None: "):
        fitted().partial_fit(["a", "b"], ["cat", None])


def test_a_pass_leaves_the_class_weight_of_a_saved_model(tmp_path):
    TextClassifier(**SMALL, class_weight="balanced").fit(TEXTS, LABELS).save(tmp_path / "m")
    for model in (load_model(tmp_path / "m"), TextClassifier(**SMALL).fit(TEXTS, LABELS)):
        expected = model._model.recipe.class_weight
        model.partial_fit(MORE, NEW).save(tmp_path / "more")
        assert load_model(tmp_path / "more")._model.recipe.class_weight == expected
    assert load_model(tmp_path / "m")._model.recipe.class_weight == "balanced"
