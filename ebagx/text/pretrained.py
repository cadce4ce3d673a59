"""Rows of the table that begin with vectors which others have learned."""

from collections.abc import Sequence
from os import PathLike
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

import ebagx.text
from ebagx.text.words import Words

_Intp = npt.NDArray[np.intp]


@runtime_checkable
class Vectors(Protocol):
    """Words and their vectors, as `ebagx.text.load_vectors` returns them."""

    @property
    def words(self) -> Sequence[str]:
        """The words (n,)."""

    @property
    def table(self) -> Any:
        """Their vectors (n, dim): an array, or another object that arrays of rows index."""


class Rows(NamedTuple):
    """Rows of the table that begin with given values, and perhaps stay as they are."""

    columns: _Intp
    values: npt.NDArray[np.float32]
    are_frozen: bool

    def __repr__(self) -> str:
        return f"Rows({len(self.columns)} rows{', frozen' * self.are_frozen})"


def as_vectors(pretrained: Any) -> Vectors:
    """Return words and vectors, of a file if a path is given.

    Raises
    ------
    TypeError
        If there are neither a path nor words with a table.
    ValueError
        If the table does not have a row for each word.
    """
    if isinstance(pretrained, str | PathLike):
        pretrained = ebagx.text.load_vectors(pretrained)
    if not isinstance(pretrained, Vectors):
        raise TypeError(
            "pretrained must be a path or have words and a table, as load_vectors of ebagx.text "
            f"returns them, got {type(pretrained).__name__}"
        )
    shape = tuple(pretrained.table.shape)
    if len(shape) != 2 or shape[0] != len(pretrained.words):
        raise ValueError(
            f"pretrained.table must have a row for each of {len(pretrained.words)} words, got "
            f"shape {shape}"
        )
    return pretrained


def pretrained_rows(
    vectors: Vectors, words: Words, dim: int, first: int = 0, freeze: bool = False
) -> Rows:
    """Return the rows for the words from number `first` on that have a vector.

    Of equal words the first one counts. Cost: a look at each of the `vectors`.

    Raises
    ------
    ValueError
        If vectors have another length than `dim`, or if those of the words are not finite.
    """
    if vectors.table.shape[1] != dim:
        raise ValueError(
            f"dim must be that of the pretrained vectors, {vectors.table.shape[1]}, got {dim}"
        )
    columns = {name: column for column, name in enumerate(words.names()) if column >= first}
    found: dict[int, int] = {}
    for row, word in enumerate(vectors.words):
        column = columns.get(word)
        if column is not None:
            found.setdefault(column, row)
    rows = np.fromiter(found.values(), np.intp, len(found))
    values = np.asarray(vectors.table[rows], np.float32).reshape(len(rows), dim)
    if not np.isfinite(values).all():
        raise ValueError("the pretrained vectors have nan or infinity")
    return Rows(np.fromiter(found, np.intp, len(found)), values, freeze)
