"""Print the words, or labels, that are similar to words, texts and labels."""

import sys
from argparse import Namespace
from collections.abc import Callable, Iterator
from pathlib import Path

from ebagx.cli.inputs import text_blocks
from ebagx.cli.layout import Layout
from ebagx.cli.report import warn
from ebagx.io.model_folder import load_model
from ebagx.text import inspection
from ebagx.text.model import TextModel

_Find = Callable[[str], list[tuple[str, float]]]


def similar(args: Namespace) -> None:
    """Print what is most similar to each of some words, texts or labels, or lines of stdin."""
    model = load_model(args.model, args.threads)
    find = _finder(model, args)
    if args.text:
        for i, found in enumerate([find(text) for text in args.text]):
            _print(found, is_first=i == 0)
        return
    is_first = True
    for line in _lines(model):
        try:
            found = find(line)
        except ValueError as error:
            warn(str(error))
            found = []
        _print(found, is_first)
        is_first = False


def _finder(model: TextModel, args: Namespace) -> _Find:
    if not (args.keywords or args.labels):
        return lambda text: inspection.nearest(model, text, args.k)
    of_label = inspection.keywords if args.keywords else inspection.nearest_labels
    place = {label: i for i, label in enumerate(model.labels)}

    def find(label: str) -> list[tuple[str, float]]:
        if label not in place:
            raise ValueError(f"{label!r:.50} is no label of the model: ebagx info lists them")
        return of_label(model, place[label], args.k)

    return find


def _lines(model: TextModel) -> Iterator[str]:
    layout = Layout(model.label_prefix)
    for texts in text_blocks(Path("-"), layout, ()):
        yield from (text.strip() for text in texts if text.strip())


def _print(found: list[tuple[str, float]], is_first: bool) -> None:
    """Print a line for each word; an empty line stands between those of two texts."""
    lines = [f"{name}\t{value:.4f}" for name, value in found]
    print(*([] if is_first else [""]), *lines, sep="\n")
    sys.stdout.flush()
