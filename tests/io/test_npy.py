"""Test that NumPy reads written ``.npy`` files, and that no incomplete file appears."""

import os

import numpy as np
import pytest

from ebagx.io.npy import little_endian_bytes, npy_header, write_rows


@pytest.mark.parametrize("shape", [(0,), (5,), (0, 3), (2, 3), (2**31, 2**16), (2**62, 2**16)])
@pytest.mark.parametrize("dtype", [np.float32, np.int32])
def test_header(tmp_path, shape, dtype):
    header = npy_header(shape, np.dtype(dtype))
    assert len(header) == 128
    path = tmp_path / "x.npy"
    path.write_bytes(header)
    with path.open("rb") as file:
        assert np.lib.format.read_magic(file) == (1, 0)
        read = np.lib.format.read_array_header_1_0(file)
    assert read == (shape, False, np.dtype(dtype).newbyteorder("<"))


@pytest.mark.parametrize("dtype", ["<f4", ">f4"])
def test_bytes_are_little_endian_in_c_order(dtype):
    array = np.asfortranarray(np.arange(6, dtype=dtype).reshape(2, 3))
    assert bytes(little_endian_bytes(array)) == np.arange(6, dtype="<f4").tobytes()


def test_rows(tmp_path):
    path = tmp_path / "rows.npy"
    for blocks in ([], [0], [2, 0, 3]):
        with write_rows(path, 4) as rows:
            for n in blocks:
                rows.write(np.full((n, 4), n, np.float32))
        result = np.load(path)
        assert result.dtype == np.float32
        assert result.shape == (sum(blocks), 4)
        assert rows.count == sum(blocks)
    assert result[:, 1].tolist() == [2, 2, 3, 3, 3]
    assert os.listdir(tmp_path) == ["rows.npy"]


def test_failure_leaves_the_old_file(tmp_path):
    path = tmp_path / "rows.npy"
    path.write_text("old")
    with pytest.raises(AttributeError), write_rows(path, 4) as rows:
        rows.write([rows.write(np.zeros((1, 4), np.float32))])
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["rows.npy"]


def test_places_where_nothing_can_be_written(tmp_path):
    with pytest.raises(ValueError, match="is a directory$"), write_rows(tmp_path, 4):
        pass
    path = tmp_path / "absent" / "x.npy"
    with (
        pytest.raises(ValueError, match="^cannot write .*x.npy: No such file or directory$"),
        write_rows(path, 4),
    ):
        pass
