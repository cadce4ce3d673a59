"""Test the reader and writer of ``.safetensors`` files."""

import json
import random
import re
import sys

import numpy as np
import pytest

pytest.importorskip("ml_dtypes")

import ml_dtypes

from ebagx.io.safetensors import read_safetensors, write_safetensors
from support.vector_files import raises

DTYPES = ["f8", "f4", "f2", "i8", "i4", "i2", "i1", "u8", "u4", "u2", "u1", ml_dtypes.bfloat16]
ARRAYS = {
    "table": np.arange(6, dtype=np.float32).reshape(2, 3),
    "none": np.empty((0, 4), np.int8),
    "odd": np.array([1, 2, 3], np.int8),
    "number": np.array(7, np.int64),
    "é": np.array([1.5, -2], ml_dtypes.bfloat16),
}


def make(header, data=b""):
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def entry(dtype="F32", shape=(1,), offsets=(0, 4)):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "file.safetensors"


def test_all_comes_back(path):
    write_safetensors(path, ARRAYS, {"a": "b", "ü": "\n"})
    arrays, metadata = read_safetensors(path)
    assert metadata == {"a": "b", "ü": "\n"}
    assert list(arrays) == list(ARRAYS)
    for name, array in arrays.items():
        assert array.dtype == ARRAYS[name].dtype
        assert array.flags.aligned
        np.testing.assert_array_equal(array, ARRAYS[name])
    assert not arrays["table"].flags.writeable


@pytest.mark.parametrize("dtype", DTYPES)
def test_dtypes(dtype, path):
    array = np.array([[0, 1, 100]]).astype(dtype)
    write_safetensors(path, {"a": array}, {})
    found = read_safetensors(path).arrays["a"]
    assert found.dtype == array.dtype
    np.testing.assert_array_equal(found, array)


def test_other_layouts_are_copied(path):
    array = np.arange(12, dtype=">f4").reshape(3, 4).T
    write_safetensors(path, {"a": array}, {})
    np.testing.assert_array_equal(read_safetensors(path).arrays["a"], array)


def test_the_first_array_starts_on_a_cache_line(path):
    write_safetensors(path, ARRAYS, {"a": "b"})
    length = int.from_bytes(path.read_bytes()[:8], "little")
    assert (8 + length) % 64 == 0


def test_bfloat16_without_its_package(path, monkeypatch):
    write_safetensors(path, ARRAYS, {})
    monkeypatch.setitem(sys.modules, "ml_dtypes", None)
    found = read_safetensors(path).arrays["é"]
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, [1.5, -2])


def test_file_of_another_writer(path):
    """Metadata may be missing, names in any order, and the header padded."""
    data = np.array([5, 6], "<f4").tobytes()
    header = json.dumps({"b": entry(offsets=(4, 8)), "a": entry()}).encode() + b"   "
    path.write_bytes(len(header).to_bytes(8, "little") + header + data)
    arrays, metadata = read_safetensors(path)
    assert ({name: a.tolist() for name, a in arrays.items()}, metadata) == (
        {"b": [6], "a": [5]},
        {},
    )


def test_other_dtypes_are_not_written(path):
    for dtype in ("c8", "U3", "M8[s]"):
        with raises(TypeError, "safetensors have no dtype"):
            write_safetensors(path, {"a": np.zeros(2, dtype)}, {})
    assert list(path.parent.iterdir()) == []


def test_an_old_file_stays_if_writing_fails(path):
    path.write_bytes(b"old")
    with raises(TypeError, "safetensors have no dtype"):
        write_safetensors(path, {"a": np.zeros(2, "c8")}, {})
    assert path.read_bytes() == b"old"
    with raises(ValueError, "is a directory"):
        write_safetensors(path.parent, {}, {})


def test_truncated(path):
    write_safetensors(path, ARRAYS, {"a": "b"})
    content = path.read_bytes()
    for end in range(len(content)):
        path.write_bytes(content[:end])
        with pytest.raises(ValueError, match=re.escape(str(path))):
            read_safetensors(path)
    path.write_bytes(content + b"x")
    with raises(ValueError, "damaged or incomplete"):
        read_safetensors(path)


def test_flipped_bits(path):
    write_safetensors(path, ARRAYS, {"a": "b"})
    content, rng = path.read_bytes(), random.Random(0)
    for _ in range(500):
        changed = bytearray(content)
        changed[rng.randrange(len(changed) - 40)] ^= 1 << rng.randrange(8)
        path.write_bytes(changed)
        try:
            arrays, _ = read_safetensors(path)
        except ValueError:
            continue
        assert sum(a.nbytes for a in arrays.values()) <= len(content)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "the header has 0 bytes"),
        ((2**63).to_bytes(8, "little") + b"{}", "the header has 9,223,372,036,854,775,808 bytes"),
        (make([]), "the header is no object"),
        (make({"__metadata__": {"a": 1}}), "__metadata__ does not consist of strings"),
        (make({"__metadata__": []}), "__metadata__ does not consist of strings"),
        (b"\x02" + bytes(7) + b"{x", "the header is no JSON"),
        (b"\x02" + bytes(7) + b"\xff\xff", "the header is no JSON"),
        (b"\x10" + bytes(7) + b'{"a": 1, "a": 2}', "a name occurs twice"),
        (make({"a": entry()}, bytes(3)), "it has 3 bytes, not 4"),
        (make({"a": entry()}, bytes(5)), "it has 5 bytes, not 4"),
        (make({"a": entry(), "b": entry()}, bytes(4)), "'b' does not follow the array before it"),
        (make({"a": entry(offsets=(1, 5))}, bytes(5)), "'a' does not follow the array before it"),
        (make({"a": entry("F99")}, bytes(4)), "'a' is {"),
        (make({"a": entry(shape=(2,))}, bytes(4)), "'a' is {"),
        (make({"a": entry(shape=(-1,), offsets=(4, 0))}, bytes(4)), "'a' is {"),
        (make({"a": entry(shape=(2**62, 4))}, bytes(4)), "'a' is {"),
        (make({"a": entry(shape=(True,))}, bytes(4)), "'a' is {"),
        (make({"a": entry(shape=(1.0,))}, bytes(4)), "'a' is {"),
        (make({"a": entry(shape=(1,) * 40)}, bytes(4)), "'a' is {"),
        (make({"a": entry(offsets=(0, 4, 8))}, bytes(4)), "'a' is {"),
        (make({"a": 7}), "'a' is 7"),
    ],
)
def test_messages(content, problem, path):
    path.write_bytes(content)
    with raises(ValueError, problem) as caught:
        read_safetensors(path)
    assert str(caught.value).startswith(f"{path}: ")
