"""Features of a model and of new texts together."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ebagx.text.features import Features, frequent_words, used_buckets
from ebagx.text.lines import Lines
from ebagx.text.ngrams import BucketTable

Places = npt.NDArray[np.intp]


class GrownFeatures(NamedTuple):
    """Features, and the column in them of each column of the smaller ones that they contain."""

    features: Features
    places: Places

    def __repr__(self) -> str:
        return f"GrownFeatures({len(self.places)} of {self.features.n_columns} columns)"


def grow_features(features: Features, lines: Lines, min_count: int) -> GrownFeatures:
    """Give columns also to new words that occur `min_count` times in lines, and to new n-grams.

    New words come after the known ones, in the order of `Features.learn`. Buckets keep their order,
    which is ascending. If nothing is new, the features are the same object.

    Raises
    ------
    ValueError
        If there would be too many features.
    """
    words, counts = lines.store.words, np.zeros(lines.store.words.count, np.intp)
    frequent = frequent_words(lines, counts, min_count)
    new = frequent[features.words.find(words)[frequent] < 0]
    marked = used_buckets(lines, features.ngrams, counts)
    marked[:, 0] |= features.table.table[:, 0]
    table = BucketTable.ranked(marked)
    n_known, n_words = features.words.count, features.words.count + len(new)
    if not len(new) and table.count == features.table.count:
        return GrownFeatures(features, np.arange(features.n_columns))
    features.ngrams.check_columns(n_words)
    places = np.arange(features.n_columns)
    known = features.table.buckets()
    places[n_known:] = n_words + np.searchsorted(table.buckets(), known)
    grown_words = features.words.joined(words.select(new))
    return GrownFeatures(Features(features.ngrams, grown_words, table, features.tokenizer), places)
