"""The words of a model that are similar to a text, or that speak for a label; similar labels."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Self

import numpy as np
import numpy.typing as npt

from ebagx._core.threads import thread_count
from ebagx.quantized import QuantizedTable
from ebagx.text import tokens
from ebagx.text.tokenizers import Tokenizer
from ebagx.text.words import Words

if TYPE_CHECKING:
    from ebagx.text.model import TextModel

_WORDS_AT_ONCE = 1 << 16

_Floats = npt.NDArray[np.float32]
_Pairs = list[tuple[str, float]]


@dataclass(frozen=True)
class WordIndex:
    """The vectors of all words of a model: those that the words have as texts.

    Without n-grams of characters, they are rows of the table, or the values of its codes. With them
    they are made once, which takes 1.3 s and the memory of the vectors for a million words.
    """

    words: Words
    vectors: _Floats

    @classmethod
    def of(cls, model: "TextModel") -> Self:
        """Return the index of a model."""
        words, embedding = model.features.words, model.embedding
        if not model.features.ngrams.max_chars:
            rows = embedding.toarray() if isinstance(embedding, QuantizedTable) else embedding
            return cls(words, rows[: words.count])
        of_words = _with_whole_words(model)
        vectors, names = np.empty((words.count, model.dim), np.float32), words.names()
        for first in range(0, words.count, _WORDS_AT_ONCE):
            part = slice(first, first + _WORDS_AT_ONCE)
            vectors[part] = of_words.vectors(names[part])
        return cls(words, vectors)

    @cached_property
    def lengths(self) -> _Floats:
        """The length of each vector, 1 where that is 0."""
        lengths: _Floats = np.linalg.norm(self.vectors, axis=1)
        lengths[lengths == 0] = 1
        return lengths

    def products(self, direction: _Floats, num_threads: int | None) -> _Floats:
        """Return the product of each vector with a direction: 60 ms for a million of 32."""
        column = np.ascontiguousarray(direction, np.float32)[:, None]
        found, zero = np.empty((len(self.vectors), 1), np.float32), np.zeros(1, np.float32)
        threads = thread_count(num_threads, self.vectors.size)
        tokens.score_rows(found, np.ascontiguousarray(self.vectors), column, zero, threads)
        return found[:, 0]

    def largest(self, values: _Floats, k: int) -> _Pairs:
        """Return the words with the `k` largest values; of equals, the most frequent word first."""
        text, spans = self.words.text, self.words.spans
        return [
            (text[slice(*spans[i])].tobytes().decode(), float(values[i]))
            for i in _largest(values, k)
        ]


def _with_whole_words(model: "TextModel") -> "TextModel":
    """Return a model that takes each text as a word, where a function would cut it again."""
    if model.features.tokenizer.function is None:
        return _without_line_ends(model)
    tokenizer = Tokenizer.calling(lambda word: [word])
    return replace(model, features=replace(model.features, tokenizer=tokenizer))


def _without_line_ends(model: "TextModel") -> "TextModel":
    """Return a model that adds no word to a text."""
    tokenizer = model.features.tokenizer
    if not tokenizer.ends_lines:
        return model
    tokenizer = replace(tokenizer, name="whitespace")
    return replace(model, features=replace(model.features, tokenizer=tokenizer))


def nearest(model: "TextModel", text: str, k: int) -> _Pairs:
    """Return the `k` words with the largest cosine to the vector of a text, without itself."""
    (vector,) = _without_line_ends(model).vectors([text])
    length = np.linalg.norm(vector)
    if not length:
        raise ValueError(f"nothing in the text {text!r:.50} is known to the model")
    index = model.word_index
    cosines = index.products(vector / length, model.num_threads) / index.lengths
    found = index.largest(cosines, k + 1)
    return [(word, cosine) for word, cosine in found if word != text][:k]


def keywords(model: "TextModel", place: int, k: int) -> _Pairs:
    """Return the `k` words with the largest scores for the label at a place."""
    index, direction = model.word_index, _directions(model)[place]
    return index.largest(index.products(direction, model.num_threads), k)


def nearest_labels(model: "TextModel", place: int, k: int) -> _Pairs:
    """Return the `k` labels whose weights have the largest cosine to those of another label."""
    directions = _directions(model)
    lengths = np.linalg.norm(directions, axis=1)
    lengths[lengths == 0] = 1
    cosines = np.einsum("ld,d->l", directions, directions[place] / lengths[place]) / lengths
    cosines[place] = -np.inf
    found = _largest(cosines, min(k, len(cosines) - 1))
    return [(model.labels[i], float(cosines[i])) for i in found]


def _directions(model: "TextModel") -> _Floats:
    """Return the weights of each label, which softmax lets differ by the same from all."""
    if model.loss == "softmax":
        weights: _Floats = model.coef - model.coef.mean(axis=0)
        return weights
    return model.coef


def _largest(values: _Floats, k: int) -> list[int]:
    """Return the places of the `k` largest values, largest first; of equals, the first is first."""
    places = np.arange(len(values))
    if k < len(values):
        (places,) = np.nonzero(values >= np.partition(values, len(values) - k)[len(values) - k])
    order: list[int] = places[np.argsort(-values[places], kind="stable")][:k].tolist()
    return order
