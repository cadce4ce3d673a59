# Primitives on one row, or one block of columns of it: the only loops that must vectorise.
#
# Callers pass `width` as a literal; inlining makes it the constant trip count that lets the C
# compiler keep an accumulator block in vector registers.

cdef extern from "portable.h" nogil:
    float float_from_bits "ebagx_float_from_bits"(uint32_t bits)
    uint32_t bits_from_float "ebagx_bits_from_float"(float value)
    void prefetch "EBAGX_PREFETCH"(const void* address)
    enum:
        BLOCK_BYTES "EBAGX_BLOCK_BYTES"

ctypedef fused index_t:
    int32_t
    int64_t

# What accumulates: float for float, float16 and bfloat16 tables, double for double ones.
ctypedef fused real_t:
    float
    double

# What a table holds.
ctypedef fused cell_t:
    float
    double
    uint16_t  # float16, as bits
    int16_t   # bfloat16, as bits

cdef enum:
    MAX_BLOCK = 64  # columns in the widest accumulator block
    LANES = 16      # partial sums of a dot product, added in a fixed order
    CACHE_LINE = 64


# Rows of a table in memory. A row number outside the table is read as row 0: never a wild
# address, even when another thread changes the indices after they were checked.
cdef struct Rows:
    const char* data
    Py_ssize_t row_bytes
    Py_ssize_t count


cdef inline const char* row_address(Rows rows, Py_ssize_t row) noexcept nogil:
    return rows.data + (row if 0 <= row < rows.count else 0) * rows.row_bytes


cdef inline float float16_value(uint16_t half) noexcept nogil:
    # The exponent moves by a multiplication, exact for subnormals too; inf and NaN need
    # their exponent set again.
    cdef uint32_t shifted = (<uint32_t>(half & 0x7FFF)) << 13
    cdef float scaled = float_from_bits(shifted) * <float>5.192296858534828e33  # 2**112
    cdef uint32_t magnitude = bits_from_float(scaled)
    magnitude |= 0x7F800000 if shifted >= 0x0F800000 else 0
    return float_from_bits(magnitude | (<uint32_t>(half & 0x8000)) << 16)


cdef inline uint16_t float16_bits(float value) noexcept nogil:
    # Rounds to nearest, ties to even, as NumPy's astype.
    cdef uint32_t bits = bits_from_float(value)
    cdef uint32_t sign = (bits >> 16) & 0x8000
    cdef uint32_t magnitude = bits & 0x7FFFFFFF
    if magnitude > 0x7F800000:
        return <uint16_t>(sign | 0x7E00)
    if magnitude >= 0x477FF000:  # 65520 and above round to inf
        return <uint16_t>(sign | 0x7C00)
    if magnitude < 0x38800000:  # below 2**-14: let an addition round to a multiple of 2**-24
        magnitude = bits_from_float(float_from_bits(magnitude) + <float>0.5) - 0x3F000000
        return <uint16_t>(sign | magnitude)
    return <uint16_t>(sign | ((magnitude - 0x38000000 + 0xFFF + ((magnitude >> 13) & 1)) >> 13))


cdef inline float bfloat16_value(int16_t bits) noexcept nogil:
    return float_from_bits((<uint32_t><uint16_t>bits) << 16)


cdef inline int16_t bfloat16_bits(float value) noexcept nogil:
    cdef uint32_t bits = bits_from_float(value)
    if (bits & 0x7FFFFFFF) > 0x7F800000:
        return <int16_t>((bits >> 16) | 0x40)
    return <int16_t>((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16)


cdef inline real_t value_of(cell_t cell, real_t like) noexcept nogil:
    # `like` only names the type to widen to.
    if cell_t is uint16_t:
        return float16_value(cell)
    elif cell_t is int16_t:
        return bfloat16_value(cell)
    else:
        return <real_t>cell


cdef inline void store(cell_t* cell, real_t value) noexcept nogil:
    if cell_t is uint16_t:
        cell[0] = float16_bits(<float>value)
    elif cell_t is int16_t:
        cell[0] = bfloat16_bits(<float>value)
    else:
        cell[0] = <cell_t>value


cdef inline void prefetch_bytes(const char* start, int count) noexcept nogil:
    cdef int line
    for line in range((count + CACHE_LINE - 1) // CACHE_LINE):
        prefetch(start + line * CACHE_LINE)


cdef inline void add_block(real_t* sum_d, const cell_t* row, int width) noexcept nogil:
    cdef int d
    for d in range(width):
        sum_d[d] += value_of(row[d], sum_d[d])


cdef inline void add_weighted_block(
    real_t* sum_d, const cell_t* row, real_t weight, int width
) noexcept nogil:
    cdef int d
    for d in range(width):
        sum_d[d] += weight * value_of(row[d], sum_d[d])


cdef inline real_t add_lanes(real_t* lanes) noexcept nogil:
    cdef int lane, half = LANES // 2
    while half:
        for lane in range(half):
            lanes[lane] += lanes[lane + half]
        half //= 2
    return lanes[0]


cdef inline real_t dot(const real_t* left, const cell_t* right, Py_ssize_t dim) noexcept nogil:
    # Column d goes to partial sum d % LANES: independent chains, one fixed order.
    cdef real_t[LANES] lanes
    cdef Py_ssize_t block, d, blocks = dim // LANES
    cdef int lane
    for lane in range(LANES):
        lanes[lane] = 0
    for block in range(blocks):
        for lane in range(LANES):
            d = block * LANES + lane
            lanes[lane] += left[d] * value_of(right[d], lanes[lane])
    for d in range(blocks * LANES, dim):
        lanes[d - blocks * LANES] += left[d] * value_of(right[d], lanes[0])
    return add_lanes(lanes)


ctypedef fused item_t:
    int32_t
    int64_t
    float
    double


cdef inline const item_t* address(const item_t[::1] array) noexcept nogil:
    # NULL for an empty array.
    return &array[0] if array.shape[0] else NULL


cdef inline Rows rows_of(const cell_t[:, :] table_rd) noexcept nogil:
    # Columns are contiguous; rows may lie further apart, or backwards.
    cdef Rows rows
    rows.count = table_rd.shape[0]
    rows.row_bytes = table_rd.strides[0]
    rows.data = <const char*>&table_rd[0, 0] if rows.count and table_rd.shape[1] else NULL
    return rows


cdef inline int block_width(Py_ssize_t remaining, Py_ssize_t span, int widest) noexcept nogil:
    # Of the widths that kernels are specialised for: the narrowest that ends the remaining columns
    # (it may overlap columns already done, if the span has them), else the widest that fits.
    # A span under 8 columns is one narrow block.
    cdef int width = widest
    cdef int narrower
    if span < 8:
        return <int>span
    while width > 8:
        narrower = width - 8 if width <= 40 else 40
        if width <= span and narrower < remaining:
            break
        width = narrower
    return width
