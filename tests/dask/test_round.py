"""Test the functions of a round without Dask: calls in a loop, on shards and blocks."""

import pickle
import subprocess
import sys

import numpy as np
import pytest
from scipy import sparse

from ebagx._kernels.combine_reference import SHARE_MEAN, SHARE_ROOT, SHARE_SQUARES, SHARE_SUM
from ebagx._training.losses import Sigmoid, SquaredError
from ebagx.dask._combine import Sharing, combine
from ebagx.dask._round import (
    Block,
    Piece,
    bounds_of_blocks,
    initial_block,
    rows_by_block,
    take,
)
from ebagx.dask._rounds import Shard
from ebagx.dask._shards import on_own_columns, order_of_pass, part_of, sizes_of_parts, sub
from ebagx.optim import SGD, Adagrad, Adam, AdamW, RowwiseAdagrad
from support import dask_cases as cases

N = 90
OPTIMIZERS = {
    "adagrad": Adagrad(0.1),
    "start": Adagrad(0.1, initial_accumulator_value=0.1),
    "rowwise": RowwiseAdagrad(0.1),
    "sgd": SGD(0.5),
    "momentum": SGD(0.1, momentum=0.9),
    "nesterov": SGD(0.1, momentum=0.9, nesterov=True),
    "adam": Adam(0.01),
    "adamw": AdamW(0.01, weight_decay=0.1),
    "decay": Adagrad(0.1, weight_decay=0.01),
}
optimizers = pytest.mark.parametrize("name", OPTIMIZERS)


@pytest.fixture(scope="module")
def data():
    X, y = cases.labelled_bags(num_columns=N)
    return X, cases.one_hot(y, 3)


@pytest.fixture(scope="module")
def shards(data):
    """Return shards of uneven lengths, the third of which is empty."""
    return cases.shards_of(*data, (250, 40, 0, 310))


def test_import_needs_neither_dask_nor_sklearn():
    code = (
        "import sys; sys.modules['dask'] = sys.modules['distributed'] = None\n"
        "sys.modules['sklearn'] = None\n"
        "import ebagx.dask._rounds\n"
        "try: ebagx.dask.DaskEmbeddingBagClassifier\n"
        "except ModuleNotFoundError as error: print(error)"
    )
    command = [sys.executable, "-P", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "needs Dask and scikit-learn: pip install 'ebagx[dask]'" in done.stdout


@optimizers
@pytest.mark.parametrize("rounds_per_pass", [1, 3])
def test_blocks_change_no_bit(shards, name, rounds_per_pass):
    def bits(num_blocks):
        model, losses = cases.trained(
            shards, N, num_blocks, 3, rounds_per_pass, OPTIMIZERS[name], hidden=4
        )
        return cases.fingerprint([*cases.joined(model), np.array(losses)])

    assert bits(1) == bits(2) == bits(7)


@optimizers
def test_every_optimizer_learns(shards, name):
    _, losses = cases.trained(shards, N, 2, 12, optimizer=OPTIMIZERS[name])
    assert losses[-1] < 0.8 * losses[0]


@optimizers
def test_one_shard_trains_as_one_machine(data, name):
    """With one shard there is nothing to combine: a round is a pass, and state goes on."""
    model, _ = cases.trained(cases.shards_of(*data, (600,)), N, 3, 2, optimizer=OPTIMIZERS[name])
    again, _ = cases.trained(
        [*cases.shards_of(*data, (600,)), *cases.shards_of(*data, (0,))],
        *(N, 1, 2),
        optimizer=OPTIMIZERS[name],
    )
    assert cases.fingerprint(cases.joined(model)) == cases.fingerprint(cases.joined(again))


def test_one_shard_is_a_pass_of_the_local_loop(data):
    from ebagx._training.loop import make_one_pass
    from ebagx._training.losses import Softmax
    from ebagx._training.network import Network, initial_layers

    shards = cases.shards_of(*data, (600,))
    model, _ = cases.trained(shards, N, 2, 2)
    part = shards[0].part
    table = initial_block((0, N), 5, [part.columns], Adagrad(0.1), 7).arrays[0][part.columns]
    layers = initial_layers(5, None, 3, np.random.default_rng(7))
    made = [Adagrad(0.1), Adagrad(0.1)]
    network = Network(table, layers, made, np.arange(len(table)), 1)
    for epoch in range(2):
        order = order_of_pass(600, 7, epoch, 0)
        make_one_pass(network, Softmax(), part.examples, order, 16)
    np.testing.assert_array_equal(cases.joined(model)[0][part.columns], table)


MANY = 1e9  # uses of a row, so that its changes are restrained as far as they are alike


def piece(rows, *arrays, decayed=1.0, uses=MANY):
    """Return the rows of a shard."""
    weights, *states = (np.array(array, np.float32) for array in arrays)
    of_rows = np.full(len(weights), uses, np.float32)
    return Piece(np.array(rows, np.int64), (weights, *states), of_rows, decayed)


def combined(arrays, rule, *pieces):
    return combine(Block(0, tuple(arrays)), rule, 1, *pieces).arrays


def test_combine_divides_by_the_root_of_the_shards_that_touched_a_row():
    old = np.array([[1.0], [2.0], [3.0], [4.0]], np.float32)
    pieces = [piece([0, 1], [[2.0], [5.0]], uses=0), piece([1, 2], [[4.0], [3.5]], uses=0)]
    for rule, of_second in ((SHARE_ROOT, 2 + 5 / np.sqrt(2)), (SHARE_SUM, 7.0), (SHARE_MEAN, 4.5)):
        (new,) = combined([old], Sharing((rule,)), *pieces)
        np.testing.assert_array_equal(new[:, 0], np.float32([2, of_second, 3.5, 4]))


def test_combine_decays_all_rows_by_all_steps():
    old = np.array([[1.0], [2.0], [4.0]], np.float32)
    pieces = [
        piece([0], [[0.75]], decayed=0.5, uses=0),
        piece([0, 1], [[0.5], [1.5]], decayed=0.25, uses=0),
    ]
    (new,) = combined([old], Sharing((SHARE_ROOT,)), *pieces)
    first = 0.125 + (0.25 + 0.25) / np.sqrt(2)
    np.testing.assert_array_equal(new[:, 0], np.float32([first, 0.25 + 1, 0.5]))


def test_combine_adds_in_float64_in_the_order_of_shards():
    """In float32, the sum of these numbers would be another one in each order."""
    rng = np.random.default_rng(0)
    old, news = rng.random((2000, 70), np.float32), rng.random((5, 2000, 70), np.float32)
    pieces = [piece(np.arange(2000), values) for values in news]
    (new,) = combined([old], Sharing((SHARE_SUM,)), *pieces)
    sums, wide = np.zeros(old.shape), old.astype(float)
    for values in news:
        sums += values - wide
    expected = wide + sums
    np.testing.assert_array_equal(new, expected.astype(np.float32))


def test_combine_keeps_its_arguments(shards):
    """Tasks may run again on the same arguments."""
    old = np.ones((4, 3), np.float32)
    given = piece([0, 1], np.zeros((2, 3)))
    combined([old], Sharing((SHARE_ROOT,)), given)
    assert old.all()
    assert not given.arrays[0].any()

    def twice(function, *args):
        first, second = function(*args), function(*args)
        if hasattr(first, "pieces"):
            own = [array for piece in first.pieces for array in piece.arrays]
            again = [array for piece in second.pieces for array in piece.arrays]
            assert cases.fingerprint(own) == cases.fingerprint(again)
        return second

    for num_blocks in (1, 2):
        model, _ = cases.trained(shards, N, num_blocks, 2, hidden=3, submit=twice)
        once, _ = cases.trained(shards, N, num_blocks, 2, hidden=3)
        assert cases.fingerprint(cases.joined(model)) == cases.fingerprint(cases.joined(once))


def test_rules_of_optimizers():
    of_adagrad, of_adam = ((SHARE_SQUARES, SHARE_SUM),), ((SHARE_ROOT, SHARE_MEAN, SHARE_MEAN),)
    assert Sharing.of(Adagrad()) == Sharing.of(RowwiseAdagrad()) == of_adagrad
    assert Sharing.of(SGD()) == ((SHARE_ROOT,),)
    assert Sharing.of(SGD(momentum=0.5)) == ((SHARE_ROOT, SHARE_MEAN),)
    assert Sharing.of(Adam()) == Sharing.of(AdamW()) == of_adam


@pytest.mark.parametrize("width", [1, 2], ids=["rowwise", "elementwise"])
def test_combine_slows_weights_by_the_growth_of_squares(width):
    """Changes at a right angle by two shards, one by one shard, and none by two."""
    squares = np.array([[8.0], [1.0], [0.0]], np.float32).repeat(width, axis=1)
    weights = np.ones((3, 2), np.float32)
    added = np.array([[2.0], [6.0], [0.0]], np.float32)
    first = piece(range(3), [[3, 4], [5, 6], [1, 1]], squares + added)
    second = piece([0, 2], [[-2, 3], [1, 1]], squares[::2] + added[::2])
    new = combined([weights, squares], Sharing.of(Adagrad()), first, second)
    expected = 1 + np.array([-1, 5]) * np.sqrt((8 + 1) / (8 + 2))
    np.testing.assert_allclose(new[0][0], expected, rtol=1e-6)
    np.testing.assert_array_equal(new[0][1:], [[5, 6], [1, 1]])
    np.testing.assert_array_equal(new[1][:, 0], [12, 7, 0])


@pytest.mark.parametrize("uses", [0, 8, MANY])
def test_like_changes_of_many_uses_are_restrained(uses):
    """With large squares, steps do not slow down in a round."""
    old, squares = np.ones((2, 4), np.float32), np.full((2, 4), 1e9, np.float32)
    changes = np.zeros((4, 2, 4))
    changes[:, 0] = 1
    changes[range(4), 1, range(4)] = 1
    pieces = [piece(range(2), old + change, squares, uses=uses) for change in changes]
    new, _ = combined([old, squares], Sharing.of(Adagrad()), *pieces)
    factor = {0: 1, 8: (1 + 0.5) / 2, MANY: 0.5}[uses]
    expected = np.repeat([[1 + 4 * factor], [1 + 1]], 4, axis=1)
    np.testing.assert_allclose(new, expected, rtol=1e-6)
    pieces = [given._replace(arrays=given.arrays[:1]) for given in pieces]
    (new,) = combined([old], Sharing.of(SGD()), *pieces)
    np.testing.assert_allclose(new - 1, (expected - 1) / 2, rtol=1e-6)


def test_opposite_changes_are_no_reason_to_go_further():
    old, squares = np.ones((1, 2), np.float32), np.full((1, 2), 1e9, np.float32)
    pieces = [piece([0], old + change, squares) for change in ([[5, 0]], [[-4, 0]])]
    new, _ = combined([old, squares], Sharing.of(Adagrad()), *pieces)
    np.testing.assert_allclose(new, [[1 + 1, 1]], rtol=1e-6)


def test_the_last_round_leaves_the_mean():
    old = np.ones((1, 2), np.float32)
    pieces = [piece([0], old + change, old + 3) for change in (1, 5)]
    new = combined([old, old], Sharing.of(Adagrad()).of_last_round(), *pieces)
    np.testing.assert_array_equal(new, [[[4, 4]], [[7, 7]]])
    assert Sharing.of(Adam()).of_last_round() == Sharing.of(Adam())


def test_a_training_ends_with_the_rule_of_the_last_round(shards):
    one, two = (cases.trained(shards, N, 2, rounds, ends=True)[0] for rounds in (1, 2))
    unended, _ = cases.trained(shards, N, 2, 1)
    assert (cases.joined(one)[0] != cases.joined(unended)[0]).any()
    assert (cases.joined(one)[2] != cases.joined(unended)[2]).any()
    assert (cases.joined(one)[0] != cases.joined(two)[0]).any()
    np.testing.assert_array_equal(cases.joined(one)[1], cases.joined(unended)[1])


def test_first_changes_are_divided_by_their_number():
    """Both factors of the rule are 1/√m where all shards agree and there were no squares."""
    old = np.zeros((1, 3), np.float32)
    pieces = [piece([0], old + 1, old + 64) for _ in range(4)]
    new, _ = combined([old, old], Sharing.of(Adagrad()), *pieces)
    np.testing.assert_allclose(new, 1, rtol=1e-6)


def test_state_of_adagrad_is_summed_and_that_of_adam_is_averaged(data):
    """Two shards with the same examples have the same state, which they have from zeros on."""
    X, targets = data
    twice = sparse.vstack([X[:100], X[:100]]).tocsr()
    labels = sparse.vstack([targets[:100], targets[:100]]).tocsr()

    def states(optimizer, lengths):
        # One step of all examples, so that their order does not count.
        shards = cases.shards_of(twice, labels, lengths)
        shards = [Shard(shard.part._replace(order=np.arange(16)), None) for shard in shards]
        model, _ = cases.trained(shards, N, 1, 1, optimizer=optimizer)
        return model.contents[1][0].arrays[1:]

    for optimizer, factor in ((Adagrad(0.1), 2), (RowwiseAdagrad(0.1), 2), (Adam(0.1), 1)):
        for one, two in zip(states(optimizer, (100,)), states(optimizer, (100, 100)), strict=True):
            np.testing.assert_allclose(two, factor * one, rtol=1e-6)


def test_columns_that_occur_nowhere_have_rows_of_zeros(data):
    X, targets = data
    wide = sparse.csr_matrix((X.data, X.indices * 2, X.indptr), (X.shape[0], 2 * N))
    model, _ = cases.trained(cases.shards_of(wide, targets, (300, 300)), 2 * N, 3)
    for array in cases.joined(model)[:2]:
        assert not array[1::2].any()
        assert array[::2].any(axis=1).all()


def test_initial_rows_depend_on_seed_and_row_alone():
    columns = np.array([0, 3, 255, 256, 700])
    whole = initial_block((0, 1000), 7, [columns], Adagrad(), 5).arrays[0]
    assert np.flatnonzero(whole.any(axis=1)).tolist() == columns.tolist()
    assert np.abs(whole).max() <= 1 / 7
    part = initial_block((250, 710), 7, [np.array([6]), np.array([450])], Adagrad(), 5)
    np.testing.assert_array_equal(part.arrays[0][6], whole[256])
    np.testing.assert_array_equal(part.arrays[0][450], whole[700])
    other = initial_block((0, 1000), 7, [columns], Adagrad(), 6).arrays[0]
    assert (other[columns] != whole[columns]).any(axis=1).all()


@pytest.mark.parametrize("loss", ["multilabel", "regression", "negatives"])
def test_other_targets(data, loss):
    X, targets = data
    options = {}
    if loss == "multilabel":
        targets, options = (targets + targets[::-1]).tocsr(), {"loss": Sigmoid()}
        targets.data[:] = 1
    elif loss == "regression":
        targets, options = targets.toarray().astype(np.float32), {"loss": SquaredError()}
    else:
        options = {"negatives": 1}
    shards = cases.shards_of(X, targets, (200, 400))
    found = [cases.trained(shards, N, blocks, 8, hidden=4, **options) for blocks in (1, 3)]
    assert len({cases.fingerprint(cases.joined(model)) for model, _ in found}) == 1
    losses = found[0][1]
    assert losses[-1] < losses[0]


def test_sample_weights(data):
    """A shard of weight 2 has the loss of two shards, and changes rows as far as they."""
    X, targets = data
    _, ones = cases.trained(cases.shards_of(X, targets, (600,), np.ones(600, np.float32)), N)
    _, twos = cases.trained(cases.shards_of(X, targets, (600,), np.full(600, 2, np.float32)), N)
    _, none = cases.trained(cases.shards_of(X, targets, (600,)), N)
    assert ones == none
    assert twos[0] > 1.5 * ones[0]


def test_a_class_may_be_missing_in_a_shard(data):
    X, targets = data
    order = np.argsort(targets.indices, kind="stable")
    shards = cases.shards_of(X[order], targets[order], (150, 150, 150, 150))
    _, losses = cases.trained(shards, N, 2, 12)
    assert losses[-1] < 0.9 * losses[0]


def test_an_empty_shard_counts_for_no_layer(data):
    X, targets = data
    model, _ = cases.trained(cases.shards_of(X, targets, (300, 300)), N)
    with_empty, _ = cases.trained(cases.shards_of(X, targets, (300, 300, 0)), N)
    assert cases.fingerprint(cases.joined(model)) == cases.fingerprint(cases.joined(with_empty))


def test_the_rounds_of_a_pass_take_each_example_once(data):
    X, targets = data
    shard = part_of(cases.examples_of(X, targets), N)
    sizes = sizes_of_parts(600, 7)
    assert sum(sizes) == 600
    found = np.zeros((600, N))
    for number, size in enumerate(sizes):
        part = sub(shard, 1, 2, 3, number, 7)
        assert part.num_bags == size
        bags = part.examples.bags
        matrix = sparse.csr_matrix((bags.weights, bags.indices, bags.offsets))
        rows = np.zeros((size, N))
        rows[:, part.columns] = matrix.toarray()
        found[sum(sizes[:number]) : sum(sizes[: number + 1])] = rows
    order = np.lexsort(found.T)
    expected = X.toarray()
    np.testing.assert_array_equal(found[order], expected[np.lexsort(expected.T)])


def test_columns_are_found_by_mask_and_by_sort(data):
    bags = cases.examples_of(*data).bags
    dense, sparse_ = on_own_columns(bags, N), on_own_columns(bags, 10**9)
    np.testing.assert_array_equal(dense[0], sparse_[0])
    np.testing.assert_array_equal(dense[1].indices, sparse_[1].indices)


def test_rows_of_blocks():
    bounds = bounds_of_blocks(10, 3)
    assert bounds.tolist() == [0, 3, 6, 10]
    rows = rows_by_block(np.array([0, 2, 6, 9]), bounds)
    assert [of_block.tolist() for of_block in rows] == [[0, 2], [], [0, 3]]
    block = Block(6, (np.arange(8, dtype=np.float32).reshape(4, 2),))
    taken = take(block, rows[2])
    for given in (taken, pickle.loads(pickle.dumps(taken))):
        np.testing.assert_array_equal(given.copied()[0], [[0, 1], [6, 7]])
        assert len(given) == 2
        assert sys.getsizeof(given) >= 16  # of numbers: Dask plans by it
    assert len(pickle.dumps(take(block, rows[0][:1]))) < len(pickle.dumps(block))


def test_steps_are_counted_over_rounds(data):
    """A rate of 0 from the second round on changes nothing more."""
    shards = cases.shards_of(*data, (600, 0))
    optimizer = Adagrad(lambda step: 0.1 if step < 38 else 0.0)  # 600 bags in batches of 16
    one, _ = cases.trained(shards, N, 2, 1, optimizer=optimizer)
    two, _ = cases.trained(shards, N, 2, 2, optimizer=optimizer)
    np.testing.assert_array_equal(cases.joined(one)[0], cases.joined(two)[0])


def test_orders_differ_by_pass_and_shard():
    orders = [order_of_pass(50, 0, *place).tolist() for place in ((0, 0), (0, 1), (1, 0))]
    assert orders[0] != orders[1] != orders[2] != orders[0]
    assert order_of_pass(50, 0, 0, 0).tolist() == orders[0]


def test_draws_of_negatives_are_the_same_again():
    X, y = cases.labelled_bags(num_columns=400, num_classes=40)
    shards = cases.shards_of(X, cases.one_hot(y, 40), (300, 300))
    found = [cases.trained(shards, 400, 1, 2, negatives=1)[0] for _ in range(2)]
    assert len({cases.fingerprint(cases.joined(model)) for model in found}) == 1


def test_a_round_combines_table_and_state_by_their_rules(data):
    """Each shard alone gives the rows that a round of both combines."""
    shards = [
        shard._replace(part=shard.part._replace(order=np.arange(300)))
        for shard in cases.shards_of(*data, (300, 300))
    ]
    alone = [cases.joined(cases.trained([shard], N, 1, 1)[0]) for shard in shards]
    both = cases.joined(cases.trained(shards, N, 1, 1)[0])
    columns = np.intersect1d(*(shard.part.columns for shard in shards))
    old = initial_block((0, N), 5, [columns], Adagrad(), 7).arrays[0][columns]
    parts = [shard.part for shard in shards]
    uses = [part.uses[np.searchsorted(part.columns, columns)] for part in parts]
    pieces = [
        piece(range(len(columns)), *(array[columns] for array in of_shard[:2]), uses=of_rows)
        for of_shard, of_rows in zip(alone, uses, strict=True)
    ]
    expected = combined([old, np.zeros_like(old)], Sharing.of(Adagrad()), *pieces)
    np.testing.assert_array_equal(both[0][columns], expected[0])
    np.testing.assert_array_equal(both[1][columns], expected[1])
    head = np.zeros_like(both[2])
    uses = [np.bincount(part.examples.targets.indices) for part in parts]
    pieces = [
        piece(range(3), *of_shard[2:], uses=of_rows)
        for of_shard, of_rows in zip(alone, uses, strict=True)
    ]
    expected = combined([head, head], Sharing.of(Adagrad()), *pieces)
    np.testing.assert_array_equal(both[2], expected[0])
