"""How results are printed, and drawn: lines with a heading, figures by label, confusions."""

from collections import Counter
from pathlib import Path

from ebagx.text.evaluation import Evaluation, ratio

_MOST_CONFUSIONS = 20
_LONGEST_NAME = 24


def report(heading: str, text: str) -> None:
    """Print a line of results."""
    print(f"{heading:<10}{text}", flush=True)


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
        [[ratio(n, sum(row)) for n in row] for row in rows], "Blues", vmin=0, vmax=1
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
