"""The transformer, which pools rows of a given or random table for each bag of features."""

import copy
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import check_random_state
from sklearn.utils.extmath import row_norms
from sklearn.utils.validation import check_is_fitted, validate_data

from ebagx._core.bags import Bags, without_weights
from ebagx._core.dtypes import SUM_DTYPES
from ebagx._core.modes import MODES, SUM
from ebagx._core.passes import forward
from ebagx._core.table import Table
from ebagx._training.bags import bags_of, scaled_for, table_of, take
from ebagx.sklearn.inputs import as_features
from ebagx.sklearn.parameters import (
    NUM_THREADS,
    SIZE,
    Constraints,
    OneOf,
    Seed,
    check_parameters,
)

__all__ = ["EmbeddingBagTransformer"]

_DRAWN_AT_ONCE = 1 << 16  # a block of random numbers in float64


class EmbeddingBagTransformer(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Pool the embeddings of each row's features: counts or weights become dense vectors.

    A row of `X` is a bag, a column has a row in the embedding table, and the stored values are
    the weights with which the embeddings are pooled. The table is given, such as word vectors
    learned elsewhere, or random: then this is a Gaussian random projection.

    Parameters
    ----------
    weight : array-like of shape (n_features, n_components) or QuantizedTable, default=None
        The embedding table, float16, bfloat16, float32 or float64. An array or memory map whose
        rows are contiguous is used without a copy, may be read-only, and is shared with clones.
        None draws a Gaussian table in `fit`.
    n_components : int, default=64
        Columns of the table that `fit` draws; without effect if `weight` is given.
    mode : {"mean", "sum", "sqrtn", "max", "min"}, default="mean"
        Rule by which a bag is pooled. In the modes max and min a stored value marks a member,
        whether it is zero or not, and its size changes nothing.
    normalize : {"l2"} or None, default=None
        Scale each vector to Euclidean length 1; a zero vector stays zero.
    random_state : int, RandomState instance or None, default=None
        Seed of the table that `fit` draws.
    num_threads : int or None, default=None
        Largest number of threads; with None, ebagx chooses it. The result has the same bits for
        every number.

    Attributes
    ----------
    embedding_ : ndarray of shape (n_features, n_components), or QuantizedTable
        The table in use.
    n_features_in_ : int
        Number of columns seen in `fit`.
    feature_names_in_ : ndarray of shape (n_features,)
        Names of the columns seen in `fit`, if they all had one that is a string.

    See Also
    --------
    EmbeddingBagClassifier : Learns its table from labels.
    sklearn.random_projection.GaussianRandomProjection : The same projection, table transposed.

    Notes
    -----
    With e_i the table's row of column i and x_i the value stored there, a row of `X` gives

    ======== ======================
    mode     vector
    ======== ======================
    sum      Σ x_i e_i
    mean     Σ x_i e_i / Σ abs(x_i)
    sqrtn    Σ x_i e_i / √(Σ x_i²)
    max, min elementwise over the e_i
    ======== ======================

    and zeros where the row is empty or the divisor is 0. The mode mean divides by absolute values,
    as the classifier and the regressor do: the signed ones of a `HashingVectorizer` may add up to
    nothing. `ebagx.embedding_bag` divides by their sum, as TensorFlow does; of values of one sign
    the two are equal but for the sign.

    A drawn table has independent entries of mean 0 and variance ``1 / n_components``, so that the
    mode sum keeps squared lengths and inner products in expectation [1]_, [2]_; sqrtn then keeps
    those of the rows scaled to length 1, cosines that is. The relative error of a squared length
    has a standard deviation of ``sqrt(2 / n_components)``.

    The result has the table's dtype, except that half precision becomes float32 after pooling. A
    table is drawn in float32 if the values of `X` fit in it (float32, float16, 8 and 16-bit
    integers), otherwise in float64, with the same numbers before rounding. NaN in a table reaches
    the bags that hold its row.

    CSR input is used in place: indices are never copied, values only if they are not of the
    dtype in which the table is summed up. Other formats and dense input are converted to CSR.
    Cost: one read of a table row per stored value; memory only for the result.

    References
    ----------
    .. [1] Johnson, Lindenstrauss: Extensions of Lipschitz mappings into a Hilbert space, 1984.
    .. [2] Bingham, Mannila: Random projection in dimensionality reduction: applications to image
       and text data, KDD 2001.

    Examples
    --------
    >>> from ebagx.sklearn import EmbeddingBagTransformer
    >>> from sklearn.feature_extraction.text import CountVectorizer
    >>> from sklearn.pipeline import make_pipeline
    >>> vectors = {"bread": [1.0, 0.0], "butter": [0.5, 1.0], "cat": [-1.0, 0.0]}
    >>> pool = make_pipeline(
    ...     CountVectorizer(vocabulary=list(vectors)),
    ...     EmbeddingBagTransformer(list(vectors.values())),
    ... )
    >>> pool.fit_transform(["bread and butter", "a cat", "no word known"])
    array([[ 0.75,  0.5 ],
           [-1.  ,  0.  ],
           [ 0.  ,  0.  ]])
    """

    # `fit` checks `weight` when it makes a table of it.
    _constraints: ClassVar[Constraints] = {
        "n_components": SIZE,
        "mode": OneOf(tuple(MODES)),
        "normalize": OneOf((None, "l2")),
        "random_state": Seed(),
        "num_threads": NUM_THREADS,
    }

    embedding_: npt.NDArray[Any]
    n_features_in_: int

    def __init__(
        self,
        weight: npt.ArrayLike | None = None,
        *,
        n_components: int = 64,
        mode: str = "mean",
        normalize: str | None = None,
        random_state: int | np.random.RandomState | None = None,
        num_threads: int | None = None,
    ) -> None:
        self.weight = weight
        self.n_components = n_components
        self.mode = mode
        self.normalize = normalize
        self.random_state = random_state
        self.num_threads = num_threads

    def fit(self, X: Any, y: object = None) -> Self:  # noqa: ARG002
        """Take or draw the table.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Counts or weights. Only the number of columns and the dtype matter.
        y : Ignored

        Returns
        -------
        self : EmbeddingBagTransformer

        Raises
        ------
        ValueError
            If `weight` has another number of rows than `X` has columns, `X` a NaN or infinity, or
            a parameter a value outside its range.
        TypeError
            If a parameter or the dtype of `weight` is not of a type it may have.
        """
        check_parameters(self)
        X = validate_data(self, as_features(X, self), accept_sparse="csr", dtype="numeric")
        num_rows = X.shape[1]
        if self.weight is None:
            self.embedding_ = self._drawn_table(num_rows, X.dtype)
            return self
        self.embedding_ = table_of(self.weight, "weight", num_rows).weight
        return self

    def transform(self, X: Any) -> npt.NDArray[Any]:
        """Pool the table's rows of each bag.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Counts or weights.

        Returns
        -------
        ndarray of shape (n_samples, n_components)
            Or the container that `set_output` asked for.

        Raises
        ------
        ValueError
            If `X` has a NaN or infinity, or another number of columns than in `fit`.
        """
        check_is_fitted(self)
        check_parameters(self, "mode", "normalize", "num_threads")
        X = as_features(X, self)
        X = validate_data(self, X, accept_sparse="csr", dtype="numeric", reset=False)
        table = table_of(self.embedding_, "embedding_", X.shape[1])
        bags, mode = bags_of(X, table.sum_dtype), MODES[self.mode]
        if mode.is_extreme:
            bags = without_weights(bags)
        pooled, _ = forward(bags, table, mode, None, self.num_threads)
        if mode.norm == "l1":
            _divide_by_absolute_values(pooled, bags, table, self.num_threads)
        pooled = pooled.astype(np.promote_types(pooled.dtype, np.float32), copy=False)
        return _scaled_to_length_1(pooled) if self.normalize else pooled

    @property
    def _n_features_out(self) -> int:
        return int(self.embedding_.shape[1])

    def __sklearn_clone__(self) -> Self:
        """Return a clone that shares the table, which is only read and may exceed memory."""
        bare = copy.copy(self)
        bare.weight = None
        clone: Self = BaseEstimator.__sklearn_clone__(bare)
        clone.weight = self.weight
        return clone

    def __sklearn_tags__(self) -> Any:
        """Return the tags: `X` may be sparse, and a drawn table keeps the dtype."""
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        drawn = SUM_DTYPES if self.weight is None else ()
        tags.transformer_tags.preserves_dtype = [dtype.name for dtype in drawn]
        return tags

    def _drawn_table(self, num_rows: int, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
        """Draw a table in float64 and keep it in float32 or float64, whichever holds `dtype`."""
        rng = np.random.default_rng(check_random_state(self.random_state).randint(2**31 - 1))
        dim = int(self.n_components)
        table = np.empty(
            (num_rows, dim), np.float32 if np.can_cast(dtype, np.float32) else np.float64
        )
        step = -(-_DRAWN_AT_ONCE // dim)
        for start in range(0, num_rows, step):
            rows = table[start : start + step]
            rows[...] = rng.standard_normal(rows.shape) / np.sqrt(dim)
        return table


def _divide_by_absolute_values(
    pooled: npt.NDArray[Any], bags: Bags, table: Table, num_threads: int | None
) -> None:
    """Make means of the bags that have negative weights again; others keep their bits."""
    if bags.weights.min(initial=0) >= 0:
        return
    negative = np.flatnonzero(bags.weights < 0)
    rows = np.unique(np.searchsorted(bags.offsets, negative, "right") - 1)
    scaled = scaled_for(MODES["mean"], take(bags, rows))
    pooled[rows] = forward(scaled, table, SUM, None, num_threads)[0]


def _scaled_to_length_1(vectors: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Divide each row, in place, by its Euclidean length; leave zeros alone."""
    lengths = row_norms(vectors)
    lengths[lengths == 0] = 1
    vectors /= lengths[:, None]
    return vectors
