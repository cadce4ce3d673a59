# Rows of codes of 8, 4 or 2 bits, with a scale and a bias each, are pooled by their values:
#
#     sum[d] = sum_k count[k] * (float(scale[r] * code[r, d]) + bias[r]),   r = row[k]
#
# with the roundings and the order of `ebagx.QuantizedTable`. A byte has the codes of columns that
# stand side by side, low bits first. The sums of all first codes of bytes come before those of all
# second ones until the end, so that each loop is over bytes in order.

cdef enum:
    CODE_COLUMNS = 32  # whose sums stay in registers


# The layout of a row. `bits` is 0 where rows are of float.
cdef struct Codes:
    int bits
    Py_ssize_t codes_at
    Py_ssize_t constants_at  # scale, then bias
    bint is_half             # scale and bias are float16, else float


cdef inline float value_of_half(const char* place) noexcept nogil:
    """Return a finite float16 as float: its bits as those of a float 2 ** 112 times too small."""
    cdef uint16_t half
    cdef uint32_t bits
    cdef float value
    memcpy(&half, place, 2)
    bits = <uint32_t>(half & 0x7FFF) << 13
    memcpy(&value, &bits, 4)
    value *= <float>5.192296858534828e33
    memcpy(&bits, &value, 4)
    bits |= <uint32_t>(half & 0x8000) << 16  # a branch would often be mispredicted
    memcpy(&value, &bits, 4)
    return value


cdef inline void read_constants(
    float* scale, float* bias, const char* place, bint is_half
) noexcept nogil:
    if is_half:
        scale[0], bias[0] = value_of_half(place), value_of_half(place + 2)
    else:
        memcpy(scale, place, 4)
        memcpy(bias, place + 4, 4)


cdef inline void add_codes(
    float* sums_d, const Rows* rows, const Codes* layout, const int32_t* rows_k,
    const float* counts_k, Py_ssize_t n_rows, Py_ssize_t first, int width, int bits,
) noexcept nogil:
    """Write the sums of columns [first, first + width) of some rows; `first` starts a byte."""
    cdef float[CODE_COLUMNS] sums
    cdef int per_byte = 8 // bits, n_bytes = (width + per_byte - 1) // per_byte, place, j
    cdef const char* row
    cdef const unsigned char* codes
    cdef float scale, bias, value
    cdef Py_ssize_t k
    for j in range(per_byte * n_bytes):
        sums[j] = 0
    for k in range(n_rows):
        row = rows.data + rows_k[k] * rows.row_bytes
        codes = <const unsigned char*>row + layout.codes_at + first // per_byte
        read_constants(&scale, &bias, row + layout.constants_at, layout.is_half)
        for place in range(per_byte):
            for j in range(n_bytes):
                value = scale * <float>(codes[j] >> (bits * place) & ((1 << bits) - 1))
                sums[place * n_bytes + j] += counts_k[k] * (value + bias)
    for place in range(per_byte):
        for j in range(n_bytes):
            sums_d[per_byte * j + place] = sums[place * n_bytes + j]
