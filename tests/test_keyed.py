import copy
import pickle
import re

import numpy as np
import pytest

from ebagx import EmbeddingBag, KeyedBags

KEYS, VALUES, OFFSETS = ["a", "b", "c"], [3, 1, 7, 8, 9], [0, 1, 2, 2, 5, 5, 5]


def test_bag_of_a_feature():
    """The definition of TorchRec's layout: bag (f, b) begins at offsets[f * B + b]."""
    bags = KeyedBags(KEYS, VALUES, OFFSETS, np.arange(5) / 2)
    assert (bags.keys, bags.num_bags, len(bags)) == (("a", "b", "c"), 2, 3)
    for f, key in enumerate(KEYS):
        values, offsets, weights = bags[key]
        found = np.split(values, offsets[1:]), np.split(weights, offsets[1:])
        for b in range(2):
            part = slice(OFFSETS[f * 2 + b], OFFSETS[f * 2 + b + 1])
            assert found[0][b].tolist() == VALUES[part]
            assert found[1][b].tolist() == (np.arange(5) / 2)[part].tolist()


def test_a_feature_is_the_arguments_of_a_call():
    table = EmbeddingBag(10, 3, mode="sum", rng=0)
    bags = KeyedBags(KEYS, VALUES, OFFSETS, np.ones(5))
    np.testing.assert_array_equal(table(*bags["b"]), table([[], [7, 8, 9]]))


@pytest.mark.parametrize("dtype", ["i1", "u2", "i4", "i8", "u8", ">i4"])
def test_integers_of_every_dtype(dtype):
    values = np.array(VALUES, dtype)
    bags = KeyedBags(KEYS, values, np.array(OFFSETS, dtype))
    assert bags.values is values
    assert bags.offsets.tolist() == OFFSETS
    assert bags["b"][0].tolist() == [7, 8, 9]


def test_the_offsets_are_the_callers_no_more():
    """They are checked once: a change of the caller's array must not matter."""
    offsets = np.array(OFFSETS)
    bags = KeyedBags(KEYS, VALUES, offsets)
    offsets[:] = 10**6
    assert bags.offsets.tolist() == OFFSETS
    with pytest.raises(ValueError, match="read-only"):
        bags.offsets[0] = 1


@pytest.mark.parametrize(
    ("keys", "offsets", "num_bags"), [([], [0], 0), (["a"], [0], 0), (["a", "b"], [0, 0, 0], 1)]
)
def test_without_bags_or_keys(keys, offsets, num_bags):
    bags = KeyedBags(keys, [], offsets)
    assert bags.num_bags == num_bags
    assert list(bags) == keys
    for key in keys:
        assert len(bags[key][1]) == num_bags


def test_names():
    bags = KeyedBags(iter(KEYS), VALUES, OFFSETS)
    assert "a" in bags
    assert "x" not in bags
    assert repr(bags) == "KeyedBags(keys=('a', 'b', 'c'), num_bags=2, 5 indices)"
    with pytest.raises(KeyError, match="'x' is not a key, the keys are: a, b, c"):
        bags["x"]


def test_copies():
    bags = KeyedBags(KEYS, VALUES, OFFSETS, np.arange(5.0))
    for twin in (copy.copy(bags), copy.deepcopy(bags), pickle.loads(pickle.dumps(bags))):
        assert twin.keys == bags.keys
        for key in KEYS:
            for part, other in zip(twin[key], bags[key], strict=True):
                np.testing.assert_array_equal(part, other)


def test_from_lengths():
    bags = KeyedBags.from_lengths(KEYS, VALUES, np.array([1, 1, 0, 3, 0, 0], "u1"), np.ones(5))
    assert bags.offsets.tolist() == OFFSETS
    assert bags.per_sample_weights.tolist() == [1] * 5
    assert KeyedBags.from_lengths([], [], []).num_bags == 0


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (("abc", VALUES, OFFSETS), TypeError, "keys must be a list of names, got the str 'abc'"),
        (([1], VALUES, OFFSETS), TypeError, "keys must be str, got keys[0] = 1"),
        ((["a", "b", "a"], [], [0]), ValueError, "keys[2] = 'a' is there before, at 0"),
        ((KEYS, [VALUES], OFFSETS), ValueError, "values must be 1-D, got 2-D"),
        ((KEYS, [1.5], OFFSETS), TypeError, "values must be integers, got float64"),
        ((KEYS, [True] * 5, OFFSETS), TypeError, "values must be integers, got bool"),
        ((KEYS, VALUES, [0.0, 5]), TypeError, "offsets must be integers, got float64"),
        ((KEYS, VALUES, [OFFSETS]), ValueError, "offsets must be 1-D, got 2-D"),
        (
            (KEYS, VALUES, OFFSETS[:-1]),
            ValueError,
            "offsets must have num_bags * 3 + 1 entries for 3 keys, got 6",
        ),
        (
            ([], [], [0, 0]),
            ValueError,
            "offsets must have num_bags * 0 + 1 entries for 0 keys, got 2",
        ),
        (
            (KEYS, VALUES, []),
            ValueError,
            "offsets must have num_bags * 3 + 1 entries for 3 keys, got 0",
        ),
        ((["a"], VALUES, [1, 5]), ValueError, "offsets[0] must be 0, got 1"),
        (
            (["a"], VALUES, [0, 3, 2, 5]),
            ValueError,
            "offsets must not decrease, got offsets[2] = 2 after offsets[1] = 3",
        ),
        (
            (["a"], VALUES, [0, 4]),
            ValueError,
            "offsets[-1] must be the number of indices 5, got 4",
        ),
        (
            (["a"], VALUES, [0, 6]),
            ValueError,
            "offsets[1] = 6 is beyond the 5 indices of input",
        ),
        (
            (KEYS, VALUES, OFFSETS, [1.0]),
            ValueError,
            "per_sample_weights must have the shape of values (5,), got (1,)",
        ),
        (
            (KEYS, VALUES, OFFSETS, ["x"] * 5),
            TypeError,
            "per_sample_weights must be real numbers, got <U1",
        ),
    ],
)
def test_errors(arguments, error, message):
    with pytest.raises(error, match=f"^{re.escape(message)}$"):
        KeyedBags(*arguments)


@pytest.mark.parametrize(
    ("lengths", "error", "message"),
    [
        ([1, -1, 5], ValueError, "lengths[1] must be in [0, 5], the number of values, got -1"),
        ([2**62, 2**62, 2**62, 2**62 + 5], ValueError, "lengths[0] must be in [0, 5]"),
        ([1, 1, 1], ValueError, "lengths must add up to the 5 values, got 3"),
        ([[1, 1, 3]], ValueError, "lengths must be 1-D, got 2-D"),
        ([1.0, 1, 3], TypeError, "lengths must be integers, got float64"),
        ([5, 0], ValueError, "offsets must have num_bags * 3 + 1 entries for 3 keys, got 3"),
    ],
)
def test_errors_of_lengths(lengths, error, message):
    with pytest.raises(error, match=f"^{re.escape(message)}"):
        KeyedBags.from_lengths(KEYS, VALUES, lengths)
