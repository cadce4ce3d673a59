"""How good predicted labels are: figures by label and a confusion matrix, as text or picture."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

_MOST_CONFUSIONS = 20
_LONGEST_NAME = 24


class LabelFigures(NamedTuple):
    """Precision, recall and F1 of one label, and in how many lines it stands."""

    precision: float
    recall: float
    f1: float
    support: int


class Evaluation:
    """Counts of true and predicted labels; `add` lines, then ask.

    A line has one or more true labels and a list of predicted ones, best first. Labels that the
    model does not know count as missed.
    """

    def __init__(self) -> None:
        self.n_lines = 0
        self.confusions: Counter[tuple[str, str]] = Counter()
        self.n_several = 0
        self._true: Counter[str] = Counter()
        self._predicted: Counter[str] = Counter()
        self._hits: Counter[str] = Counter()

    def add(self, true: Sequence[tuple[str, ...]], predicted: Sequence[Sequence[str]]) -> None:
        """Count some lines."""
        for labels, guesses in zip(true, predicted, strict=True):
            self._true.update(labels)
            self._predicted.update(guesses)
            self._hits.update(set(labels).intersection(guesses))
            self.n_several += len(labels) > 1
            if len(labels) == 1 and guesses:
                self.confusions[labels[0], guesses[0]] += 1
        self.n_lines += len(true)

    @property
    def precision(self) -> float:
        """Fraction of the predicted labels that are true."""
        return _ratio(self._hits.total(), self._predicted.total())

    @property
    def recall(self) -> float:
        """Fraction of the true labels that are predicted."""
        return _ratio(self._hits.total(), self._true.total())

    def labels(self) -> list[str]:
        """Return the labels that occur, true or predicted, sorted."""
        return sorted(self._true | self._predicted)

    def figures(self, label: str) -> LabelFigures:
        """Return the figures of one label; what is divided by zero is 0."""
        hits, predicted, true = self._hits[label], self._predicted[label], self._true[label]
        f1 = _ratio(2 * hits, predicted + true)
        return LabelFigures(_ratio(hits, predicted), _ratio(hits, true), f1, true)


def label_table(evaluation: Evaluation) -> str:
    """Return a line of figures for each label."""
    labels = evaluation.labels()
    names = [shorten(label) for label in labels]
    width = max(map(len, [*names, "label"]))
    lines = [f"{'label':<{width}}  precision  recall     f1    lines"]
    for name, label in zip(names, labels, strict=True):
        precision, recall, f1, support = evaluation.figures(label)
        lines.append(f"{name:<{width}}  {precision:9.3f}  {recall:6.3f}  {f1:5.3f}  {support:7,}")
    return "\n".join(lines)


def confusion_text(evaluation: Evaluation, columns: int) -> str:
    """Return the confusion matrix or, where it is too wide, its largest entries off the diagonal.

    Parameters
    ----------
    evaluation : Evaluation
        Lines with one label count.
    columns : int
        Width of the terminal.
    """
    labels = evaluation.labels()
    names = [shorten(label) for label in labels]
    counts = evaluation.confusions
    cell = max(len(str(n)) for n in [len(labels), *counts.values()]) + 1
    margin = max(map(len, names)) + len(str(len(labels))) + 1
    if margin + cell * len(labels) > columns:
        return _list_confusions(counts)
    header = " " * margin + "".join(f"{i:{cell}}" for i in range(1, len(labels) + 1))
    lines = ["true label of the row, predicted label of the column", header]
    for i, (name, label) in enumerate(zip(names, labels, strict=True), 1):
        row = (counts[label, other] for other in labels)
        cells = "".join(f"{count or '.':>{cell}}" for count in row)
        lines.append(f"{name:<{margin - len(str(i))}}{i}{cells}")
    return "\n".join(lines)


def draw_confusion(evaluation: Evaluation, path: Path) -> None:
    """Draw the confusion matrix, each row divided by its sum; needs matplotlib."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "--confusion needs matplotlib: pip install matplotlib", name=error.name
        ) from error
    labels = evaluation.labels()
    names = [shorten(label) for label in labels]
    counts = evaluation.confusions
    rows = [[counts[true, predicted] for predicted in labels] for true in labels]
    size = 3 + 0.3 * len(labels)
    figure = Figure((size + 1, size), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot(xlabel="predicted label", ylabel="true label")
    image = axes.imshow(
        [[_ratio(n, sum(row)) for n in row] for row in rows], "Blues", vmin=0, vmax=1
    )
    axes.set_xticks(range(len(labels)), names, rotation=90)
    axes.set_yticks(range(len(labels)), names)
    for i, row in enumerate(rows):
        for j, n in enumerate(row):
            if n:
                color = "white" if n > sum(row) / 2 else "black"
                axes.text(j, i, str(n), ha="center", va="center", fontsize="x-small", color=color)
    figure.colorbar(image, shrink=0.8, label="share of the lines with the true label")
    figure.savefig(path)


def shorten(label: str) -> str:
    """Return a label cut to what fits in a table."""
    return label if len(label) <= _LONGEST_NAME else label[: _LONGEST_NAME - 1] + "\u2026"


def _list_confusions(counts: Counter[tuple[str, str]]) -> str:
    wrong = Counter({pair: n for pair, n in counts.items() if pair[0] != pair[1]})
    top = sorted(wrong.items(), key=lambda item: (-item[1], item[0]))[:_MOST_CONFUSIONS]
    lines = ["lines  true label -> predicted label"]
    lines += [f"{n:5,}  {shorten(true)} -> {shorten(guess)}" for (true, guess), n in top]
    rest = wrong.total() - sum(n for _, n in top)
    lines += [f"{rest:5,}  others"] if rest else []
    return "\n".join(lines)


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else 0.0
