"""Compare the compiled reader of numbers with NumPy's values."""

import numpy as np
import pytest
from hypothesis import example, given, strategies as st

from ebagx.io.vectors import parse
from ebagx.io.vectors.text import powers_of_ten
from ebagx.text.words import spans_of_lines
from support.vector_definition import number

SOUND, OTHER_COUNT, NO_NUMBER, UNSETTLED = range(4)


def parsed(lines, dim, threads=1):
    text = b"".join(line + b"\n" for line in lines)
    spans = spans_of_lines(text)
    rows, words = np.full((len(lines), dim), np.nan, "f"), np.empty((len(lines), 2), np.intp)
    faults = np.empty(len(lines), np.uint8)
    parse.parse_rows(rows, words, faults, spans, text, powers_of_ten(), threads)
    return rows, [text[a:b] for a, b in words.tolist()], faults.tolist()


def check(fields):
    rows, _, faults = parsed([b"w " + field.encode() for field in fields], 1)
    for field, (value,), fault in zip(fields, rows, faults, strict=True):
        wanted = number(field)
        if fault == UNSETTLED:  # Python reads it
            continue
        assert fault == (SOUND if np.isfinite(wanted) else NO_NUMBER), field
        if fault == SOUND:
            assert value.tobytes() == wanted.tobytes(), field


digits = st.text("0123456789", min_size=1, max_size=25)
exponents = st.integers(-80, 60).map(lambda e: f"e{e}")


@given(st.tuples(st.sampled_from(["", "-", "+"]), digits, digits, exponents | st.just("")))
@example(("", "0", "0", ""))
@example(("-", "0", "0000000000000000000000000000001", "e40"))
@example(("", "9007199254740993", "0", ""))
@example(("", "3", "4028235677973366e38", ""))
@example(("", "8", "5", "e22"))
def test_decimals(parts):
    sign, whole, fraction, exponent = parts
    check([f"{sign}{whole}.{fraction}{exponent}"])


@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_shortest_and_long_forms(value):
    x = np.float32(value)
    check([repr(value), str(x), f"{x:.9g}", f"{x:.17e}", f"{value:.5f}", f"{value:f}"])


def test_numbers_half_way():
    """Numbers between two float32 or two float64 are where roundings differ."""
    rng = np.random.default_rng(0)
    bits = rng.integers(0x20000000, 0x5F000000, 3000, dtype=np.uint32)
    floats = bits.view(np.float32).astype(float)
    half = (floats + np.nextafter(bits.view(np.float32), np.float32(np.inf)).astype(float)) / 2
    doubles = np.nextafter(half, np.inf)
    check([f"{x:.{n}e}" for x in (*half, *doubles) for n in (6, 8, 14, 16, 17, 18)])


@pytest.mark.parametrize(
    "field", ["1", "01", "+1", "-1", "1.", ".5", "1e3", "1E-3", "1e+3", "-0", "-.5e1", "00.00"]
)
def test_forms_of_numbers(field):
    rows, _, faults = parsed([b"w " + field.encode()], 1)
    assert faults == [SOUND]
    assert rows[0, 0] == number(field)
    assert np.signbit(rows[0, 0]) == field.startswith("-")


def test_digits_that_exceed_a_word():
    """Digits that are a multiple of 2 ** 64."""
    check(["1.8446744073709551616", "-0.55340232221128654848", "0.36893488147419103232"])
    check(["18446744073709551616", "184467440737095516160"])


@pytest.mark.parametrize(
    "field",
    ["", "-", ".", "e5", "1e", "1e+", "nan", "inf", "0x1", "1_0", "1.2.3", "1-", "é", "1e39"],
)
def test_no_numbers(field):
    _, _, faults = parsed([b"w 1 " + field.encode()], 2)
    assert faults[0] in (OTHER_COUNT, NO_NUMBER)


@pytest.mark.parametrize(
    ("line", "word"),
    [
        (b"w 1 2", b"w"),
        (b"w 1 2 ", b"w"),
        (b"w 1 2\r", b"w"),
        (b"w  1  2", b"w"),
        (b". . . 1 2", b". . ."),
        (b"a b 1 2", b"a b"),
        (b" 1 2", b""),
        (b"7 1 2", b"7"),
        ("\xa0\x85\u2028x 1 2".encode(), "\xa0\x85\u2028x".encode()),
        (b"\xff 1 2", b"\xff"),
    ],
)
def test_words(line, word):
    rows, words, faults = parsed([line], 2)
    assert (words, faults) == ([word], [SOUND])
    np.testing.assert_array_equal(rows, [[1, 2]])


@pytest.mark.parametrize("line", [b"", b" ", b"w", b"w 1", b"1 2", b"w 0 1 2 3", b"the 0.5 1 2"])
def test_other_numbers_of_numbers(line):
    _, _, faults = parsed([line], 3 if line == b"w 0 1 2 3" else 2)
    assert faults == [OTHER_COUNT]


def test_threads_do_not_change_rows():
    rng = np.random.default_rng(0)
    lines = [b"w%d " % i + b" ".join(b"%.6f" % x for x in rng.normal(size=9)) for i in range(500)]
    one, two = parsed(lines, 9), parsed(lines, 9, 2)
    assert one[0].tobytes() == two[0].tobytes()
    assert one[1:] == two[1:]


def test_powers_of_ten():
    powers = powers_of_ten()
    assert powers.shape == (parse.LARGEST_POWER - parse.LEAST_POWER + 1, 2)
    assert (powers[:, 1] >> np.uint64(63) == 1).all()
    low, high = map(int, powers[-parse.LEAST_POWER + 30])
    assert high << 64 | low == 10**30 << (128 - (10**30).bit_length())


def test_split_binary():
    rows = np.arange(6, dtype=np.float32).reshape(3, 2)
    records = [
        b"%s " % w + r.tobytes() for w, r in zip((b"a", b"\xff\xfe", b""), rows, strict=True)
    ]
    text = b"\n".join(records)
    out, words = np.empty((5, 2), "f"), np.empty((5, 2), np.intp)
    assert parse.split_binary(out, words, text) == 3
    np.testing.assert_array_equal(out[:3], rows)
    assert [text[a:b] for a, b in words[:3].tolist()] == [b"a", b"\xff\xfe", b""]
    for end in range(len(text)):
        complete = sum(end >= text.index(record) + len(record) for record in records)
        assert parse.split_binary(out, words, text[:end]) == complete
    assert parse.split_binary(out[:2], words[:2], text) == 2
