"""Test `quantize`, and the packed rows of other tools."""

import copy
import pickle

import numpy as np
import pytest

import ebagx
from ebagx import QuantizedTable, quantize
from ebagx._core.quantized.packed import PackedRows
from support import kernel_cases as cases, quantized_cases
from support.quantized_cases import bits_of_codes, make_packed
from support.repository import ROOT

GOLDEN = np.load(ROOT / "tests/golden/quantised/torch_2.13.npz")
NAMES = {8: "byte", 4: "4bit", 2: "2bit"}
# Root mean square errors of normally distributed rows of 32 columns. Without a search, those of 4
# and 2 bits are 0.0777 and 0.387.
ERRORS = {8: 0.0047, 4: 0.0717, 2: 0.298}


@pytest.fixture(scope="module")
def table():
    return np.random.default_rng(0).standard_normal((2000, 32)).astype(np.float32)


@bits_of_codes
def test_errors_are_small(table, bits):
    error = quantize(table, bits).toarray() - table
    assert np.sqrt(np.mean(error**2)) < ERRORS[bits]


@bits_of_codes
def test_8_bits_round_to_the_nearest_value(table, bits):
    """With fewer bits, values beyond the ends go to the ends."""
    quantized = quantize(table, bits)
    values = quantized.toarray()
    steps = np.diff(np.sort(values, axis=1), axis=1).max(axis=1)
    inside = (table >= values.min(axis=1, keepdims=True)) & (
        table <= values.max(axis=1, keepdims=True)
    )
    inside |= bits == 8
    assert (np.abs(values - table) <= steps[:, np.newaxis] * 0.503)[inside].all()


@bits_of_codes
def test_sizes(table, bits):
    quantized = quantize(table, bits)
    constants = 8 if bits == 8 else 4
    assert quantized.shape == table.shape
    assert quantized.bits == bits
    assert quantized.nbytes == 2000 * (32 * bits // 8 + constants)
    assert repr(quantized) == f"QuantizedTable(2000, 32, bits={bits})"


@bits_of_codes
@pytest.mark.parametrize("value", [0.0, 3.3, -1e-40, 1e30, 3.4e38, 65504.0, 2049.0, 1e-9])
def test_rows_of_one_value_are_exact(table, bits, value):
    some = table[:5].copy()
    some[2] = value
    np.testing.assert_array_equal(quantize(some, bits).toarray()[2], some[2])


@bits_of_codes
@pytest.mark.parametrize("dim", [0, 1, 2, 3, 5, 7, 9, 31])
def test_any_number_of_columns(table, bits, dim):
    quantized = quantize(table[:40, :dim], bits)
    assert quantized.shape == (40, dim)
    few = np.unique(quantized.toarray(), axis=None)
    assert np.isfinite(few).all()
    ends = table[:40, :dim].min(initial=np.inf), table[:40, :dim].max(initial=-np.inf)
    if dim:
        assert few[0] >= ends[0] - 0.01
        assert few[-1] <= ends[1] + 0.01


@bits_of_codes
def test_tables_without_rows(bits):
    quantized = quantize(np.empty((0, 5)), bits)
    assert quantized.toarray().shape == (0, 5)
    assert ebagx.embedding_bag([[], []], quantized).shape == (2, 5)


@bits_of_codes
@pytest.mark.parametrize("value", [0.0, -0.0, 3.3, -7e4, 1e-45, -1e-40, 6e-8, -1e-8, 65504, 3e38])
@pytest.mark.parametrize("others", [False, True])
def test_rows_of_one_value_keep_its_bits(table, bits, value, others):
    row = np.full((1, 7), value, np.float32)
    rows = np.vstack([row, table[:3, :7], row]) if others else row
    values = quantize(rows, bits).toarray()
    assert values[0].tobytes() == values[-1].tobytes() == row.tobytes()


@bits_of_codes
@pytest.mark.parametrize("scale", [3e-41, 1e-36, 1e-30, 1e-6, 1e6, 1e37])
def test_small_and_large_numbers_keep_their_digits(table, bits, scale):
    some = (table * scale).astype(np.float32)
    lost = np.sqrt(np.mean((quantize(some, bits).toarray() / scale - table) ** 2))
    assert lost < 1.3 * ERRORS[bits]


@pytest.mark.parametrize("bits", [4, 2])
def test_float16_constants_lose_nothing_that_counts(table, bits):
    """Values far from 0, beside their range, need constants of float32."""
    near = quantize(table + 1, bits)
    far = quantize(table + 1000, bits)
    assert far.nbytes == near.nbytes + 4 * len(table)
    lost = np.sqrt(np.mean((far.toarray() - (table + 1000)) ** 2))
    assert lost < 1.05 * ERRORS[bits]


@bits_of_codes
@pytest.mark.parametrize("dtype", cases.TABLE_DTYPES, ids=str)
def test_every_dtype_and_layout_of_a_table(table, bits, dtype):
    given = table.astype(dtype)
    expected = quantize(given.astype(np.float32), bits).toarray()
    for layout in (given, np.asfortranarray(given), given[::-1][::-1], given.tolist()[:0] or given):
        np.testing.assert_array_equal(quantize(layout, bits).toarray(), expected)


@bits_of_codes
def test_blocks_of_rows_do_not_matter(table, bits):
    whole, wide = quantize(table, bits).toarray(), np.tile(table, (3, 1))
    np.testing.assert_array_equal(quantize(wide, bits).toarray()[4000:], whole)


@bits_of_codes
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e39])
def test_numbers_that_are_not_finite_are_refused(table, bits, bad):
    given = np.tile(table, (2, 1)).astype(np.float64)
    given[3001, 7] = bad
    with pytest.raises(ValueError, match=r"table\[3001, 7\] = .* is not finite in float32"):
        quantize(given, bits)


@bits_of_codes
def test_rows_of_too_large_a_range_are_refused(bits):
    with pytest.raises(ValueError, match=r"table\[1, 0\] = .* is out of range"):
        quantize([[0.0, 1.0], [3e38, -3e38]], bits)


def test_wrong_arguments(table):
    for bits in (1, 3, 16, -8):
        with pytest.raises(ValueError, match="bits must be"):
            quantize(table, bits)
    with pytest.raises(TypeError, match="bits must be"):
        quantize(table, "8")
    with pytest.raises(TypeError, match="table must be float16"):
        quantize(np.ones((2, 2), int))
    with pytest.raises(ValueError, match="table must be 2-D"):
        quantize(np.ones(3))
    with pytest.raises(TypeError, match="quantised already"):
        quantize(quantize(table))
    with pytest.raises(TypeError, match="no constructor"):
        QuantizedTable()


@bits_of_codes
def test_packed_rows_of_torch(bits):
    name = NAMES[bits]
    given, unpacked = GOLDEN[name], GOLDEN[f"{name}_unpacked"]
    quantized = QuantizedTable.from_packed(given, f"torch_{name}")
    assert quantized.shape == unpacked.shape
    # PyTorch unpacks bytes by fused operations.
    np.testing.assert_allclose(quantized.toarray(), unpacked, rtol=2e-5 if bits == 8 else 0)
    np.testing.assert_array_equal(quantized.to_packed(f"torch_{name}"), given)
    bags = GOLDEN["ids"], quantized, GOLDEN["offsets"]
    pooled = ebagx.embedding_bag(*bags, mode="sum")
    np.testing.assert_allclose(pooled, GOLDEN[f"{name}_sum"], rtol=1e-5, atol=1e-4)
    weighted = ebagx.embedding_bag(*bags, mode="sum", per_sample_weights=GOLDEN["weights"])
    np.testing.assert_allclose(weighted, GOLDEN[f"{name}_weighted_sum"], rtol=1e-5, atol=1e-4)


@bits_of_codes
def test_packed_rows_are_not_copied(bits):
    given = GOLDEN[NAMES[bits]]
    quantized = QuantizedTable.from_packed(given, f"torch_{NAMES[bits]}")
    assert np.shares_memory(quantized._packed.array, given)
    strided = np.full((2 * len(given), given.shape[1] + 1), 7, np.uint8)[::-2, 1:]
    strided[:] = given
    other = QuantizedTable.from_packed(strided, f"torch_{NAMES[bits]}")
    np.testing.assert_array_equal(other.toarray(), quantized.toarray())


@quantized_cases.layouts
def test_every_format_goes_there_and_back(layout):
    names = [name for name, known in quantized_cases.FORMATS.items() if known == layout]
    packed = make_packed(np.random.default_rng(1), 9, 16, layout)
    for name in names:
        quantized = QuantizedTable.from_packed(packed.array, name)
        cases.assert_same_bits(quantized.toarray(), packed.values)
        np.testing.assert_array_equal(quantized.to_packed(name), packed.array)


@quantized_cases.layouts
@pytest.mark.parametrize("columns", [slice(0, 16), slice(3, 9), slice(5, 16), slice(9, 10)])
def test_some_columns_of_some_rows(layout, columns):
    """A column need not begin a byte."""
    packed = make_packed(np.random.default_rng(1), 9, 16, layout)
    rows = PackedRows(packed.array, layout, 16)[:, columns]
    expected = packed.values[:, columns]
    assert rows.shape == expected.shape
    some = np.array([8, 0, 5, 5])
    cases.assert_same_bits(np.ascontiguousarray(rows[some]), expected[some])
    cases.assert_same_bits(np.asarray(rows), expected)
    cases.assert_same_bits(np.asarray(rows[:, 1:]), expected[:, 1:])


@pytest.mark.parametrize(("bits", "format"), [(8, "torch_byte"), (4, "fbgemm_int4")])
def test_quantised_tables_are_packed(table, bits, format):
    quantized = quantize(table, bits)
    packed = quantized.to_packed(format)
    again = QuantizedTable.from_packed(packed, format)
    cases.assert_same_bits(again.toarray(), quantized.toarray())
    assert not np.shares_memory(packed, quantized._packed.array)


def test_what_a_format_cannot_hold_is_refused(table):
    with pytest.raises(ValueError, match="format must be 'torch_4bit' or 'fbgemm_int4' for 4 bits"):
        quantize(table, 4).to_packed("torch_byte")
    with pytest.raises(ValueError, match="multiple of 2 columns, got 7"):
        quantize(table[:, :7], 4).to_packed("torch_4bit")
    some = table[:5].copy()
    some[3] = 3.3
    with pytest.raises(ValueError, match="row 0 has a scale or bias that is no float16"):
        quantize(some, 2).to_packed("fbgemm_int2")
    with pytest.raises(ValueError, match="format must be one of 'torch_byte'"):
        quantize(table).to_packed("onnx")


def test_wrong_packed_rows_are_refused():
    good = np.zeros((3, 12), np.uint8)
    with pytest.raises(ValueError, match="format must be one of"):
        QuantizedTable.from_packed(good, "byte")
    with pytest.raises(TypeError, match="uint8, got int8"):
        QuantizedTable.from_packed(good.view(np.int8), "torch_byte")
    with pytest.raises(ValueError, match="must be 2-D"):
        QuantizedTable.from_packed(good[0], "torch_byte")
    with pytest.raises(ValueError, match="at least 8 bytes, got 7"):
        QuantizedTable.from_packed(good[:, :7], "torch_byte")
    for place in (4, 8):
        for bad in (np.nan, np.inf):
            rows = good.copy()
            rows[1, place : place + 4] = np.array([bad], np.float32).view(np.uint8)
            with pytest.raises(ValueError, match="row 1 of array is damaged: a scale or bias"):
                QuantizedTable.from_packed(rows, "torch_byte")


def test_copies_share_the_rows(table):
    quantized = quantize(table)
    assert copy.copy(quantized) is quantized
    assert copy.deepcopy(quantized) is quantized
    again = pickle.loads(pickle.dumps(quantized))
    cases.assert_same_bits(again.toarray(), quantized.toarray())
    assert again._packed.is_exact
    with pytest.raises(AttributeError):
        quantized.bits = 4
