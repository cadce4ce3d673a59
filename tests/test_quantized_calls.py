"""Test that calls with a quantised table have the bits of calls with the table of its values."""

import copy
import pickle

import numpy as np
import pytest
import scipy.sparse

import ebagx
from ebagx import EmbeddingBag, EmbeddingBagCollection, KeyedBags, QuantizedTable, embedding_bag
from support import kernel_cases as cases
from support.quantized_cases import LAYOUTS, bits_of_codes, make_packed

NUM_ROWS = 60
MODES = ("sum", "mean", "sqrtn", "max", "min")
FORMATS = ("torch_byte", "fbgemm_int8", "torch_4bit", "fbgemm_int2")
formats = pytest.mark.parametrize("name", FORMATS)


def make_table(name, dim=20):
    packed = make_packed(np.random.default_rng(0), NUM_ROWS, dim, LAYOUTS[name])
    return QuantizedTable.from_packed(packed.array, name), packed.values


def make_input(rng, form):
    """Return the bags of one form, and what else a call needs."""
    lengths = rng.integers(0, 9, 12)
    ids, offsets = rng.integers(0, NUM_ROWS, lengths.sum()), np.cumsum([0, *lengths])
    if form == "offsets":
        return ids, {"offsets": offsets[:-1].astype(np.int32)}
    if form == "last offset":
        return ids.astype(np.int32), {"offsets": offsets, "include_last_offset": True}
    if form == "2-D":
        return rng.integers(0, NUM_ROWS, (12, 5)), {}
    if form == "list":
        return [part.tolist() for part in np.split(ids, offsets[1:-1])], {}
    shape = (12, NUM_ROWS)
    return scipy.sparse.csr_array((rng.random(len(ids)), ids, offsets), shape=shape), {}


@formats
@pytest.mark.parametrize("form", ["offsets", "last offset", "2-D", "list", "CSR"])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    "policy",
    [
        {},
        {"padding_idx": 7},
        {"default_row": 4},
        {"padding_idx": -1, "default_row": NUM_ROWS - 1, "num_threads": 2},
        {"invalid": "skip", "default_row": 3},
    ],
    ids=str,
)
def test_every_mode_form_and_policy(name, form, mode, policy):
    quantized, values = make_table(name)
    given, others = make_input(np.random.default_rng(1), form)
    if "invalid" in policy and isinstance(given, np.ndarray):
        given.reshape(-1)[::5] = -1
    arguments = {**others, **policy, "mode": mode}
    extremes = mode in ("max", "min")
    actual = embedding_bag(given, quantized, return_indices=extremes, **arguments)
    expected = embedding_bag(given, values, return_indices=extremes, **arguments)
    if extremes:
        np.testing.assert_array_equal(actual[1], expected[1])
        actual, expected = actual[0], expected[0]
    cases.assert_same_bits(actual, expected)
    module = EmbeddingBag.from_pretrained(
        quantized, mode=mode, **{key: policy[key] for key in policy if key != "num_threads"}
    )
    if "include_last_offset" not in others:
        cases.assert_same_bits(module(given, others.get("offsets")), expected)


@formats
@pytest.mark.parametrize("mode", ["sum", "mean", "sqrtn"])
def test_weights_and_their_gradient(name, mode):
    quantized, values = make_table(name)
    rng = np.random.default_rng(2)
    ids, offsets = rng.integers(0, NUM_ROWS, 90), np.array([0, 4, 4, 50])
    weights = rng.standard_normal(90).astype(np.float32)
    call = {"offsets": offsets, "mode": mode, "per_sample_weights": weights, "padding_idx": 5}
    pooled = embedding_bag(ids, quantized, **call)
    cases.assert_same_bits(pooled, embedding_bag(ids, values, **call))
    gradients = [
        ebagx.embedding_bag_backward(pooled, ids, table, weight_grad=False, **call)
        for table in (quantized, values)
    ]
    assert gradients[0].weight is None
    cases.assert_same_bits(*(gradient.per_sample_weights for gradient in gradients))


@formats
@pytest.mark.parametrize("mode", MODES)
def test_long_bags_and_many_lookups(name, mode):
    """There are parts of bags, cuts by columns and more bytes than one buffer."""
    quantized, values = make_table(name, dim=300)
    rng = np.random.default_rng(3)
    ids, offsets = rng.integers(0, NUM_ROWS, 12_000), np.array([0, 3, 600, 10_000])
    expected = embedding_bag(ids, values, offsets, mode=mode)
    for num_threads in (1, 2, 3):
        pooled = embedding_bag(ids, quantized, offsets, mode=mode, num_threads=num_threads)
        cases.assert_same_bits(pooled, expected)


@formats
@pytest.mark.parametrize("mode", ["sum", "max"])
def test_long_work_is_cut_into_pieces(monkeypatch, name, mode):
    quantized, values = make_table(name, dim=100)
    ids, offsets = np.random.default_rng(5).integers(0, NUM_ROWS, 300), [0, 3, 200]
    expected = embedding_bag(ids, values, offsets, mode=mode)
    monkeypatch.setattr("ebagx._core.pieces._PIECE", 1000)
    cases.assert_same_bits(embedding_bag(ids, quantized, offsets, mode=mode), expected)


@bits_of_codes
def test_a_few_lookups_of_a_large_table_in_max(bits):
    """Only the rows that are looked up are computed."""
    table = np.random.default_rng(4).standard_normal((5000, 33)).astype(np.float32)
    quantized = ebagx.quantize(table, bits)
    bags = [[3, 4999, 17], [], [2500]]
    pooled = embedding_bag(bags, quantized, mode="max")
    cases.assert_same_bits(pooled, embedding_bag(bags, quantized.toarray(), mode="max"))


@formats
def test_an_output_of_the_caller(name):
    quantized, values = make_table(name)
    out = np.full((2, 40), 7, np.float32)[:, ::2]
    assert embedding_bag([[1, 2], [3, 4]], quantized, out=out) is out
    cases.assert_same_bits(np.ascontiguousarray(out), embedding_bag([[1, 2], [3, 4]], values))


@formats
def test_indices_outside_are_named(name):
    quantized, _ = make_table(name)
    for mode in MODES:
        with pytest.raises(IndexError, match=r"input\[1\]\[0\] = 60 is out of range for 60"):
            embedding_bag([[1], [60]], quantized, mode=mode)


def test_collections_and_keyed_bags():
    tables = [make_table(name) for name in FORMATS[:2]]

    def collection(number):
        bags = {
            "a": EmbeddingBag.from_pretrained(tables[0][number], mode="sum"),
            "b": EmbeddingBag.from_pretrained(tables[1][number], mode="max"),
            "c": EmbeddingBag(NUM_ROWS, 3, rng=0),
        }
        return EmbeddingBagCollection(bags, {"x": "a", "y": "b", "z": "a", "w": "c"})

    quantized, plain = collection(0), collection(1)
    one_id = {name: np.arange(8) for name in quantized.features}
    cases.assert_same_bits(quantized(one_id), plain(one_id))
    keyed = KeyedBags(list("xyzw"), np.arange(40), np.arange(0, 41, 5))
    cases.assert_same_bits(quantized(keyed), plain(keyed))
    quantized.backward_update(np.ones((2, 63), np.float32), ebagx.optim.SGD(0.1))
    with pytest.raises(TypeError, match="save it with its method save"):
        quantized.state_dict()


@formats
def test_the_transformer(name):
    sklearn = pytest.importorskip("ebagx.sklearn")
    base = pytest.importorskip("sklearn.base")
    quantized, values = make_table(name)
    X = scipy.sparse.random_array((30, NUM_ROWS), density=0.2, rng=0, format="csr")
    for mode in MODES:
        pool = sklearn.EmbeddingBagTransformer(quantized, mode=mode)
        other = sklearn.EmbeddingBagTransformer(values, mode=mode)
        cases.assert_same_bits(pool.fit_transform(X), other.fit_transform(X))
    assert pool.embedding_ is quantized
    assert base.clone(pool).weight is quantized
    assert len(pool.get_feature_names_out()) == 20
    assert "QuantizedTable(60, 20, bits=" in repr(pool)
    cases.assert_same_bits(pickle.loads(pickle.dumps(pool)).transform(X), pool.transform(X))
    with pytest.raises(ValueError, match="weight must have a row for each of the 59 features"):
        pool.fit(X[:, :59])


@formats
def test_modules_are_copied_and_pickled(name):
    quantized, values = make_table(name)
    module = EmbeddingBag.from_pretrained(quantized)
    expected = embedding_bag([[1, 2]], values)
    for same in (copy.copy(module), copy.deepcopy(module), pickle.loads(pickle.dumps(module))):
        cases.assert_same_bits(same([[1, 2]]), expected)
    assert copy.deepcopy(module).weight is quantized
    module.weight = values
    cases.assert_same_bits(module([[1, 2]]), expected)
    module.weight = quantized
    assert module.weight is quantized
    with pytest.raises(ValueError, match="weight must have shape"):
        module.weight = ebagx.quantize(np.ones((3, 4)))


def test_training_is_refused_with_the_way_out():
    quantized, _ = make_table("torch_4bit")
    module = EmbeddingBag.from_pretrained(quantized)
    plain = EmbeddingBag(NUM_ROWS, 20)
    grad = np.ones((1, 20), np.float32)
    refused = {
        "backward": lambda: ebagx.embedding_bag_backward(grad, [[1]], quantized),
        "of weights and table": lambda: ebagx.embedding_bag_backward(
            grad, [[1]], quantized, per_sample_weights=[[1.0]], mode="sum"
        ),
        "max_norm": lambda: embedding_bag([[1]], quantized, max_norm=1.0),
        "not frozen": lambda: EmbeddingBag.from_pretrained(quantized, freeze=False),
        "thaw": lambda: setattr(module, "frozen", False),
        "constructor": lambda: EmbeddingBag(NUM_ROWS, 20, _weight=quantized),
        "assigned": lambda: setattr(plain, "weight", quantized),
        "drawn": module.reset_parameters,
        "loaded": lambda: module.load_state_dict({"weight": np.ones((NUM_ROWS, 20))}),
    }
    for what, call in refused.items():
        with pytest.raises(TypeError, match="is a QuantizedTable, which is only read, but") as info:
            call()
        assert "give its toarray()" in str(info.value), what
    with pytest.raises(RuntimeError, match="frozen"):
        module.backward(grad)
    with pytest.raises(TypeError, match="save it with its method save"):
        module.state_dict()
    collection = EmbeddingBagCollection({"a": module})
    module.max_norm = 1.0
    with pytest.raises(TypeError, match="feature 'a': weight is a QuantizedTable"):
        collection({"a": [1]})


def test_optimizers_refuse_it():
    with pytest.raises(TypeError):
        ebagx.optim.SGD(0.1).update(
            make_table("torch_byte")[0], ebagx.RowGradient([1], np.ones((1, 20)), (NUM_ROWS, 20))
        )


@pytest.mark.parametrize("weighted", [False, True])
def test_usual_calls_are_one_call_of_a_kernel(monkeypatch, weighted):
    """They are not checked a second time, which took longer than to pool a few bags."""
    table = ebagx.quantize(np.arange(40, dtype=np.float32).reshape(10, 4))
    bags = np.array([3, 1, 9, 4]), np.array([0, 1])
    weights = {"per_sample_weights": np.array([2, 1, 0, 3], np.float32)} if weighted else {}
    expected = ebagx.embedding_bag(bags[0], table.toarray(), bags[1], mode="sum", **weights)
    monkeypatch.setattr("ebagx.functional.bags_for", None)
    pooled = ebagx.embedding_bag(bags[0], table, bags[1], mode="sum", **weights)
    assert pooled.tobytes() == expected.tobytes()
