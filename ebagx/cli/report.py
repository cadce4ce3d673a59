"""Print and draw results: lines with a heading, figures by label, confusions."""

import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ebagx.text.evaluation import Evaluation, ThresholdCounts

_MOST_CONFUSIONS = 20
_MOST_DRAWN = 1000  # labels: Matplotlib draws no picture of more than 65,536 pixels
_LONGEST_NAME = 24
_SHORTEST_NAME = 5  # in a narrow terminal


def report(heading: str, text: str) -> None:
    """Print a line of results."""
    print(f"{heading:<10}{text}", flush=True)


def quantised_to(bits: int | None) -> str:
    """Return the words that follow the size of a table of so many bits; None: floats."""
    return f", quantised to {bits} bits" if bits else ""


def report_size(dim: int, num_bytes: int, kind: str) -> None:
    """Print the size of a model."""
    report("size", f"{dim} dimensions, {num_bytes / 1e6:,.1f} MB{kind}")


def report_labels(labels: Sequence[str]) -> None:
    """Print the labels of a model, a line each."""
    report("labels", f"{len(labels):,}")
    for label in labels:
        report("", label)


def warn(text: str) -> None:
    """Print a warning on standard error."""
    print(f"ebagx: warning: {text}", file=sys.stderr, flush=True)


def label_table(evaluation: Evaluation, columns: int, most: int) -> str:
    """Return a line of figures for each label of the most lines; names are cut where too wide.

    Parameters
    ----------
    evaluation : Evaluation
        The figures.
    columns : int
        Width of the terminal.
    most : int
        Largest number of labels; -1 is all. A last line says how many others there are.
    """
    labels, figures = evaluation.labels_by_support(), "  precision  recall     f1    lines"
    shown = labels if most < 0 else labels[:most]
    names = [shorten(label, columns - len(figures)) for label in shown]
    width = max(map(len, [*names, "label"]))
    lines = [f"{'label':<{width}}{figures}"]
    for name, label in zip(names, shown, strict=True):
        precision, recall, f1, support = evaluation.figures(label)
        lines.append(f"{name:<{width}}  {precision:9.3f}  {recall:6.3f}  {f1:5.3f}  {support:7,}")
    rest = len(labels) - len(shown)
    lines += [f"and {rest:,} label{'s' * (rest > 1)} more: --labels -1 prints all"] if rest else []
    return "\n".join(lines)


def threshold_table(counts: ThresholdCounts) -> str:
    """Return a line of figures for each threshold of probabilities."""
    lines = ["threshold  precision  recall     f1  per line"]
    for threshold, precision, recall, f1, number in counts.figures():
        lines.append(f"{threshold:9.1f}  {precision:9.3f}  {recall:6.3f}  {f1:5.3f}  {number:8.2f}")
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
        return _list_confusions(counts, columns)
    header = " " * margin + "".join(f"{i:{cell}}" for i in range(1, len(labels) + 1))
    lines = ["true labels: rows; predicted: columns", header]
    for i, (name, label) in enumerate(zip(names, labels, strict=True), 1):
        row = (counts[label, other] for other in labels)
        cells = "".join(f"{count or '.':>{cell}}" for count in row)
        lines.append(f"{name:<{margin - len(str(i))}}{i}{cells}")
    return "\n".join(lines)


def draw_confusion(evaluation: Evaluation, path: Path) -> None:
    """Draw the confusion matrix into a file: counts, in the colours of each row's fractions.

    A row has the lines of a true label. The picture needs matplotlib and scikit-learn, and leaves
    pyplot without a figure.

    Raises
    ------
    ValueError
        If there are more than a thousand labels.
    """
    try:
        from matplotlib.figure import Figure
        from sklearn.metrics import ConfusionMatrixDisplay
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "--confusion needs matplotlib and scikit-learn: pip install 'ebagx[plot]'",
            name=error.name,
        ) from error
    labels = evaluation.labels()
    if len(labels) > _MOST_DRAWN:
        raise ValueError(f"--confusion draws up to {_MOST_DRAWN:,} labels, not {len(labels):,}")
    counts = np.array(
        [[evaluation.confusions[true, guess] for guess in labels] for true in labels], np.intp
    )
    fractions = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    names = [shorten(label) for label in labels]
    # In inches: the largest count fits in a cell, and the longest name beside and below the cells.
    cell = max(0.3, 0.08 * len(str(counts.max())) + 0.05)
    size = max(4.0, 0.7 + 0.09 * max(map(len, names)) + cell * len(labels))
    figure = Figure((size + 1, size), layout="constrained")
    display = ConfusionMatrixDisplay(fractions, display_labels=names)
    display.plot(
        ax=figure.add_subplot(),
        cmap="Blues",
        colorbar=False,
        xticks_rotation="vertical",
        im_kw={"vmin": 0, "vmax": 1},
        text_kw={"fontsize": "x-small", "in_layout": False},
    )
    for text, count in zip(display.text_.flat, counts.flat, strict=True):
        text.set_text(count or "")
    bar = {"shrink": 0.8, "fraction": 0.6 / size, "pad": 0.1 / size, "aspect": 4 * size}
    figure.colorbar(display.im_, label="fraction of the lines with the true label", **bar)
    figure.savefig(path)


def shorten(label: str, width: int = _LONGEST_NAME) -> str:
    """Return a label cut in its middle to `width` characters, within what fits in a table.

    Many labels differ only in their ends, as do ``country/France`` and ``country/Finland``.
    """
    width = min(max(width, _SHORTEST_NAME), _LONGEST_NAME)
    if len(label) <= width:
        return label
    end = (width - 1) // 2
    return f"{label[: width - 1 - end]}\u2026{label[-end:]}"


def _list_confusions(counts: Counter[tuple[str, str]], columns: int) -> str:
    wrong = Counter({pair: n for pair, n in counts.items() if pair[0] != pair[1]})
    top = sorted(wrong.items(), key=lambda item: (-item[1], item[0]))[:_MOST_CONFUSIONS]
    width = (columns - len("lines   -> ")) // 2
    lines = ["lines  true label -> predicted label"]
    for (true, guess), n in top:
        lines.append(f"{n:5,}  {shorten(true, width)} -> {shorten(guess, width)}")
    rest = wrong.total() - sum(n for _, n in top)
    lines += [f"{rest:5,}  others"] if rest else []
    return "\n".join(lines)
