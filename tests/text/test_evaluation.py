"""Compare precision, recall and confusion matrices with scikit-learn's."""

import itertools
import random
import sys
from collections import Counter

import numpy as np
import pytest

from ebagx.cli.report import confusion_text, draw_confusion, label_table, shorten
from ebagx.text.evaluation import Evaluation


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


def test_label_table():
    long = "a" * 30
    evaluation = evaluate(*[("b", "b")] * 1500, (long, "b"))
    assert label_table(evaluation, 80).splitlines() == [
        "label                     precision  recall     f1    lines",
        "aaaaaaaaaaaa\u2026aaaaaaaaaaa      0.000   0.000  0.000        1",
        "b                             0.999   1.000  1.000    1,500",
    ]
    assert shorten("country/Fr", 8) == "coun\u2026/Fr"
    assert shorten("country/Fr", 9) == "coun\u2026y/Fr"
    assert label_table(evaluation, 50).splitlines() == [
        "label            precision  recall     f1    lines",
        "aaaaaaa\u2026aaaaaaa      0.000   0.000  0.000        1",
        "b                    0.999   1.000  1.000    1,500",
    ]


@pytest.mark.parametrize("columns", [46, 50, 80])
def test_tables_fit_in_narrow_terminals(columns):
    names = [f"{chr(97 + i) * 30}" for i in range(26)]
    evaluation = evaluate(*[(name, names[0]) for name in names])
    for text in (label_table(evaluation, columns), confusion_text(evaluation, columns)):
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
