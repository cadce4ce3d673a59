"""Base of the estimators that train on a cluster: fitting, and predictions that are lazy."""

import copy
import os
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from numbers import Integral
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.base import clone
from sklearn.utils.metadata_routing import UNUSED
from sklearn.utils.validation import check_is_fitted

from ebagx._core.arguments import shown
from ebagx._core.bags import Bags
from ebagx._core.table import Table
from ebagx._training.bags import bags_of, weighted_sums
from ebagx._training.examples import Examples
from ebagx._training.loop import Plan
from ebagx._training.network import Floats, Layer, initial_layers
from ebagx._training.optimizers import set_learning_rate
from ebagx.dask._calendar import Calendar
from ebagx.dask._checkpoint import Checkpoint, check_folder, unfinished
from ebagx.dask._cluster import Cluster, client_of
from ebagx.dask._data import Data, data_of, delayed_shards, slices_of_shards
from ebagx.dask._driver import Copy, Job, Outcome, Training
from ebagx.dask._features import fitted_features, is_collection
from ebagx.dask._lazy import lazily
from ebagx.dask._round import Recipe, layer_of
from ebagx.dask._rounds import Layout, Weights
from ebagx.dask._shards import Part, on_own_columns
from ebagx.dask._storage import StoredBlock, table_of_blocks, take_from_blocks
from ebagx.optim.planning import rule_of
from ebagx.sklearn.parameters import Integer, NoneOr
from ebagx.sklearn.pooling import PoolingEstimator
from ebagx.sklearn.weights import checked_weights

_FLOAT32 = np.dtype(np.float32)
_MANY_OUTPUTS = 64
_ROUNDS_OF_MANY = 4  # in each pass
NO_BAGS = Bags(np.empty(0, np.int32), np.zeros(1, np.int32), np.empty(0, np.float32))


class _Folder:
    """Paths of folders, or None."""

    def check(self, value: Any, name: str) -> None:
        """Raise TypeError unless `value` is such a path."""
        if value is not None and (not isinstance(value, (str, os.PathLike)) or not str(value)):
            raise TypeError(f"{name} must be a path or None, got {shown(value)}")


class _Client:
    """Clients of Dask, or None."""

    def check(self, value: Any, name: str) -> None:
        """Raise TypeError unless `value` is a client, not an address, say."""
        if value is not None and not hasattr(value, "submit"):
            raise TypeError(f"{name} must be a dask.distributed.Client or None, got {shown(value)}")


CLUSTER_CONSTRAINTS: Mapping[str, Any] = {
    "client": _Client(),
    "n_shards": NoneOr(Integer(1)),
    "rounds_per_pass": NoneOr(Integer(1)),
    "n_blocks": NoneOr(Integer(1)),
    "checkpoint": _Folder(),
}


class DaskEstimator(PoolingEstimator):
    """Estimators whose `fit` takes collections of Dask, and trains on the workers of a cluster."""

    client: Any
    n_shards: int | None
    rounds_per_pass: int | None
    n_blocks: int | None
    checkpoint: Any
    warm_start = False
    # scikit-learn shall not ask whether to route it.
    __metadata_request__score: ClassVar = {"compute": UNUSED}
    _blocks: list[StoredBlock] | None = None  # of the table, with a checkpoint
    _local: ClassVar[type[PoolingEstimator]]

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Learn embeddings and layers on the workers of the cluster.

        Parameters
        ----------
        X : dask array or dataframe of shape (n_samples, n_features)
            Counts or weights, chunked along its rows only. Chunks are CSR matrices or arrays;
            their lengths may be unknown.
        y : dask array or series of shape (n_samples,), or dask array (n_samples, n_outputs)
            Targets, in chunks of the lengths of those of `X`.
        sample_weight : dask array or series of shape (n_samples,), optional
            Weight of each row in the loss, at least 0. Rows of weight 0 are left out.

        Returns
        -------
        self : estimator

        Raises
        ------
        TypeError
            If a parameter has the wrong type, or `X`, `y` or `sample_weight` is no collection of
            Dask.
        ValueError
            If `X` has several chunks in a row, chunks differ in number or length, `X`, `y` or
            `sample_weight` has a NaN or infinity, or a parameter a value outside its range; if
            `checkpoint` has another unfinished fit; or if the loss diverges: then the model is
            that of the last pass with finite loss. If `optimizer` has momentum and there are
            several shards.
        OSError
            If `checkpoint` is a folder in which no file can be written.
        ConnectionError
            If the client is closed; or if the scheduler does not answer. Then the model is the last
            one that the driver had.
        """
        self._check_parameters()
        client = client_of(self.client)
        data = data_of(X, y, sample_weight)
        if (self.n_shards or len(data.X)) > 1:
            self._check_optimizer()
        if self.checkpoint is not None:
            check_folder(self.checkpoint)
        with self._unchanged_by_errors():
            self._forget()
            outcome = self._run(Cluster(client), data)
        self._end(outcome)
        return self

    def to_local(self) -> Any:
        """Return the fitted model as an estimator of `ebagx.sklearn`, which needs no Dask.

        With ``checkpoint=``, this reads the table into memory.

        Returns
        -------
        estimator
            It has the same parameters, but those of the cluster, and the same fitted attributes.
        """
        self._check_fitted()
        parameters = self.get_params(deep=False)
        local = self._local(
            **{name: value for name, value in parameters.items() if name in self._local_names()}
        )
        for name, value in vars(self).items():
            if name not in parameters and name != "_blocks":
                setattr(local, name, value)
        local.embedding_ = self.embedding_
        return local

    def save(self, path: Any) -> None:
        """Write what `to_local` returns as a folder, which `ebagx.sklearn.load_estimator` reads.

        Parameters
        ----------
        path : str or Path
            The folder.

        See Also
        --------
        ebagx.sklearn.EmbeddingBagClassifier.save : The same, with its errors.
        """
        self.to_local().save(path)

    @classmethod
    def _local_names(cls) -> list[str]:
        names: list[str] = cls._local._get_param_names()
        return names

    def _check_fitted(self) -> None:
        check_is_fitted(self, "coef_")

    def __getattr__(self, name: str) -> Any:
        """Read the table of a model with checkpoint from its files, in each access."""
        blocks = self.__dict__.get("_blocks")
        if name == "embedding_" and blocks is not None:
            return table_of_blocks(blocks)
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def _is_fitted(self) -> bool:
        return hasattr(self, "coef_")

    @property
    def _n_features_out(self) -> int:
        return super()._n_features_out if self._blocks is None else self._blocks[0].shape[1]

    def _forget(self) -> None:
        super()._forget()
        self.__dict__.pop("_blocks", None)

    def _check_parameters(self) -> None:
        super()._check_parameters()
        if self.warm_start:
            raise ValueError("warm_start must be False: a cluster trains new models only")
        if self.groups is not None:
            raise ValueError(
                "groups must be None: a cluster pools all columns of a row together; "
                f"{self._local.__name__} of ebagx.sklearn has groups for data in memory"
            )

    def __sklearn_clone__(self) -> Self:
        """Return an estimator of the same parameters, with the same client."""
        parameters = self.get_params(deep=False)
        own = {
            name: clone(value, safe=False) for name, value in parameters.items() if name != "client"
        }
        return type(self)(**own, client=self.client)

    def __getstate__(self) -> dict[str, Any]:
        """Return the contents of a pickle, which has no client."""
        state: dict[str, Any] = super().__getstate__()
        return {**state, "client": None}

    def _run(self, cluster: Cluster, data: Data) -> Outcome:
        """Train, and set the fitted attributes that describe the data."""
        self.n_features_in_ = data.num_columns
        if data.names is not None:
            self.feature_names_in_ = data.names
        seed = self._seed()
        lengths = self._survey(cluster, data)
        slices = slices_of_shards(lengths, self.n_shards)
        if self.n_shards is not None and self.n_shards > sum(lengths):
            raise ValueError(
                f"n_shards must not exceed the {sum(lengths)} rows of X, got {self.n_shards}"
            )
        template = self._template()
        intercept = self._first_intercept()
        calendar = Calendar.of(len(slices), self._num_rounds(len(intercept)))
        blocks = self.n_blocks if self.n_blocks is not None else cluster.num_workers
        layout = Layout(
            *(data.num_columns, self.embedding_dim),
            *(min(blocks, data.num_columns), calendar),
        )
        plan = Plan(
            *(self.batch_size, self.max_iter, None, self.n_iter_no_change, self.tol),
            verbose=bool(self.verbose),
        )
        rng = np.random.default_rng(seed)
        layers = initial_layers(self.embedding_dim, self.hidden, len(intercept), rng)
        layers[-1] = Layer(layers[-1].coef, intercept)
        job = Job(
            lambda: delayed_shards(template, data, slices, lengths, seed),
            *(layers, layout, lambda sizes: self._recipe(sizes, seed, calendar), plan),
            template.rate_part if self.early_stopping else None,
        )
        checkpoint = None
        if self.checkpoint is not None:
            checkpoint = Checkpoint(self.checkpoint, self._signature(layout, lengths, slices, seed))
        return Training(cluster, job, checkpoint).run()

    def _seed(self) -> int:
        """Return the seed of the fit: that of an unfinished one, if none is asked for."""
        if self.checkpoint is not None and not isinstance(self.random_state, Integral):
            state = unfinished(self.checkpoint)
            if state is not None:
                return int(state["signature"]["seed"])
        return int(self._new_rng().integers(2**62))

    def _signature(
        self, layout: Layout, lengths: Sequence[int], slices: Any, seed: int
    ) -> dict[str, Any]:
        """Return parameters and sizes on which the numbers of the model depend."""
        others = {"client", "checkpoint", "verbose", "num_threads", "n_shards", "random_state"}
        own = {
            name: repr(value)
            for name, value in self.get_params(deep=False).items()
            if name not in others
        }
        return {
            **own,
            "seed": seed,
            "n_blocks": layout.num_blocks,
            "n_features": layout.num_rows,
            "n_shards": len(slices),
            "lengths": list(lengths),
            "classes": repr(getattr(self, "classes_", None)),
        }

    def _check_optimizer(self) -> None:
        """Raise ValueError for an optimizer whose steps cannot be combined."""
        if "momentum_buffer" in rule_of(self._new_optimizers()[0]).states:
            raise ValueError(
                "SGD with momentum cannot train on several shards: their velocities carry them "
                "past each other, and models were up to .27 less accurate than on one machine; "
                "take Adam, Adagrad or SGD without momentum, or n_shards=1"
            )

    def _num_rounds(self, num_outputs: int) -> int:
        """Return the number of rounds of a late pass.

        The examples of its class change a row of the head most, and a shard has few of each if
        there are many classes. With one round, 49,902 names of 205 classes in 16 shards were .022
        less accurate than on one machine, with four .005; up to 65 classes, four rounds changed
        less than .006. With many classes, the products with the head take most of the time of a
        pass, so that rounds cost a smaller part of it.
        """
        if self.rounds_per_pass is not None:
            return self.rounds_per_pass
        return _ROUNDS_OF_MANY if num_outputs > _MANY_OUTPUTS else 1

    def _recipe(self, sizes: Sequence[int], seed: int, calendar: Calendar) -> Recipe:
        optimizers = self._new_optimizers()
        steps = sum(calendar.steps(sizes, self.batch_size, self.max_iter))
        set_learning_rate(optimizers, self, steps)
        return Recipe(
            *(self._loss(), optimizers, self.batch_size, seed),
            *(self._num_negatives(), self.num_threads),
        )

    def _template(self) -> Any:
        """Return the copy of the estimator that makes examples of shards and rates models."""
        return self._without_client()

    def _shape_of_scores(self) -> tuple[int, ...]:
        """Return the shape of the scores of a row."""
        self._check_fitted()
        shape: tuple[int, ...] = np.shape(self.intercept_)
        return shape

    def _without_client(self) -> Self:
        """Return a copy for workers, whose chunks of a dataframe are arrays without names."""
        other = copy.copy(self)
        other.client = None
        other.__dict__.pop("feature_names_in_", None)
        return other

    @abstractmethod
    def _survey(self, cluster: Cluster, data: Data) -> list[int]:
        """Set the attributes that describe y; return the number of rows of each chunk."""

    @abstractmethod
    def _first_intercept(self) -> Floats:
        """Return the intercept before training."""

    def examples_of_shard(self, X: Any, y: Any, sample_weight: Any) -> Examples:
        """Return checked examples of a shard, without those of weight 0; there may be none."""
        template = copy.copy(self)
        has_rows = X is not None and X.shape[0] > 0
        weights = None
        if has_rows and sample_weight is not None:
            given = np.asarray(sample_weight)
            has_rows = bool(np.any(given != 0))
            weights = checked_weights(given, X) if has_rows else None
        if not has_rows:
            return self._no_examples()
        X, y = template._validated(X, y, going_on=True)
        targets, weights = template._encoded(y, weights, True, None)
        return self._weighted(bags_of(X, _FLOAT32), targets, weights, going_on=True)

    @abstractmethod
    def _no_examples(self) -> Examples:
        """Return the examples of a shard that has none."""

    def split_shard(
        self, examples: Examples, rng: np.random.Generator
    ) -> tuple[Examples, Examples | None]:
        """Return the examples to learn from, and those held out, if early stopping needs some."""
        if not self.early_stopping or examples.num_bags < 2:
            return examples, None
        return self._split(examples, rng)

    def rate_part(self, part: Part, weights: Weights) -> tuple[float, float]:
        """Return the score of held-out examples, and the weight with which it counts."""
        held_out = part.examples
        total = held_out.num_bags if held_out.weights is None else held_out.weights.sum()
        return float(self._validation(held_out)(weights)), float(total)

    def _end(self, outcome: Outcome) -> None:
        """Set the attributes of the model that is kept; raise or warn if training ended early."""
        history = outcome.history
        if outcome.copy is not None:
            self._adopt(outcome.copy)
        plan = Plan(self.batch_size, self.max_iter, _unused if self.early_stopping else None)
        if outcome.failure is not None:
            self._describe(history, plan)
            raise outcome.failure
        self._take_over(history, [], plan)

    def _describe(self, history: Any, plan: Plan) -> None:
        ended = type(history)(history.losses, history.scores, best_iter=history.best_iter)
        self._take_over(ended, [], plan)

    def _adopt(self, kept: Copy) -> None:
        if self.checkpoint is None:
            self.embedding_ = np.concatenate([block.arrays[0] for block in kept.blocks])
        else:
            self._blocks = kept.blocks
        *hidden, head = [layer_of(block) for block in kept.layers]
        self.hidden_coef_, self.hidden_intercept_ = hidden[0] if hidden else (None, None)
        self.coef_, self.intercept_ = self._head_after_training(head)
        self._made_with = {name: getattr(self, name) for name in self._fixed}

    def _pooled(self, X: Any) -> Floats:
        if self._blocks is None:
            return super()._pooled(X)
        self._check_pooling()
        X = self._validated_features(X)
        columns, bags = on_own_columns(self._scaled_bags(X), X.shape[1])
        table = Table(take_from_blocks(self._blocks, columns))
        return weighted_sums(bags, table, self.num_threads)

    def partial_fit(self, *_: Any, **__: Any) -> Any:
        """Refuse: a cluster trains new models only."""
        raise NotImplementedError(
            "partial_fit needs data in memory: model.to_local().partial_fit(X, y) goes on there"
        )

    def transform(self, X: Any) -> Any:
        """Return the pooled embeddings of each row, lazily for a collection of Dask.

        Parameters
        ----------
        X : {dask array, dataframe or bag, array-like, sparse matrix} (n_samples, n_features)
            Counts or weights; a bag holds lists of column numbers.

        Returns
        -------
        {dask array, ndarray} of shape (n_samples, embedding_dim), float32
        """
        return self._apply("transform", X, (self._n_features_out,), _FLOAT32)

    def _apply(
        self, method: str, X: Any, shape: tuple[int, ...], dtype: Any, is_sparse: bool = False
    ) -> Any:
        """Return the result of a method of the local estimator, lazily for collections."""
        self._check_fitted()
        if not is_collection(X):
            return getattr(super(), method)(X)
        model = self._without_client()
        return lazily(self._features(X), model, method, shape, dtype, is_sparse)

    def _computed(self, value: Any) -> float:
        """Return the number in an array of Dask, computed on the client if there is one."""
        if self.client is None:
            return float(value.compute())
        return float(self.client.compute(value).result())

    def _features(self, X: Any) -> Any:
        """Return features of the fitted model as an array of Dask."""
        return fitted_features(X, self.n_features_in_, getattr(self, "feature_names_in_", None))


def _unused(_: Any) -> float:
    raise AssertionError
