"""Train the tables of a recommender: check its data, make bags, grow tables, keep the result."""

from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import sparse
from sklearn.utils.validation import validate_data

from ebagx._core.bags import Bags
from ebagx._core.memory import aligned_zeros
from ebagx._core.modes import MODES
from ebagx._core.table import Table
from ebagx._core.top import Excluded, top_items
from ebagx._training.bags import scaled_for, weighted_sums
from ebagx._training.growth import grown, grown_optimizer
from ebagx._training.loop import History, Plan, make_passes
from ebagx._training.network import Floats, trainable_table
from ebagx._training.optimizers import State
from ebagx._training.pair_steps import PairSteps, Sampling
from ebagx._training.pairs import (
    PairBags,
    Positives,
    Towers,
    bags_beside,
    own_rows,
    part_of,
    places_after_growth,
    rows_in_use,
    start_rows,
    totals_of,
    with_shape,
)
from ebagx.metrics import ndcg_at_k
from ebagx.sklearn.inputs import as_features
from ebagx.sklearn.interactions import (
    as_entity_features,
    as_interactions,
    check_columns,
    check_some,
)
from ebagx.sklearn.saved import Array, Count, Kind, Matrix
from ebagx.sklearn.saving import SavedInFolder
from ebagx.sklearn.weights import checked_weights

_MOST_RANKED = 2000  # users for whom early stopping ranks the items after each pass
_FLOAT32 = np.dtype(np.float32)

Csr = sparse.csr_array


class TrainingData(NamedTuple):
    """Checked arguments of a fit."""

    X: Csr
    user_features: Csr | None
    item_features: Csr | None
    sample_weight: npt.NDArray[np.float64] | None


class LearnsTowers(SavedInFolder):
    """The training of a recommender with tables of users and items, whose parameters it reads."""

    _saved: ClassVar[Mapping[str, Kind]] = {
        "n_users_": Count("U"),
        "user_embedding_": Array("ND", is_mapped=True),
        "item_embedding_": Array("ME", is_mapped=True),
        "item_vectors_": Array("ID", is_mapped=True),
        "item_bias_": Array("I"),
        "item_features_": Matrix("I"),
        "user_features_": Matrix("U"),
        "_has_row": Array("I", np.bool_),
    }

    embedding_dim: int
    loss: str
    user: str
    mode: str
    item_identity: bool
    user_identity: bool
    max_sampled: int
    negatives: int
    batch_size: int
    validation_fraction: float
    num_threads: int | None

    n_features_in_: int
    n_users_: int
    user_embedding_: Floats
    item_embedding_: Floats
    item_features_: Csr | None
    user_features_: Csr | None
    _has_row: npt.NDArray[np.bool_]  # items with a row of their own

    item_vectors_: Floats
    item_bias_: Floats

    def _checked(
        self, X: Any, user_features: Any, item_features: Any, sample_weight: Any, going_on: bool
    ) -> TrainingData:
        """Return checked arguments; set the fitted attributes that describe them."""
        if going_on:
            self._check_unchanged(*self._fixed)
        known = self.n_features_in_ if going_on else 0
        X = as_features(X, self, np.float32)
        shape: tuple[int, ...] = getattr(X, "shape", ())
        if going_on and len(shape) == 2 and shape[1] < known:
            check_columns(X, known, type(self).__name__)
        X = validate_data(self, X, accept_sparse="csr", dtype=np.float32)
        X = as_interactions(X)
        check_some(X)
        weights = checked_weights(sample_weight, X)
        if user_features is not None:
            user_features = as_entity_features(user_features, "user_features", "user", X.shape)
        if item_features is not None:
            item_features = as_entity_features(item_features, "item_features", "item", X.shape)
        elif going_on and self.item_features_ is not None:
            item_features = with_shape(self.item_features_, X.shape[1])
        if going_on and self.user == "id":
            if X.shape[0] < self.n_users_:
                raise ValueError(
                    f"X must have a row for each of the {self.n_users_} users of the model, got "
                    f"{X.shape[0]}: with user='id', row k is user k, and may be empty"
                )
            if user_features is None and self.user_features_ is not None:
                user_features = with_shape(self.user_features_, X.shape[0])
        self._check_identities(user_features, item_features)
        return TrainingData(X, user_features, item_features, weights)

    def _check_identities(self, user_features: Any, item_features: Any) -> None:
        if not self.item_identity and item_features is None:
            raise ValueError("item_identity=False needs item_features, of which items are made")
        if self.user == "id" and not self.user_identity and user_features is None:
            raise ValueError("user_identity=False needs user_features, of which users are made")

    def _split(self, data: TrainingData, rng: np.random.Generator) -> tuple[TrainingData, Csr]:
        """Return the data to learn from, and interactions held out of them."""
        count = data.X.nnz
        if count < 2:
            raise ValueError("early_stopping needs at least 2 interactions, got 1")
        held_out = np.zeros(count, bool)
        size = min(max(1, round(self.validation_fraction * count)), count - 1)
        held_out[rng.permutation(count)[:size]] = True
        return data._replace(X=part_of(data.X, ~held_out)), part_of(data.X, held_out)

    def _validation(self, data: TrainingData, held_out: Csr) -> Any:
        """Return a function that rates towers by the ranking of interactions held out."""
        users = np.flatnonzero(np.diff(held_out.indptr))
        if len(users) > _MOST_RANKED:
            users = users[np.arange(_MOST_RANKED) * len(users) // _MOST_RANKED]
        seen, wanted = data.X[users], held_out[users]
        excluded = Excluded(seen.indptr, seen.indices)
        of_users, of_items = self._bags(data, users), self._item_bags(data)

        def score(towers: Towers) -> float:
            user_table, item_table = towers.tables
            vectors = weighted_sums(of_users, Table(user_table), self.num_threads)
            rows = self._pooled_items(item_table, of_items)
            best, bias = np.ascontiguousarray(rows[:, :-1]), np.ascontiguousarray(rows[:, -1])
            ids, _ = top_items(vectors, best, bias, 10, excluded, self.num_threads)
            return ndcg_at_k(ids, wanted, seen)

        return score

    def _check_restored(self) -> None:
        dim, num_items = self.embedding_dim, self.n_features_in_
        if self.item_embedding_.shape[1] != dim + 1 or self.user_embedding_.shape[1] != dim:
            raise ValueError(f"the tables do not have {dim} columns, and a bias of the items")
        own_users = self.n_users_ if self.user == "id" else num_items
        for name, own, features in (
            ("user_embedding_", own_users, self.user_features_),
            ("item_embedding_", num_items, self.item_features_),
        ):
            least = own + (0 if features is None else features.shape[1])
            if len(getattr(self, name)) < least:
                raise ValueError(f"{name} has less than {least} rows")

    def _own(self, data: TrainingData) -> Csr:
        """Return the part of the users' bags that is not features."""
        if self.user == "history":
            return data.X
        return own_rows(np.full(data.X.shape[0], bool(self.user_identity)))

    def _bags(self, data: TrainingData, users: Any = None) -> Bags:
        """Return bags of some or all users, with weights whose sums are their vectors."""
        own, features = self._own(data), data.user_features
        if users is not None:
            own = own[users]
            features = None if features is None else features[users]
        return scaled_for(MODES[self.mode], bags_beside(own, features))

    def _rows_of_items(self, data: TrainingData) -> npt.NDArray[np.bool_]:
        """Return which items have rows of their own: not those that only features describe."""
        seen = np.zeros(data.X.shape[1], bool)
        seen[data.X.indices] = True
        before = getattr(self, "_has_row", np.empty(0, bool))
        seen[: len(before)] |= before
        return seen

    def _item_bags(self, data: TrainingData) -> Bags | None:
        """Return bags of all items with the weights of sums; None: each is its own row."""
        if data.item_features is None:
            return None
        rows = own_rows(self._rows_of_items(data) & bool(self.item_identity))
        return scaled_for(MODES[self.mode], bags_beside(rows, data.item_features))

    def _pooled_items(self, table: Floats, bags: Bags | None) -> Floats:
        if bags is None:
            return table
        return weighted_sums(bags, Table(table), self.num_threads)

    def _tables(
        self, data: TrainingData, bags: PairBags, state: State, going_on: bool
    ) -> tuple[Floats, Floats]:
        """Return the tables of users and items, new ones or those of the model, perhaps grown."""
        num_users, num_items = data.X.shape
        of_users, of_items = num_items, num_items
        if self.user == "id":
            of_users = num_users
        sides = (
            ("user_embedding_", of_users, data.user_features, self.embedding_dim),
            ("item_embedding_", of_items, data.item_features, self.embedding_dim + 1),
        )
        tables = []
        for side, (name, own, features, width) in enumerate(sides):
            num_features = 0 if features is None else features.shape[1]
            if going_on:
                before = self.n_users_ if side == 0 and self.user == "id" else len(self._has_row)
                table = trainable_table(getattr(self, name))
                places = places_after_growth(len(table), before, own, num_features)
                num_rows = own + max(num_features, len(table) - before)
                if num_rows != len(table):
                    table = grown(table, places, num_rows)
                    state.optimizers[side] = grown_optimizer(
                        state.optimizers[side], places, num_rows
                    )
            else:
                table = aligned_zeros((own + num_features, width), _FLOAT32)
            tables.append(table)
        for table, of_side in zip(tables, (bags.users, bags.items), strict=True):
            start_rows(table, rows_in_use(of_side, len(table)), self.embedding_dim, state.rng)
        return tables[0], tables[1]

    def _set_fitted(self, data: TrainingData, towers: Towers, of_items: Bags | None) -> None:
        self.user_embedding_, self.item_embedding_ = towers.tables
        self.item_features_, self.user_features_, self.n_users_ = data.item_features, None, 0
        if self.user == "id":
            self.user_features_, self.n_users_ = data.user_features, data.X.shape[0]
        rows = self._pooled_items(self.item_embedding_, of_items)
        self.item_vectors_ = np.ascontiguousarray(rows[:, :-1])
        self.item_bias_ = np.ascontiguousarray(rows[:, -1])
        self._made_with = {name: getattr(self, name) for name in self._fixed}

    def _pair_bags(self, data: TrainingData) -> PairBags:
        of_items = self._item_bags(data)
        if self.user == "id":
            return PairBags(self._bags(data), np.empty(0), of_items, None)
        bags, norm = bags_beside(data.X, data.user_features), MODES[self.mode].norm
        return PairBags(bags, totals_of(bags, norm), of_items, norm)

    def _train(self, data: TrainingData, plan: Plan, state: State, going_on: bool) -> History:
        """Train a new model or the present one, and set the fitted attributes to its weights."""
        bags = self._pair_bags(data)
        optimizers = state.optimizers
        tables = self._tables(data, bags, state, going_on)
        positives = Positives.of(data.X, data.sample_weight)
        towers = Towers(*tables, optimizers, self.num_threads)
        has_row = self._rows_of_items(data)
        candidates = np.empty(0, np.int32)
        if bags.items is not None and not has_row.all():
            candidates = np.flatnonzero(has_row).astype(np.int32)

        def make_steps() -> PairSteps:
            seed = int(state.rng.integers(2**63))
            sampling = Sampling(self.loss, self.max_sampled, seed, candidates, self.negatives)
            return PairSteps(towers, positives, bags, sampling, self.batch_size)

        history = make_passes(towers, make_steps, positives.num_entries, plan, state.rng)
        if history.diverged and not (going_on or history.losses):
            self._forget()
            return history
        self._set_fitted(data, towers, bags.items)
        self._has_row = has_row
        self._state = state
        return history
