"""Test the kernels of quantised tables against their twins, and both against plain tables."""

import numpy as np
import pytest

from ebagx._core.quantized.formats import HALF, RAISED
from ebagx._core.quantized.packed import are_exact
from ebagx._kernels import quantized_reference, reference
from support import kernel_cases as cases, quantized_cases
from support.quantized_cases import DIMS, make_packed

NUM_ROWS = 50
MODES = (reference.SUM, reference.MEAN, reference.SQRTN)


def layout_of(layout, dim):
    is_half = layout.dtype == HALF
    is_exact = is_half and layout.bits < 8
    return layout.bits, layout.codes_at, layout.constants_at(dim), is_half, is_exact


@pytest.fixture(
    scope="module", params=quantized_cases.LAYOUTS.values(), ids=quantized_cases.LAYOUTS
)
def expected(request):
    """Inputs, and what the reference's `pool` makes of the values, for one layout of rows."""
    rng = np.random.default_rng(0)
    layout = request.param
    indices, offsets = cases.make_bags(rng, NUM_ROWS, np.dtype(np.int64))
    weights = {
        False: np.empty(0, np.float32),
        True: cases.make_weights(rng, len(indices), np.dtype(np.float32)),
    }
    weights[True][offsets[5] : offsets[6]] = 0
    results = {}
    for number, dim in enumerate(DIMS):
        packed = make_packed(rng, NUM_ROWS, dim, layout)
        for weighted, w in weights.items():
            mode = MODES[(number + weighted) % 3]
            out = np.empty((len(offsets) - 1, dim), np.float32)
            reference.pool(out, packed.values, indices, offsets, w, mode, 1)
            results[dim, mode, weighted] = packed.array, out
    return layout, indices, offsets, weights, results


@cases.levels
@cases.index_dtypes
@cases.threads
def test_pooled_codes_have_the_bits_of_pooled_values(level, index_dtype, num_threads, expected):
    layout, indices, offsets, weights, results = expected
    indices, offsets = indices.astype(index_dtype), offsets.astype(index_dtype)
    for (dim, mode, weighted), (rows, out) in results.items():
        whole, actual = cases.guarded(out.shape, out.dtype)
        bags = indices, offsets, weights[weighted]
        arguments = rows, *bags, *layout_of(layout, dim), mode, num_threads
        assert level.pool_codes(actual, *arguments) is True
        cases.assert_same_bits(actual, out)
        cases.assert_guards(whole, out.shape)


@cases.levels
@cases.index_dtypes
def test_plain_calls_have_the_same_bits(level, index_dtype, expected):
    layout, indices, offsets, weights, results = expected
    starts, indices = offsets[:-1].astype(index_dtype), indices.astype(index_dtype)
    for (dim, mode, weighted), (rows, out) in results.items():
        bags = indices, starts, weights[True] if weighted else None
        rest = *layout_of(layout, dim), mode, False, 1
        for kernel in (level.pool_plain_codes, quantized_reference.pool_plain_codes):
            whole, actual = cases.guarded(out.shape, out.dtype)
            ends = np.empty(len(offsets), index_dtype)
            assert kernel(actual, ends, rows, *bags, *rest) is True
            cases.assert_same_bits(actual, out)
            cases.assert_guards(whole, out.shape)
            np.testing.assert_array_equal(ends, offsets)
            for place, bad in ((0, -1), (-1, NUM_ROWS)):
                wrong = indices.copy()
                wrong[place] = bad
                assert kernel(actual, ends, rows, wrong, *bags[1:], *rest) is False
            assert kernel(actual, ends, rows, indices, starts[::-1].copy(), None, *rest) is False


def test_the_twin_pools_values(expected):
    layout, indices, offsets, weights, results = expected
    for (dim, mode, weighted), (rows, out) in results.items():
        actual = np.empty_like(out)
        bags = indices, offsets, weights[weighted]
        arguments = rows, *bags, *layout_of(layout, dim), mode, 1
        assert quantized_reference.pool_codes(actual, *arguments) is True
        cases.assert_same_bits(actual, out)


@cases.levels
@quantized_cases.layouts
@pytest.mark.parametrize("length", [512, 513, 1024, 1025])
def test_long_bags_are_added_up_in_parts(level, layout, length):
    rng = np.random.default_rng(2)
    packed = make_packed(rng, NUM_ROWS, 19, layout)
    indices, offsets = rng.integers(5, NUM_ROWS, length), np.array([0, length])
    weights = cases.make_weights(rng, length, np.dtype(np.float32))
    for w in (weights, weights[:0]):
        wanted, actual = np.empty((1, 19), np.float32), np.empty((1, 19), np.float32)
        reference.pool(wanted, packed.values, indices, offsets, w, reference.MEAN, 1)
        arguments = packed.array, indices, offsets, w, *layout_of(layout, 19), reference.MEAN, 1
        level.pool_codes(actual, *arguments)
        cases.assert_same_bits(actual, wanted)


@cases.levels
@cases.index_dtypes
@pytest.mark.parametrize("num_threads", [1, 3])
@quantized_cases.layouts
def test_unpacked_codes_are_the_values(level, index_dtype, num_threads, layout):
    rng = np.random.default_rng(3)
    indices = rng.integers(0, NUM_ROWS, 75).astype(index_dtype)
    for dim in DIMS:
        packed = make_packed(rng, NUM_ROWS, dim, layout)
        wanted = packed.values[indices]
        arguments = packed.array, indices, *layout_of(layout, dim), num_threads
        for kernel in (level.unpack_codes, quantized_reference.unpack_codes):
            whole, actual = cases.guarded(wanted.shape, wanted.dtype)
            kernel(actual, *arguments)
            cases.assert_same_bits(actual, wanted)
            cases.assert_guards(whole, wanted.shape)


@cases.levels
@cases.index_dtypes
@pytest.mark.parametrize("bad", [-1, NUM_ROWS, 2**31 - 1, -(2**31)])
@pytest.mark.parametrize("at", [0, 3_000, 6_001])
@pytest.mark.parametrize("num_threads", [1, 2])
def test_indices_outside_are_found_and_are_row_0(level, index_dtype, bad, at, num_threads):
    layout = quantized_cases.LAYOUTS["fbgemm_int8"]
    packed = make_packed(np.random.default_rng(4), NUM_ROWS, 20, layout)
    offsets = np.array([0, 2, 6_001, 6_003], index_dtype)
    indices = np.full(6_003, 7, index_dtype)
    weights = np.ones(6_003, np.float32)
    weights[6_001:] = 0  # of a bag without a divisor no row is read
    rest = offsets, weights, *layout_of(layout, 20), reference.MEAN, num_threads
    out, wanted = np.empty((3, 20), np.float32), np.empty((3, 20), np.float32)
    assert level.pool_codes(out, packed.array, indices, *rest) is True
    indices[at] = bad
    for kernel, result in ((level.pool_codes, out), (quantized_reference.pool_codes, wanted)):
        assert kernel(result, packed.array, indices, *rest) is False
    cases.assert_same_bits(out, wanted)
    level.unpack_codes(out[:1], packed.array, indices[at : at + 1], *layout_of(layout, 20), 1)
    cases.assert_same_bits(out[:1], packed.values[:1])


@cases.levels
@quantized_cases.layouts
def test_rows_that_fill_their_memory(level, layout):
    """ASan finds a read before the first row or after the last one."""
    for dim in DIMS:
        packed = make_packed(np.random.default_rng(5), 6, dim, layout)
        rows, out = packed.array.copy(), np.empty((1, dim), np.float32)
        bags = np.arange(12) % 6, np.array([0, 12]), np.empty(0, np.float32)
        assert level.pool_codes(out, rows, *bags, *layout_of(layout, dim), 0, 1) is True
        values = np.empty((12, dim), np.float32)
        level.unpack_codes(values, rows, bags[0], *layout_of(layout, dim), 1)
        cases.assert_same_bits(values, packed.values[bags[0]])


@cases.levels
@quantized_cases.bits_of_codes
@pytest.mark.parametrize("weighted", [False, True])
def test_exact_rows_have_the_same_bits_when_they_are_rounded_once(level, bits, weighted):
    layout = quantized_cases.RowFormat(bits, quantized_cases.FLOAT)
    packed = make_packed(np.random.default_rng(7), NUM_ROWS, 40, layout).array
    constants = packed[:, layout.constants_at(40) :][:, :8].copy().view(np.float32)
    make_exact(constants, bits)
    packed[:, layout.constants_at(40) :][:, :8] = constants.view(np.uint8)
    indices, offsets = cases.make_bags(np.random.default_rng(8), NUM_ROWS, np.dtype(np.int64))
    # Bags of one row, too: in a sum, a zero loses its sign.
    indices = np.append(indices, np.arange(NUM_ROWS))
    offsets = np.append(offsets, offsets[-1] + 1 + np.arange(NUM_ROWS))
    weights = np.ones(len(indices) * weighted, np.float32) / 3
    wanted, actual = (np.empty((len(offsets) - 1, 40), np.float32) for _ in range(2))
    *codes, _ = layout_of(layout, 40)
    rest = packed, indices, offsets, weights, *codes
    quantized_reference.pool_codes(wanted, *rest, False, reference.SUM, 1)
    level.pool_codes(actual, *rest, True, reference.SUM, 1)
    cases.assert_same_bits(actual, wanted)


def make_exact(constants, bits):
    """Change scales and biases (R, 2), in place, until their rows may be rounded once."""
    scales = constants[:, 0].copy().view(np.uint32)
    constants[:, 0] = (scales & 0xFFFFFF00).view(np.float32)
    if bits == 8:
        raised = RAISED * constants[:, 0].astype(np.float64)
        constants[:, 1] = (constants[:, 1] - raised).astype(np.float32) + raised
        constants[4:7] = (0, 3.3), (-0.0, 0), (0, -7e-30)
    assert are_exact(constants, bits)


@pytest.mark.parametrize(
    ("constants", "expected"),
    [
        ((1, -128), True),
        ((0, 3.3), True),
        ((-0.5, 0.0), True),
        ((2.0**-140, 0.0), True),
        ((1 + 2.0**-16, 0), False),  # a product would be rounded
        ((1, -128.001), False),  # so would the bias of raised codes
        ((1, 2.0**-60), False),
        ((2.0**-100, 1), False),
        ((2.0**112, 1), False),
        ((2.0**113, 0), False),  # the bias would overflow
        ((-0.0, -0.0), False),  # -0.0 would be 0.0
    ],
)
def test_constants_that_are_exact_with_8_bits(constants, expected):
    rows = np.array([(1, 2), constants, (3, 4)], np.float32)
    assert are_exact(rows, 8) is expected
    assert are_exact(rows, 4) is (constants[0] != 1 + 2.0**-16)


@cases.levels
def test_offsets_that_changed_after_the_check_make_empty_bags(level):
    layout = quantized_cases.LAYOUTS["torch_4bit"]
    packed = make_packed(np.random.default_rng(6), NUM_ROWS, 8, layout)
    out = np.full((3, 8), 7, np.float32)
    bags = np.full(4, 9), np.array([0, 4, 1, 4]), np.empty(0, np.float32)
    level.pool_codes(out, packed.array, *bags, *layout_of(layout, 8), reference.SUM, 1)
    assert out[0].any()
    np.testing.assert_array_equal(out[1], 0)


@cases.levels
def test_tables_and_bags_without_entries(level):
    layout = quantized_cases.LAYOUTS["torch_byte"]
    none, no_ids = np.empty(0, np.float32), np.empty(0, np.int64)
    rows = np.empty((0, 12), np.uint8)
    for kernels in (level, quantized_reference):
        out = np.full((2, 4), 7, np.float32)
        bags = no_ids, np.zeros(3, np.int64), none
        assert kernels.pool_codes(out, rows, *bags, *layout_of(layout, 4), 0, 1) is True
        np.testing.assert_array_equal(out, 0)
        kernels.unpack_codes(out[:0], rows, no_ids, *layout_of(layout, 4), 1)
        kernels.unpack_codes(
            np.empty((1, 0), np.float32),
            np.zeros((1, 8), np.uint8),
            np.zeros(1, int),
            *layout_of(layout, 0),
            1,
        )
