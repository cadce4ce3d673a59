"""Test that mini-batches have the bags in order, and the rows that they touch."""

import numpy as np
import pytest
from scipy import sparse

pytest.importorskip("sklearn")

from ebagx.sklearn.bags import bags_of
from ebagx.sklearn.training import batches as batches_module
from ebagx.sklearn.training.batches import batches


def matrix(index_dtype=np.int32):
    rng = np.random.default_rng(0)
    dense = rng.standard_normal((23, 11)) * (rng.random((23, 11)) < 0.3)
    dense[5] = dense[20] = 0
    X = sparse.csr_array(dense.astype(np.float32))
    X.indices, X.indptr = X.indices.astype(index_dtype), X.indptr.astype(index_dtype)
    return X


def dense(bags, num_columns):
    """Bags as a dense matrix (B, num_columns)."""
    ends = bags.offsets
    result = np.zeros((bags.num_bags, num_columns), np.float32)
    for b in range(bags.num_bags):
        part = slice(ends[b], ends[b + 1])
        np.add.at(result[b], bags.indices[part], bags.weights[part])
    return result


@pytest.mark.parametrize("block_lookups", [1, 40, 1 << 16])
@pytest.mark.parametrize("size", [1, 4, 23, 100])
@pytest.mark.parametrize("index_dtype", [np.int32, np.int64])
def test_batches(monkeypatch, block_lookups, size, index_dtype):
    monkeypatch.setattr(batches_module, "_BLOCK_LOOKUPS", block_lookups)
    X = matrix(index_dtype)
    order = np.random.default_rng(1).permutation(23)
    made = list(batches(bags_of(X, X.dtype), 11, order, size))
    assert sum(batch.num_bags for batch in made) == 23
    for first, batch in zip(range(0, 23, size), made, strict=True):
        expected = X.toarray()[order[first : first + size]]
        assert batch.num_bags == batch.bags.num_bags == len(expected)
        np.testing.assert_array_equal(dense(batch.bags, 11), expected)
        np.testing.assert_array_equal(np.sort(batch.rows), np.flatnonzero(expected.any(axis=0)))
        numbered = dense(batch.numbers, len(batch.rows))
        np.testing.assert_array_equal(numbered, expected[:, batch.rows])


def test_only_empty_bags():
    (batch,) = batches(bags_of(np.zeros((3, 5)), np.dtype("f")), 5, np.arange(3), 8)
    assert batch.num_bags == 3
    assert len(batch.rows) == 0
    none = bags_of(np.zeros((0, 5)), np.dtype("f"))
    assert list(batches(none, 5, np.arange(0), 8)) == []
    assert repr(batch) == "Batch(3 bags, 0 rows)"
