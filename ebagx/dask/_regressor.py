"""The regressor that trains on the workers of a cluster."""

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from ebagx._core.modes import MODES
from ebagx._training.examples import Examples
from ebagx._training.network import Floats
from ebagx.dask._base import CLUSTER_CONSTRAINTS, NO_BAGS, DaskEstimator
from ebagx.dask._cluster import Cluster
from ebagx.dask._data import Data
from ebagx.dask._features import is_collection
from ebagx.dask._lazy import scored_lazily
from ebagx.dask._survey import Moments, all_moments, moments_of
from ebagx.optim import Optimizer
from ebagx.sklearn.parameters import Constraints
from ebagx.sklearn.regressor import EmbeddingBagRegressor

__all__ = ["DaskEmbeddingBagRegressor"]


class DaskEmbeddingBagRegressor(DaskEstimator, EmbeddingBagRegressor):
    """Train an `EmbeddingBagRegressor` on the workers of a Dask cluster.

    See `DaskEmbeddingBagClassifier` for the algorithm, for faults and for the size of data that
    make a cluster worth its cost.

    Parameters
    ----------
    embedding_dim, loss, epsilon, mode, hidden, optimizer, learning_rate, schedule, batch_size
        As in `EmbeddingBagRegressor`. "rowwise_adagrad" halves the traffic.
    max_iter, alpha, early_stopping, validation_fraction, n_iter_no_change, tol
        As there; each shard holds out a part of its rows.
    warm_start : bool, default=False
        Must be False.
    groups : None, default=None
        Must be None: a cluster pools all columns of a row together.
    random_state, verbose, num_threads
        As there. `verbose` prints a line for each pass.
    client : distributed.Client or None, default=None
        Connection to the cluster; None: the default client at the time of `fit`. Copies made by
        ``sklearn.base.clone`` share it, pickles have none.
    n_shards : int or None, default=None
        Number of logical shards, which have equal numbers of rows; None: one for each chunk of
        rows of `X`. The result depends on this number, but never on the number of workers. Each
        worker should have at least one shard for each of its threads.
    rounds_per_pass : int or None, default=None
        Exchanges of the model in each pass over the data; None: 4 with more than 64 classes or
        outputs, 1 otherwise. More of them come closer to the result of a single machine, and cost
        more traffic. With several shards, the first three passes have at least 8, 4 and 2, as the
        first changes are large.
    n_blocks : int or None, default=None
        Ranges of rows in which the model is kept between rounds; None: the number of workers. One
        block goes to the workers as a whole, of several only the rows that a shard touches. Not a
        bit of the result depends on it.
    checkpoint : path or None, default=None
        Folder that all machines see, in which workers keep the blocks between rounds, so that no
        machine holds the whole table, and an interrupted fit is resumed by the next one with the
        same parameters and data. None: the driver has a copy of the model.

    Attributes
    ----------
    n_features_in_, embedding_, coef_, intercept_, hidden_coef_, hidden_intercept_
        As in `EmbeddingBagRegressor`, and so are those that describe the training. With
        ``checkpoint=``, each access of `embedding_` reads the table from files.

    See Also
    --------
    ebagx.sklearn.EmbeddingBagRegressor : The same in memory.

    Examples
    --------
    >>> from dask.distributed import Client  # doctest: +SKIP
    >>> from ebagx.dask import DaskEmbeddingBagRegressor  # doctest: +SKIP
    >>> client = Client("tcp://scheduler:8786")  # doctest: +SKIP
    >>> model = DaskEmbeddingBagRegressor(random_state=0, client=client)  # doctest: +SKIP
    >>> model.fit(X, y).predict(X).compute()  # doctest: +SKIP
    """

    _constraints: ClassVar[Constraints] = {
        **EmbeddingBagRegressor._constraints,
        **CLUSTER_CONSTRAINTS,
    }
    _local = EmbeddingBagRegressor

    def __init__(
        self,
        embedding_dim: int = 32,
        *,
        loss: str = "squared_error",
        epsilon: float = 1.35,
        mode: str = "mean",
        hidden: int | None = None,
        optimizer: str | Optimizer = "adagrad",
        learning_rate: float = 0.1,
        schedule: Any = None,
        batch_size: int = 128,
        max_iter: int = 10,
        alpha: float = 0.0,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 3,
        tol: float = 1e-4,
        warm_start: bool = False,
        random_state: int | np.random.RandomState | None = None,
        verbose: bool | int = False,
        num_threads: int | None = None,
        client: Any = None,
        n_shards: int | None = None,
        rounds_per_pass: int | None = None,
        n_blocks: int | None = None,
        checkpoint: Any = None,
        groups: None = None,
    ) -> None:
        super().__init__(
            embedding_dim,
            loss=loss,
            epsilon=epsilon,
            mode=mode,
            hidden=hidden,
            optimizer=optimizer,
            learning_rate=learning_rate,
            schedule=schedule,
            batch_size=batch_size,
            max_iter=max_iter,
            alpha=alpha,
            early_stopping=early_stopping,
            validation_fraction=validation_fraction,
            n_iter_no_change=n_iter_no_change,
            tol=tol,
            warm_start=warm_start,
            random_state=random_state,
            verbose=verbose,
            num_threads=num_threads,
            groups=groups,
        )
        self.client = client
        self.n_shards = n_shards
        self.rounds_per_pass = rounds_per_pass
        self.n_blocks = n_blocks
        self.checkpoint = checkpoint

    def predict(self, X: Any) -> Any:
        """Return the expected numbers; lazily for collections.

        Parameters
        ----------
        X : {dask array, dataframe or bag, array-like, sparse matrix} (n_samples, n_features)
            Counts or weights; a bag holds lists of column numbers.

        Returns
        -------
        {dask array, ndarray} of shape (n_samples,) or (n_samples, n_outputs)
            In float32 if `X` is, otherwise float64.
        """
        is_single = getattr(X, "dtype", None) == np.float32
        shape = self._shape_of_scores() if self._has_columns else ()
        return self._apply("predict", X, shape, np.dtype(np.float32 if is_single else np.float64))

    def score(self, X: Any, y: Any, sample_weight: Any = None, compute: bool = True) -> Any:
        """Return R², the mean of those of the outputs.

        Parameters
        ----------
        X, y : {dask collections, array-like}
            Features and true numbers, as in `fit`.
        sample_weight : {dask collection, array-like} of shape (n_samples,), optional
            Weights.
        compute : bool, default=True
            Whether collections are computed now, on the client of the estimator; without, the
            score of collections is an array of Dask.

        Returns
        -------
        {float, dask array of no dimensions}
        """
        if not is_collection(X):
            return super().score(X, y, sample_weight)
        X, model = self._features(X), self._without_client()
        score = scored_lazily(X, y, sample_weight, model, _errors_of_chunk, _determination)
        return self._computed(score) if compute else score

    def _survey(self, cluster: Cluster, data: Data) -> list[int]:
        chunks = cluster.compute(moments_of, list(zip(data.y, data.weights, strict=True)))
        total = all_moments(chunks)
        self._check_occurs(total.mean != 0)  # shards refuse negative numbers
        self._has_columns = total.has_columns
        self._set_units_by(total.mean, total.squares / total.weight, total.largest)
        self.intercept_ = self._start.astype(np.float32)
        return [chunk.num_rows for chunk in chunks]

    def _first_intercept(self) -> Floats:
        return self.intercept_

    def _no_examples(self) -> Examples:
        nothing = np.empty((0, len(self.intercept_)), np.float32)
        return Examples(NO_BAGS, nothing, None, MODES[self.mode])


def _errors_of_chunk(
    model: Any, X: Any, y: Any, sample_weight: Any
) -> tuple[Moments, Floats | None]:
    """Return the moments of y, and the weighted sums of squared errors (K,)."""
    moments = moments_of(y, sample_weight)
    if not moments.num_rows:
        return moments, None
    weights = np.ones(moments.num_rows) if sample_weight is None else np.asarray(sample_weight)
    errors = np.asarray(y, np.float64) - model.predict(X)
    return moments, weights @ np.square(errors).reshape(moments.num_rows, -1)


def _determination(parts: Sequence[tuple[Moments, Any]]) -> float:
    """Return the mean over the outputs of 1 - squared errors / squares about the mean."""
    squares = all_moments([moments for moments, _ in parts]).squares
    errors = np.sum([errors for _, errors in parts if errors is not None], axis=0)
    perfect = np.where(errors > 0, 0.0, 1.0)  # as scikit-learn rates a constant output
    scores = np.where(squares > 0, 1 - errors / np.where(squares > 0, squares, 1), perfect)
    return float(scores.mean())
