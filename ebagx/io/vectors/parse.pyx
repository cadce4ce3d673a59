"""Rows of numbers in text, and rows of float32 between words: what files of word vectors hold.

A number of text has the value that NumPy gives it: the nearest float64, rounded to float32. Most
have at most 15 digits, and take one multiplication or division of exact float64 (Clinger 1990).
Others take the algorithm of Eisel and Lemire (Lemire 2021), of which there is a proof that it is
exact or says that it is not. The few numbers that neither settles, and those of more than 19
digits, are left to Python, line by line.

Axis letters at the end of array names: l line, d column, e exponent of ten. Nothing here
allocates or fails. ``tests/support/vector_definition.py`` has the definition in plain Python.
"""

from cython.parallel cimport prange
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memchr, memcpy

include "common/arrays.pxi"

# The powers of ten that text may need: below, float32 has only zeros, above, only infinity.
LEAST_POWER, LARGEST_POWER = -65, 38

cdef enum:
    FIRST_POWER = -65
    LAST_POWER = 38
    MOST_DIGITS = 19        # that an uint64 holds
    EXACT_POWER = 22        # the last power of ten that is exact in float64
    MOST_EXPONENT = 99999
    BLANK = 32

# Lines have these faults.
cdef enum:
    SOUND = 0
    OTHER_COUNT = 1   # it has more or fewer numbers
    NO_NUMBER = 2     # a field is no finite number
    UNSETTLED = 3     # Python has to read it


cdef double* TENS = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16,
    1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
]


# A decimal number is digits * 10**exponent.
cdef struct Decimal:
    uint64_t digits
    int exponent
    int count        # of digits from the first that is not 0
    bint is_negative
    bint is_number


cdef inline const unsigned char* read_digits(
    const unsigned char* text, const unsigned char* stop, Decimal* number
) noexcept nogil:
    cdef unsigned int digit
    while text < stop:
        digit = <unsigned int>text[0] - 48
        if digit > 9:
            return text
        number.digits = number.digits * 10 + digit  # of more than 19 digits nobody uses it
        number.count += number.count > 0 or number.digits > 0
        text += 1
    return text


cdef const unsigned char* read_exponent(
    const unsigned char* text, const unsigned char* stop, Decimal* number
) noexcept nogil:
    cdef const unsigned char* first
    cdef int exponent = 0
    cdef bint is_negative = text < stop and text[0] == 45
    if text < stop and (text[0] == 45 or text[0] == 43):
        text += 1
    first = text
    while text < stop and 48 <= text[0] <= 57:
        exponent = min(exponent * 10 + text[0] - 48, MOST_EXPONENT)
        text += 1
    number.is_number = number.is_number and text > first
    number.exponent += -exponent if is_negative else exponent
    return text


cdef inline Decimal read_decimal(
    const unsigned char* text, const unsigned char* stop
) noexcept nogil:
    """Return the number that a field, all of it, is."""
    cdef Decimal number = Decimal(0, 0, 0, False, False)
    cdef const unsigned char* first
    cdef const unsigned char* after
    number.is_negative = text < stop and text[0] == 45
    if text < stop and (text[0] == 45 or text[0] == 43):
        text += 1
    first = text
    text = read_digits(text, stop, &number)
    number.is_number = text > first
    if text < stop and text[0] == 46:
        after = text + 1
        text = read_digits(after, stop, &number)
        number.is_number = number.is_number or text > after
        number.exponent = -<int>min(text - after, MOST_EXPONENT)
    if text < stop and (text[0] | 32) == 101:
        text = read_exponent(text + 1, stop, &number)
    number.is_number = number.is_number and text == stop
    return number


cdef inline uint64_t multiply(uint64_t a, uint64_t b, uint64_t* low) noexcept nogil:
    """Return the upper half of a product of 128 bits."""
    cdef uint64_t a0 = <uint32_t>a, a1 = a >> 32, b0 = <uint32_t>b, b1 = b >> 32
    cdef uint64_t middle = a1 * b0 + (a0 * b0 >> 32)
    cdef uint64_t carry = <uint32_t>middle + a0 * b1
    low[0] = a * b
    return a1 * b1 + (middle >> 32) + (carry >> 32)


cdef inline int leading_zeros(uint64_t number) noexcept nogil:
    cdef int count = 0, step = 32
    while step:
        if not number >> (64 - step):
            number <<= step
            count += step
        step //= 2
    return count


cdef bint round_product(
    double* value, uint64_t digits, int exponent, const uint64_t* power
) noexcept nogil:
    """Write the float64 that is nearest to digits * 10**exponent; return whether it is certain.

    The two halves of `power` are the first 128 bits of the power of ten, the lower half first.
    """
    cdef int zeros = leading_zeros(digits), shift
    cdef uint64_t low, high, low_2, high_2, merged, bits
    cdef int64_t binary = (217706 * <int64_t>exponent >> 16) + 64 + 1023 - zeros
    digits <<= zeros
    high = multiply(digits, power[1], &low)
    if (high & 0x1FF) == 0x1FF and low + digits < digits:
        high_2 = multiply(digits, power[0], &low_2)
        merged = low + high_2
        high += merged < low
        if (high & 0x1FF) == 0x1FF and merged + 1 == 0 and low_2 + digits < digits:
            return False
        low = merged
    shift = <int>(high >> 63)
    bits = high >> (shift + 9)
    binary -= 1 ^ shift
    if low == 0 and (high & 0x1FF) == 0 and (bits & 3) == 1:  # half-way between two numbers
        return False
    bits = (bits + (bits & 1)) >> 1
    if bits >> 53:
        bits >>= 1
        binary += 1
    bits = <uint64_t>binary << 52 | (bits & ((<uint64_t>1 << 52) - 1))
    memcpy(value, &bits, sizeof(double))
    return True


cdef inline int round_decimal(
    float* value, const Decimal* number, const uint64_t* powers
) noexcept nogil:
    """Write the number as float32, by way of float64; return the fault of the line."""
    cdef double rounded = 0
    if not number.is_number:
        return NO_NUMBER
    if number.count > MOST_DIGITS:
        return UNSETTLED
    if number.digits == 0 or number.exponent < FIRST_POWER:
        rounded = 0
    elif number.digits >> 53 == 0 and -EXACT_POWER <= number.exponent <= EXACT_POWER:
        rounded = <double>number.digits
        if number.exponent < 0:
            rounded /= TENS[-number.exponent]
        else:
            rounded *= TENS[number.exponent]
    elif number.exponent > LAST_POWER:
        return NO_NUMBER
    elif not round_product(
        &rounded, number.digits, number.exponent, powers + 2 * (number.exponent - FIRST_POWER)
    ):
        return UNSETTLED
    value[0] = <float>(-rounded if number.is_negative else rounded)
    return SOUND if value[0] - value[0] == 0 else NO_NUMBER


cdef inline const unsigned char* before_blanks(
    const unsigned char* start, const unsigned char* end
) noexcept nogil:
    while end > start and end[-1] == BLANK:
        end -= 1
    return end


cdef inline const unsigned char* before_field(
    const unsigned char* start, const unsigned char* end
) noexcept nogil:
    while end > start and end[-1] != BLANK:
        end -= 1
    return end


cdef bint ends_with_number(const unsigned char* start, const unsigned char* end) noexcept nogil:
    """Return whether a word with blanks ends with a number, which is one number too many."""
    cdef const unsigned char* field = before_field(start, end)
    return field > start and read_decimal(field, end).is_number


cdef struct RowArrays:
    Rows rows
    Rows words
    Rows faults
    Rows spans
    Rows text
    Rows powers


cdef struct Word:
    Py_ssize_t start
    Py_ssize_t end


cdef uint8_t parse_line(
    float* row_d, Word* word, const Word* line, const unsigned char* text, Py_ssize_t dim,
    const uint64_t* powers,
) noexcept nogil:
    """Read a line from its end: the last `dim` fields are numbers, what is before is the word."""
    cdef const unsigned char* start = text + line.start
    cdef const unsigned char* end = text + line.end
    cdef const unsigned char* field
    cdef Decimal number
    cdef int fault = SOUND
    cdef Py_ssize_t d
    if end > start and end[-1] == 13:
        end -= 1
    for d in range(dim):
        end = before_blanks(start, end)
        field = before_field(start, end)
        if field == start:
            return OTHER_COUNT
        number = read_decimal(field, end)
        fault = max(fault, round_decimal(row_d + (dim - 1 - d), &number, powers))
        end = field
    word.start, word.end = line.start, before_blanks(start, end) - text
    if fault == SOUND and ends_with_number(start, text + word.end):
        return OTHER_COUNT
    return <uint8_t>fault


def parse_rows(
    rows_ld,          # OUT float32
    words_l2,         # OUT intp: where the word of each line starts and ends
    faults_l,         # OUT uint8: SOUND, OTHER_COUNT, NO_NUMBER or UNSETTLED
    spans_l2,         # intp: lines of the text
    text,             # uint8
    powers_e2,        # uint64: the lower and upper 64 of the first 128 bits of powers of ten
    int num_threads,
    /,
) -> None:
    """Read lines of a word and as many numbers as `rows_ld` has columns.

    Numbers are between blanks (spaces), the last one may be followed by some; the word is all that
    is before, and may have blanks. Of lines with a fault the rows are not complete.

    Cost: a pass over the text.
    """
    cdef RowArrays given
    cdef Arrays arrays
    cdef Py_ssize_t line
    open_arrays(
        &arrays, <Rows*>&given, (rows_ld, words_l2, faults_l, spans_l2, text, powers_e2),
        b"f2w n2w B1w n2 B1 Q2",
    )
    cdef uint8_t* faults = <uint8_t*>given.faults.data
    for line in prange(given.spans.count, nogil=True, schedule="static", num_threads=num_threads):
        faults[line] = parse_line(
            <float*>(given.rows.data + line * given.rows.row_bytes),
            <Word*>(given.words.data + line * given.words.row_bytes),
            <const Word*>(given.spans.data + line * given.spans.row_bytes),
            <const unsigned char*>given.text.data,
            given.rows.dim,
            <const uint64_t*>given.powers.data,
        )
    close_arrays(&arrays)


cdef struct BinaryArrays:
    Rows rows
    Rows words
    Rows text


def split_binary(
    rows_ld,          # OUT float32
    words_l2,         # OUT intp: where each word starts and ends
    text,             # uint8
    /,
) -> int:
    """Read complete records of word2vec's binary format; return how many were found.

    A record is a word, a blank, and the little-endian float32 of a row; newlines before the word
    are left out. At most as many are read as `words_l2` has rows.

    Cost: a pass over the text.
    """
    cdef BinaryArrays given
    cdef Arrays arrays
    cdef Py_ssize_t line = 0
    cdef const unsigned char* blank
    cdef Word* word
    open_arrays(&arrays, <Rows*>&given, (rows_ld, words_l2, text), b"f2w n2w B1")
    cdef const unsigned char* start = <const unsigned char*>given.text.data
    cdef const unsigned char* next = start
    cdef const unsigned char* stop = start + given.text.count
    cdef Py_ssize_t row_bytes = given.rows.dim * <Py_ssize_t>sizeof(float)
    with nogil:
        while line < given.words.count:
            while next < stop and next[0] == 10:
                next += 1
            if next == stop:
                break
            blank = <const unsigned char*>memchr(next, BLANK, <size_t>(stop - next))
            if blank == NULL or stop - blank - 1 < row_bytes:
                break
            word = <Word*>(given.words.data + line * given.words.row_bytes)
            word.start, word.end = next - start, blank - start
            memcpy(given.rows.data + line * given.rows.row_bytes, blank + 1, <size_t>row_bytes)
            next = blank + 1 + row_bytes
            line += 1
    close_arrays(&arrays)
    return line
