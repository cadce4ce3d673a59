"""Read a file of fastText, and make a `FastTextModel` of its content."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ebagx.io.fasttext.content import Content, DamagedError
from ebagx.io.fasttext.entries import read_buckets_left, read_entries
from ebagx.io.fasttext.header import Header
from ebagx.io.fasttext.matrices import read_matrix
from ebagx.text.fasttext.features import FastTextFeatures
from ebagx.text.fasttext.labels import labels_of
from ebagx.text.fasttext.matrix import Matrix
from ebagx.text.fasttext.model import FastTextModel

_MAGIC = b"\xba\x16\x4f\x2f"


class FastTextFile(NamedTuple):
    """The checked content of a file."""

    header: Header
    features: FastTextFeatures
    label_counts: npt.NDArray[np.int64]
    table: Matrix
    output: Matrix


def is_fasttext(path: Path) -> bool:
    """Return whether a file begins as a model of fastText does."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(len(_MAGIC)) == _MAGIC


def read_file(path: Path) -> FastTextFile:
    """Read and check a file.

    Raises
    ------
    OSError
        If it cannot be read.
    ValueError
        If it is damaged or incomplete. The text names the file.

    Notes
    -----
    The tables of float32 are not searched for nan and infinity, but for that of labels: one of
    seven gigabytes would take as many seconds. A result that is not finite is an error.
    """
    content = Content(path)
    with _named(path):
        return _read(content)


def read_model(path: Path, num_threads: int | None = None) -> FastTextModel:
    """Return the model of a file, for labels.

    Raises
    ------
    OSError, ValueError
        As `read_file`; also if the model has no labels.
    """
    file = read_file(path)
    header = file.header
    if not header.is_supervised:
        raise ValueError(
            f"{path}: this is a {header.model} model, which has word vectors and no labels: "
            "ebagx.text.load_vectors reads it"
        )
    with _named(path):
        output = labels_of(header.loss, file.output, file.label_counts)
    names = file.features.label_names()
    return FastTextModel(file.features, names, header.loss, file.table, output, num_threads)


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Name the file, and the way out, in errors about its content."""
    try:
        yield
    except ValueError as error:
        raise ValueError(
            f"{path}: this is no complete model of fastText: {error}; copy or download it again"
        ) from error


def _read(content: Content) -> FastTextFile:
    header = Header.read(content)
    words, label_counts = read_entries(content, header)
    buckets_left, places = read_buckets_left(content, header)
    features = FastTextFeatures(
        words,
        header.n_words,
        header.word_ngrams,
        header.minn,
        header.maxn,
        header.bucket,
        buckets_left,
        places,
    )
    is_quantised = content.flag("the sign of quantisation")
    if buckets_left is not None and not is_quantised:
        raise DamagedError("buckets are pruned, but the table is not quantised")
    shape = features.num_rows, header.dim
    table = read_matrix(content, shape, is_quantised, "the table of words")
    is_coded = content.flag("the sign of quantised labels") and is_quantised
    shape = header.n_labels if header.is_supervised else header.n_words, header.dim
    output = read_matrix(content, shape, is_coded, "the last table")
    if header.is_supervised:
        output.check_finite("the last table")
    if content.left:
        raise DamagedError(f"{content.left:,} bytes follow its end")
    return FastTextFile(header, features, label_counts, table, output)
