"""Test files of quantised tables: whole, damaged, mapped."""

import struct

import numpy as np
import pytest

import ebagx
from ebagx import QuantizedTable, quantize
from support import kernel_cases as cases
from support.quantized_cases import LAYOUTS, bits_of_codes, make_packed

maps = pytest.mark.parametrize("mmap", [False, True])


def make_file(folder, bits=4, dim=7):
    table = quantize(np.random.default_rng(0).standard_normal((9, dim)), bits)
    path = folder / "table.ebagx"
    table.save(path)
    return table, path


@maps
@bits_of_codes
@pytest.mark.parametrize("dim", [0, 1, 7, 64])
@pytest.mark.parametrize("num_rows", [0, 1, 2000])
def test_there_and_back(tmp_path, mmap, bits, dim, num_rows):
    table = quantize(np.random.default_rng(0).standard_normal((num_rows, dim)), bits)
    table.save(tmp_path / "table")
    again = QuantizedTable.load(str(tmp_path / "table"), mmap=mmap)
    assert (tmp_path / "table").stat().st_size == 64 + table.nbytes
    assert (again.shape, again.bits) == (table.shape, bits)
    assert again._packed.is_exact == (table._packed.is_exact or num_rows == 0)
    cases.assert_same_bits(again.toarray(), table.toarray())
    assert isinstance(again._packed.array, np.memmap) == (mmap and num_rows > 0)
    assert [path.name for path in tmp_path.iterdir()] == ["table"]


@maps
def test_packed_rows_of_other_tools_are_saved_as_they_are(tmp_path, mmap):
    for name in ("torch_2bit", "fbgemm_int8"):
        packed = make_packed(np.random.default_rng(1), 9, 16, LAYOUTS[name])
        QuantizedTable.from_packed(packed.array, name).save(tmp_path / "table")
        again = QuantizedTable.load(tmp_path / "table", mmap=mmap)
        np.testing.assert_array_equal(again.to_packed(name), packed.array)


def test_the_bytes_of_a_file(tmp_path):
    table, path = make_file(tmp_path)
    content = path.read_bytes()
    assert content[:64] == b"\x93EBAGXQT\x01\0\x04\x02\0\0\0\0" + struct.pack("<QQ32x", 9, 7)
    assert content[64:] == table._packed.array.tobytes()


@maps
def test_a_file_that_ends_early_or_late_is_refused(tmp_path, mmap):
    _, path = make_file(tmp_path)
    content = path.read_bytes()
    for size in range(len(content)):
        path.write_bytes(content[:size])
        with pytest.raises(ValueError, match=r"table\.ebagx is no file of a QuantizedTable, or is"):
            QuantizedTable.load(path, mmap=mmap)
    path.write_bytes(content + b"\0")
    with pytest.raises(ValueError, match="it has 137 bytes, and 9 rows of 7 columns take 136"):
        QuantizedTable.load(path, mmap=mmap)


@maps
def test_a_flipped_bit_is_refused_or_changes_a_value(tmp_path, mmap):
    table, path = make_file(tmp_path)
    content = bytearray(path.read_bytes())
    refused = 0
    for place in range(8 * len(content)):
        changed = bytearray(content)
        changed[place // 8] ^= 1 << place % 8
        path.write_bytes(changed)
        try:
            again = QuantizedTable.load(path, mmap=mmap)
        except ValueError:
            refused += 1
            continue
        assert place >= 64 * 8
        assert again.shape == table.shape
        assert np.isfinite(again.toarray()).all()
    assert refused >= 64 * 8 + 9 * 4  # the header, and the bits without a column


@maps
@pytest.mark.parametrize(
    ("num_rows", "dim"),
    [(2**64 - 1, 7), (9, 2**64 - 1), (2**63, 2**63), (0, 2**60), (2**40, 2**40), (2**60, 0)],
)
def test_absurd_sizes_are_refused_before_memory_is_allocated(tmp_path, mmap, num_rows, dim):
    _, path = make_file(tmp_path)
    content = bytearray(path.read_bytes())
    content[16:32] = struct.pack("<QQ", num_rows, dim)
    if num_rows == 0:
        content = content[:64]
    path.write_bytes(content)
    with pytest.raises(ValueError, match="is no file of a QuantizedTable"):
        QuantizedTable.load(path, mmap=mmap)


@pytest.mark.parametrize(
    ("place", "value", "problem"),
    [
        (0, 0, "it starts otherwise"),
        (8, 2, "it has version 2 of the format, and this ebagx knows 1"),
        (10, 3, "a layout of rows that does not exist"),
        (11, 8, "a layout of rows that does not exist"),
        (12, 2, "a layout of rows that does not exist"),
        (14, 1, "unused bytes of its header are not 0"),
        (63, 1, "unused bytes of its header are not 0"),
        (64 + 3, 0xF0, "row 0 of .* is damaged: bits are set that have no column"),
        (64 + 8 + 5, 0x7C, "row 1 of .* is damaged: a scale or bias is not finite"),
    ],
)
def test_what_is_wrong_is_said(tmp_path, place, value, problem):
    _, path = make_file(tmp_path)
    content = bytearray(path.read_bytes())
    content[place] = value
    path.write_bytes(content)
    with pytest.raises(ValueError, match=problem):
        QuantizedTable.load(path)


def test_a_mapped_table(tmp_path):
    table, path = make_file(tmp_path, bits=8, dim=64)
    mapped = QuantizedTable.load(path)
    ids = np.random.default_rng(2).integers(0, 9, (50, 4))
    for mode in ("sum", "max"):
        expected = ebagx.embedding_bag(ids, table, mode=mode)
        cases.assert_same_bits(ebagx.embedding_bag(ids, mapped, mode=mode), expected)
    module = ebagx.EmbeddingBag.from_pretrained(mapped)
    module.prefetch(ids)
    cases.assert_same_bits(module(ids), ebagx.embedding_bag(ids, table))
    # A file that is mapped may be replaced, by its own table, too.
    mapped.save(path)
    quantize(np.ones((9, 64))).save(path)
    cases.assert_same_bits(mapped.toarray(), table.toarray())


def test_a_mapped_file_that_became_shorter_is_refused(tmp_path):
    _, path = make_file(tmp_path, bits=8, dim=4000)
    mapped = QuantizedTable.load(path)
    module = ebagx.EmbeddingBag.from_pretrained(mapped)
    with path.open("r+b") as file:
        file.truncate(100)
    calls = (
        lambda: ebagx.embedding_bag([[8]], mapped),
        lambda: module([[8]]),
        mapped.toarray,
        lambda: mapped.to_packed("torch_byte"),
        lambda: mapped.save(path.with_name("other")),
    )
    for call in calls:
        with pytest.raises(ValueError, match="cut short to 100 bytes"):
            call()


def test_files_that_cannot_be_opened(tmp_path):
    with pytest.raises(FileNotFoundError):
        QuantizedTable.load(tmp_path / "none")
    with pytest.raises(OSError, match="directory"):
        QuantizedTable.load(tmp_path)
    with pytest.raises(TypeError, match="mmap must be"):
        QuantizedTable.load(tmp_path, mmap="r")
    with pytest.raises(OSError, match="none"):
        make_file(tmp_path)[0].save(tmp_path / "none/table")
