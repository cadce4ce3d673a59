"""The first bytes of a model: options of the training, and numbers of words and labels."""

from typing import NamedTuple, Self

import numpy as np

from ebagx.io.fasttext.content import Content, DamagedError
from ebagx.text.fasttext.features import MOST_CHARS, MOST_WORDS
from ebagx.text.ngrams import MAX_BUCKETS

MAGIC = 793712314
_NEWEST = 12
_WITHOUT_CHARS = 11  # the version whose supervised models have no n-grams of characters
_MAX_DIM = 2**16
_MAX_ROWS = 2**31 - 1
LOSSES = {1: "hs", 2: "ns", 3: "softmax", 4: "ova"}
MODELS = {1: "cbow", 2: "skipgram", 3: "supervised"}
# floret writes two integers more; its place of the threshold then has numbers far below any.
_SMALLEST_THRESHOLD = 1e-100
_MODE_OF_FLORET = 2


class Header(NamedTuple):
    """The checked options and sizes that a reader needs."""

    version: int
    dim: int
    word_ngrams: int
    loss: str
    model: str
    bucket: int
    minn: int
    maxn: int
    hash_count: int  # rows of an n-gram; 0 unless the model is floret's
    n_words: int
    n_labels: int
    n_pruned: int  # buckets that pruning has left; -1 if nothing was pruned

    @property
    def is_supervised(self) -> bool:
        """Return whether the model has been trained with labels."""
        return self.model == "supervised"

    @classmethod
    def read(cls, content: Content) -> Self:
        """Read the first bytes of a file.

        Raises
        ------
        DamagedError
            If the file ends before, or if a number is impossible.
        """
        if content.left < 4 or content.integer("the magic number", np.int32) != MAGIC:
            raise DamagedError("its first bytes are not those of a model")
        version = content.integer("the version", np.int32)
        if not 0 < version <= _NEWEST:
            raise DamagedError(f"it has version {version}, and {_NEWEST} is the newest one known")
        options, hash_count = _options(content)
        dim, _, _, _, _, word_ngrams, loss, model, bucket, minn, maxn, _ = options
        size, n_words, n_labels = content.integers(3, "the sizes")
        content.integer("the number of tokens")
        n_pruned = content.integer("the number of pruned buckets")
        if MODELS.get(model) == "supervised" and version <= _WITHOUT_CHARS:
            maxn = 0
        _check_range("dim", dim, 1, _MAX_DIM)
        _check_range("the loss", loss, 1, len(LOSSES))
        _check_range("the kind of model", model, 1, len(MODELS))
        _check_range("wordNgrams", word_ngrams, 0, MOST_WORDS)
        _check_range("maxn", maxn, 0, MOST_CHARS)
        _check_range("minn", minn, 0, maxn if maxn else _MAX_ROWS)
        _check_range("bucket", bucket, int(maxn > 0 or word_ngrams > 1), _MAX_ROWS)
        header = cls(
            version,
            dim,
            max(word_ngrams, 1),
            LOSSES[loss],
            MODELS[model],
            bucket,
            minn if maxn else 0,
            maxn,
            hash_count,
            n_words,
            n_labels,
            n_pruned,
        )
        header._check_sizes(size)
        return header

    def _check_sizes(self, size: int) -> None:
        if min(self.n_words, self.n_labels) < 0 or size != self.n_words + self.n_labels:
            raise DamagedError(f"{self.n_words} words and {self.n_labels} labels are not {size}")
        if not (self.n_labels if self.is_supervised else self.n_words):
            raise DamagedError("it has no labels" if self.is_supervised else "it has no words")
        _check_range("the number of pruned buckets", self.n_pruned, -1, self.bucket)
        if self.n_pruned >= 0:  # a table with a bit for each is made: 64 MB for the largest number
            _check_range("bucket", self.bucket, 0, MAX_BUCKETS)
        if self.n_words + self.bucket > _MAX_ROWS:
            raise DamagedError(f"{self.n_words} words and {self.bucket} buckets are too many")


def _options(content: Content) -> tuple[list[int], int]:
    """Return the twelve options that fastText has, and floret's number of rows for a hash."""
    options = content.integers(12, "the options")
    threshold = float(content.array((1,), np.float64, "the threshold")[0])
    if not 0 < threshold < _SMALLEST_THRESHOLD:
        return options, 0
    content.place -= 8
    mode, hash_count, rate = options[11], *content.integers(2, "the options of floret")
    content.array((1,), np.float64, "the threshold")
    if mode != _MODE_OF_FLORET:
        return [*options[:11], rate], 0
    _check_range("hashCount", hash_count, 1, 4)
    return [*options[:11], rate], hash_count


def _check_range(name: str, value: int, low: int, high: int) -> None:
    if not low <= value <= high:
        raise DamagedError(f"{name} is {value:,}, not from {low:,} to {high:,}")
