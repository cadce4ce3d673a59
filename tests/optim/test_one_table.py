"""Test that an optimizer belongs to one table, which it knows by its memory."""

import copy
import gc
import io
import pickle
import weakref

import numpy as np
import pytest

import ebagx
from ebagx import RowGradient
from ebagx.optim import SGD, Adagrad, AdamW
from support import optim_cases as cases

MESSAGE = (
    r"^weight is another table than that of the optimizer's earlier steps, of shape \(7, 3\): use "
    r"one optimizer per table, or call optimizer.unbind\(\) if this array replaces that table$"
)
IDS, GRAD = [[1, 2], [4, 2]], np.ones((2, 3))


def a_bag(seed=0, sparse="rows", dtype=np.float64):
    return ebagx.EmbeddingBag(*cases.SHAPE, mode="sum", sparse=sparse, rng=seed, dtype=dtype)


def by_update(optimizer, bag):
    optimizer.update(bag.weight, cases.gradient(0, dtype=bag.weight.dtype))


def by_step(optimizer, bag):
    bag.zero_grad()
    bag(IDS)
    bag.backward(GRAD)
    optimizer.step(bag)


def by_backward_update(optimizer, bag):
    bag(IDS)
    bag.backward_update(GRAD, optimizer)


def by_pieces(optimizer, bag):
    gradient = cases.gradient(0)
    optimizer.update_pieces(bag.weight, [(gradient.rows, gradient.values)])


def by_catch_up(optimizer, bag):
    optimizer.catch_up(bag.weight)


WAYS = (by_update, by_step, by_backward_update, by_pieces, by_catch_up)
ways = pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)


def same_state(first, second):
    return all(np.array_equal(first[name], second[name]) for name in first)


@cases.makers
@ways
@pytest.mark.parametrize("first", WAYS[:3], ids=lambda way: way.__name__)
def test_a_second_table_is_an_error_that_changes_nothing(make, first, way):
    optimizer, one, other = make(weight_decay=0.1), a_bag(), a_bag(1)
    first(optimizer, one)
    before, weight = copy.deepcopy(optimizer.state_dict()), other.weight.copy()
    with pytest.raises(ValueError, match=MESSAGE):
        way(optimizer, other)
    np.testing.assert_array_equal(other.weight, weight)
    assert same_state(optimizer.state_dict(), before)
    for again in WAYS:
        again(optimizer, one)


@cases.makers
@pytest.mark.parametrize("shape", [(7, 3), (8, 3), (7, 4), (2, 2)])
def test_no_shape_makes_a_difference(make, shape):
    optimizer, table = make(), cases.start()
    optimizer.update(table, cases.gradient(0))
    other = np.ones(shape)
    with pytest.raises(ValueError, match="use one optimizer per table"):
        optimizer.update(other, RowGradient([0], np.ones((1, shape[1])), shape))


@cases.makers
def test_a_new_table_at_the_address_of_one_that_is_gone_is_a_second_one(make):
    optimizer = make()
    optimizer.update(cases.start(), cases.gradient(0))
    for _ in range(20):
        with pytest.raises(ValueError, match=MESSAGE):
            optimizer.update(cases.start(), cases.gradient(0))


def test_optimizers_do_not_keep_tables_alive():
    bag, optimizer = a_bag(), AdamW()
    table = weakref.ref(bag.weight)
    for way in (by_update, by_step, by_backward_update, by_pieces, by_catch_up):
        way(optimizer, bag)
    del bag
    gc.collect()
    assert table() is None


@ways
def test_everything_that_reads_or_writes_state_binds(way):
    optimizer = AdamW(0.1, weight_decay=0.1)
    way(optimizer, a_bag())
    with pytest.raises(ValueError, match=MESSAGE):
        optimizer.catch_up(a_bag().weight)


def test_errors_bind_to_no_table():
    optimizer, other = Adagrad(), np.ones((9, 2))
    with pytest.raises(ValueError, match="gradient must have shape"):
        optimizer.update(other, cases.gradient(0))
    rows = np.array([1, 2])
    bad = RowGradient(rows, np.ones((2, 2)), (9, 2))
    rows[:] = 2, 1
    with pytest.raises(ValueError, match="must ascend"):
        optimizer.update(other, bad)
    optimizer.learning_rate = lambda _: -1
    with pytest.raises(ValueError, match="learning_rate"):
        optimizer.update(other, RowGradient([1], np.ones((1, 2)), (9, 2)))
    optimizer.learning_rate = 0.5
    assert optimizer.state_dict()["squares"].shape == (0, 0)
    optimizer.update(cases.start(), cases.gradient(0))


def test_views_of_the_whole_table_are_the_table(tmp_path):
    optimizer, block = Adagrad(), np.ones((7, 9))
    for _ in range(2):
        optimizer.update(block[:, 2:5], cases.gradient(0))
    with pytest.raises(ValueError, match=MESSAGE):
        optimizer.update(block[:, 3:6], cases.gradient(0))
    optimizer = Adagrad()
    for mode in ("w+", "r+", "r+"):
        table = np.memmap(tmp_path / "table", np.float64, mode, shape=cases.SHAPE)
        optimizer.update(table, cases.gradient(0))
        optimizer.update(np.asarray(table), cases.gradient(0))
    kept = np.memmap(tmp_path / "table", np.float64, "c", shape=cases.SHAPE)
    with pytest.raises(ValueError, match=MESSAGE):
        optimizer.update(kept, cases.gradient(0))


@pytest.mark.torch
def test_arrays_over_a_tensor_are_its_table():
    torch = pytest.importorskip("torch")
    tensor, optimizer = torch.nn.Parameter(torch.tensor(cases.start())), Adagrad()
    for _ in range(3):
        optimizer.update(tensor.detach().numpy(), cases.gradient(0))
    with pytest.raises(ValueError, match=MESSAGE):
        optimizer.update(tensor.detach().clone().numpy(), cases.gradient(0))


@cases.makers
@ways
@pytest.mark.parametrize("first", WAYS[:3], ids=lambda way: way.__name__)
def test_an_assigned_weight_takes_its_optimizer_along(make, first, way):
    optimizer, bag = make(weight_decay=0.1), a_bag()
    first(optimizer, bag)
    expected, copied = copy.deepcopy(bag), copy.deepcopy(optimizer)
    way(copied, expected)
    old = bag.weight
    bag.weight = old.copy()
    kept = old.copy()
    way(optimizer, bag)
    np.testing.assert_array_equal(bag.weight, expected.weight)
    np.testing.assert_array_equal(old, kept)
    with pytest.raises(ValueError, match=MESSAGE):
        optimizer.update(old, cases.gradient(0))


def test_several_weights_may_be_assigned_and_go():
    optimizer, bag, other = Adagrad(), a_bag(), a_bag(1)
    unused = SGD()
    by_backward_update(optimizer, bag)
    by_backward_update(unused, other)
    for _ in range(5):
        bag.weight = bag.weight.copy()
        gc.collect()
    by_update(optimizer, bag)
    by_backward_update(unused, other)
    with pytest.raises(ValueError, match=MESSAGE):
        by_backward_update(unused, bag)


def test_an_assigned_weight_of_another_dtype_fits_no_state():
    optimizer, bag = Adagrad(), a_bag()
    by_backward_update(optimizer, bag)
    bag.weight = bag.weight.astype(np.float32)
    with pytest.raises(ValueError, match="squares is float64 .* weight needs float32"):
        by_backward_update(optimizer, bag)


def test_a_loaded_table_is_the_same_table():
    optimizer, bag = Adagrad(), a_bag()
    by_backward_update(optimizer, bag)
    bag.load_state_dict(a_bag(1).state_dict())
    by_backward_update(optimizer, bag)
    bag.reset_parameters(2)
    by_update(optimizer, bag)


FREE = {
    "unbind": lambda optimizer: (optimizer.unbind(), optimizer)[1],
    "state": lambda optimizer: (optimizer.load_state_dict(optimizer.state_dict()), optimizer)[1],
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "pickle": lambda optimizer: pickle.loads(pickle.dumps(optimizer)),
}


@cases.makers
@pytest.mark.parametrize("free", FREE.values(), ids=FREE)
def test_free_optimizers_go_on_with_another_table(make, free):
    """The state belongs to the rows, so that a copy of the table goes on as the table would."""
    optimizer, bag = make(weight_decay=0.1), a_bag()
    by_update(optimizer, bag)
    expected, same = a_bag(), make(weight_decay=0.1)
    by_update(same, expected)
    by_step(same, expected)
    other = a_bag()
    other.weight = bag.weight.copy()
    optimizer = free(optimizer)
    by_step(optimizer, other)
    np.testing.assert_array_equal(other.weight, expected.weight)
    with pytest.raises(ValueError, match=MESSAGE):
        by_step(optimizer, bag)


@cases.makers
@pytest.mark.parametrize("way", [copy.copy, copy.deepcopy])
def test_copies_share_nothing(make, way):
    optimizer, bag = make(weight_decay=0.1), a_bag()
    by_update(optimizer, bag)
    other, kept = way(optimizer), copy.deepcopy(optimizer.state_dict())
    for name, array in other.state_dict().items():
        assert np.size(array) < 2 or not np.shares_memory(array, optimizer.state_dict()[name])
    by_update(other, a_bag(1))
    other.learning_rate, other.weight_decay = 0.7, 0.2
    assert same_state(optimizer.state_dict(), kept)
    by_update(optimizer, bag)


@cases.makers
def test_two_optimizers_by_copy_do_what_two_made_ones_do(make):
    template, expected = make(), []
    for seed in (0, 1):
        bag, optimizer = a_bag(seed), make()
        for _ in range(3):
            by_backward_update(optimizer, bag)
        expected.append(bag.weight)
    bags, optimizers = (a_bag(0), a_bag(1)), (template, copy.copy(template))
    for _ in range(3):
        for bag, optimizer in zip(bags, optimizers, strict=True):
            by_backward_update(optimizer, bag)
    for bag, weight in zip(bags, expected, strict=True):
        np.testing.assert_array_equal(bag.weight, weight)


def through_pickle(pair):
    return pickle.load(io.BytesIO(pickle.dumps(pair)))


@cases.makers
@pytest.mark.parametrize("sparse", [False, "rows"])
@pytest.mark.parametrize("way", [copy.deepcopy, through_pickle], ids=["deepcopy", "pickle"])
def test_module_and_optimizer_are_copied_together(make, sparse, way):
    pair = a_bag(sparse=sparse), make(weight_decay=0.1)
    by_step(pair[1], pair[0])
    other_bag, other = way(pair)
    for go_on in (by_step, by_backward_update, by_update, by_catch_up):
        go_on(pair[1], pair[0])
        go_on(other, other_bag)
        np.testing.assert_array_equal(other_bag.weight, pair[0].weight)
    with pytest.raises(ValueError, match=MESSAGE):
        by_step(other, pair[0])


@cases.makers
def test_fresh_optimizers_have_the_options_and_no_state(make):
    optimizer = make(weight_decay=0.1, clip_norm=2.0)
    by_update(optimizer, a_bag())
    other, expected = a_bag(1), a_bag(1)
    by_update(optimizer.fresh(), other)
    by_update(make(weight_decay=0.1, clip_norm=2.0), expected)
    np.testing.assert_array_equal(other.weight, expected.weight)
    assert optimizer.num_steps == 1


def test_estimators_begin_without_the_state_of_a_given_optimizer():
    sklearn = pytest.importorskip("ebagx.sklearn")
    X, y = np.eye(6, 5) + np.eye(6, 5, 1), [0, 1, 2, 0, 1, 2]
    given, models = AdamW(0.1), []
    for _ in range(2):
        model = sklearn.EmbeddingBagClassifier(4, optimizer=given, max_iter=2, random_state=0)
        models.append(model.fit(X, y).predict_proba(X))
        table = np.ones((5, 4), np.float32)  # of the shape of the estimator's table
        given.update(table, RowGradient([1], np.ones((1, 4)), (5, 4)))
        assert given.num_steps == 1 + len(models) - 1
        given.unbind()
    np.testing.assert_array_equal(*models)


@cases.makers
def test_a_copy_of_a_module_may_get_another_table(make):
    bag, optimizer = a_bag(), make()
    by_step(optimizer, bag)
    kept = copy.copy(bag)
    kept.weight = bag.weight.copy()
    before = kept.weight.copy()
    by_step(optimizer, bag)
    np.testing.assert_array_equal(kept.weight, before)
    with pytest.raises(ValueError, match=MESSAGE):
        by_step(optimizer, kept)
    by_step(optimizer, bag)


@cases.makers
def test_two_modules_may_swap_tables_and_the_optimizers_with_them(make):
    bags, optimizers = (a_bag(), a_bag(1)), (make(), make())
    for optimizer, bag in zip(optimizers, bags, strict=True):
        by_step(optimizer, bag)
    bags[0].weight, bags[1].weight = bags[1].weight, bags[0].weight
    for optimizer, bag in zip(optimizers, bags, strict=True):
        by_step(optimizer, bag)
    with pytest.raises(ValueError, match=MESSAGE):
        by_step(optimizers[0], bags[1])
