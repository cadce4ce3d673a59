"""Test that a memory map whose file was cut short is an error: a read would end the process."""

import mmap
import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest

from ebagx._core.memory import check_mapped

CUT = pytest.mark.skipif(sys.platform == "win32", reason="a mapped file cannot be cut short there")
PAGE = mmap.ALLOCATIONGRANULARITY
COUNT = 3 * PAGE


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "numbers"
    np.zeros(COUNT).tofile(path)
    return path


MAPS = {
    "memmap": lambda path: np.memmap(path, mode="r"),
    "view": lambda path: np.memmap(path, np.float64, "r").reshape(3, -1)[:, ::2],
    "plain view": lambda path: np.asarray(np.memmap(path, mode="r"))[5:],
    "offset": lambda path: np.memmap(path, mode="r", offset=PAGE + 8),
    "copy on write": lambda path: np.memmap(path, mode="c"),
    "buffer": lambda path: np.frombuffer(
        mmap.mmap(os.open(path, os.O_RDONLY), 0, access=mmap.ACCESS_READ)
    ),
}


@CUT
@pytest.mark.parametrize("make", MAPS.values(), ids=MAPS)
@pytest.mark.parametrize("size", [0, 8 * COUNT - 1])
def test_files_cut_short(path, make, size):
    array = make(path)
    check_mapped(array, "table")
    os.truncate(path, size)
    message = f"^table is in a memory map of {8 * COUNT} bytes of a file, which was cut short to "
    with pytest.raises(ValueError, match=f"{message}{size} bytes$"):
        check_mapped(array, "table")
    os.truncate(path, 8 * COUNT + 1)
    check_mapped(array, "table")


def test_maps_of_no_file():
    check_mapped(np.frombuffer(mmap.mmap(-1, PAGE)), "table")


def test_results_of_arithmetic_are_in_no_map(path):
    check_mapped((np.memmap(path, mode="r") + 1)[2:], "table")


# `mapped` makes arrays of maps; `cut` cuts the files of all of them.
CALLS = """
import copy, os, pickle, tempfile
import numpy as np, scipy.sparse
import ebagx
from ebagx import optim

def mapped(values):
    with tempfile.NamedTemporaryFile(delete=False) as file:
        file.write(np.ascontiguousarray(values).tobytes())
    files.append(file.name)
    return np.memmap(file.name, values.dtype, "r+", shape=values.shape)

def cut():
    for name in files:
        os.truncate(name, 0)
        os.remove(name)
    files.clear()

files = []
table, grad = np.ones((50, 4)), np.ones((2, 4))
ids, offsets, weights = np.arange(6), np.array([0, 3]), np.ones(6)
csr = scipy.sparse.csr_array(np.eye(2, 50))
dia = scipy.sparse.dia_array((np.ones((2, 50)), [0, 1]), shape=(2, 50))
bag = ebagx.EmbeddingBag(50, 4, mode="sum")
gradient = ebagx.RowGradient([1], np.ones((1, 4)), (50, 4))
forward, backward = ebagx.embedding_bag, ebagx.embedding_bag_backward

def sparse(matrix, name):
    setattr(matrix, name, mapped(getattr(matrix, name)))
    return lambda: forward(matrix, table)

def later(make, call):
    thing = make()
    return lambda: call(thing)

def module(**maps):
    bag = ebagx.EmbeddingBag(50, 4, mode="sum", _weight=maps.get("table", table.copy()))
    bag(maps.get("ids", ids), offsets)
    return bag

def loaded(array):
    optimizer = optim.SGD(momentum=0.9)
    state = {**optimizer.state_dict(), "momentum_buffer": array}
    optimizer.load_state_dict(state, copy=False)
    return optimizer

def with_gradient(grad):
    bag = module()
    bag.grad = grad
    return bag

copies = copy.deepcopy, pickle.dumps

make = [
    lambda: (lambda t: lambda: forward(ids, t, offsets))(mapped(table)),
    lambda: (lambda i: lambda: forward(i, table, offsets))(mapped(ids)),
    lambda: (lambda i: lambda: forward(i, table, offsets))(mapped(ids.astype(np.uint8))),
    lambda: (lambda i: lambda: forward([ids, i], table))(mapped(ids)),
    lambda: (lambda i: lambda: forward([ids, i[:3], i[3:]], table))(np.asarray(mapped(ids))),
    lambda: (lambda o: lambda: forward(ids, table, o))(mapped(offsets)),
    lambda: (lambda w: lambda: forward(ids, table, offsets, per_sample_weights=w))(mapped(weights)),
    lambda: (lambda o: lambda: forward(ids, table, offsets, out=o))(mapped(grad)),
    lambda: (lambda g: lambda: backward(g, ids, table, offsets))(mapped(grad)),
    lambda: (lambda w: lambda: backward(grad, ids, table, offsets, mode="max", max_indices=w))(
        mapped(np.repeat([[0], [3]], 4, axis=1))),
    lambda: sparse(csr.copy(), "data"),
    lambda: sparse(csr.copy(), "indices"),
    lambda: sparse(csr.copy(), "indptr"),
    lambda: sparse(csr.tocsc(), "data"),
    lambda: sparse(csr.tocoo(), "data"),
    lambda: sparse(dia, "data"),
    lambda: (lambda b: lambda: b(ids, offsets))(module(table=mapped(table))),
    lambda: (lambda b: lambda: b.backward(grad))(module(table=mapped(table))),
    lambda: (lambda b: lambda: b.backward(grad))(module(ids=mapped(ids))),
    lambda: (lambda b: lambda: b.reset_parameters(0))(module(table=mapped(table))),
    lambda: (lambda t: lambda: module().load_state_dict({"weight": t}))(mapped(table)),
    lambda: (lambda v: lambda: optim.SGD().update(table, v))(
        ebagx.RowGradient([1], mapped(np.ones((1, 4))), (50, 4))),
    lambda: (lambda t: lambda: optim.SGD().update(t, gradient))(mapped(table)),
    lambda: later(lambda: loaded(mapped(table)), lambda o: o.update(table, gradient)),
    *(lambda call=call: later(lambda: loaded(mapped(table)), call) for call in copies),
    lambda: later(lambda: loaded(mapped(table)), copy.copy),
    *(lambda call=call: later(lambda: module(table=mapped(table)), call) for call in copies),
    *(
        lambda call=call: later(lambda: with_gradient(mapped(table)), call)
        for call in (*copies, copy.copy, lambda bag: bag.row_gradient())
    ),
]
refused = 0
for prepare in make:
    call = prepare()
    call()
    call = prepare()
    cut()
    try:
        call()
    except ValueError as error:
        assert "cut short to 0 bytes" in str(error), error
        refused += 1
print(refused, "of", len(make))
"""


@CUT
def test_every_array_of_a_call_is_looked_at():
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(CALLS)], capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout) == (0, "33 of 33\n"), done.stderr
