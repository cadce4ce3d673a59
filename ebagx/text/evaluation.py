"""Compute precision, recall and F1 of predicted labels, and count confusions."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ebagx.text.lines import Lines
from ebagx.text.model import TextModel

THRESHOLDS = np.arange(1, 10) / 10


class LabelFigures(NamedTuple):
    """Precision, recall and F1 of one label, and its number of lines."""

    precision: float
    recall: float
    f1: float
    support: int


class Evaluation:
    """Counts of true and predicted labels, to which `add` adds lines.

    A line has one or more true labels and a list of predicted ones, best first. Labels that the
    model does not have count as missed.
    """

    def __init__(self) -> None:
        self.n_lines = 0
        self.confusions: Counter[tuple[str, str]] = Counter()
        self.n_several = 0
        self._true: Counter[str] = Counter()
        self._predicted: Counter[str] = Counter()
        self._hits: Counter[str] = Counter()

    def add(self, true: Sequence[tuple[str, ...]], predicted: Iterable[Sequence[str]]) -> None:
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
        """The fraction of the predicted labels that are true."""
        return ratio(self._hits.total(), self._predicted.total())

    @property
    def recall(self) -> float:
        """The fraction of the true labels that are predicted."""
        return ratio(self._hits.total(), self._true.total())

    @property
    def macro_f1(self) -> float:
        """The mean of F1 over the labels that occur, true or predicted."""
        labels = self.labels()
        return ratio(sum(self.figures(label).f1 for label in labels), len(labels))

    def labels_by_support(self) -> list[str]:
        """Return the same labels as `labels`, those of the most lines first."""
        return sorted(self.labels(), key=lambda label: -self._true[label])

    def labels(self) -> list[str]:
        """Return the labels that occur, true or predicted, sorted."""
        return sorted(self._true | self._predicted)

    def figures(self, label: str) -> LabelFigures:
        """Return the figures of one label; a fraction x / 0 is 0."""
        hits, predicted, true = self._hits[label], self._predicted[label], self._true[label]
        f1 = ratio(2 * hits, predicted + true)
        return LabelFigures(ratio(hits, predicted), ratio(hits, true), f1, true)


class ThresholdFigures(NamedTuple):
    """Precision, recall and F1 of the labels at least so probable, and their number a line."""

    threshold: float
    precision: float
    recall: float
    f1: float
    labels_a_line: float


class ThresholdCounts:
    """Counts of the labels that are at least so probable, for each of `THRESHOLDS`.

    Parameters
    ----------
    labels : sequence of str
        The labels of the model, in the order of its probabilities.
    """

    def __init__(self, labels: Sequence[str]) -> None:
        self._place = {label: i for i, label in enumerate(labels)}
        self._n_lines = self._n_true = 0
        self._predicted, self._hits = np.zeros((2, len(THRESHOLDS)), np.int64)

    def add(self, true: Sequence[tuple[str, ...]], probabilities: npt.NDArray[np.float32]) -> None:
        """Count some lines, whose labels have these probabilities, (lines, labels)."""
        known = [
            (line, self._place[label])
            for line, labels in enumerate(true)
            for label in labels
            if label in self._place
        ]
        lines, places = np.array(known, np.intp).reshape(-1, 2).T
        self._predicted += _count_by_threshold(probabilities[probabilities >= THRESHOLDS[0]])
        self._hits += _count_by_threshold(probabilities[lines, places])
        self._n_lines += len(true)
        self._n_true += sum(map(len, true))

    def figures(self) -> list[ThresholdFigures]:
        """Return the figures of each threshold; a fraction x / 0 is 0."""
        rows = zip(THRESHOLDS.tolist(), self._predicted.tolist(), self._hits.tolist(), strict=True)
        return [
            ThresholdFigures(
                threshold,
                ratio(hits, predicted),
                ratio(hits, self._n_true),
                ratio(2 * hits, predicted + self._n_true),
                ratio(predicted, self._n_lines),
            )
            for threshold, predicted, hits in rows
        ]


def f1_score(model: TextModel, lines: Lines, label: str | None = None) -> float:
    """Return F1 of one label, or of all labels together, for labelled lines.

    Predicted are a line's likeliest label or, with the loss "ova", those whose probability exceeds
    a half.
    """
    numbers, offsets = lines.labels()
    true = lines.label_places(model.labels)[numbers]
    lines_of_true = np.repeat(np.arange(lines.num_lines), np.diff(offsets))
    wanted = None if label is None else model.labels.index(label)
    n_true = len(true) if wanted is None else int(np.count_nonzero(true == wanted))
    n_predicted = n_hits = first = 0
    for block in model.probability_blocks_of(lines):
        is_predicted = block > 0.5
        if model.loss == "softmax":
            is_predicted = np.zeros(block.shape, bool)
            is_predicted[np.arange(len(block)), block.argmax(axis=1)] = True
        if wanted is not None:
            is_predicted[:, np.arange(block.shape[1]) != wanted] = False
        part = slice(*np.searchsorted(lines_of_true, [first, first + len(block)]))
        is_known = true[part] >= 0
        rows, columns = lines_of_true[part][is_known] - first, true[part][is_known]
        n_hits += int(np.count_nonzero(is_predicted[rows, columns]))
        n_predicted += int(np.count_nonzero(is_predicted))
        first += len(block)
    return ratio(2 * n_hits, n_predicted + n_true)


def _count_by_threshold(probabilities: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
    """Return for each of `THRESHOLDS` how many probabilities are not below it."""
    passed = np.searchsorted(THRESHOLDS, probabilities, "right")
    counts = np.bincount(passed, minlength=len(THRESHOLDS) + 1)
    return counts[::-1].cumsum()[-2::-1]


def ratio(part: float, whole: float) -> float:
    """Return part / whole, and 0 for whole = 0."""
    return part / whole if whole else 0.0
