"""Smaller models: features are left out, and the embeddings of the others have few bits a value.

A feature is the more important the longer its embedding is, and the more texts have it, but less
than in proportion: ``length * texts ** 0.25`` decides. A model does not know the texts; the root of
the sum of squared gradients, which its training has left, stands for their number where they are
not given. Percentage points of accuracy that are lost, the mean of two seeds of classifiers of six
corpora (posts, snippets, reviews, mails, names of cities, quotations), on lines held out from the
training lines:

==================  =========  ========  =========  ===========
features kept       length ..  gradient  .. texts   texts alone
==================  =========  ========  =========  ===========
a half              .27        .23       .15        .13
a quarter           .71        .67       .46        .32
a tenth             1.47       1.34      1.06       1.53
a twentieth         2.85       2.00      1.78       2.74
==================  =========  ========  =========  ===========
"""

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from ebagx.quantized import QuantizedTable, quantize
from ebagx.text.features import Features, LineBags
from ebagx.text.lines import Lines
from ebagx.text.model import TextModel
from ebagx.text.ngrams import BucketTable
from ebagx.text.words import UNDECODED

_ROWS_AT_ONCE = 1 << 16

_Floats = npt.NDArray[np.float32]
_Intp = npt.NDArray[np.intp]


def quantised(
    model: TextModel, bits: int, cutoff: int | None = None, lines: Lines | None = None
) -> TextModel:
    """Return a smaller model; see `TextClassifier.quantize`.

    Raises
    ------
    ValueError
        If the model is quantised already, `bits` is not 8, 4 or 2, or a weight of the linear layer
        is too large for float16.
    """
    rows = model.trainable_weights()[0]
    kept = np.arange(len(rows))
    if cutoff is not None and cutoff < len(rows):
        counts = None if lines is None else count_lines(model.features, lines)
        kept = by_importance(model, counts)[:cutoff]
    kept = sorted_rows(model, kept)
    return with_rows(model, kept, quantize(rows[kept], bits))


def by_importance(model: TextModel, counts: _Intp | None = None) -> _Intp:
    """Return the columns of all features, the most important first.

    The numbers of lines are those that `count_lines` finds. A model without sums of squared
    gradients, such as one of fastText, is ordered by the lengths of its embeddings alone.
    """
    importance = _lengths(model.trainable_weights()[0])
    if counts is not None:
        importance *= (counts + 1) ** 0.25
    elif model.accumulators is not None:
        squares = np.minimum(model.accumulators.rows_n, np.finfo(np.float32).max)  # of frozen rows
        importance *= np.sqrt(squares, dtype=np.float64) ** 0.25
    order: _Intp = np.argsort(-importance, kind="stable")
    return order


def count_lines(features: Features, lines: Lines) -> _Intp:
    """Return how many lines have each feature."""
    counts = np.zeros(features.n_columns, np.intp)
    for bags in LineBags(features, lines).blocks():
        counts += np.bincount(bags.indices, minlength=len(counts))
    return counts


def sorted_rows(model: TextModel, kept: _Intp) -> _Intp:
    """Return some columns in the order that takes least space: words by their bytes, then buckets.

    Words one of which begins as the one before are compressed to four fifths.
    """
    names, n_words = model.features.words.names(), model.features.words.count
    words = sorted((names[i].encode(errors=UNDECODED), i) for i in kept[kept < n_words].tolist())
    order = np.array([i for _, i in words], np.intp)
    return np.concatenate([order, np.sort(kept[kept >= n_words])])


def with_rows(model: TextModel, kept: _Intp, table: QuantizedTable) -> TextModel:
    """Return a model with some features and a table of their rows."""
    features, n_words = model.features, model.features.words.count
    words = features.words.select(kept[kept < n_words].astype(np.int32))
    buckets = features.table.buckets()[kept[kept >= n_words] - n_words]
    bucket_table = BucketTable.of(features.ngrams.buckets_in_use, buckets)
    return replace(
        model,
        features=replace(features, words=words, table=bucket_table),
        embedding=table,
        coef=_as_half(model.coef, "coef_"),
        accumulators=None,
    )


def _as_half(values: _Floats, name: str) -> _Floats:
    """Round to numbers that float16 has, as they are saved."""
    with np.errstate(over="ignore"):
        rounded = values.astype(np.float16).astype(np.float32)
    if not np.isfinite(rounded).all():
        raise ValueError(
            f"{name} has a weight of {np.abs(values).max():g}, and a quantised model keeps them in "
            "float16, up to 65,504: train with a smaller learning rate"
        )
    return rounded


def _lengths(rows: _Floats) -> npt.NDArray[np.float64]:
    lengths = np.empty(len(rows), np.float64)
    for start in range(0, len(rows), _ROWS_AT_ONCE):
        part = slice(start, start + _ROWS_AT_ONCE)
        # Columns are added one after the other, in an order that is the same everywhere.
        columns = np.ascontiguousarray(rows[part].T, np.float64)
        lengths[part] = np.sqrt((columns * columns).sum(axis=0))
    return lengths
