"""Test wrong calls: errors of the type and with the words of PyTorch, before anything changes."""

import pytest

torch = pytest.importorskip("torch")

import ebagx.torch  # noqa: E402

TABLE = torch.arange(10.0).reshape(5, 2)
IDS, OFFSETS = torch.tensor([1, 2, 3]), torch.tensor([0, 2])
# Calls that PyTorch refuses, with the first words of its error.
REFUSED = {
    "index": ({"input": torch.tensor([1, 5])}, RuntimeError),
    "negative index": ({"input": torch.tensor([1, -1])}, RuntimeError),
    "float indices": ({"input": torch.tensor([1.0])}, RuntimeError),
    "float offsets": ({"offsets": torch.tensor([0.0])}, RuntimeError),
    "first offset": ({"offsets": torch.tensor([1, 2])}, RuntimeError),
    "offset beyond": ({"offsets": torch.tensor([0, 4])}, RuntimeError),
    "no last offset": (
        {"offsets": torch.zeros(0, dtype=torch.long), "include_last_offset": True},
        RuntimeError,
    ),
    "last offset beyond": (
        {"offsets": torch.tensor([0, 2, 4]), "include_last_offset": True},
        RuntimeError,
    ),
    "integer table": ({"weight": TABLE.long()}, RuntimeError),
    "complex table": ({"weight": TABLE.cfloat(), "mode": "sum"}, RuntimeError),
    "1-D table": ({"weight": TABLE[0]}, ValueError),
    "0-D input": ({"input": torch.tensor(1)}, ValueError),
    "3-D input": ({"input": torch.ones(1, 1, 1).long()}, ValueError),
    "no offsets": ({"offsets": None}, ValueError),
    "2-D offsets": ({"offsets": OFFSETS[None]}, ValueError),
    "2-D input with offsets": ({"input": IDS[None]}, ValueError),
    "shape of weights": ({"per_sample_weights": torch.ones(2), "mode": "sum"}, ValueError),
    "integer weights": (
        {"per_sample_weights": torch.ones(3).long(), "mode": "sum"},
        RuntimeError,
    ),
    "weights of max": ({"per_sample_weights": torch.ones(3), "mode": "max"}, NotImplementedError),
    "padding_idx": ({"padding_idx": 7}, RuntimeError),
    "mode": ({"mode": "median"}, ValueError),
    "list": ({"input": [1]}, AttributeError),
    "sparse of int": ({"sparse": 1}, TypeError),
    "flag of int": ({"scale_grad_by_freq": 1}, TypeError),
    "sparse table": ({"weight": TABLE.to_sparse()}, NotImplementedError),
}


def call(function, arguments):
    given = {"input": IDS, "weight": TABLE.clone(), "offsets": OFFSETS, **arguments}
    return function(**given)


def first_words(error):
    return " ".join(str(error.value).split()[:4])


@pytest.mark.parametrize("name", REFUSED)
def test_pytorch_raises_the_same(name):
    arguments, kind = REFUSED[name]
    with pytest.raises(kind) as theirs:
        call(torch.nn.functional.embedding_bag, arguments)
    with pytest.raises(kind) as ours:
        call(ebagx.torch.embedding_bag, arguments)
    if "index" in name:  # PyTorch's words depend on the dtype
        with pytest.raises(kind) as theirs:
            call(torch.nn.functional.embedding_bag, {**arguments, "weight": TABLE.double()})
    words = {
        "no last offset": "number of offset should",
        "sparse of int": "sparse must be True or False, got 1",
        "flag of int": "scale_grad_by_freq must be True or False, got 1",
    }.get(name, first_words(theirs))
    assert str(ours.value).startswith(words)
    assert type(ours.value) is type(theirs.value)


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        (
            {"input": torch.tensor([1, 5]), "mode": "sqrtn"},
            RuntimeError,
            r"found idx to be 5: input\[1\] = 5 is out of range for 5 embeddings; invalid='skip'",
        ),
        (
            {"offsets": torch.tensor([1, 2])},
            RuntimeError,
            r"However, got 1: offsets\[0\] must be 0, got 1$",
        ),
        (
            {"offsets": torch.tensor([0, 4])},
            RuntimeError,
            r"length 3 but got offsets\[-1\] of 4: offsets\[1\] = 4 is beyond the 3 indices",
        ),
        ({"offsets": torch.tensor([0, 2, 1])}, ValueError, "offsets must not decrease"),
        ({"offsets": torch.zeros(0, dtype=torch.long)}, RuntimeError, "belong to no bag"),
        ({"max_norm": -1.0}, ValueError, "max_norm must be at least 0"),
        ({"invalid": "ignore"}, ValueError, "invalid must be one of 'raise', 'skip'"),
        ({"default_row": 5}, ValueError, "default_row = 5 is out of range"),
        ({"num_threads": 0}, ValueError, "num_threads must be at least 1"),
        (
            {"mode": "min", "per_sample_weights": torch.ones(3)},
            ValueError,
            "per_sample_weights must be None in mode 'min'",
        ),
        ({"mode": "min", "input": torch.tensor([1.0])}, RuntimeError, "Expected tensor"),
        ({"mode": "sqrtn", "input": torch.tensor(1)}, ValueError, "input has to be 1D or 2D"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_details(arguments, kind, message):
    with pytest.raises(kind, match=message):
        call(ebagx.torch.embedding_bag, arguments)


@pytest.mark.parametrize("arguments", [REFUSED[name][0] for name in ("index", "offset beyond")])
def test_nothing_has_changed(arguments):
    table = TABLE.clone().requires_grad_()
    given = {"input": IDS, "offsets": OFFSETS, **arguments}
    for context in (torch.enable_grad(), torch.no_grad()):
        with context, pytest.raises(RuntimeError):
            ebagx.torch.embedding_bag(weight=table, max_norm=0.1, **given)
    assert torch.equal(table, TABLE)
    assert table._version == 0


def test_tensors_without_memory_go_to_pytorch():
    given = [tensor.to("meta") for tensor in (IDS, TABLE, OFFSETS)]
    pooled = ebagx.torch.embedding_bag(*given)
    assert pooled.is_meta
    assert pooled.shape == (2, 2)
    for extra in ({"mode": "min"}, {"invalid": "skip"}, {"default_row": 0}):
        with pytest.raises(NotImplementedError, match=f"PyTorch has no {next(iter(extra))}="):
            ebagx.torch.embedding_bag(*given, **extra)


@pytest.mark.parametrize("name", ["weight", "input", "offsets"])
def test_tensors_on_two_devices(name):
    """PyTorch returns memory that it has not written for some of these calls."""
    given = {"weight": TABLE, "input": IDS, "offsets": OFFSETS}
    given[name] = given[name].to("meta")
    with pytest.raises(RuntimeError, match=r"^Expected all tensors .* found cpu, meta: move"):
        ebagx.torch.embedding_bag(**given)


def test_subclasses_of_tensors_go_to_pytorch():
    seen = []

    class Logged(torch.Tensor):
        @classmethod
        def __torch_function__(cls, function, types, args=(), kwargs=None):
            seen.append(function)
            return super().__torch_function__(function, types, args, kwargs or {})

    ebagx.torch.embedding_bag(IDS, TABLE.as_subclass(Logged), OFFSETS)
    assert torch.nn.functional.embedding_bag in seen


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({"padding_idx": 9}, AssertionError, "padding_idx must be within num_embeddings"),
        ({"mode": "median"}, ValueError, "mode must be one of"),
        ({"invalid": 1}, ValueError, "invalid must be one of"),
        ({"default_row": 5}, ValueError, "default_row = 5 is out of range for 5 embeddings"),
        ({"num_threads": 0}, ValueError, "num_threads must be at least 1"),
    ],
    ids=str,
)
def test_arguments_of_the_module(options, kind, message):
    with pytest.raises(kind, match=message):
        ebagx.torch.EmbeddingBag(5, 2, **options)


def test_expanded_tables_cannot_be_scaled():
    table = torch.ones(1, 2).expand(5, 2)
    torch.testing.assert_close(ebagx.torch.embedding_bag(IDS, table, OFFSETS), torch.ones(2, 2))
    with pytest.raises(ValueError, match="elements of weight share memory"):
        ebagx.torch.embedding_bag(IDS, table, OFFSETS, max_norm=0.1)
