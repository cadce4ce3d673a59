"""Rows of the table that begin with vectors which others have learned."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

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


class Pretrained:
    """The constraint of a parameter: a path, or words with a table."""

    def check(self, value: Any, name: str, or_else: str = "") -> None:
        """Raise TypeError or ValueError unless `value` can be vectors."""
        if isinstance(value, str | Path):
            return
        if not isinstance(value, Vectors):
            raise TypeError(
                f"{name} must be a path{or_else}, or have words and a table, as load_vectors of "
                f"ebagx.text returns them, got {type(value).__name__}"
            )
        shape = tuple(value.table.shape)
        if len(shape) != 2 or shape[0] != len(value.words):
            raise ValueError(
                f"{name}.table must have a row for each of {len(value.words)} words, got shape "
                f"{shape}"
            )


class GivenVectors(NamedTuple):
    """Vectors with which words begin, and whether they stay as they are."""

    vectors: Vectors
    are_frozen: bool = False

    def rows(self, words: Words, dim: int, first: int = 0) -> Rows:
        """Return the rows of those words from number `first` on that have a vector.

        Of equal words the first one counts. Cost: a look at each of the vectors.

        Raises
        ------
        ValueError
            If vectors have another length than `dim`, or if those of the words are not finite.
        """
        table = self.vectors.table
        if table.shape[1] != dim:
            raise ValueError(
                f"dim must be that of the pretrained vectors, {table.shape[1]}, got {dim}"
            )
        columns = {name: column for column, name in enumerate(words.names()) if column >= first}
        found: dict[int, int] = {}
        for row, word in enumerate(self.vectors.words):
            column = columns.get(word)
            if column is not None:
                found.setdefault(column, row)
        rows = np.fromiter(found.values(), np.intp, len(found))
        values = np.asarray(table[rows], np.float32).reshape(len(rows), dim)
        if not np.isfinite(values).all():
            raise ValueError("the pretrained vectors have nan or infinity")
        return Rows(np.fromiter(found, np.intp, len(found)), values, self.are_frozen)


def as_vectors(pretrained: Any) -> Vectors:
    """Return words and vectors, which a path names or which are given."""
    if isinstance(pretrained, str | Path):
        import ebagx.text

        vectors: Vectors = ebagx.text.load_vectors(pretrained)
        Pretrained().check(vectors, str(pretrained))
        return vectors
    given: Vectors = pretrained
    return given
