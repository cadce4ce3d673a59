"""Vectors and scores of few texts in one compiled call, for answers with little delay."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ebagx._core.quantized.table import CodeTable
from ebagx._core.table import Table
from ebagx.text import tokens
from ebagx.text.features import Features
from ebagx.text.lines import encoded
from ebagx.text.ngrams import Ngrams

_MOST_CHARS = 1 << 16  # of all texts together: longer ones gain by several threads

_OF_FLOATS = 0, 0, 0, False  # in place of the layout of codes

_Floats = npt.NDArray[np.float32]


def answer_few(
    texts: Sequence[str],
    features: Features,
    table: Table,
    coef_of_dims: _Floats,
    intercept: _Floats,
) -> tuple[_Floats, _Floats] | None:
    """Return mean embeddings (B, D) and scores (B, K) of texts; None if they are long together.

    They have the bits that the bags of `LineBags` give. One text of ten words takes 4 microseconds,
    by way of these 100.
    """
    is_long = sum(map(len, texts)) > _MOST_CHARS
    if is_long or features.tokenizer.function is not None:
        return None
    table.check_mapped()
    if isinstance(table, CodeTable):
        rows, codes = table.array, table.layout[:4]
    elif table.has_contiguous_rows:
        rows, codes = table.kernel_rows(), _OF_FLOATS
    else:
        return None
    prepared = features.tokenizer.prepare(encoded(texts))
    per_byte = _most_per_byte(features.ngrams)
    longest = len(prepared) if len(texts) == 1 else max(map(len, prepared.split(b"\n")))
    most = longest * per_byte
    size = 2 * most + 9 * longest // 4 + 1 + (1 << (2 * most).bit_length())
    pooled = np.empty((len(texts), table.dim), np.float32)
    scores = np.empty((len(texts), len(intercept)), np.float32)
    tokens.answer_texts(
        (scores, pooled, coef_of_dims, intercept),
        (
            np.empty(size, np.uint32),
            prepared,
            *features.words.lookup,
            features.table.table,
            rows,
        ),
        codes,
        features.tokenizer.rule,
        features.tokenizer.lowercase,
        features.ngrams,
        features.words.count,
        per_byte,
        longest,
    )
    return pooled, scores


def _most_per_byte(ngrams: Ngrams) -> int:
    """Return the largest number of columns for a byte of a text: of a word, n-grams and runs."""
    lengths = 1 + ngrams.max_chars - max(ngrams.min_chars, 1) if ngrams.max_chars else 0
    return ngrams.word_ngrams + 3 * lengths  # <a> has three characters for one byte
