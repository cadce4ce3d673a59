"""Test that errors name the feature or table, and that nothing has changed after them."""

import re

import numpy as np
import pytest
import scipy.sparse

from ebagx import EmbeddingBag, EmbeddingBagCollection, KeyedBags, RowGradient, optim
from support.collection_cases import small, state_of

BAG = EmbeddingBag(3, 2)


def refused(error, message, collection, action):
    """Check for an error with this message that leaves the collection as it was."""
    before, saved = state_of(collection), collection._saved
    with pytest.raises(error, match=re.escape(message)) as caught:
        action()
    assert type(caught.value) is error
    assert state_of(collection) == before
    assert collection._saved is saved


@pytest.mark.parametrize(
    ("tables", "features", "error", "message"),
    [
        ([BAG], None, TypeError, "tables must be a mapping of names, got list"),
        ({1: BAG}, None, TypeError, "names of tables must be str, got 1"),
        ({"x": np.eye(2)}, None, TypeError, "tables['x'] must be an EmbeddingBag, got ndarray"),
        ({"x": BAG, "y": BAG}, None, ValueError, "tables['y'] is tables['x'], too: name it once"),
        ({"x": BAG}, ["x"], TypeError, "features must be a mapping of names, got list"),
        ({"x": BAG}, {0: "x"}, TypeError, "names of features must be str, got 0"),
        ({"x": BAG}, {"a": "y"}, KeyError, "features['a'] = 'y' is no table, they are: 'x'"),
        ({"x": BAG}, {"a": BAG}, TypeError, "features['a'] must be the name of a table, got"),
    ],
)
def test_construction(tables, features, error, message):
    with pytest.raises(error, match=re.escape(message)):
        EmbeddingBagCollection(tables, features)


WRONG_BAGS = {
    "missing": ({"work": None}, KeyError, "bags lacks 'work': it must have 'home', 'tags', 'work'"),
    "unknown": ({"x": [1, 2]}, KeyError, "'home', 'tags', 'work', not 'x'"),
    "count": (
        {"tags": [[1]]},
        ValueError,
        "features must have the same number of bags, got 2 of 'home' and 1 of 'tags'",
    ),
    "id": ({"home": [1, 10]}, IndexError, "input['home'][1] = 10 is out of range for 10 embed"),
    "negative": ({"home": [-1, 1]}, IndexError, "input['home'][0] = -1 is out of range"),
    "last": ({"work": [[1], [2, 3, 99]]}, IndexError, "input['work'][1][2] = 99 is out of range"),
    "rows": ({"tags": [[1, 2], [3, 6]]}, IndexError, "input['tags'][1][1] = 6 is out of range"),
    "array": ({"tags": np.full((2, 3), 6)}, IndexError, "input['tags'][0, 0] = 6 is out of"),
    "matrix": (
        {"tags": scipy.sparse.csr_array(np.eye(2, 5))},
        ValueError,
        "feature 'tags': sparse input must have shape (num_bags, 6)",
    ),
    "dtype": (
        {"home": [1.0, 2]},
        TypeError,
        "feature 'home': input[0] must be an integer, got 1.0",
    ),
    "bool": ({"home": np.array([True, False])}, TypeError, "feature 'home': input must be integ"),
    "objects": (
        {"home": ["a", "b"]},
        TypeError,
        "feature 'home': input[0] must be an integer, got 'a'",
    ),
    "cube": ({"home": np.zeros((2, 1, 1), int)}, ValueError, "feature 'home': input must be 1-D"),
    "scalar": ({"home": 3}, ValueError, "feature 'home': input must be 1-D (with offsets), 2-D"),
    "tuple": (
        {"home": ([1], [2], [3], [4])},
        ValueError,
        "feature 'home': a tuple must be (input,), (input, offsets) or (input, offsets, per_sample_"
        "weights), got 4 entries: give bags as a list",
    ),
    "empty tuple": ({"home": ()}, ValueError, "feature 'home': a tuple must be (input,)"),
    "masked": (
        {"home": np.ma.array([1, 2], mask=[False, True])},
        ValueError,
        "feature 'home': input[1] is masked",
    ),
    "offsets": ({"home": ([1, 2], [0, 3])}, ValueError, "feature 'home': offsets[1] = 3 is beyond"),
    "weights": (
        {"home": ([1, 2], None, [1.0])},
        ValueError,
        "feature 'home': per_sample_weights must have input's shape (2,), got (1,)",
    ),
}


@pytest.mark.parametrize("max_norm", [None, 0.01])
@pytest.mark.parametrize(("changes", "error", "message"), WRONG_BAGS.values(), ids=WRONG_BAGS)
def test_a_call_that_raises_changes_nothing(changes, error, message, max_norm):
    collection, bags = small()
    collection(bags)
    collection["home"].max_norm = max_norm  # an earlier table, which would be changed
    if max_norm is not None:
        collection["tags"].max_norm = 5.0
    bags |= changes
    if "missing" in message or changes == {"work": None}:
        del bags["work"]
    refused(error, message, collection, lambda: collection(bags))
    collection.backward(np.ones((2, 8)))


@pytest.mark.parametrize("mode", ["max", "min"])
def test_weights_of_a_table_that_takes_extremes(mode):
    collection, bags = small()
    collection["home"].mode = mode
    message = f"feature 'work': per_sample_weights must be None in mode '{mode}'"
    refused(ValueError, message, collection, lambda: collection(bags))


def test_an_index_outside_an_extreme_table_or_one_without_columns():
    for table in (EmbeddingBag(3, 2, mode="max"), EmbeddingBag(3, 0)):
        collection = EmbeddingBagCollection({"x": BAG, "y": table})
        with pytest.raises(IndexError, match=re.escape("input['y'][1] = 3 is out of range")):
            collection({"x": [0, 1], "y": [0, 3]})


def test_max_norm_of_a_read_only_table():
    weight = np.ones((3, 2))
    weight.flags.writeable = False
    tables = {
        "x": EmbeddingBag(3, 2, max_norm=0.1),
        "y": EmbeddingBag.from_pretrained(weight, max_norm=0.1),
    }
    collection = EmbeddingBagCollection(tables)
    message = "feature 'y': weight is read-only, but max_norm changes it in place"
    refused(ValueError, message, collection, lambda: collection({"x": [1], "y": [1]}))


@pytest.mark.parametrize("bags", [[1, 2], None, "text", np.zeros((2, 3), int)])
def test_bags_must_be_a_mapping(bags):
    collection, _ = small()
    message = f"bags must be a mapping of names, got {type(bags).__name__}"
    refused(TypeError, message, collection, lambda: collection(bags))


def test_errors_of_keyed_bags():
    collection, _ = small()
    missing = KeyedBags(["home", "tags"], [1, 2], [0, 1, 2])
    refused(KeyError, "'work' is not a key", collection, lambda: collection(missing))
    bad = KeyedBags(["work", "tags", "home"], [1, 2, 3, 77], [0, 1, 2, 4])
    message = "input['home'][1] = 77 is out of range for 10 embeddings"
    refused(IndexError, message, collection, lambda: collection(bad))


WRONG_GRADS = {
    "shape": (np.ones((2, 7)), ValueError, "grad_output must have shape (2, 8), got (2, 7)"),
    "bags": (np.ones((3, 8)), ValueError, "grad_output must have shape (2, 8), got (3, 8)"),
    "text": ("text", ValueError, "grad_output must have shape (2, 8), got ()"),
    "complex": (np.ones((2, 8), "c8"), TypeError, "grad_output must be real numbers, got complex"),
    "missing": ({"home": 1, "tags": 1}, KeyError, "grad_output lacks 'work'"),
    "unknown": (
        dict.fromkeys(["home", "tags", "work", "x"], 1),
        KeyError,
        "grad_output must have the names 'home', 'tags', 'work', not 'x'",
    ),
    "one": (
        {"home": np.ones((2, 3)), "tags": np.ones((2, 3)), "work": np.ones((2, 3))},
        ValueError,
        "feature 'tags': grad_output must have shape (2, 2), got (2, 3)",
    ),
}


@pytest.mark.parametrize(("grad", "error", "message"), WRONG_GRADS.values(), ids=WRONG_GRADS)
def test_a_backward_that_raises_changes_nothing(grad, error, message):
    collection, bags = small()
    collection(bags)
    collection.backward(np.ones((2, 8)))
    collection(bags)
    refused(error, message, collection, lambda: collection.backward(grad))
    optimizers = {name: optim.SGD(0.1) for name in collection.tables}
    refused(error, message, collection, lambda: collection.backward_update(grad, optimizers))
    assert [optimizer.num_steps for optimizer in optimizers.values()] == [0, 0]


def test_weights_of_another_shape_cannot_be_added():
    collection, bags = small()
    collection(bags)
    collection.backward(np.ones((2, 8)))
    bags["work"] = [[1, 2], [3, 4]], None, np.ones((2, 2))
    collection(bags)
    message = "per_sample_weights_grad['work'] has shape (3,) from an earlier call, cannot add"
    refused(ValueError, message, collection, lambda: collection.backward(np.ones((2, 8))))


def used():
    """Return an optimizer that has taken a step on another table."""
    optimizer = optim.Adagrad(0.1)
    optimizer.update(np.ones((2, 2)), RowGradient([1], np.ones((1, 2)), (2, 2)))
    return optimizer


WRONG_OPTIMIZERS = {
    "missing": (lambda: {"place": optim.SGD(1)}, KeyError, "optimizers lacks 'tag'"),
    "unknown": (
        lambda: dict.fromkeys(["place", "tag", "x"], optim.SGD(0.1)),
        KeyError,
        "optimizers must have the names 'place', 'tag', not 'x'",
    ),
    "one": (optim.SGD, ValueError, "one optimizer cannot update 2 tables: give a mapping"),
    "same": (
        lambda: dict.fromkeys(["place", "tag"], optim.SGD(0.1)),
        ValueError,
        "optimizers['tag'] is that of 'place', too: give each table an optimizer of its own",
    ),
    "none": (lambda: None, TypeError, "optimizers must be a mapping of names, got NoneType"),
    "kind": (
        lambda: {"place": optim.SGD(1), "tag": "SGD"},
        TypeError,
        "optimizers['tag'] must be an Optimizer, got 'SGD'",
    ),
    "state": (lambda: {"place": optim.Adagrad(1), "tag": used()}, ValueError, "table 'tag': "),
    "rate": (
        lambda: {"place": optim.Adagrad(1), "tag": optim.SGD(lambda step: -1.0)},
        ValueError,
        "table 'tag': learning_rate must be at least 0 and finite, got -1.0",
    ),
    "decay": (
        lambda: {"place": optim.Adagrad(1), "tag": optim.SGD(lambda step: 3.0, weight_decay=0.5)},
        ValueError,
        "table 'tag': learning_rate * weight_decay must be less than 1, got 3.0 * 0.5",
    ),
}


@pytest.mark.parametrize(
    ("make", "error", "message"), WRONG_OPTIMIZERS.values(), ids=WRONG_OPTIMIZERS
)
def test_an_update_that_raises_changes_no_table(make, error, message):
    collection, bags = small()
    collection(bags)
    optimizers = make()
    refused(
        error, message, collection, lambda: collection.backward_update(np.ones((2, 8)), optimizers)
    )
    if isinstance(optimizers, dict):
        for name, optimizer in optimizers.items():
            if name == "place":
                assert optimizer.num_steps == 0
                assert not np.size(optimizer.state_dict().get("squares", ()))
                optimizer.update(np.ones((2, 2)), RowGradient([1], np.ones((1, 2)), (2, 2)))


def test_a_table_that_cannot_be_updated_in_place():
    tables = {"x": EmbeddingBag(4, 2, rng=0), "y": EmbeddingBag(4, 2, rng=0)}
    collection = EmbeddingBagCollection(tables)
    collection({"x": [1], "y": [2]})
    tables["y"].weight.flags.writeable = False
    optimizers = {name: optim.SGD(0.1) for name in tables}
    message = "table 'y': weight is read-only, but an optimizer step changes it in place"
    refused(
        ValueError,
        message,
        collection,
        lambda: collection.backward_update(np.ones((1, 4)), optimizers),
    )


def test_one_optimizer_for_the_one_table_with_a_gradient():
    collection, bags = small()
    collection["tags"].frozen = True
    optimizer = optim.SGD(0.1)
    collection(bags)
    collection.backward_update(np.ones((2, 8)), optimizer)
    assert optimizer.num_steps == 1


WRONG_STATES = {
    "missing": (lambda s: s.pop("tag.weight"), KeyError, "state_dict lacks 'tag.weight'"),
    "unknown": (lambda s: s.update(x=1), KeyError, "not 'x'"),
    "shape": (
        lambda s: s.update({"tag.weight": np.ones((6, 3), "f4")}),
        ValueError,
        "table 'tag': weight must have shape (6, 2), got (6, 3)",
    ),
    "dtype": (
        lambda s: s.update({"tag.weight": np.ones((6, 2))}),
        TypeError,
        "table 'tag': weight must have dtype float32, got float64",
    ),
}


@pytest.mark.parametrize(("change", "error", "message"), WRONG_STATES.values(), ids=WRONG_STATES)
def test_a_state_that_does_not_fit_changes_no_table(change, error, message):
    collection, _ = small()
    state = {name: np.zeros_like(array) for name, array in collection.state_dict().items()}
    change(state)
    refused(error, message, collection, lambda: collection.load_state_dict(state))


def test_a_state_must_be_a_mapping():
    collection, _ = small()
    for state in (None, [1], "place.weight"):
        message = f"state_dict must be a mapping of names, got {type(state).__name__}"
        refused(TypeError, message, collection, lambda: collection.load_state_dict(state))  # noqa: B023
