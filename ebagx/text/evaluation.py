"""Compute precision, recall and F1 of predicted labels, and count confusions."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple


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

    def labels(self) -> list[str]:
        """Return the labels that occur, true or predicted, sorted."""
        return sorted(self._true | self._predicted)

    def figures(self, label: str) -> LabelFigures:
        """Return the figures of one label; a fraction x / 0 is 0."""
        hits, predicted, true = self._hits[label], self._predicted[label], self._true[label]
        f1 = ratio(2 * hits, predicted + true)
        return LabelFigures(ratio(hits, predicted), ratio(hits, true), f1, true)


def ratio(part: float, whole: float) -> float:
    """Return part / whole, and 0 for whole = 0."""
    return part / whole if whole else 0.0
