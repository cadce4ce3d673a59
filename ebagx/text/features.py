"""`Features` learns from texts which features have a column, and counts them in others."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from typing import Self

import numpy as np
import numpy.typing as npt
from scipy import sparse

from ebagx.text.ngrams import (
    Block,
    BucketTable,
    Ngrams,
    Rows,
    make_rows,
    merge_rows,
    scan,
    split_into_blocks,
)

_Int32 = npt.NDArray[np.int32]


@dataclass(frozen=True)
class Features:
    """The columns of features: first those of words, then those of buckets of hashed n-grams.

    Parameters
    ----------
    ngrams : Ngrams
        The n-grams that are features.
    columns : dict of str to int
        Column of each word.
    table : BucketTable
        The buckets that have a column.
    lowercase : bool
        Convert texts to lower case first.
    """

    ngrams: Ngrams
    columns: dict[str, int]
    table: BucketTable
    lowercase: bool = True

    @classmethod
    def learn(
        cls, texts: Sequence[str], ngrams: Ngrams, min_count: int = 1, lowercase: bool = True
    ) -> tuple[Self, sparse.csr_array]:
        """Give columns to the words that occur `min_count` times, and to the n-grams of texts.

        Return the features and their counts in `texts`.

        Raises
        ------
        ValueError
            If there is no feature, or if a text has a surrogate.
        """
        blocks = [scan(part, lowercase) for part in split_into_blocks(texts)]
        words, columns_of_blocks = _number_words(blocks, min_count)
        rows = [
            make_rows(block, columns_w, len(words), ngrams)
            for block, columns_w in zip(blocks, columns_of_blocks, strict=True)
        ]
        del blocks
        table = BucketTable.of(ngrams.buckets_in_use, rows)
        if not words and not table.count:
            raise ValueError(
                f"no word occurs at least min_count = {min_count} times in the {len(texts)} texts, "
                "and there are no n-grams"
            )
        features = cls(ngrams, _column_of(words), table, lowercase)
        return features, features._stack([merge_rows(part, table) for part in rows])

    @classmethod
    def restore(cls, ngrams: Ngrams, words: Sequence[str], buckets: _Int32) -> Self:
        """Return the features of a saved model, which are of lower case.

        Raises
        ------
        ValueError
            If a word occurs twice, or if the buckets do not ascend from 0 or more to less than
            ``ngrams.buckets_in_use``.
        """
        columns, limit = _column_of(words), ngrams.buckets_in_use
        if len(columns) < len(words):
            raise ValueError("a word occurs twice")
        if len(buckets) and (
            buckets[0] < 0 or buckets[-1] >= limit or (buckets[1:] <= buckets[:-1]).any()
        ):
            raise ValueError(f"the buckets do not ascend from 0 or more to less than {limit}")
        table = BucketTable.of(limit, [Rows(buckets, np.zeros(1, np.intp), 0)])
        return cls(ngrams, columns, table)

    @property
    def n_columns(self) -> int:
        """The number of features that have a column."""
        return len(self.columns) + self.table.count

    def count(self, texts: Sequence[str]) -> sparse.csr_array:
        """Count the features that have a column in each text; others are left out."""
        return self._stack(
            [merge_rows(self._rows(part), self.table) for part in split_into_blocks(texts)]
        )

    def _rows(self, texts: Sequence[str]) -> Rows:
        block = scan(texts, self.lowercase)
        column = self.columns.get
        columns_w = np.array([column(word, -1) for word in block.distinct_words()], np.int32)
        return make_rows(block, columns_w, len(self.columns), self.ngrams)

    def _stack(self, parts: Sequence[sparse.csr_array]) -> sparse.csr_array:
        empty = sparse.csr_array((0, self.n_columns), dtype=np.float32)
        return parts[0] if len(parts) == 1 else sparse.vstack([empty, *parts], format="csr")


def _column_of(words: Sequence[str]) -> dict[str, int]:
    return {word: column for column, word in enumerate(words)}


def _number_words(blocks: Sequence[Block], min_count: int) -> tuple[list[str], list[_Int32]]:
    """Give columns to the words that occur at least `min_count` times, by frequency.

    Return the words of the columns and, for each block, the columns of its words, -1 for none.
    """
    number_of: defaultdict[str, int] = defaultdict(count().__next__)
    numbers = [
        np.array([number_of[word] for word in block.distinct_words()], np.intp) for block in blocks
    ]
    counts = np.zeros(len(number_of), np.intp)
    for block, numbers_w in zip(blocks, numbers, strict=True):
        counts[numbers_w] += block.counts()
    order = np.argsort(-counts, kind="stable")
    order = order[: np.count_nonzero(counts >= min_count)]
    columns = np.full(len(counts), -1, np.int32)
    columns[order] = np.arange(len(order), dtype=np.int32)
    words = list(number_of)
    return [words[i] for i in order], [columns[numbers_w] for numbers_w in numbers]
