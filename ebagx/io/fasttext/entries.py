"""The words and labels of a model, and the buckets of n-grams that pruning has left."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ebagx.io.fasttext.content import Content, DamagedError
from ebagx.io.fasttext.header import Header
from ebagx.text import tokens
from ebagx.text.fasttext.features import check_buckets_left
from ebagx.text.ngrams import BucketTable
from ebagx.text.words import Words

_SMALLEST_ENTRY = 11  # bytes: one of the word, a zero, a count of eight, a kind


class Entries(NamedTuple):
    """The words and then the labels, and how often each label occurred."""

    words: Words
    label_counts: npt.NDArray[np.int64]


def read_entries(content: Content, header: Header) -> Entries:
    """Read words and labels.

    Raises
    ------
    DamagedError
        If the file ends before, or if a word is empty, occurs twice or stands among the labels.
    """
    count = header.n_words + header.n_labels
    content.check_left(count * _SMALLEST_ENTRY, f"the list of {count:,} words and labels")
    spans, counts = np.empty((count, 2), np.intp), np.empty(count, np.int64)
    kinds = np.empty(count, np.uint8)
    end = tokens.scan_entries(spans, counts, kinds, content.bytes, content.place)
    if end < 0:
        raise DamagedError("it ends among the words")
    content.place = end
    expected = np.repeat(np.array([0, 1], np.uint8), [header.n_words, header.n_labels])
    if not np.array_equal(kinds, expected):
        raise DamagedError("labels stand among the words")
    words = Words.of(content.bytes, spans)
    if words.count < count:
        raise DamagedError("a word is empty or occurs twice")
    return Entries(words, counts[header.n_words :])


def read_buckets_left(
    content: Content, header: Header
) -> tuple[BucketTable | None, npt.NDArray[np.int32]]:
    """Read the buckets that have a row, and the place of each in ascending order of buckets.

    Raises
    ------
    ValueError
        If the file ends before, or if a bucket or a place is out of range or occurs twice.
    """
    if header.n_pruned < 0:
        return None, np.empty(0, np.int32)
    pairs = content.array((header.n_pruned, 2), np.int32, "the list of pruned buckets")
    buckets, places = pairs[np.argsort(pairs[:, 0])].T.copy()
    check_buckets_left(buckets, places, header.bucket)
    return BucketTable.of(header.bucket, buckets), places
