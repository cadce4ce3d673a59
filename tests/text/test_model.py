"""Test the training and the results of text classifiers."""

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("sklearn")

from ebagx._training.network import Network
from ebagx._training.optimizers import make_optimizers
from ebagx._training.steps import Steps
from ebagx.sklearn import EmbeddingBagClassifier
from ebagx.text import answers, features as features_module, learner
from ebagx.text.features import Features, LineBags
from ebagx.text.learner import Learner
from ebagx.text.lines import Lines
from ebagx.text.model import Settings, TextModel
from ebagx.text.ngrams import Ngrams
from ebagx.text.tokenizers import Tokenizer
from ebagx.text.training import Following, train_model

TEXTS = ["a small cat", "a cat purrs", "dogs bark", "a big dog barks", "pie of \u00e4pfel", "pie"]
LABELS = [("cat",), ("cat",), ("dog",), ("dog",), ("caf\u00e9 food",), ("caf\u00e9 food",)]
LINES = Lines.of(TEXTS, LABELS)
SETTINGS = Settings(dim=4, epochs=30, buckets=1000)


def by_hand(loss):
    """Return a model of two words and three labels whose scores are easy to compute."""
    features = Features.restore(Ngrams(1, 0, 0, 1), ["x", "y"], np.zeros(0, np.int32), Tokenizer())
    embedding = np.array([[1, 0], [0, 1]], np.float32)
    coef = np.array([[1, 0], [0, 1], [3, 3]], np.float32)
    intercept = np.array([0, 0, -1000], np.float32)
    return TextModel(features, ["a", "b", "c"], loss, embedding, coef, intercept)


@pytest.mark.parametrize(
    "changes", [{}, {"word_ngrams": 1}, {"minn": 2, "maxn": 3}, {"min_count": 2, "seed": 3}]
)
def test_training(changes):
    settings = SETTINGS._replace(**changes)
    model, passes = train_model(LINES, settings)
    assert passes == (30, 30, False)
    assert model.predict(TEXTS) == [label for (label,) in LABELS]
    assert model.labels == ["caf\u00e9 food", "cat", "dog"]
    assert model.loss == "softmax"
    assert model.embedding.shape == (model.features.n_columns, 4)
    again, _ = train_model(LINES, settings._replace(threads=1))
    np.testing.assert_array_equal(again.embedding, model.embedding)


def test_probabilities_are_those_of_the_classifier():
    """The learner is the core of the estimator: both have the same bits."""
    settings = SETTINGS._replace(minn=1, maxn=3)
    model, _ = train_model(LINES, settings)
    bags = LineBags(Features.learn(LINES, settings.ngrams), LINES)
    counts = bags.matrix()
    classifier = EmbeddingBagClassifier(
        4, learning_rate=settings.lr, schedule="linear", max_iter=30, random_state=0
    )
    classifier._table_eps = settings.make_learner().expect(bags)._table_eps
    classifier.fit(counts, [label for (label,) in LABELS])
    np.testing.assert_array_equal(model.embedding, classifier.embedding_)
    expected = classifier.predict_proba(counts)
    np.testing.assert_allclose(model.probabilities(TEXTS), expected, rtol=1e-5)


@pytest.mark.parametrize("loss", ["softmax", "ova"])
def test_one_label_is_an_error(loss):
    lines = Lines.of(["a", "b"], [("cat",), ("cat",)])
    with pytest.raises(ValueError, match=r"^the lines must have at least 2 labels, got 1: cat$"):
        train_model(lines, SETTINGS._replace(loss=loss))


@pytest.mark.parametrize(
    ("loss", "epochs", "schedule"),
    [("softmax", 3, None), ("softmax", 4, "linear"), ("ova", 4, None), ("ova", 60, None)],
)
def test_the_rate_falls_in_long_trainings_of_one_label(loss, epochs, schedule):
    settings = Settings(loss=loss, epochs=epochs)
    assert settings.make_learner().schedule == settings.schedule == schedule


@pytest.mark.parametrize(("batch_size", "in_batch"), [(2, 2), (3, 3), (100, 100)])
def test_eps_of_the_table_is_the_part_of_a_lookup_in_its_batch(batch_size, in_batch):
    settings = SETTINGS._replace(batch_size=batch_size, word_ngrams=1)
    lines = Lines.of(["a b c", "a", "b", "b b", "", "c d e f g"])
    bags = LineBags(Features.learn(lines, settings.ngrams), lines)
    table, head = make_optimizers(settings.make_learner().expect(bags))
    assert table.eps == pytest.approx(1 / (in_batch * 12 / 6), rel=1e-12)
    assert head.eps == 1e-10


def test_trainings_of_lines_have_that_eps(monkeypatch):
    plain, _ = train_model(LINES, SETTINGS)
    monkeypatch.setattr(Learner, "expect", lambda self, _: self)
    other, _ = train_model(LINES, SETTINGS)
    assert not np.array_equal(plain.embedding, other.embedding)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("options", [{"minn": 1, "maxn": 3}, {"word_ngrams": 3, "min_count": 2}])
@pytest.mark.parametrize("loss", ["softmax", "ova"])
def test_bags_that_are_made_again_give_the_bits_of_the_matrix(monkeypatch, threads, options, loss):
    lines = Lines.of(TEXTS * 50, LABELS * 50)
    settings = SETTINGS._replace(epochs=3, loss=loss, threads=threads, **options)
    expected, _ = train_model(lines, settings)
    monkeypatch.setattr(learner, "_MOST_LOOKUPS_IN_MEMORY", 0)
    found, _ = train_model(lines, settings)
    for name in ("embedding", "coef", "intercept"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))


def test_predictions_take_the_threads_of_the_model(monkeypatch):
    asked = []
    monkeypatch.setattr(features_module, "thread_count", lambda n, _: asked.append(n) or 1)
    monkeypatch.setattr(answers, "_MOST_CHARS", 0)
    replace(by_hand("softmax"), num_threads=7).predict(["x"])
    assert asked == [7]


def test_a_training_is_followed():
    seen = []
    following = Following(lambda count, losses: seen.append([count, *losses]))
    train_model(LINES, SETTINGS._replace(epochs=3), following)
    assert sum(count for count, *_ in seen) == 3 * len(TEXTS)
    assert [len(losses) for _, *losses in seen] == [0, 1, 2]
    assert seen[2][2] < seen[2][1]


def test_a_loss_that_diverges_leaves_no_model(monkeypatch):
    """No copy of the table is kept for the model of the pass before."""
    totals = iter([5.0, np.nan])
    monkeypatch.setattr(Steps, "make_pass", lambda *_: next(totals))
    monkeypatch.setattr(Network, "snapshot", None)
    with pytest.raises(ValueError, match=r"^the loss diverged in pass 2 of 30, as the learning "):
        train_model(LINES, SETTINGS)


def test_ctrl_c_after_the_loss_has_diverged_leaves_no_model(monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(Steps, "make_pass", interrupt)
    monkeypatch.setattr(Network, "is_finite", lambda _: False)
    with pytest.raises(ValueError, match=r"^the loss diverged in pass 1 of 30, "):
        train_model(LINES, SETTINGS)


def test_precision_counts_lines_with_one_of_their_labels_first():
    model = by_hand("softmax")
    lines = Lines.of(["x", "y", "x", "z"], [("c", "a"), ("b",), ("b", "unknown"), ("unknown",)])
    assert model.precision_at_1(lines) == 0.5


def test_vectors_are_means():
    vectors = by_hand("softmax").vectors(["x y", "x x x y", "z", ""])
    assert vectors.tolist() == [[0.5, 0.5], [0.75, 0.25], [0, 0], [0, 0]]
    assert vectors.dtype == np.float32


def test_softmax_and_sigmoid():
    softmax = by_hand("softmax").probabilities(["x", "z"])
    np.testing.assert_allclose(softmax.sum(axis=1), 1, rtol=1e-6)
    np.testing.assert_allclose(softmax[0, :2], [np.e / (1 + np.e), 1 / (1 + np.e)], rtol=1e-6)
    one_versus_all = by_hand("ova").probabilities(["x", "z"])
    np.testing.assert_allclose(one_versus_all[0], [1 / (1 + np.exp(-1)), 0.5, 0], rtol=1e-6)
    np.testing.assert_allclose(one_versus_all[1], [0.5, 0.5, 0], rtol=1e-6)


def test_best():
    order, probabilities = by_hand("softmax").best(["y", "z"], 2)
    assert order.tolist() == [[1, 0], [0, 1]]  # of equals, the first
    assert probabilities.shape == (2, 2)
    assert by_hand("ova").best(["y"], 9)[0].tolist() == [[1, 0, 2]]
    assert by_hand("ova").best([], 9)[0].shape == (0, 3)


def test_one_label_a_line_with_softmax():
    with pytest.raises(ValueError, match="^softmax takes one label a line, for several there is"):
        train_model(Lines.of(TEXTS, [("a", "b"), *LABELS[1:]]), SETTINGS)


def test_no_features():
    with pytest.raises(ValueError, match="^no word occurs at least min_count = 1 times"):
        train_model(Lines.of(["!", "?"], [("a",), ("b",)]), SETTINGS)


def test_settings_say_what_is_a_feature():
    assert Settings().ngrams == (2, 0, 0, 2_000_000)
    assert Settings(minn=2).ngrams == (2, 0, 0, 2_000_000)
    assert Settings(maxn=3, word_ngrams=1, buckets=5).ngrams == (1, 1, 3, 5)


def test_memory_does_not_grow_as_texts_x_labels():
    features = by_hand("softmax").features
    rng = np.random.default_rng(0)
    shapes = (2, 4), (5000, 4), (5000,)
    weights = [rng.standard_normal(shape, np.float32) for shape in shapes]
    labels = [f"l{i}" for i in range(5000)]
    model, texts = TextModel(features, labels, "softmax", *weights), ["x", "y"] * 1000
    order, probabilities = model.best(texts[:2], 3)
    tracemalloc.start()
    try:
        found = model.best(texts, 3)
        likeliest = [np.argmax(scores, axis=1) for scores in model.score_blocks(texts)]
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    np.testing.assert_array_equal(found[0], np.tile(order, (1000, 1)))
    np.testing.assert_array_equal(found[1], np.tile(probabilities, (1000, 1)))
    np.testing.assert_array_equal(np.concatenate(likeliest), found[0][:, 0])
    assert peak < 32e6  # the probabilities of all are 40 MB
