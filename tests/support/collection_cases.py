"""Make collections, bags for their features in every form, and what each table gives alone."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse

import ebagx
from support.kernel_cases import TABLE_DTYPES
from support.strategies import MODES, WEIGHTED_MODES, eighths

FORMS = ("column", "rows", "lists", "offsets", "weighted", "weighted rows", "csr")
WEIGHTED_FORMS = ("weighted", "weighted rows", "csr")
INDEX_DTYPES = ("i4", "i8", "u1", "u8", ">i4")


@dataclass
class TableCase:
    array: np.ndarray
    mode: str
    options: dict[str, Any]

    def make(self):
        return ebagx.EmbeddingBag(
            *self.array.shape, mode=self.mode, _weight=self.array.copy(), **self.options
        )


@dataclass
class FeatureCase:
    table: str
    form: str
    bags: list[list[int]]
    weights: list[list[float]] | None
    dtype: str

    @property
    def has_weights_gradient(self):
        return self.weights is not None and self.form != "csr"

    def value(self, num_rows):
        """Return the bags in their form."""
        flat = np.array([row for bag in self.bags for row in bag], self.dtype)
        starts = np.cumsum([0, *map(len, self.bags)])
        weights = None
        if self.weights is not None:
            weights = np.array([w for bag in self.weights for w in bag], float)
        if self.form == "column":
            return flat
        if self.form in ("rows", "weighted rows"):
            length = len(self.bags[0]) if self.bags else 0
            shape = len(self.bags), length
            rows = flat.reshape(shape)
            return rows if weights is None else (rows, None, weights.reshape(shape))
        if self.form == "lists":
            return self.bags
        if self.form == "offsets":
            return flat, starts[:-1]
        if self.form == "weighted":
            return flat, starts[:-1], weights
        shape = len(self.bags), num_rows
        return scipy.sparse.csr_array((weights, flat.astype("i4"), starts), shape=shape)


@dataclass
class CollectionCase:
    tables: dict[str, TableCase]
    features: dict[str, FeatureCase]
    num_bags: int

    def make(self):
        tables = {name: table.make() for name, table in self.tables.items()}
        return ebagx.EmbeddingBagCollection(
            tables, {name: feature.table for name, feature in self.features.items()}
        )

    def bags(self):
        return {
            name: feature.value(len(self.tables[feature.table].array))
            for name, feature in self.features.items()
        }

    def alone(self, name, array=None):
        """Return the arguments of a functional call of one feature's table."""
        feature = self.features[name]
        return self.together([name], feature.table) | ({} if array is None else {"weight": array})

    def together(self, names, table):
        """Return the arguments of one call of a table with the bags of some of its features."""
        case, features = self.tables[table], [self.features[name] for name in names]
        weighted = case.mode in WEIGHTED_MODES and any(f.weights is not None for f in features)
        weights = [
            bag for f in features for bag in (f.weights or [[1.0] * len(ids) for ids in f.bags])
        ]
        return {
            "input": [bag for f in features for bag in f.bags],
            "weight": case.array,
            "mode": case.mode,
            **{name: case.options[name] for name in ("padding_idx", "invalid", "default_row")},
            "per_sample_weights": weights if weighted else None,
        }

    def pooled(self):
        """Return what each table gives alone, by feature."""
        return {name: ebagx.embedding_bag(**self.alone(name)) for name in self.features}

    def grads(self, rng):
        """Return a gradient of each feature's result."""
        dims = {name: self.tables[f.table].array.shape[1] for name, f in self.features.items()}
        return {name: rng.standard_normal((self.num_bags, dim)) for name, dim in dims.items()}

    def gradient(self, table, grads):
        """Return the gradient of a table over its features' bags as one batch."""
        names = [name for name, feature in self.features.items() if feature.table == table]
        return ebagx.embedding_bag_backward(
            np.concatenate([grads[name] for name in names]),
            **self.together(names, table),
            scale_grad_by_freq=self.tables[table].options["scale_grad_by_freq"],
            sparse="rows",
        ).weight


def make_case(rng, num_bags=None, modes=MODES, dtypes=TABLE_DTYPES):
    """Return a case of random structure: shared tables, and every form, mode and dtype."""
    num_bags = int(rng.integers(0, 6)) if num_bags is None else num_bags
    tables = {f"t.{number}": make_table(rng, modes, dtypes) for number in range(rng.integers(1, 4))}
    names = list(tables)
    features = {}
    for number in range(rng.integers(1, 6)):
        table = names[rng.integers(len(names))]
        features[f"f{number}"] = make_feature(rng, table, tables[table], num_bags)
    return CollectionCase(tables, features, num_bags)


def make_table(rng, modes, dtypes):
    shape = int(rng.integers(1, 9)), int(rng.choice([0, 1, 3, 8, 17]))
    options = {
        "padding_idx": None if rng.integers(2) else int(rng.integers(shape[0])),
        "invalid": "raise" if rng.integers(3) else "skip",
        "default_row": int(rng.integers(shape[0])) if rng.integers(3) == 0 else None,
        "scale_grad_by_freq": bool(rng.integers(4) == 0),
        "sparse": [False, True, "rows"][rng.integers(3)],
        "num_threads": [None, 1, 2][rng.integers(3)],
    }
    dtype = dtypes[rng.integers(len(dtypes))]
    return TableCase(eighths(rng, *shape).astype(dtype), str(rng.choice(modes)), options)


def make_feature(rng, name, table, num_bags):
    forms = [f for f in FORMS if table.mode in WEIGHTED_MODES or f not in WEIGHTED_FORMS]
    form = str(rng.choice(forms))
    lengths = rng.integers(0, 5, num_bags)
    if form == "column":
        lengths[:] = 1
    if form in ("rows", "weighted rows"):
        lengths[:] = rng.integers(0, 4)
    beyond = 2 if table.options["invalid"] == "skip" and form != "csr" else 0
    num_rows = len(table.array) + beyond
    bags = [rng.integers(0, num_rows, length).tolist() for length in lengths]
    weights = None
    if form in WEIGHTED_FORMS:
        weights = [(rng.integers(-8, 9, length) / 4).tolist() for length in lengths]
    return FeatureCase(name, form, bags, weights, str(rng.choice(INDEX_DTYPES)))


def assert_same(actual, expected):
    assert actual.dtype == expected.dtype
    assert actual.shape == expected.shape
    assert actual.tobytes() == expected.tobytes()


def dense(grad):
    return grad if isinstance(grad, np.ndarray) else grad.toarray()


def state_of(collection):
    """Return the bytes of all that a call may change."""
    parts = [*collection.per_sample_weights_grad.items()]
    for name, bag in collection.tables.items():
        parts += [(name, bag.weight), (name, None if bag.grad is None else dense(bag.grad))]
    return [(name, None if array is None else array.tobytes()) for name, array in parts]


def small():
    """Return a collection of two tables, one of them shared, and bags for it."""
    tables = {
        "place": ebagx.EmbeddingBag(10, 3, mode="sum", rng=0),
        "tag": ebagx.EmbeddingBag(6, 2, mode="mean", rng=1),
    }
    features = {"home": "place", "tags": "tag", "work": "place"}
    bags = {"home": [1, 7], "tags": [[1, 2, 5], []], "work": ([7, 7, 3], [0, 2], [0.5, 2.0, 1.0])}
    return ebagx.EmbeddingBagCollection(tables, features), bags
