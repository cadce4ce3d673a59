"""Test the way of calls without arrays: what it takes, what it leaves, and what it keeps."""

import ctypes
import gc
import weakref

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import ebagx.torch  # noqa: E402
from ebagx._core import cpu  # noqa: E402
from ebagx.torch import direct, tensors  # noqa: E402

needs_exchange = pytest.mark.skipif(
    tensors._EXCHANGE is None, reason="PyTorch has no functions in C that look at tensors"
)
SQUARE = torch.arange(16.0).reshape(4, 4)
IDS, STARTS = torch.tensor([3, 1, 1, 2]), torch.tensor([0, 2])


@pytest.fixture(params=["exchange", "arrays"])
def way(request, monkeypatch):
    """Look at tensors by PyTorch's functions in C, and as in versions that lack them."""
    if request.param == "arrays":
        monkeypatch.setattr(tensors, "_EXCHANGE", None)
    elif tensors._EXCHANGE is None:
        pytest.skip("this PyTorch has no such functions")


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("dtype", [*tensors.TABLE_DTYPES, torch.int32, torch.int64])
@pytest.mark.parametrize("shape", [(5,), (1, 5), (5, 1), (3, 4)])
def test_memory_is_that_of_the_tensor(dtype, shape):
    tensor = torch.arange(12).to(dtype)[: np.prod(shape)].reshape(shape)
    none, memory = tensors.memories_of((None, torch.nn.Parameter(tensor, requires_grad=False)))
    array = tensors.as_array(tensor)
    assert none is None
    assert memory.shape == shape
    assert np.asarray(memory).ctypes.data == array.ctypes.data
    assert memory.tobytes() == array.tobytes()
    assert memory.format in "fdHhilq"


@needs_exchange
def test_no_array_is_made(monkeypatch):
    monkeypatch.setattr(tensors, "as_array", None)
    assert [memory.shape for memory in tensors.memories_of((SQUARE, IDS))] == [(4, 4), (4,)]


class Subclass(torch.Tensor):
    """A tensor whose operations may have another meaning."""


OTHERS = {
    "transposed": SQUARE.t(),
    "columns": SQUARE[:, ::2],
    "one number": torch.tensor(1.0),
    "three axes": SQUARE.reshape(2, 2, 4),
    "empty": SQUARE[:0],
    "int16": torch.arange(4, dtype=torch.int16),
    "bool": torch.tensor([True, False]),
    "uint8": torch.arange(4, dtype=torch.uint8),
    "complex": SQUARE.to(torch.complex64),
    "negative": torch._neg_view(SQUARE),
    "sparse": SQUARE.to_sparse(),
    "meta": SQUARE.to("meta"),
    "subclass": SQUARE.as_subclass(Subclass),
    "array": SQUARE.numpy(),
    "list": [1, 2],
}


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("kind", OTHERS)
def test_others_have_no_memory(kind):
    assert tensors.memories_of((SQUARE, None, OTHERS[kind])) is None


@needs_exchange
@pytest.mark.parametrize("fields", [(2, 0, 1), (1, 0, 0)], ids=["version", "no function"])
def test_an_exchange_of_another_form_is_not_used(fields):
    major, minor, look = fields
    table = (ctypes.c_size_t * 7)(major | minor << 32, 0, 0, 0, 0, look, 0)
    new = ctypes.pythonapi.PyCapsule_New
    new.restype, new.argtypes = (
        ctypes.py_object,
        [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p],
    )
    capsule = new(ctypes.addressof(table), b"dlpack_exchange_api", None)
    assert cpu.tensor_memories((SQUARE,), (torch.Tensor,), capsule) is None


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("dtype", tensors.TABLE_DTYPES)
@pytest.mark.parametrize("mode", ["sum", "mean", "sqrtn"])
@pytest.mark.parametrize("form", ["starts", "closed", "2-D", "weights"])
def test_bits_are_those_of_the_usual_way(monkeypatch, dtype, mode, form):
    torch.manual_seed(0)
    table = torch.randn(50, 17).to(dtype)
    ids = torch.randint(50, (40,), dtype=torch.int32)
    sums = torch.float64 if dtype is torch.float64 else torch.float32
    bags = {
        "starts": (ids, torch.tensor([0, 0, 7])),
        "closed": (ids, torch.tensor([0, 7, 40])),
        "2-D": (ids.reshape(8, 5), None),
        "weights": (ids, torch.tensor([0, 7]), torch.rand(40, dtype=sums)),
    }[form]
    results = []
    for left_out in ("ebagx.torch.pooling.bags_for", "ebagx.torch.functional.pool_directly"):
        with monkeypatch.context() as patch:
            patch.setattr(left_out, None if "bags_for" in left_out else lambda *_: None)
            bag = ebagx.torch.EmbeddingBag(
                50, 17, mode=mode, include_last_offset=form == "closed", _weight=table.clone()
            )
            with torch.no_grad():
                alone = bag(*bags)
            pooled = bag(*bags)
            pooled.square().sum().backward()
        assert torch.equal(alone, pooled)
        results.append((alone, bag.weight.grad))
    for one, other in zip(*results, strict=True):
        assert torch.equal(one, other)


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("mode", ["sum", "mean", "sqrtn"])
@pytest.mark.parametrize("form", ["starts", "2-D", "weights"])
def test_gradients_of_few_lookups_have_the_bits_of_many(monkeypatch, dtype, mode, form):
    torch.manual_seed(0)
    table, ids = torch.randn(50, 17).to(dtype), torch.randint(50, (40,))
    bags = {
        "starts": (ids, torch.tensor([0, 0, 7])),
        "2-D": (ids.reshape(8, 5).int(), None),
        "weights": (ids, torch.tensor([0, 7]), torch.rand(40, dtype=dtype)),
    }[form]
    gradients = []
    for left_out in ("row_gradient", "few_rows"):
        with monkeypatch.context() as patch:
            patch.setattr(f"ebagx.torch.pooling.{left_out}", lambda *_: None)
            bag = ebagx.torch.EmbeddingBag(50, 17, mode=mode, sparse=True, _weight=table.clone())
            bag(*bags).square().sum().backward()
        gradients.append(bag.weight.grad)
    few, many = gradients
    assert few._indices().dtype == many._indices().dtype == torch.int64
    assert torch.equal(few._indices(), many._indices())
    assert torch.equal(few._values(), many._values())


def test_few_lookups_take_gradients_of_any_layout():
    bag = ebagx.torch.EmbeddingBag(4, 4, mode="sum", sparse=True)
    one = torch.ones(2, 4)
    layouts = {
        "expanded": torch.ones(()).expand(2, 4),
        "transposed": torch.ones(4, 2).t(),
        "negative": torch._neg_view(-one),
    }
    for name, grad_output in layouts.items():
        bag.weight.grad = None
        bag(IDS, STARTS).backward(grad_output)
        assert bag.weight.grad.to_dense().sum(1).tolist() == [0, 8, 4, 4], name


@pytest.mark.usefixtures("way")
def test_many_bags_and_threads(monkeypatch):
    monkeypatch.setattr("ebagx.torch.pooling.bags_for", None)
    torch.manual_seed(0)
    table = torch.randn(100, 32)
    ids, offsets = torch.randint(100, (20_000,)), torch.arange(0, 20_000, 20)
    one, three = (
        ebagx.torch.embedding_bag(ids, table, offsets, mode="sum", num_threads=n) for n in (1, 3)
    )
    assert torch.equal(one, three)
    expected = torch.nn.functional.embedding_bag(ids, table, offsets, mode="sum")
    torch.testing.assert_close(one, expected, atol=1e-4, rtol=1e-5)


def test_work_of_several_pieces_goes_the_usual_way(monkeypatch):
    monkeypatch.setattr(direct, "is_one_piece", lambda work: work < 16)
    bags = direct.Tensors(SQUARE, IDS, STARTS), direct.Settings(mode="sum"), False
    assert direct.pool_directly(*bags) is None
    monkeypatch.undo()
    assert torch.equal(direct.pool_directly(*bags)[0], SQUARE[[3, 1]] + SQUARE[[1, 2]])


@pytest.mark.parametrize("sparse", [False, True])
def test_results_are_freed_without_a_search_for_cycles(sparse):
    bag = ebagx.torch.EmbeddingBag(4, 4, sparse=sparse)
    gc.disable()
    try:
        pooled = bag(IDS, STARTS)
        known = weakref.ref(pooled)
        del pooled
        assert known() is None
    finally:
        gc.enable()


@pytest.mark.parametrize("name", ["weight", "input", "per_sample_weights"])
def test_other_memory_of_another_shape_before_backward(name):
    bag = ebagx.torch.EmbeddingBag(4, 4, mode="sum", sparse=True)
    given = {"input": IDS.clone(), "per_sample_weights": torch.ones(4)}
    pooled = bag(given["input"], STARTS, given["per_sample_weights"])
    changed = bag.weight if name == "weight" else given[name]
    changed.data = changed.data[:3].clone()
    with pytest.raises(RuntimeError, match="another shape than in the forward pass"):
        pooled.sum().backward()


@pytest.mark.usefixtures("way")
def test_wrong_settings_raise_as_before():
    for settings, error in (({"sparse": ["yes"]}, TypeError), ({"num_threads": 0}, ValueError)):
        (name,) = settings
        with pytest.raises(error, match=f"{name} must be"):
            ebagx.torch.embedding_bag(IDS, SQUARE, STARTS, **settings)
