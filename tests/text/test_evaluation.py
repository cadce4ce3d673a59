"""Compare precision, recall and confusion matrices with scikit-learn's."""

import itertools
import random
import sys
from collections import Counter

import numpy as np
import pytest

from ebagx.cli.report import (
    confusion_text,
    draw_confusion,
    label_table,
    shorten,
    threshold_table,
)
from ebagx.text.evaluation import THRESHOLDS, Evaluation, ThresholdCounts, f1_score
from ebagx.text.lines import Lines


def evaluate(*lines):
    evaluation = Evaluation()
    evaluation.add([tuple(true.split()) for true, _ in lines], [p.split() for _, p in lines])
    return evaluation


def random_evaluation(n_labels, n_lines=500):
    chooser = random.Random(0)
    names = [f"label{i:02}" for i in range(n_labels)]
    true = chooser.choices(names, k=n_lines)
    predicted = [t if chooser.random() < 0.7 else chooser.choice(names) for t in true]
    evaluation = Evaluation()
    evaluation.add([(t,) for t in true], [[p] for p in predicted])
    return evaluation, true, predicted


def test_figures_equal_those_of_scikit_learn():
    metrics = pytest.importorskip("sklearn.metrics")
    evaluation, true, predicted = random_evaluation(5)
    expected = metrics.precision_recall_fscore_support(true, predicted)
    assert evaluation.labels() == sorted(set(true))
    for i, label in enumerate(evaluation.labels()):
        assert evaluation.figures(label) == pytest.approx([part[i] for part in expected])
    accuracy = metrics.accuracy_score(true, predicted)
    assert evaluation.precision == pytest.approx(accuracy)
    assert evaluation.recall == pytest.approx(accuracy)
    assert evaluation.macro_f1 == pytest.approx(metrics.f1_score(true, predicted, average="macro"))


def test_several_labels_and_several_guesses():
    evaluation = evaluate(("a b", "a c"), ("a", "b a"), ("c", ""))
    assert evaluation.n_lines == 3
    assert evaluation.n_several == 1
    assert evaluation.precision == 2 / 4
    assert evaluation.recall == 2 / 4
    assert evaluation.figures("a") == (1, 1, 1, 2)
    assert evaluation.figures("b") == (0, 0, 0, 1)
    assert evaluation.figures("c") == (0, 0, 0, 1)
    assert evaluation.confusions == {("a", "b"): 1}


def test_nothing_predicted():
    evaluation = evaluate(("a", ""))
    assert (evaluation.precision, evaluation.recall) == (0, 0)


class Model:
    """Stand for a model whose labels have given probabilities."""

    def __init__(self, loss, labels, probabilities):
        self.loss, self.labels = loss, labels
        self._probabilities = np.array(probabilities, np.float32)

    def probability_blocks_of(self, lines):
        assert lines.num_lines == len(self._probabilities)
        return np.array_split(self._probabilities, 3)


def random_case(loss, n_lines=100):
    """Return a model of four labels, and lines of which some have a label that it does not know."""
    rng = np.random.default_rng(0)
    names = ["a", "b", "c", "d", "unknown"]
    labels = [
        tuple(rng.choice(names, rng.integers(1, 4) if loss == "ova" else 1, replace=False).tolist())
        for _ in range(n_lines)
    ]
    model = Model(loss, names[:4], rng.random((n_lines, 4)))
    return model, Lines.of(["x"] * n_lines, labels), labels


@pytest.mark.parametrize("loss", ["softmax", "ova"])
@pytest.mark.parametrize("label", [None, "a", "d"])
def test_f1_equals_that_of_scikit_learn(loss, label):
    metrics = pytest.importorskip("sklearn.metrics")
    model, lines, labels = random_case(loss)
    names = [*model.labels, "unknown"]
    true = np.array([[name in row for name in names] for row in labels])
    chances = model._probabilities
    best = chances >= chances.max(axis=1, keepdims=True)
    found = np.column_stack(
        (best if loss == "softmax" else chances > 0.5, np.zeros(len(true), bool))
    )
    if label is None:
        expected = metrics.f1_score(true, found, average="micro", zero_division=0)
    else:
        place = names.index(label)
        expected = metrics.f1_score(true[:, place], found[:, place])
    assert f1_score(model, lines, label) == pytest.approx(expected, abs=1e-12)


def test_thresholds():
    model, _, labels = random_case("ova")
    chances = model._probabilities
    chances[0, :3] = 0.5, np.nextafter(np.float32(0.5), np.float32(0)), 0.3
    counts = ThresholdCounts(model.labels)
    for first in range(0, 100, 30):
        part = slice(first, first + 30)
        counts.add(labels[part], chances[part])
    true = np.array([[name in row for name in model.labels] for row in labels])
    n_true = sum(map(len, labels))
    for figures, threshold in zip(counts.figures(), THRESHOLDS.tolist(), strict=True):
        found = chances.astype(float) >= threshold  # as predict compares
        hits, predicted = (found & true).sum(), found.sum()
        expected = threshold, hits / predicted, hits / n_true, 2 * hits / (predicted + n_true)
        assert figures == pytest.approx((*expected, predicted / 100))


def test_threshold_table():
    counts = ThresholdCounts(["a", "b"])
    counts.add([("a",), ("b",)], np.array([[0.95, 0.05], [0.55, 0.45]], np.float32))
    lines = threshold_table(counts).splitlines()
    assert lines[:2] == [
        "threshold  precision  recall     f1  per line",
        "      0.1      0.667   1.000  0.800      1.50",
    ]
    assert lines[-1] == "      0.9      1.000   0.500  0.667      0.50"
    assert threshold_table(ThresholdCounts([])).splitlines()[1].split()[1:] == ["0.000"] * 3 + [
        "0.00"
    ]


def test_label_table():
    long = "a" * 30
    evaluation = evaluate(*[("b", "b")] * 1500, (long, "b"))
    assert label_table(evaluation, 80, -1).splitlines() == [
        "label                     precision  recall     f1    lines",
        "b                             0.999   1.000  1.000    1,500",
        "aaaaaaaaaaaa\u2026aaaaaaaaaaa      0.000   0.000  0.000        1",
    ]
    assert shorten("country/Fr", 8) == "coun\u2026/Fr"
    assert shorten("country/Fr", 9) == "coun\u2026y/Fr"
    assert label_table(evaluation, 50, 2).splitlines() == [
        "label            precision  recall     f1    lines",
        "b                    0.999   1.000  1.000    1,500",
        "aaaaaaa\u2026aaaaaaa      0.000   0.000  0.000        1",
    ]
    assert label_table(evaluation, 50, 1).splitlines() == [
        "label  precision  recall     f1    lines",
        "b          0.999   1.000  1.000    1,500",
        "and 1 label more: --labels -1 prints all",
    ]


@pytest.mark.parametrize("columns", [46, 50, 80])
def test_tables_fit_in_narrow_terminals(columns):
    names = [f"{chr(97 + i) * 30}" for i in range(26)]
    evaluation = evaluate(*[(name, names[0]) for name in names])
    for text in (
        label_table(evaluation, columns, 9),
        threshold_table(ThresholdCounts(names)),
        confusion_text(evaluation, columns),
    ):
        assert max(map(len, text.splitlines())) <= columns


def test_confusion_matrix():
    evaluation = evaluate(*[("cat", "cat")] * 12, ("cat", "dog"), ("dog", "dog"), ("new", "cat"))
    assert confusion_text(evaluation, 80).splitlines() == [
        "true labels: rows; predicted: columns",
        "       1  2  3",
        "cat 1 12  1  .",
        "dog 2  .  1  .",
        "new 3  1  .  .",
    ]


@pytest.mark.parametrize(("n_labels", "fits"), [(10, True), (23, True), (24, False), (40, False)])
def test_no_line_is_wider_than_the_terminal(n_labels, fits):
    evaluation, true, predicted = random_evaluation(n_labels, 2000)
    text = confusion_text(evaluation, 80)
    assert max(map(len, text.splitlines())) <= 80
    assert ("predicted: columns" in text) == fits
    if not fits:
        heading, *lines = text.splitlines()
        assert heading == "lines  true label -> predicted label"
        counts = [int(line.split()[0].replace(",", "")) for line in lines]
        assert len(counts) == 21
        assert sum(counts) == sum(t != p for t, p in zip(true, predicted, strict=True))
        assert counts[:-1] == sorted(counts[:-1], reverse=True)


@pytest.mark.parametrize("n_labels", [1, 5, 30])
def test_picture(n_labels, tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    figures = []
    monkeypatch.setattr("matplotlib.figure.Figure.savefig", saved_by(figures))
    evaluation, true, predicted = random_evaluation(n_labels)
    path = tmp_path / "confusion.png"
    draw_confusion(evaluation, path)
    assert path.read_bytes().startswith(b"\x89PNG")
    axes, bar = figures[0].axes
    names = evaluation.labels()
    assert [tick.get_text() for tick in axes.get_xticklabels()] == names
    assert [tick.get_text() for tick in axes.get_yticklabels()] == names
    shown = [text.get_text() for text in axes.texts]
    counts = Counter(zip(true, predicted, strict=True))
    assert shown == [str(counts[pair] or "") for pair in itertools.product(names, names)]
    colours = np.asarray(axes.images[0].get_array())
    np.testing.assert_allclose(colours.sum(axis=1), 1)
    inside = figures[0].bbox
    for part in (*axes.get_xticklabels(), *axes.get_yticklabels(), bar.yaxis.label):
        box = part.get_window_extent()
        assert inside.x0 <= box.x0 < box.x1 <= inside.x1
        assert inside.y0 <= box.y0 < box.y1 <= inside.y1
    in_a_row = [text for text in axes.texts[:n_labels] if text.get_text()]
    for text, other in itertools.pairwise(in_a_row):
        assert text.get_window_extent().x1 < other.get_window_extent().x0


def saved_by(figures):
    """Figure.savefig that also notes the figure."""
    from matplotlib.figure import Figure

    save = Figure.savefig
    return lambda figure, path: figures.append(figure) or save(figure, path)


def test_a_picture_of_too_many_labels(tmp_path):
    pytest.importorskip("matplotlib")
    pytest.importorskip("sklearn")
    evaluation = evaluate(*[(f"a{i}", f"a{i}") for i in range(1001)])
    with pytest.raises(ValueError, match="^--confusion draws up to 1,000 labels, not 1,001$"):
        draw_confusion(evaluation, tmp_path / "confusion.png")


def test_picture_leaves_no_state_in_pyplot(tmp_path):
    pyplot = pytest.importorskip("matplotlib.pyplot")
    before = pyplot.get_fignums()
    draw_confusion(evaluate(("cat", "dog"), ("dog", "")), tmp_path / "confusion.png")
    assert pyplot.get_fignums() == before


def test_picture_without_matplotlib(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ModuleNotFoundError, match=r"^--confusion needs matplotlib and scikit-lear"):
        draw_confusion(evaluate(("cat", "dog")), tmp_path / "confusion.png")
