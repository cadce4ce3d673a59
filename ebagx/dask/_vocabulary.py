"""The words and n-grams of a collection of texts: counted in each partition, then merged."""

from collections.abc import Sequence
from typing import NamedTuple, Self

import numpy as np
import numpy.typing as npt

from ebagx.text.features import Features, frequent_words, ordered_by_frequency, used_buckets
from ebagx.text.lines import Lines
from ebagx.text.ngrams import BucketTable, Ngrams
from ebagx.text.tokenizers import Tokenizer
from ebagx.text.words import Words


class Vocabulary(NamedTuple):
    """The different words of some texts by first occurrence, and the buckets of their n-grams."""

    words: Words
    counts_w: npt.NDArray[np.intp]
    bits: npt.NDArray[np.uint32]  # a bit for each bucket, which tells whether it occurs
    num_texts: int

    def __repr__(self) -> str:
        return f"Vocabulary({self.words.count} words of {self.num_texts} texts)"

    @classmethod
    def of(cls, texts: Sequence[str], ngrams: Ngrams, tokenizer: Tokenizer) -> Self:
        """Return the vocabulary of some texts."""
        lines = Lines.of(texts, tokenizer=tokenizer)
        words = lines.store.words  # numbered by first occurrence, as all lines are used
        counts = np.zeros(words.count, np.intp)
        frequent_words(lines, counts, 1)
        bits = np.ascontiguousarray(used_buckets(lines, ngrams, counts)[:, 0])
        return cls(_trimmed(words), counts, bits, lines.num_lines)

    @classmethod
    def merged(cls, parts: Sequence["Vocabulary"]) -> Self:
        """Return the vocabulary of the texts of several, one after the other.

        Words keep the order of their first occurrence, so it does not matter which neighbours are
        merged first. Cost: a look-up for each word of each part.
        """
        words, counts = Words(), np.zeros(0, np.intp)
        for part in parts:
            numbers = words.add(part.words.text, part.words.spans)
            counts = np.concatenate([counts, np.zeros(words.count - len(counts), np.intp)])
            counts[numbers] += part.counts_w  # the words of a part are different
        bits = np.bitwise_or.reduce([part.bits for part in parts])
        return cls(_trimmed(words), counts, bits, sum(part.num_texts for part in parts))

    def features(
        self, ngrams: Ngrams, tokenizer: Tokenizer, min_count: int, max_words: int | None
    ) -> Features:
        """Give columns to the most frequent words, and to the buckets that occur.

        Raises
        ------
        ValueError
            If there is no feature, or if there are too many.
        """
        order = np.arange(self.words.count, dtype=np.int32)
        chosen = ordered_by_frequency(order, self.counts_w, min_count)[:max_words]
        ngrams.check_columns(len(chosen))
        table = BucketTable.empty(ngrams.buckets_in_use)
        table[:, 0] = self.bits
        words = self.words.select(chosen)
        features = Features(ngrams, words, BucketTable.ranked(table), tokenizer)
        features.check_not_empty(min_count, self.num_texts)
        return features


def _trimmed(words: Words) -> Words:
    """Return the words without room for more, as they travel between machines."""
    return Words.of(words.text, words.spans)
