"""A model without sums of squared gradients gets likely ones, before its training goes on.

Models of fastText have none, nor have those of the first ebagx. Sums of 0 would let each number
that a step touches move by the whole learning rate, see `ebagx.text.accumulators`. The model itself
tells enough of its former training:

* Words stand in the order of their frequency, and the rarest has occurred about once. By Zipf's law
  the word of rank r has occurred as often as there are words, divided by r.
* The gradient of a row is that of a line's vector, of the order of the weights of labels, times the
  part of a batch that one lookup is.
* The gradient of a label's weights is the vector of a line, and that of its bias 1, times an error
  that falls with the number of labels.

The two factors are those of trainings on the shipped sets. Accuracy on the lines held out from the
former training, after a pass over lines more, with sums of zeros, the true ones and these:

==================  ======  ==================  ==================  ==================
corpus              before  30 lines            300 lines           200 of one label
==================  ======  ==================  ==================  ==================
fortunes            .420    .356  .414  .416    .409  .426  .426    .191  .310  .308
R52                 .928    .898  .923  .925    .918  .929  .929    .726  .910  .909
election            .922    .759  .889  .885    .903  .919  .918    .762  .863  .871
posts               .735    .708  .733  .733    .713  .730  .727    .575  .691  .687
fastText: R52       .901    .733        .844    .854        .842    .557        .812
fastText: fortunes  .402    .341        .397    .360        .396    .192        .271
==================  ======  ==================  ==================  ==================
"""

import numpy as np

from ebagx.functional import embedding_bag
from ebagx.text.accumulators import Accumulators, row_means
from ebagx.text.features import LineBags, matrix_of
from ebagx.text.lines import Lines
from ebagx.text.model import TextModel

_ROW_FACTOR, _HEAD_FACTOR = 1.0, 2.5
_PASSES_OF_BUCKET = 2.0  # a hashed n-gram has occurred about so often
_MOST_LINES = 1000  # whose vectors are looked at


def accumulators_to_go_on(model: TextModel, lines: Lines, batch_size: int) -> Accumulators:
    """Return the sums of squared gradients of a model or, if it has none, likely ones.

    Parameters
    ----------
    model : TextModel
        A model that can be trained.
    lines : Lines
        The lines to go on with, at least one.
    batch_size : int
        Lines of a step.

    Returns
    -------
    Accumulators
        Cost: a read of the weights, and the vectors of a thousand lines.
    """
    if model.accumulators is not None:
        return model.accumulators
    table, coef, _ = model.trainable_weights()
    num_labels, dim = coef.shape
    bags = LineBags(model.features, lines, model.num_threads)
    per_line = max(int(bags.most_lookups().sum(dtype=np.int64)) / bags.num_bags, 1.0)
    n_words = model.features.words.count
    counts = np.full(len(table), _PASSES_OF_BUCKET)
    counts[:n_words] = n_words / np.arange(1, n_words + 1)
    num_lines = _sum(counts[:n_words]) / per_line
    part_of_batch = 1 / (batch_size * per_line)
    rows = _ROW_FACTOR * part_of_batch**2 * _mean_square(coef) * counts
    some = bags.take(np.arange(min(bags.num_bags, _MOST_LINES)))
    pooled = embedding_bag(
        matrix_of(some, len(table)), table, mode="mean", num_threads=model.num_threads
    )
    head = np.empty((num_labels, dim + 1))
    head[:, -1] = _HEAD_FACTOR * num_lines / (num_labels * batch_size**2)
    head[:, :-1] = head[:, -1:] * (_mean_square(pooled) or _mean_square(table))
    return Accumulators(rows.astype(np.float32), head.astype(np.float32))


def _mean_square(values: np.ndarray) -> float:
    return _sum(row_means(np.square(values))) / max(len(values), 1)


def _sum(values: np.ndarray) -> float:
    """Return the sum of numbers that are added one after the other, everywhere in this order."""
    return float(np.cumsum(values, dtype=np.float64)[-1]) if len(values) else 0.0
