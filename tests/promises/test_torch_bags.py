"""Test tensors as ids and weights."""

import numpy as np
import pytest

from ebagx import embedding_bag, embedding_bag_backward
from support.errors import large_table, rejected

torch = pytest.importorskip("torch")

TABLE = large_table()
BAGS = [[3, 1, 1], [], [4], [0, 2]]
WEIGHTS = [[0.5, 1.0, -2.0], [], [4.0], [0.25, 0.0]]


@pytest.mark.parametrize("dtype", ["int64", "int32", "uint8"])
def test_lists_of_tensors(dtype):
    ids = [torch.tensor(bag, dtype=getattr(torch, dtype)) for bag in BAGS]
    weights = [torch.tensor(bag) for bag in WEIGHTS]
    options = {"mode": "sum", "per_sample_weights": weights}
    expected = embedding_bag(BAGS, TABLE, mode="sum", per_sample_weights=WEIGHTS)
    np.testing.assert_array_equal(embedding_bag(ids, TABLE, **options), expected)
    gradient = embedding_bag_backward(np.ones((4, 2)), ids, TABLE, **options)
    np.testing.assert_array_equal(gradient.per_sample_weights, [15, 7, 7, 19, 3, 11])


@pytest.mark.parametrize("wrong", ["float32", "bool"])
def test_every_tensor_is_checked(wrong):
    tensors = [torch.tensor([1]), torch.tensor([1, 0]).to(getattr(torch, wrong))]
    with rejected(TypeError, f"input[1] must be integers, got {wrong}"):
        embedding_bag(tensors, TABLE)
    with pytest.raises(TypeError, match=r"^input\[0\]\[1\] must be an integer, got tensor"):
        embedding_bag([[tensors[0][0], tensors[1][0]]], TABLE)


def test_tensors_of_one_id():
    ids = torch.tensor([3, 1])
    np.testing.assert_array_equal(embedding_bag([[ids[0], ids[1]]], TABLE), [[5, 6]])
    np.testing.assert_array_equal(embedding_bag(list(ids), TABLE, [0]), [[5, 6]])


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors is in prototype stage")
def test_nested_tensors():
    bags = [torch.tensor(bag, dtype=torch.int64) for bag in BAGS]
    jagged = torch.nested.nested_tensor(bags, layout=torch.jagged)
    with rejected(
        TypeError,
        "input is torch's NestedTensor: pass x.values(), with offsets=x.offsets() and "
        "include_last_offset=True",
    ):
        embedding_bag(jagged, TABLE)
    pooled = embedding_bag(jagged.values(), TABLE, jagged.offsets(), include_last_offset=True)
    np.testing.assert_array_equal(pooled, embedding_bag(BAGS, TABLE))
