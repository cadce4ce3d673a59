"""Vectors and scores of few texts in one compiled call, for answers with little delay."""

from collections.abc import Sequence
from typing import NamedTuple, Self

import numpy as np
import numpy.typing as npt

from ebagx._core.memory import MapOfArray
from ebagx._core.quantized.table import CodeTable
from ebagx._core.table import Table
from ebagx.text import tokens
from ebagx.text.features import Features
from ebagx.text.lines import describe_surrogate
from ebagx.text.ngrams import Ngrams
from ebagx.text.tokenizers import Tokenizer

_MOST_CHARS = 1 << 16  # of all texts together: longer ones gain by several threads

_OF_FLOATS = 0, 0, 0, False  # in place of the layout of codes
_NO_PLACES = np.empty(0, np.intp)

_Floats = npt.NDArray[np.float32]
_Intp = npt.NDArray[np.intp]


class Answerer(NamedTuple):
    """A model as the compiled call takes it, prepared once.

    One text of ten words takes it 4 microseconds, and the bags of `LineBags` 100. The bits are the
    same. Its methods return None where a list of texts is empty, or long: that is left to others.
    """

    reader: tokens.TextReader
    tokenizer: Tokenizer
    map_of_rows: MapOfArray | None
    per_byte: int
    no_vectors: _Floats  # (0, D)
    no_scores: _Floats  # (0, L)

    @classmethod
    def of(
        cls, features: Features, table: Table, coef_of_dims: _Floats, intercept: _Floats
    ) -> Self | None:
        """Return what answers with a model, or None if the compiled call cannot take it."""
        tokenizer, ngrams, words = features.tokenizer, features.ngrams, features.words
        if tokenizer.function is not None:
            return None
        if isinstance(table, CodeTable):
            rows, codes = table.array, table.layout[:4]
        elif table.has_contiguous_rows:
            rows, codes = table.kernel_rows(), _OF_FLOATS
        else:
            return None
        per_byte = _most_per_byte(ngrams)
        arrays = *words.lookup, features.table.table, rows, coef_of_dims, intercept
        rule = tokenizer.rule, tokenizer.lowercase
        return cls(
            tokens.TextReader(arrays, codes, *rule, ngrams, words.count, per_byte),
            tokenizer,
            MapOfArray.of(table.array, table.name),
            per_byte,
            np.empty((0, table.dim), np.float32),
            np.empty((0, len(intercept)), np.float32),
        )

    def __repr__(self) -> str:
        dim, n_labels = self.no_vectors.shape[1], self.no_scores.shape[1]
        return f"Answerer({self.tokenizer.name!r}, dim={dim}, n_labels={n_labels})"

    def vectors(self, texts: Sequence[str]) -> _Floats | None:
        """Return the mean embedding of each text, (B, D)."""
        vectors = np.empty((len(texts), self.no_vectors.shape[1]), np.float32)
        return vectors if self._answer(texts, vectors, self.no_scores, _NO_PLACES) else None

    def scores(self, texts: Sequence[str]) -> _Floats | None:
        """Return the score of each label for each text, (B, L)."""
        scores = np.empty((len(texts), self.no_scores.shape[1]), np.float32)
        return scores if self._answer(texts, self.no_vectors, scores, _NO_PLACES) else None

    def places(self, texts: Sequence[str]) -> _Intp | None:
        """Return the place of the largest score of each text, (B,)."""
        places = np.empty(len(texts), np.intp)
        return places if self._answer(texts, self.no_vectors, self.no_scores, places) else None

    def _answer(
        self, texts: Sequence[str], vectors: _Floats, scores: _Floats, places: _Intp
    ) -> bool:
        """Write those of the results that have entries; return whether the texts are few.

        Raises
        ------
        ValueError
            If a text has a surrogate, or if the file of the embeddings has become shorter.
        """
        if not texts or sum(map(len, texts)) > _MOST_CHARS:
            return False
        if self.map_of_rows is not None:
            self.map_of_rows.check()
        try:
            prepared = self.tokenizer.prepare_each(texts)
        except UnicodeEncodeError:
            raise ValueError(describe_surrogate(texts)) from None
        longest = max(map(len, prepared))
        most = longest * self.per_byte
        size = 4 * len(prepared) + self.no_vectors.shape[1] + self.no_scores.shape[1]
        size += 2 * most + 9 * longest // 4 + 1 + (1 << (2 * most).bit_length())
        results = np.empty(size, np.uint32), vectors, scores, places
        self.reader.answer(results, prepared, longest)
        return True


def _most_per_byte(ngrams: Ngrams) -> int:
    """Return the largest number of columns for a byte of a text: of a word, n-grams and runs."""
    lengths = 1 + ngrams.max_chars - max(ngrams.min_chars, 1) if ngrams.max_chars else 0
    return ngrams.word_ngrams + 3 * lengths  # <a> has three characters for one byte
