"""`EmbeddingBagCollection` looks up many features in many tables, in one call."""

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from ebagx._core.arguments import check_same_names, raise_about, shown
from ebagx._core.backward import Backward
from ebagx._core.dtypes import common_dtype
from ebagx._core.forms.feature import feature_arguments
from ebagx._core.many import Lookup, forward_many
from ebagx._core.many_gradients import SavedLookup, gradients, split_gradient, without_overlap
from ebagx._core.memory import aligned_empty
from ebagx.keyed import KeyedBags
from ebagx.module import EmbeddingBag
from ebagx.optim import Optimizer

__all__ = ["EmbeddingBagCollection"]


class _Feature(NamedTuple):
    """A feature: its table, and its columns in the result."""

    table_name: str
    bag: EmbeddingBag
    columns: slice


class EmbeddingBagCollection:
    r"""Tables of embeddings for the features of a batch, looked up in one call.

    The result is that of each feature's table called with the feature's bags, side by side.
    Features may share a table. Each table has its own shape, dtype, mode and other options: those
    of its `EmbeddingBag`.

    Parameters
    ----------
    tables : mapping of str to EmbeddingBag
        The tables by name.
    features : mapping of str to str, optional
        Name of the table of each feature, in the order of the result's columns. By default each
        table has one feature, of its own name.

    Attributes
    ----------
    tables : mapping of str to EmbeddingBag
        The tables. Their `grad` holds their gradients.
    features : mapping of str to str
        Name of each feature's table.
    columns : mapping of str to slice
        Columns of each feature in the result.
    embedding_dim : int
        Number of columns of the result, the sum of those of the features.
    per_sample_weights_grad : dict of str to ndarray
        Sum of the gradients of the weights since `zero_grad`, for features that had weights.
    training : bool
        True if calls keep what `backward` needs, for some table.

    Raises
    ------
    KeyError
        If the table of a feature is missing.
    TypeError
        If a name is no str, or a table no EmbeddingBag.
    ValueError
        If one EmbeddingBag has two names.

    See Also
    --------
    KeyedBags : The bags of many features in three arrays.
    EmbeddingBag : One table.

    Notes
    -----
    All features are checked first: when an error is raised, nothing has been changed, and its
    message names the feature. Cost: that of the lookups, which threads share, and some
    microseconds for each feature.

    Examples
    --------
    >>> import numpy as np, ebagx
    >>> collection = ebagx.EmbeddingBagCollection(
    ...     {
    ...         "places": ebagx.EmbeddingBag(100, 8, mode="sum", rng=0),
    ...         "tags": ebagx.EmbeddingBag(50, 4, mode="mean", rng=1),
    ...     },
    ...     features={"home": "places", "work": "places", "tags": "tags"},
    ... )
    >>> pooled = collection({"home": [3, 7], "work": [3, 9], "tags": [[1, 2, 3], []]})
    >>> pooled.shape
    (2, 20)
    >>> optimizers = {name: ebagx.optim.Adagrad(0.1) for name in collection.tables}
    >>> collection.backward_update(np.ones_like(pooled), optimizers)
    """

    per_sample_weights_grad: dict[str, np.ndarray]

    def __init__(
        self, tables: Mapping[str, EmbeddingBag], features: Mapping[str, str] | None = None
    ) -> None:
        self._tables = _checked_tables(tables)
        if features is None:
            features = {name: name for name in self._tables}
        self._features = _checked_features(features, self._tables)
        self._saved: list[SavedLookup] = []
        self.per_sample_weights_grad = {}

    @property
    def tables(self) -> Mapping[str, EmbeddingBag]:
        """The tables by name."""
        return MappingProxyType(self._tables)

    @property
    def features(self) -> Mapping[str, str]:
        """The name of each feature's table."""
        return {name: feature.table_name for name, feature in self._features.items()}

    @property
    def columns(self) -> Mapping[str, slice]:
        """The columns of each feature in the result."""
        return {name: feature.columns for name, feature in self._features.items()}

    @property
    def embedding_dim(self) -> int:
        """The number of columns of the result."""
        return sum(feature.bag.embedding_dim for feature in self._features.values())

    @property
    def training(self) -> bool:
        """True if calls keep what `backward` needs, for some table."""
        return any(bag.training for bag in self._tables.values())

    def __len__(self) -> int:
        """Return the number of features."""
        return len(self._features)

    def __iter__(self) -> Iterator[str]:
        return iter(self._features)

    def __contains__(self, feature: object) -> bool:
        return feature in self._features

    def __getitem__(self, feature: str) -> EmbeddingBag:
        """Return the table of a feature."""
        return self._features[feature].bag

    def forward(self, bags: Any, as_dict: bool = False) -> Any:
        """Pool the bags of every feature.

        Parameters
        ----------
        bags : mapping of str to input, or KeyedBags
            The bags of each feature, B of them for every feature. A 1-D array, Series or list of
            integers has one id for each bag; a list of sequences, a 2-D array and a
            ``scipy.sparse`` matrix are bags as in `embedding_bag`. A tuple has the arguments of a
            call of the table: ``(input, offsets)`` or ``(input, offsets, per_sample_weights)``,
            with None for offsets that are not needed. A DataFrame is a mapping of its columns.
            Keys of `KeyedBags` that are no features are ignored. In training mode bags are kept
            for `backward`, not copied: do not change them before it.
        as_dict : bool, default=False
            Return a dict of the results by feature.

        Returns
        -------
        ndarray of shape (B, sum of D)
            The pooled bags of all features, side by side, in NumPy's common dtype of the tables
            (float32 for float16 with bfloat16). With `as_dict`, arrays (B, D) by feature: views of
            one array if all tables have one dtype, otherwise each in the dtype of its table.

        Raises
        ------
        KeyError
            If a feature is missing or, unless `bags` are `KeyedBags`, a name is no feature.
        ValueError
            If features have different numbers of bags.
        IndexError, ValueError, TypeError
            As in `embedding_bag`.
        """
        lookups = self._lookups(bags)
        num_bags = _num_bags(lookups, bags)
        dtypes = {lookup.table.dtype for lookup in lookups} or {np.dtype(np.float32)}
        whole = None
        if len(dtypes) == 1:
            whole = aligned_empty((num_bags, self.embedding_dim), *dtypes)
            outs = self._parts(whole)
        else:
            tables = [lookup.table for lookup in lookups]
            outs = [aligned_empty((num_bags, table.dim), table.dtype) for table in tables]
        winners = forward_many(lookups, outs)
        self._save(lookups, winners)
        if as_dict:
            return dict(zip(self._features, outs, strict=True))
        if whole is None:
            whole = np.empty((num_bags, self.embedding_dim), common_dtype(dtypes))
            for part, out in zip(self._parts(whole), outs, strict=True):
                part[...] = out
        return whole

    def __call__(self, bags: Any, as_dict: bool = False) -> Any:
        """Pool the bags of every feature, as `forward`."""
        return self.forward(bags, as_dict)

    def backward(self, grad_output: Any) -> None:
        """Add the gradients of the last forward call to those of the tables.

        The gradient of a table that features share is that of one call with the bags of all these
        features, one feature after the other. Gradients of weights are added to
        `per_sample_weights_grad`. Frozen tables and those in eval mode take no gradient.

        Parameters
        ----------
        grad_output : array_like of shape (B, sum of D), or mapping of str to array_like (B, D)
            Gradient with respect to what `forward` returned. In a mapping, features may be missing
            whose tables take no gradient.

        Raises
        ------
        RuntimeError
            Without a forward call, in training mode and with a table that takes a gradient, since
            the last backward.
        KeyError
            If features are missing or unknown.
        ValueError
            If a gradient has another shape.
        """
        of_tables, of_weights = self._gradients(grad_output)
        for name, backward in of_tables.items():
            self._tables[name]._add_gradient(backward)
        self._forget_forward(of_weights)

    def backward_update(
        self, grad_output: Any, optimizers: Mapping[str, Optimizer] | Optimizer
    ) -> None:
        """Go backward and let optimizers update the tables, without making their `grad`.

        Each table takes one step, with the gradient that `backward` describes. Nothing is changed
        unless all tables and optimizers can take their step.

        Parameters
        ----------
        grad_output
            As in `backward`.
        optimizers : mapping of str to Optimizer
            The optimizer of each table that takes a gradient; others may be left out. One
            Optimizer will do if only one table takes a gradient.

        Raises
        ------
        RuntimeError
            As in `backward`.
        KeyError
            If the optimizer of a table is missing, or a name is no table.
        ValueError
            If tables share an optimizer, a table cannot be updated in place, or as in `backward`.
        """
        of_tables, of_weights = self._gradients(grad_output)
        steps = self._checked_optimizers(optimizers, of_tables)
        for name, backward in of_tables.items():
            self._tables[name]._update(backward, steps[name])
        self._forget_forward(of_weights)

    def zero_grad(self) -> None:
        """Drop the gradients of all tables and weights, as `EmbeddingBag.zero_grad`."""
        for bag in self._tables.values():
            bag.zero_grad()
        self.per_sample_weights_grad = {}

    def train(self, mode: bool = True) -> "EmbeddingBagCollection":
        """Set training mode for all tables, or eval mode with ``train(False)``; return self."""
        for bag in self._tables.values():
            bag.train(mode)
        if not mode:
            self._saved = []
        return self

    def eval(self) -> "EmbeddingBagCollection":
        """Set eval mode, in which calls keep nothing for backward; return self."""
        return self.train(False)

    def state_dict(self) -> dict[str, np.ndarray]:
        """Return ``{"name.weight": table}`` for each table; the tables are not copied."""
        return {
            f"{name}.{key}": array
            for name, bag in self._tables.items()
            for key, array in bag.state_dict().items()
        }

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Copy the tables of a `state_dict` into those of the collection.

        Raises
        ------
        KeyError
            If names are missing or unknown.
        ValueError, TypeError
            If shapes or dtypes differ; no table has been changed then.
        """
        check_same_names(state_dict, self.state_dict(), "state_dict")
        weights = {}
        for name, bag in self._tables.items():
            values = state_dict[f"{name}.weight"]
            try:
                weights[name] = bag._table.checked_values(values, "load_state_dict")
            except (TypeError, ValueError) as error:
                raise_about(error, f"table {name!r}")
        tables = [bag.weight for bag in self._tables.values()]
        apart = without_overlap(list(weights.values()), tables)
        for bag, weight in zip(self._tables.values(), apart, strict=True):
            bag._table.overwrite(weight, "load_state_dict")

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the state of the last call: a copy needs its own call before `backward`."""
        return {**self.__dict__, "_saved": []}

    def __repr__(self) -> str:
        lines = [f"{type(self).__name__}(", "    {"]
        lines += [f"        {name!r}: {bag!r}," for name, bag in self._tables.items()]
        return "\n".join([*lines, "    },", f"    features={self.features!r},", ")"])

    def _lookups(self, bags: Any) -> list[Lookup]:
        """Return the checked bags of each feature, all of the same number."""
        is_keyed = isinstance(bags, KeyedBags)
        if not is_keyed:
            check_same_names(bags, self._features, "bags")
        lookups = []
        for name, (_, bag, _) in self._features.items():
            try:
                given = bags.arguments(name) if is_keyed else feature_arguments(bags[name])
                lookups.append(Lookup.of(name, given, bag._table, bag._options))
            except (IndexError, TypeError, ValueError) as error:
                raise_about(error, f"feature {name!r}")
        return lookups

    def _parts(self, whole: np.ndarray) -> list[np.ndarray]:
        """Return each feature's columns of a result."""
        return [whole[:, feature.columns] for feature in self._features.values()]

    def _save(
        self,
        lookups: Sequence[Lookup],
        winners: Sequence[np.ndarray | None],
    ) -> None:
        """Keep the state that backward needs, for features whose tables take a gradient."""
        features = self._features.values()
        saved = [
            SavedLookup(lookup, table_name, rows)
            for (table_name, bag, _), lookup, rows in zip(features, lookups, winners, strict=True)
            if bag.training and not bag.frozen
        ]
        if saved or self._saved:  # a call that keeps nothing may run in several threads
            self._saved = saved

    def _gradients(self, grad_output: Any) -> tuple[dict[str, Backward], dict[str, np.ndarray]]:
        """Return the inputs of each table's gradient, and the gradients of weights by feature."""
        saved = [state for state in self._saved if not self[state.feature].frozen]
        if not saved:
            all_frozen = all(bag.frozen for bag in self._tables.values())
            needs = "a table that is not frozen" if all_frozen else "a call in training mode first"
            raise RuntimeError(f"backward needs {needs}")
        grads = split_gradient(grad_output, saved, self.columns)
        for state in saved:
            previous = self.per_sample_weights_grad.get(state.feature)
            shape = state.lookup.weights_shape
            if shape is not None and previous is not None and previous.shape != shape:
                raise ValueError(
                    f"per_sample_weights_grad[{state.feature!r}] has shape {previous.shape} from "
                    f"an earlier call, cannot add shape {shape}: call zero_grad() first"
                )
        written = []
        for name in {state.table_name for state in saved}:
            bag = self._tables[name]
            written.append(bag.weight)
            if bag._dense is not None:
                written.append(bag._dense.total)
        return gradients(saved, without_overlap(grads, written))

    def _forget_forward(self, of_weights: Mapping[str, np.ndarray]) -> None:
        """End a backward pass: add the gradients of the weights, drop the saved state."""
        total = dict(self.per_sample_weights_grad)
        for name, gradient in of_weights.items():
            total[name] = total[name] + gradient if name in total else gradient
        self.per_sample_weights_grad = total
        self._saved = []

    def _checked_optimizers(
        self, optimizers: Any, of_tables: Mapping[str, Backward]
    ) -> Mapping[str, Optimizer]:
        """Return the optimizers by table once each can take a step on its table."""
        if isinstance(optimizers, Optimizer):
            if len(of_tables) > 1:
                raise ValueError(
                    f"one optimizer cannot update {len(of_tables)} tables: give a mapping with one "
                    "optimizer per table"
                )
            optimizers = dict.fromkeys(of_tables, optimizers)
        optional = self._tables.keys() - of_tables.keys()
        check_same_names(optimizers, self._tables, "optimizers", optional)
        owners: dict[int, str] = {}
        steps: dict[str, Optimizer] = {}
        for name in of_tables:
            optimizer = optimizers[name]
            if not isinstance(optimizer, Optimizer):
                raise TypeError(
                    f"optimizers[{name!r}] must be an Optimizer, got {shown(optimizer)}"
                )
            if id(optimizer) in owners:
                raise ValueError(
                    f"optimizers[{name!r}] is that of {owners[id(optimizer)]!r}, too: give each "
                    "table an optimizer of its own"
                )
            owners[id(optimizer)] = name
            try:
                optimizer.check_step(self._tables[name].weight)
            except (TypeError, ValueError) as error:
                raise_about(error, f"table {name!r}")
            steps[name] = optimizer
        return steps


def _checked_tables(tables: Any) -> dict[str, EmbeddingBag]:
    if not isinstance(tables, Mapping):
        raise TypeError(f"tables must be a mapping of names, got {type(tables).__name__}")
    names: dict[int, str] = {}
    for name, bag in tables.items():
        if not isinstance(name, str):
            raise TypeError(f"names of tables must be str, got {name!r}")
        if not isinstance(bag, EmbeddingBag):
            raise TypeError(f"tables[{name!r}] must be an EmbeddingBag, got {type(bag).__name__}")
        if id(bag) in names:
            raise ValueError(
                f"tables[{name!r}] is tables[{names[id(bag)]!r}], too: name it once, and give it "
                "several features"
            )
        names[id(bag)] = name
    return dict(tables)


def _checked_features(features: Any, tables: Mapping[str, EmbeddingBag]) -> dict[str, _Feature]:
    if not isinstance(features, Mapping):
        raise TypeError(f"features must be a mapping of names, got {type(features).__name__}")
    checked: dict[str, _Feature] = {}
    start = 0
    for name, table_name in features.items():
        if not isinstance(name, str):
            raise TypeError(f"names of features must be str, got {name!r}")
        if not isinstance(table_name, str):
            raise TypeError(
                f"features[{name!r}] must be the name of a table, got {shown(table_name)}"
            )
        if table_name not in tables:
            listed = ", ".join(map(repr, tables))
            raise KeyError(f"features[{name!r}] = {table_name!r} is no table, they are: {listed}")
        bag = tables[table_name]
        stop = start + bag.embedding_dim
        checked[name] = _Feature(table_name, bag, slice(start, stop))
        start = stop
    return checked


def _num_bags(lookups: Sequence[Lookup], bags: Any) -> int:
    """Return the number of bags, or raise ValueError unless it is the same for all features."""
    if not lookups:
        return bags.num_bags if isinstance(bags, KeyedBags) else 0
    first = lookups[0]
    for lookup in lookups:
        if lookup.bags.num_bags != first.bags.num_bags:
            raise ValueError(
                "features must have the same number of bags, got "
                f"{first.bags.num_bags} of {first.feature!r} and {lookup.bags.num_bags} of "
                f"{lookup.feature!r}"
            )
    return first.bags.num_bags
