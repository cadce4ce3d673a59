"""Test the cases of PyTorch's own tests of EmbeddingBag (test/nn/test_embedding.py).

Each function has the name of the case there, and tests the same properties, on the CPU. Names there
with "EmbeddingBag" are lower-case here. Some cases are parts of others:

=============================================  ===================================================
embedding_bag_bfloat16, embedding_bag_half     embedding_bag_device, for all dtypes and modes
per_sample_weights_and_no_offsets              embedding_bag_vs_embedding, mode "weighted"
empty_per_sample_weights_and_offsets           per_sample_weights_and_offsets
dimension_errors, padding_idx_error            test_errors, beside the errors of all other calls
=============================================  ===================================================

Left out: two kinds of `per_sample_weights_failures`, which ebagx takes (weights of another dtype
than the table's, weights in mode "mean"; test_errors has the other kinds); ``torch.embedding_bag``
and ``torch._embedding_bag``, which ebagx does not replace; other devices than the CPU, where
PyTorch does the work (test_errors has "meta"). PyTorch skips sparse gradients in mode "max"; here
they are tested.
"""

import itertools

import pytest

torch = pytest.importorskip("torch")

import ebagx.torch  # noqa: E402
from support.torch_cases import DTYPES, dense  # noqa: E402

INTEGERS = (torch.int, torch.long)
TOLERANCE = {torch.float64: 1e-12, torch.float32: 1e-5, torch.float16: 2e-2, torch.bfloat16: 1e-1}
integers = pytest.mark.parametrize(
    ("ids_dtype", "offsets_dtype"), list(itertools.product(INTEGERS, repeat=2)), ids=str
)
dtypes = pytest.mark.parametrize("dtype", DTYPES, ids=str)


def counted(dtype, **options):
    """Return a module whose table counts from 1."""
    table = torch.arange(1, 11).reshape(5, 2).to(dtype)
    return ebagx.torch.EmbeddingBag(5, 2, _weight=table, **options)


def close(actual, expected, dtype):
    tolerance = TOLERANCE[dtype]
    torch.testing.assert_close(actual.double(), expected.double(), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("freeze", [True, False])
def test_embeddingbag_from_pretrained(freeze):
    table = torch.tensor([[1.0, 2, 3], [4, 5, 6]])
    bag = ebagx.torch.EmbeddingBag.from_pretrained(table, freeze=freeze)
    assert type(bag) is ebagx.torch.EmbeddingBag
    assert bag.weight.data_ptr() == table.data_ptr()
    assert bag.weight.requires_grad is not freeze
    assert torch.equal(bag(torch.tensor([[0, 1]])), table.mean(0, keepdim=True))


def test_embedding_bag_from_pretrained():
    table = torch.tensor([[1.0, 2, 3], [4, 5, 6]])
    bag = ebagx.torch.EmbeddingBag.from_pretrained(table)
    assert torch.equal(bag(torch.tensor([0, 1]), torch.arange(2)), table)


@pytest.mark.parametrize("padding_idx", [None, 2])
def test_embedding_bag_functional(padding_idx):
    ids = torch.tensor([[1, 3, 2], [0, 2, 1]])
    table = torch.rand(4, 3, requires_grad=True)
    bag = ebagx.torch.EmbeddingBag(4, 3, padding_idx=padding_idx)
    bag.weight = torch.nn.Parameter(table)
    pretrained = ebagx.torch.EmbeddingBag.from_pretrained(table, padding_idx=padding_idx)
    pooled = ebagx.torch.embedding_bag(ids, table, padding_idx=padding_idx)
    kept = [[i for i in row if i != padding_idx] for row in ids.tolist()]
    expected = torch.stack([table[rows].mean(0) for rows in kept])
    torch.testing.assert_close(pooled, expected)
    assert torch.equal(bag(ids), pooled)
    assert torch.equal(pretrained(ids), pooled)


@pytest.mark.parametrize("of_table", [True, False])
@pytest.mark.parametrize("of_weights", [True, False])
def test_embedding_bag_per_sample_weights_grad(of_table, of_weights):
    """Rows of indices that share memory have weights that are computed."""
    bag = ebagx.torch.EmbeddingBag(256, 256, mode="sum").requires_grad_(of_table)
    ids = torch.arange(1, 5).expand(3, -1)
    logits = torch.rand(3, 4, requires_grad=of_weights)
    pooled = bag(ids, per_sample_weights=logits.softmax(-1))
    expected = logits.softmax(-1) @ bag.weight[1:5]
    torch.testing.assert_close(pooled, expected)
    leaves = [leaf for leaf in (bag.weight, logits) if leaf.requires_grad]
    if leaves:
        actual = torch.autograd.grad(pooled.square().sum(), leaves)
        wanted = torch.autograd.grad(expected.square().sum(), leaves)
        torch.testing.assert_close(actual, wanted)


@pytest.mark.parametrize("padding_idx", [2, -1])
def test_embeddingbag_from_pretrained_padding_idx(padding_idx):
    table = torch.ones(3, 3)
    bag = ebagx.torch.EmbeddingBag.from_pretrained(table, padding_idx=padding_idx)
    assert bag.padding_idx == 2
    assert torch.equal(bag.weight, torch.ones(3, 3))


def test_embeddingbag_from_pretrained_options():
    options = {
        "max_norm": 2.0,
        "norm_type": 0.5,
        "scale_grad_by_freq": False,
        "sparse": True,
        "mode": "max",
    }
    table = torch.tensor([[1.0, 2, 3], [4, 5, 6]])
    bag = ebagx.torch.EmbeddingBag.from_pretrained(table, freeze=True, **options)
    pooled = bag(torch.tensor([[0, 1]]))
    assert torch.equal(pooled, table.max(0, keepdim=True).values)  # the rows were scaled in place
    assert (table.norm(p=0.5, dim=1) <= 2.0001).all()


def test_embeddingbag_include_last_offset():
    """The last bag has all indices that are left, whatever the last offset says."""
    bag = ebagx.torch.EmbeddingBag(100, 3, include_last_offset=True, padding_idx=61)
    ids = torch.tensor([0, 1, 2, 3])
    expected = torch.stack([bag.weight[:3].mean(0), bag.weight[3]])
    for ends in ([0, 3, 3], [0, 3, 4]):
        torch.testing.assert_close(bag(ids, torch.tensor(ends)), expected)


@pytest.mark.parametrize("mode", ["sum", "mean", "max"])
@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("all_padding", [False, True])
def test_embedding_bag_1d_padding_idx(mode, sparse, last, all_padding):
    """Bags cut by offsets are those of a matrix that is filled up with padding."""
    generator = torch.Generator().manual_seed(0)
    lengths = torch.randint(1, 10, (10,), generator=generator)
    lengths[3], lengths[5] = 0, 10
    ids = torch.randint(0, 100, (int(lengths.sum()),), generator=generator)
    ids = torch.ones_like(ids) if all_padding else ids
    ends = torch.cat([torch.zeros(1, dtype=torch.long), lengths.cumsum(0)])
    for padding_idx in (None, *set(ids.tolist())):
        fill = 100 if padding_idx is None else padding_idx
        matrix = torch.full((10, 10), fill)
        for row, part in zip(matrix, ids.split(lengths.tolist()), strict=True):
            row[: len(part)] = part
        table = torch.randn(101, 3, dtype=torch.float64, requires_grad=True)
        other = table.detach().clone().requires_grad_()
        options = {"mode": mode, "sparse": sparse}
        starts = ends if last else ends[:-1]
        pooled = ebagx.torch.embedding_bag(
            ids, table, starts, padding_idx=padding_idx, include_last_offset=last, **options
        )
        of_matrix = ebagx.torch.embedding_bag(matrix, other, padding_idx=fill, **options)
        torch.testing.assert_close(pooled, of_matrix)
        pooled.sum().backward()
        of_matrix.sum().backward()
        torch.testing.assert_close(dense(table.grad), dense(other.grad))


@pytest.mark.parametrize("mode", ["sum", "mean", "max"])
def test_embedding_bag_2d_padding_idx(mode):
    """The bags are those of the rows that are no padding, pooled by elementary operations."""
    ids = torch.tensor([[0, 1, 2, 1], [1, 1, 1, 1], [4, 3, 1, 4]])
    table = torch.randn(5, 3, dtype=torch.float64, requires_grad=True)
    other = table.detach().clone().requires_grad_()
    pooled = ebagx.torch.embedding_bag(ids, table, mode=mode, padding_idx=1)
    parts = [other[row[row != 1]] for row in ids]
    reduce = {"sum": torch.sum, "mean": torch.mean, "max": lambda part, dim: part.amax(dim)}[mode]
    expected = [reduce(part, dim=0) if len(part) else 0 * other[0] for part in parts]
    torch.testing.assert_close(pooled, torch.stack(expected))
    pooled.sum().backward()
    torch.stack(expected).sum().backward()
    if mode != "max":  # where rows have equal values, amax shares the gradient
        torch.testing.assert_close(table.grad, other.grad)


@integers
@pytest.mark.parametrize("sparse", [False, True])
def test_embedding_bag_empty_input(ids_dtype, offsets_dtype, sparse):
    bag = ebagx.torch.EmbeddingBag(4, 3, sparse=sparse)
    for starts in ([0], [0, 0]):
        offsets = torch.tensor(starts, dtype=offsets_dtype)
        pooled = bag(torch.tensor([], dtype=ids_dtype), offsets)
        assert torch.equal(pooled, torch.zeros(len(starts), 3))


@pytest.mark.parametrize("dtype", [torch.float, torch.double], ids=str)
@pytest.mark.parametrize("ids_dtype", INTEGERS, ids=str)
@pytest.mark.parametrize("padding_idx", [None, 0])
@pytest.mark.parametrize("mode", ["sum", "mean", "max"])
def test_embedding_bag_out_of_bounds_idx(dtype, ids_dtype, padding_idx, mode):
    table = torch.randn(10, 2, dtype=dtype)
    weights = [None, torch.ones(1, 2, dtype=dtype)] if mode == "sum" else [None]
    for ids, given_weights in itertools.product(([[-1, 1]], [[11, 8]]), weights):
        given = torch.tensor(ids, dtype=ids_dtype)
        with pytest.raises(RuntimeError, match="Expected idx >= 0 && idx < num_embeddings"):
            ebagx.torch.embedding_bag(
                given,
                table,
                padding_idx=padding_idx,
                mode=mode,
                per_sample_weights=given_weights,
            )


@integers
@dtypes
@pytest.mark.parametrize("trainable", [False, True])
def test_per_sample_weights_and_offsets(ids_dtype, offsets_dtype, dtype, trainable):
    for ids, starts in (([3, 1, 1, 1, 4, 0], [0, 0, 3, 3, 6]), ([], [0, 0, 0])):
        bag = counted(dtype, mode="sum")
        given = torch.tensor(ids, dtype=ids_dtype)
        offsets = torch.tensor(starts, dtype=offsets_dtype)
        weights = torch.randn(len(ids)).to(dtype).requires_grad_(trainable)
        table = bag.weight.detach().double().requires_grad_()
        reference = weights.detach().double().requires_grad_()
        terms = table[given.long()] * reference[:, None]
        lengths = torch.diff(offsets, append=torch.tensor([len(ids)])).tolist()
        expected = torch.stack([part.sum(0) for part in terms.split(lengths)])
        pooled = bag(given, offsets, weights)
        close(pooled, expected, dtype)
        grad = torch.randn(len(starts), 2).to(dtype)
        pooled.backward(grad)
        expected.backward(grad.double())
        close(bag.weight.grad, table.grad, dtype)
        if trainable:
            close(weights.grad, reference.grad, dtype)


@integers
@dtypes
@pytest.mark.parametrize("mode", ["sum", "mean", "max", "weighted"])
def test_per_sample_weights_and_new_offsets(ids_dtype, offsets_dtype, dtype, mode):
    """A last offset changes nothing, and bags are sums, means and maxima of their rows."""
    ids, starts = torch.tensor([3, 1, 1, 1, 4, 0], dtype=ids_dtype), [0, 0, 3, 3, 6]
    ways = {"sum": torch.sum, "mean": torch.mean, "max": lambda part, dim: part.amax(dim)}
    for last in (False, True):
        own = "sum" if mode == "weighted" else mode
        bag = counted(dtype, mode=own, include_last_offset=last)
        offsets = torch.tensor(starts + [6] * last, dtype=offsets_dtype)
        weights = torch.rand(6).to(dtype).requires_grad_() if mode == "weighted" else None
        pooled = bag(ids, offsets, weights)
        table = bag.weight.detach().double().requires_grad_()
        reference = torch.ones(6) if weights is None else weights.detach().double()
        terms = table[ids.long()] * reference.requires_grad_()[:, None]
        parts = terms.split([0, 3, 0, 3, 0])
        zeros = torch.zeros(2).double()
        expected = torch.stack([ways[own](p, dim=0) if len(p) else zeros for p in parts])
        close(pooled, expected, dtype)
        grad = torch.randn(5, 2).to(dtype)
        pooled.backward(grad)
        expected.backward(grad.double())
        if mode != "max":  # where rows have equal values, amax shares the gradient
            close(bag.weight.grad, table.grad, dtype)
        if weights is not None:
            close(weights.grad, reference.grad, dtype)


@pytest.mark.parametrize("ids_dtype", INTEGERS, ids=str)
@pytest.mark.parametrize("dtype", [torch.float, torch.double], ids=str)
@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("mode", ["sum", "mean", "max", "weighted"])
@pytest.mark.parametrize("max_norm", [None, 3.0])
def test_embedding_bag_vs_embedding(ids_dtype, dtype, sparse, mode, max_norm):
    torch.manual_seed(0)
    sizes = [(2, 3, 5, 7), (2, 5, 53, 23), (101, 5, 3, 7), (2, 101, 3, 7), (1, 2, 1, 2)]
    for num_rows, dim, num_bags, length in sizes:
        bag = ebagx.torch.EmbeddingBag(
            num_rows,
            dim,
            mode="sum" if mode == "weighted" else mode,
            sparse=sparse,
            max_norm=max_norm,
            dtype=dtype,
        )
        rows = torch.nn.Embedding(num_rows, dim, max_norm=max_norm, dtype=dtype)
        rows.load_state_dict(bag.state_dict())
        ids = torch.randint(num_rows, (num_bags, length), dtype=ids_dtype)
        weights = torch.randn(num_bags, length, dtype=dtype).softmax(1).requires_grad_()
        reference = weights.detach().clone().requires_grad_()
        offsets = torch.arange(num_bags, dtype=ids_dtype) * length
        given = weights.reshape(-1) if mode == "weighted" else None
        pooled = bag(ids.reshape(-1), offsets, given)
        terms = rows(ids)
        if mode == "weighted":
            terms = terms * reference[..., None]
        expected = {"mean": terms.mean(1), "max": terms.max(1).values}.get(mode, terms.sum(1))
        close(pooled, expected, dtype)
        grad = torch.rand(num_bags, dim, dtype=dtype)
        pooled.backward(grad)
        expected.backward(grad)
        close(dense(bag.weight.grad), rows.weight.grad, dtype)
        if mode == "weighted":
            close(weights.grad, reference.grad, dtype)


KNOWN = {
    "sum": ([[13, 16], [13, 16]], [[3, 4], [5, 8], [0, 0], [1, 2], [3, 4]], 1),
    "mean": ([[13, 16], [13, 16]], [[3, 4], [5, 8], [0, 0], [1, 2], [3, 4]], 3),
    "max": ([[7, 8], [9, 10]], [[0, 0], [0, 0], [0, 0], [1, 2], [3, 4]], 1),
}


@integers
@dtypes
@pytest.mark.parametrize("mode", KNOWN)
@pytest.mark.parametrize("sparse", [False, True])
def test_embedding_bag_device(ids_dtype, offsets_dtype, dtype, mode, sparse):
    """The known example, with empty bags whose gradients are not read, as matrix, and empty."""
    values, gradient, divisor = KNOWN[mode]
    values, gradient = (torch.tensor(part).double() / divisor for part in (values, gradient))
    bag = counted(dtype, mode=mode, sparse=sparse)
    ids = torch.tensor([3, 1, 1, 1, 4, 0], dtype=ids_dtype)
    grad = torch.tensor([[1, 2], [3, 4]], dtype=dtype)
    between = torch.full((5, 2), 99).to(dtype)
    between[[1, 3]] = grad
    pooled = bag(ids, torch.tensor([0, 0, 3, 3, 6], dtype=offsets_dtype))
    expected = torch.zeros(5, 2).double()
    expected[[1, 3]] = values
    close(pooled, expected, dtype)
    pooled.backward(between)
    close(dense(bag.weight.grad), gradient, dtype)
    bag.zero_grad()
    pooled = bag(ids.reshape(2, 3))
    close(pooled, values, dtype)
    pooled.backward(grad)
    close(dense(bag.weight.grad), gradient, dtype)
    bag.zero_grad()
    empty = torch.zeros(4, dtype=offsets_dtype)
    bag(torch.tensor([], dtype=ids_dtype), empty).sum().backward()
    assert not dense(bag.weight.grad).any()


@integers
@dtypes
@pytest.mark.parametrize("mode", ["sum", "mean", "max"])
def test_embedding_bag_non_contiguous_weight(ids_dtype, offsets_dtype, dtype, mode):
    wide = torch.randn(3, 4).to(dtype)
    ids = torch.tensor([0, 1, 2], dtype=ids_dtype)
    offsets = torch.tensor([0, 2], dtype=offsets_dtype)
    tables = wide[:, :3], wide[:, :3].contiguous(), wide[:, :3].T.contiguous().T
    pooled = [ebagx.torch.embedding_bag(ids, table, offsets, mode=mode) for table in tables]
    assert torch.equal(pooled[0], pooled[1])
    assert torch.equal(pooled[0], pooled[2])


@pytest.mark.parametrize("mode", ["sum", "mean", "max"])
def test_embedding_bag_of_a_view(mode):
    """Strided indices and offsets are read as they are."""
    table = torch.randn(9, 4)
    ids = torch.arange(18)[::2] % 9
    offsets = torch.tensor([0, 5, 3, 5])[::2]
    expected = torch.nn.functional.embedding_bag(
        ids.contiguous(), table, offsets.contiguous(), mode=mode
    )
    torch.testing.assert_close(ebagx.torch.embedding_bag(ids, table, offsets, mode=mode), expected)


@dtypes
@pytest.mark.parametrize("mode", ["sum", "mean", "max"])
@pytest.mark.parametrize("grad", [False, True])
def test_last_offset_below_the_number_of_indices(dtype, mode, grad):
    """All dtypes and modes agree, in values and gradients; those of PyTorch 2.13 do not."""
    ids, ends = torch.tensor([0, 1, 2, 3, 3]), torch.tensor([0, 3, 4])
    table = torch.randn(9, 4).to(dtype).requires_grad_(grad)
    weights = torch.ones(5).to(dtype).requires_grad_(grad) if mode == "sum" else None
    results = []
    for offsets in (ends, torch.tensor([0, 3, 5])):
        pooled = ebagx.torch.embedding_bag(
            ids,
            table,
            offsets,
            mode=mode,
            include_last_offset=True,
            per_sample_weights=weights,
        )
        leaves = [leaf for leaf in (table, weights) if leaf is not None]
        gradients = torch.autograd.grad(pooled.sum(), leaves) if grad else ()
        results.append([pooled.detach(), *gradients])
    for short, full in zip(*results, strict=True):
        assert torch.equal(short, full)
