from array import array

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given, strategies as st

import ebagx
from ebagx import EmbeddingBag, EmbeddingBagCollection, KeyedBags, optim
from ebagx._core import pieces, threads
from ebagx._core.dtypes import common_dtype
from support.collection_cases import assert_same, dense, make_case, small, state_of
from support.kernel_cases import TABLE_DTYPES
from support.strategies import MODES, WEIGHTED_MODES

cases = st.integers(0, 2**32 - 1).map(lambda seed: make_case(np.random.default_rng(seed)))
uniform = st.integers(0, 2**32 - 1).map(
    lambda seed: make_case(np.random.default_rng(seed), dtypes=[np.dtype("f4")])
)


# --- forward


@given(cases)
def test_the_result_is_that_of_tables_one_by_one(case):
    pooled = case.pooled()
    by_feature = case.make()(case.bags(), as_dict=True)
    assert list(by_feature) == list(pooled)
    for name, expected in pooled.items():
        assert_same(by_feature[name], expected)
    whole = case.make()(case.bags())
    assert whole.dtype == common_dtype({part.dtype for part in pooled.values()})
    expected = [part.astype(whole.dtype) for part in pooled.values()]
    assert_same(whole, np.concatenate(expected, axis=1))


@given(uniform)
def test_results_by_feature_are_views_of_one_array(case):
    collection = case.make()
    by_feature = collection(case.bags(), as_dict=True)
    owners = {id(part.base) for part in by_feature.values()}
    assert len(owners) == 1
    whole = collection(case.bags())
    for name, columns in collection.columns.items():
        assert_same(by_feature[name], whole[:, columns])


@given(cases, st.integers(1, 3))
def test_several_threads_and_pieces_give_the_same_bits(case, limit):
    expected = case.make()(case.bags())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(threads, "WORK_PER_THREAD", 1)
        assert_same(case.make()(case.bags()), expected)
        patch.setattr(pieces, "_PIECE", limit * 8)
        assert_same(case.make()(case.bags()), expected)


def test_policies_of_the_tables():
    table = EmbeddingBag(3, 1, mode="sum", invalid="skip", default_row=2, _weight=np.eye(3)[:, :1])
    table.weight[:, 0] = 1, 10, 100
    collection = EmbeddingBagCollection({"x": table}, {"a": "x", "b": "x"})
    bags = {"a": [-1, 0, 1, 7], "b": [[-1, 0], [], [7], [1, 1]]}
    np.testing.assert_array_equal(collection(bags), [[100, 1], [1, 100], [10, 100], [100, 20]])
    collection.backward(np.ones((4, 2)))
    np.testing.assert_array_equal(table.grad[:, 0], [2, 3, 4])


@given(cases)
def test_keyed_bags_are_the_bags_of_a_mapping(case):
    expected = case.make()(case.bags())
    weighted = [f for f in case.features.values() if f.weights is not None]
    if weighted and any(
        case.tables[f.table].mode not in WEIGHTED_MODES for f in case.features.values()
    ):
        return
    names = [*reversed(case.features), "unused"]
    flat, lengths, weights = [], [], []
    for name in names:
        feature = case.features.get(name)
        bags = feature.bags if feature else [[99]] * case.num_bags
        ones = [[1.0] * len(bag) for bag in bags]
        flat += [row for bag in bags for row in bag]
        lengths += map(len, bags)
        weights += [w for bag in (feature and feature.weights) or ones for w in bag]
    keyed = KeyedBags.from_lengths(
        names, np.array(flat, int), lengths, weights if weighted else None
    )
    assert_same(case.make()(keyed), expected)


def test_a_list_or_array_of_integers_has_one_id_for_each_bag():
    table = EmbeddingBag(10, 3, mode="mean", rng=0)
    collection = EmbeddingBagCollection({"x": table})
    for ids in ([4, 9], np.array([4, 9], "u1"), range(4, 10, 5), array("i", [4, 9])):
        np.testing.assert_array_equal(collection({"x": ids}), table([[4], [9]]))
        weighted = collection({"x": (ids, None, [2.0, 0.0])})
        np.testing.assert_array_equal(weighted, table([[4], []]))


def test_a_tuple_has_the_arguments_of_a_call():
    """Offsets are read as the table says; a tuple is never a list of bags."""
    for last in (False, True):
        table = EmbeddingBag(10, 3, include_last_offset=last, rng=0)
        collection = EmbeddingBagCollection({"x": table})
        arguments = [4, 9, 3], [0, 2, 3]
        np.testing.assert_array_equal(collection({"x": arguments}), table(*arguments))
        np.testing.assert_array_equal(collection({"x": ([[1, 2]],)}), table([[1, 2]]))


def test_max_norm_changes_rows_as_one_call_after_the_other():
    rng = np.random.default_rng(0)
    weight = rng.standard_normal((50, 7)).astype("f2") * 9
    features = {"a": "x", "b": "x", "c": "y"}
    bags = {name: rng.integers(0, 50, (20, 3)) for name in features}

    def make():
        return {
            "x": EmbeddingBag(50, 7, max_norm=1.7, _weight=weight.copy()),
            "y": EmbeddingBag(50, 7, max_norm=0.3, norm_type=1.0, _weight=weight.copy()),
        }

    tables, alone = make(), make()
    expected = np.concatenate([alone[features[name]](bags[name]) for name in features], axis=1)
    assert_same(EmbeddingBagCollection(tables, features)(bags), expected)
    for name, table in tables.items():
        assert_same(table.weight, alone[name].weight)


@pytest.mark.parametrize("as_dict", [False, True])
def test_without_features_or_bags(as_dict):
    empty = EmbeddingBagCollection({})({}, as_dict=as_dict)
    assert empty == {} if as_dict else empty.shape == (0, 0)
    collection, _ = small()
    collection({"home": [], "tags": [], "work": ([], [])})
    collection.backward(np.zeros((0, 8)))
    assert not collection["home"].grad.any()
    keyed = KeyedBags(["home", "tags", "work"], [], [0])
    assert collection(keyed).shape == (0, 8)


@pytest.mark.parametrize("dtype", TABLE_DTYPES, ids=str)
def test_tables_of_two_dtypes(dtype):
    tables = {
        "x": EmbeddingBag(5, 3, dtype=dtype, rng=0),
        "y": EmbeddingBag(5, 2, dtype=np.float64, rng=1),
    }
    collection, bags = EmbeddingBagCollection(tables), {"x": [1, 2], "y": [[3, 3], [4]]}
    expected = [tables["x"]([[1], [2]]), tables["y"]([[3, 3], [4]])]
    assert_same(collection(bags), np.concatenate([part.astype("f8") for part in expected], axis=1))
    for part, one in zip(collection(bags, as_dict=True).values(), expected, strict=True):
        assert_same(part, one)
    collection.backward(np.ones((2, 5)))
    sums = "f8" if dtype == "f8" else "f4"
    assert tables["x"].grad.dtype == sums
    np.testing.assert_array_equal(tables["y"].grad[3], [1, 1])


def test_tables_in_other_layouts():
    rng = np.random.default_rng(0)
    weight = rng.standard_normal((9, 4)).astype("f4")
    views = {
        "f": np.asfortranarray(weight),
        "wide": np.repeat(weight, 2, axis=0)[::2],
        "back": weight[::-1],
        "none": weight[:, :0],
    }
    tables = {name: EmbeddingBag.from_pretrained(view) for name, view in views.items()}
    bags = {name: rng.integers(0, 9, (5, 2)) for name in views}
    pooled = EmbeddingBagCollection(tables)(bags, as_dict=True)
    for name, part in pooled.items():
        assert_same(part, tables[name](bags[name]))


def test_tables_in_memory_maps(tmp_path):
    weight = np.arange(20, dtype="f4").reshape(5, 4)
    np.save(tmp_path / "table.npy", weight)
    mapped = np.load(tmp_path / "table.npy", mmap_mode="r")
    tables = {"x": EmbeddingBag.from_pretrained(mapped), "y": EmbeddingBag(5, 2, rng=0)}
    pooled = EmbeddingBagCollection(tables)({"x": [4, 0], "y": [1, 1]}, as_dict=True)
    np.testing.assert_array_equal(pooled["x"], weight[[4, 0]])
    np.testing.assert_array_equal(pooled["y"], tables["y"].weight[[1, 1]])


# --- backward


@given(cases)
def test_the_gradient_of_a_table_is_that_of_one_batch(case):
    rng = np.random.default_rng(0)
    grads = case.grads(rng)
    whole = np.concatenate([grads[name] for name in case.features], axis=1)
    for grad_output in (whole, grads):
        collection = case.make()
        collection(case.bags())
        collection.backward(grad_output)
        for name, bag in collection.tables.items():
            if name not in collection.features.values():
                assert bag.grad is None
                continue
            expected = case.gradient(name, grads)
            assert_same(dense(bag.grad), expected.toarray())
        for name, feature in case.features.items():
            assert (name in collection.per_sample_weights_grad) == feature.has_weights_gradient
            if feature.has_weights_gradient:
                expected = ebagx.embedding_bag_backward(grads[name], **case.alone(name))
                actual = collection.per_sample_weights_grad[name]
                assert_same(actual.reshape(-1), expected.per_sample_weights)
                given = case.bags()[name][2]
                assert actual.shape == given.shape


@given(cases)
def test_one_step_for_each_table(case):
    grads = case.grads(np.random.default_rng(0))
    collection = case.make()
    collection(case.bags())
    optimizers = {name: optim.Adagrad(0.5) for name in case.tables}
    collection.backward_update(np.concatenate([*grads.values()], axis=1), optimizers)
    for name, table in case.tables.items():
        used = name in collection.features.values()
        assert optimizers[name].num_steps == used
        expected = table.array.copy()
        if used:
            optim.Adagrad(0.5).update(expected, case.gradient(name, grads))
        assert_same(collection.tables[name].weight, expected)
        assert collection.tables[name].grad is None


def test_gradients_add_up_until_zero_grad():
    collection, bags = small()
    grad = np.random.default_rng(0).standard_normal((2, 8)).astype("f4")
    for _ in range(2):
        collection(bags)
        collection.backward(grad)
    twice = state_of(collection)
    once = collection.per_sample_weights_grad["work"] / 2
    collection.zero_grad()
    assert collection.per_sample_weights_grad == {}
    assert collection["home"].grad is None
    collection(bags)
    collection.backward(grad)
    np.testing.assert_array_equal(collection.per_sample_weights_grad["work"], once)
    collection(bags)
    collection.backward(grad)
    assert state_of(collection) == twice


def test_frozen_tables_and_tables_in_eval_mode_take_no_gradient():
    for change in (lambda bag: setattr(bag, "frozen", True), lambda bag: bag.eval()):
        collection, bags = small()
        change(collection["tags"])
        collection(bags)
        parts = {"home": np.ones((2, 3)), "work": np.ones((2, 3))}
        collection.backward_update(parts, {"place": optim.SGD(0.1)})
        collection(bags)
        collection.backward(np.ones((2, 8)))
        assert collection["tags"].grad is None
        assert collection["home"].grad is not None
        collection(bags)
        optimizers = {"place": optim.SGD(0.1), "tag": optim.SGD(0.1)}
        collection.backward_update(np.ones((2, 8)), optimizers)
        assert optimizers["tag"].num_steps == 0


def test_a_table_that_is_frozen_after_the_call_takes_no_gradient():
    collection, bags = small()
    collection(bags)
    collection["tags"].frozen = True
    collection.backward(np.ones((2, 8)))
    assert collection["tags"].grad is None


def test_train_and_eval():
    collection, bags = small()
    assert collection.training
    collection(bags)
    assert collection.eval() is collection
    assert not collection.training
    assert not any(bag.training for bag in collection.tables.values())
    with pytest.raises(RuntimeError, match="^backward needs a call in training mode first$"):
        collection.backward(np.ones((2, 8)))
    collection.train()
    collection(bags)
    collection.eval()
    with pytest.raises(RuntimeError):
        collection.backward(np.ones((2, 8)))
    for bag in collection.train().tables.values():
        bag.frozen = True
    collection(bags)
    with pytest.raises(RuntimeError, match="^backward needs a table that is not frozen$"):
        collection.backward(np.ones((2, 8)))


@pytest.mark.parametrize("kind", ["array", "mapping"])
def test_a_gradient_in_the_memory_of_a_table_is_read_first(kind):
    rng = np.random.default_rng(0)
    weights = rng.standard_normal((2, 4, 4)).astype("f4")
    bags = {"x": [0, 1, 2, 3], "y": [0, 0, 1, 1]}

    def run(weights, grad):
        tables = {
            name: EmbeddingBag(4, 4, mode="sum", sparse="rows", _weight=weight)
            for name, weight in zip("xy", weights, strict=True)
        }
        collection = EmbeddingBagCollection(tables)
        collection(bags)
        collection.backward_update(grad, {name: optim.SGD(0.5) for name in tables})

    mine = weights.copy()
    if kind == "mapping":  # the gradient of y is the table x, which is updated first
        grad, copied = (
            {"x": weights[1], "y": weights[0]},
            {"x": mine[1].copy(), "y": mine[0].copy()},
        )
    else:
        grad = np.lib.stride_tricks.as_strided(weights, (4, 8), (16, 4))
        copied = grad.copy()
    run(weights, grad)
    run(mine, copied)
    assert_same(weights, mine)


def test_the_gradient_array_may_be_the_dense_grad_of_a_table():
    collection, bags = small()
    collection(bags)
    collection.backward(np.ones((2, 8)))
    grad = collection["tags"].grad  # (6, 2), in use as the gradient of the next result
    expected = np.copy(grad)
    parts = {"home": np.ones((2, 3)), "work": np.ones((2, 3)), "tags": grad[1:3]}
    expected[[1, 2, 5]] += expected[1] / 3
    collection(bags)
    collection.backward(parts)
    np.testing.assert_allclose(collection["tags"].grad, expected, rtol=1e-6)


@pytest.mark.parametrize("mode", MODES)
def test_a_shared_table_with_two_index_dtypes(mode):
    table = EmbeddingBag(9, 3, mode=mode, sparse="rows", rng=0)
    features = {"a": "x", "b": "x"}
    collection = EmbeddingBagCollection({"x": table}, features)
    bags = {"a": np.array([[1, 2], [3, 1]], "i4"), "b": np.array([[1], [8]])}
    collection(bags)
    grad = np.arange(12.0).reshape(2, 6).astype("f4")
    collection.backward(grad)
    together = np.concatenate([grad[:, :3], grad[:, 3:]])
    expected = ebagx.embedding_bag_backward(
        together, [[1, 2], [3, 1], [1], [8]], table.weight, mode=mode, sparse="rows"
    ).weight
    np.testing.assert_array_equal(table.grad.rows, expected.rows)
    assert_same(table.grad.values, expected.values)


# --- the object


def test_mapping_of_features():
    collection, _ = small()
    assert len(collection) == 3
    assert list(collection) == ["home", "tags", "work"]
    assert "home" in collection
    assert "place" not in collection
    assert collection["work"] is collection.tables["place"] is collection["home"]
    assert collection.features == {"home": "place", "tags": "tag", "work": "place"}
    assert collection.columns == {"home": slice(0, 3), "tags": slice(3, 5), "work": slice(5, 8)}
    assert collection.embedding_dim == 8
    with pytest.raises(TypeError):
        collection.tables["place"] = None
    with pytest.raises(KeyError):
        collection["place"]


def test_features_are_the_tables_by_default():
    tables = {"b": EmbeddingBag(3, 1), "a": EmbeddingBag(3, 2)}
    assert EmbeddingBagCollection(tables).features == {"b": "b", "a": "a"}


def test_repr_could_make_it_again():
    collection, _ = small()
    text = repr(collection)
    twin = eval(text, vars(ebagx))
    assert repr(twin) == text
    assert twin.features == collection.features
    assert "EmbeddingBag(10, 3, mode='sum')" in text


def test_state_dict_goes_through_npz(tmp_path):
    collection = EmbeddingBagCollection(
        {name: EmbeddingBag(4, 2, rng=0) for name in ("a", "a.weight", "x/y", "")}
    )
    state = collection.state_dict()
    assert list(state) == ["a.weight", "a.weight.weight", "x/y.weight", ".weight"]
    assert state["a.weight"] is collection.tables["a"].weight
    np.savez(tmp_path / "tables.npz", **state)
    expected = [array.copy() for array in state.values()]
    for bag in collection.tables.values():
        bag.weight[...] = 0
    with np.load(tmp_path / "tables.npz", allow_pickle=False) as loaded:
        collection.load_state_dict(loaded)
    for bag, weight in zip(collection.tables.values(), expected, strict=True):
        np.testing.assert_array_equal(bag.weight, weight)


def test_tables_may_be_exchanged_by_their_states():
    collection = EmbeddingBagCollection({name: EmbeddingBag(4, 2, rng=0) for name in "ab"})
    a, b = (bag.weight for bag in collection.tables.values())
    a[...], b[...] = 1, 2
    collection.load_state_dict({"a.weight": b, "b.weight": a})
    assert (a == 2).all()
    assert (b == 1).all()


def test_eval_calls_change_nothing():
    """They may run in several threads at the same time."""
    collection, bags = small()
    collection.eval()
    before = dict(vars(collection))
    collection(bags)
    assert vars(collection).keys() == before.keys()
    assert all(getattr(collection, name) is value for name, value in before.items())


def test_scipy_matrices_need_the_columns_of_their_table():
    collection, bags = small()
    bags["tags"] = scipy.sparse.csr_array(np.eye(2, 6))
    np.testing.assert_array_equal(collection(bags)[:, 3:5], collection["tags"].weight[:2])


def test_a_gradient_that_overlaps_the_rows_of_another_table():
    """Its first row is outside the table."""
    block = np.arange(10, dtype="f4").reshape(5, 2)
    expected = block[:4].copy()
    tables = {
        "x": EmbeddingBag(4, 2, mode="sum", _weight=block[1:]),
        "y": EmbeddingBag(4, 2, mode="sum", _weight=np.zeros((4, 2), "f4")),
    }
    collection = EmbeddingBagCollection(tables)
    collection({"x": [0, 1, 2, 3], "y": [0, 1, 2, 3]})
    optimizers = {name: optim.SGD(1.0) for name in tables}
    collection.backward_update({"x": np.ones((4, 2)), "y": block[:4]}, optimizers)
    np.testing.assert_array_equal(tables["y"].weight, -expected)


def test_a_data_frame_is_a_mapping_of_its_columns():
    pandas = pytest.importorskip("pandas")
    collection, _ = small()
    tags = pandas.Categorical.from_codes([2, 0], ["a", "b", "c"])
    frame = pandas.DataFrame({"home": [1, 7], "tags": [2, 0], "work": np.array([3, 3], "u1")})
    expected = collection({name: frame[name].to_numpy() for name in frame})
    np.testing.assert_array_equal(collection(frame), expected)
    coded = {**frame, "tags": pandas.Series(tags).cat.codes}
    np.testing.assert_array_equal(collection(coded), expected)
    message = "^feature 'tags': input is categorical: pass its codes"
    for categories in (tags, pandas.Series(tags), pandas.Series([1, 0]).astype("category")):
        with pytest.raises(TypeError, match=message):
            collection({**frame, "tags": categories})


def test_a_column_of_lists():
    pandas = pytest.importorskip("pandas")
    table = EmbeddingBag(10, 3, mode="sum", rng=0)
    collection = EmbeddingBagCollection({"x": table})
    column = pandas.Series([[1, 2], [], [7]])
    np.testing.assert_array_equal(collection(pandas.DataFrame({"x": column})), table(column))
    weights = pandas.Series([[0.5, 2.0], [], [1.0]])
    pooled = collection({"x": (column, None, weights)})
    np.testing.assert_array_equal(pooled, table(column, None, weights))


def test_tensors():
    torch = pytest.importorskip("torch")
    collection, bags = small()
    bags["home"] = torch.tensor([1, 7])
    expected = collection({**bags, "home": [1, 7]})
    np.testing.assert_array_equal(collection(bags), expected)
