"""Test the peak memory of each operation against a formula, and errors without memory.

B bags, n lookups, N rows, D dimensions, U touched rows, 4 bytes a number.
"""

import subprocess
import sys
import textwrap
import tracemalloc

import numpy as np
import pytest
import scipy.sparse

import ebagx
from ebagx import optim
from ebagx._core import memory
from support.memory import SMALL, assert_at_most, peak

B, n, N, D = 200, 20_000, 200_000, 64
GATHERED, TABLE = n * D * 4, N * D * 4
SORT = 96 * n + (1 << 20)  # scratch, of which at most two buffers are kept

RNG = np.random.default_rng(0)
INDICES = RNG.integers(0, 900, n).astype(np.int32)
OFFSETS = np.arange(B + 1, dtype=np.int32) * (n // B)
WEIGHTS = RNG.random(n).astype(np.float32)
U = len(np.unique(INDICES))
GRAD = RNG.random((B, D)).astype(np.float32)
ROWS = U * D * 4


@pytest.fixture(scope="module")
def table():
    return np.random.default_rng(1).random((N, D), np.float32)


@pytest.fixture(autouse=True)
def no_spare_scratch(monkeypatch):
    monkeypatch.setattr(memory.Scratch, "_spare", [])


def options(table, weighted=False):
    return {
        "input": INDICES,
        "weight": table,
        "offsets": OFFSETS,
        "include_last_offset": True,
        "per_sample_weights": WEIGHTS if weighted else None,
    }


@pytest.mark.parametrize("mode", ["sum", "mean", "sqrtn"])
@pytest.mark.parametrize("weighted", [False, True])
def test_forward_takes_its_result(table, mode, weighted):
    result = B * D * 4
    assert_at_most(peak(lambda: ebagx.embedding_bag(**options(table, weighted), mode=mode)), result)


@pytest.mark.parametrize("mode", ["max", "min"])
def test_forward_of_extremes_takes_the_winners_too(table, mode):
    assert_at_most(peak(lambda: ebagx.embedding_bag(**options(table), mode=mode)), 2 * B * D * 4)


def test_forward_of_csr_copies_nothing(table):
    bags = scipy.sparse.csr_array((WEIGHTS, INDICES, OFFSETS), shape=(B, N))
    assert_at_most(peak(lambda: ebagx.embedding_bag(bags, table, mode="sum")), B * D * 4)


def test_padding_takes_a_copy_of_the_lookups(table):
    lookups = (len(INDICES) + len(OFFSETS)) * 4
    call = lambda: ebagx.embedding_bag(**options(table), mode="sum", padding_idx=5)  # noqa: E731
    assert_at_most(peak(call), B * D * 4 + lookups)


def test_policies_take_a_copy_of_the_lookups(table):
    lookups = (len(INDICES) + len(OFFSETS)) * 4
    for default_row, more in ((None, 0), (0, 4 * B)):
        policies = {"invalid": "skip", "default_row": default_row}
        taken = peak(lambda p=policies: ebagx.embedding_bag(**options(table), mode="sum", **p))
        assert_at_most(taken, B * D * 4 + lookups + more)


def test_max_norm_takes_a_sort(table):
    call = lambda: ebagx.embedding_bag(**options(table), mode="sum", max_norm=1e9)  # noqa: E731
    assert_at_most(peak(call), B * D * 4 + SORT)


def backward(table, **more):
    return ebagx.embedding_bag_backward(GRAD, **options(table, weighted=True), mode="sum", **more)


def test_sparse_backward_takes_the_touched_rows_and_a_sort(table):
    weights = n * 4
    assert_at_most(peak(lambda: backward(table, sparse="rows")), ROWS + SORT + weights)
    indptr = (N + 1) * 4
    assert_at_most(peak(lambda: backward(table, sparse=True)), ROWS + SORT + weights + 3 * indptr)


@pytest.mark.parametrize("sparse", [False, True, "rows"])
def test_gradient_of_the_weights_alone_takes_itself(table, sparse):
    assert_at_most(peak(lambda: backward(table, sparse=sparse, weight_grad=False)), n * 4)


def test_dense_backward_takes_the_table_and_copies_the_lookups(table):
    assert_at_most(peak(lambda: backward(table)), TABLE + 2 * n * 4)


@pytest.mark.parametrize(
    ("make", "states"),
    [
        (optim.SGD, 0),
        (lambda **more: optim.SGD(momentum=0.9, **more), 1),
        (optim.Adagrad, 1),
        (optim.RowwiseAdagrad, 1 / D),
        (optim.Adam, 2),
    ],
    ids=["sgd", "momentum", "adagrad", "rowwise", "adam"],
)
def test_optimizers_take_their_state_once_and_then_nothing(table, make, states):
    gradient = ebagx.RowGradient(np.arange(U), np.ones((U, D), np.float32), (N, D))
    optimizer = make()
    tracemalloc.start()
    optimizer.update(table, gradient)
    assert_at_most(tracemalloc.get_traced_memory()[1], int(states * TABLE))
    tracemalloc.stop()
    assert_at_most(peak(lambda: optimizer.update(table, gradient)), 0)


def test_fused_step_takes_a_sort_and_a_piece_of_the_gradient(table):
    bag = ebagx.EmbeddingBag.from_pretrained(table, freeze=False, mode="sum", sparse="rows")
    optimizer, piece = optim.SGD(0.0), 1 << 20

    def step():
        bag(INDICES, OFFSETS[:-1])
        bag.backward_update(GRAD, optimizer)

    assert_at_most(peak(step), B * D * 4 + SORT + 2 * piece)


def test_formulas_have_teeth():
    """No bound allows the looked-up rows, and only that of a dense gradient the table."""
    largest = ROWS + SORT + n * 4 + 3 * (N + 1) * 4
    assert 2 * B * D * 4 + SMALL < GATHERED
    assert ROWS + SORT + n * 4 + SMALL < GATHERED
    assert largest + SMALL < TABLE / 5


@pytest.mark.skipif(sys.platform != "linux", reason="needs RLIMIT_AS")
@pytest.mark.parametrize(
    "call",
    [
        "ebagx.embedding_bag(ids, table, mode='sum')",
        "ebagx.embedding_bag(ids, table, mode='max')",
        "ebagx.embedding_bag(ids, table, mode='sum', max_norm=1e-3)",
        "ebagx.embedding_bag_backward(grad, ids, table, mode='sum', sparse='rows')",
        "ebagx.embedding_bag_backward(grad, ids, table, mode='sum')",
        "optimizer.update(table, gradient)",
        "bag.backward(grad)",
        "bag.backward_update(grad, optimizer)",
    ],
)
def test_without_memory_there_is_a_memory_error_and_nothing_changes(call):
    """The table is 64 MB, so are the result and the gradient; 8 MB more may be allocated."""
    script = f"""
        import resource
        import numpy as np
        import ebagx

        table = np.ones((1 << 19, 32), np.float32)
        ids = np.arange(1 << 19, dtype=np.int32)[:, None]
        grad = np.broadcast_to(np.float32(1), table.shape)
        grad = np.ascontiguousarray(grad)
        bag = ebagx.EmbeddingBag.from_pretrained(table, freeze=False, mode="sum")
        bag(ids)
        gradient = ebagx.RowGradient(np.arange(1 << 19), grad, table.shape)
        optimizer = ebagx.optim.Adam(weight_decay=0.1)
        before = optimizer.state_dict()
        status = open("/proc/self/status").read()
        used = int(status.split("VmSize:")[1].split()[0]) << 10
        resource.setrlimit(resource.RLIMIT_AS, (used + (8 << 20), -1))
        try:
            {call}
        except MemoryError:
            resource.setrlimit(resource.RLIMIT_AS, (-1, -1))
            assert (table == 1).all() and bag.grad is None
            assert optimizer.num_steps == 0 and optimizer.state_dict() == before
            bag.backward(grad)  # as if nothing had been
            print("good")
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.stdout == "good\n", done.stderr
