# Primitives on one row, or one block of columns of it: row_ops.h for every type of cell.
#
# Callers pass `width` as a literal; inlining makes it the constant trip count that lets the C
# compiler keep an accumulator block in vector registers.

cdef extern from "portable.h" nogil:
    void prefetch "EBAGX_PREFETCH"(const void* address)
    enum:
        BLOCK_BYTES "EBAGX_BLOCK_BYTES"
        MAX_BLOCK "EBAGX_MAX_BLOCK"  # columns in the widest accumulator block

cdef extern from "row_ops.h" nogil:
    float value_f16 "ebagx_value_f16"(uint16_t cell)
    float value_bf16 "ebagx_value_bf16"(int16_t cell)
    uint16_t cell_f16 "ebagx_cell_f16"(float value)
    int16_t cell_bf16 "ebagx_cell_bf16"(float value)
    void add_f32 "ebagx_add_f32"(float*, const float*, int)
    void add_f64 "ebagx_add_f64"(double*, const double*, int)
    void add_f16 "ebagx_add_f16"(float*, const uint16_t*, int)
    void add_bf16 "ebagx_add_bf16"(float*, const int16_t*, int)
    void add_weighted_f32 "ebagx_add_weighted_f32"(float*, const float*, float, int)
    void add_weighted_f64 "ebagx_add_weighted_f64"(double*, const double*, double, int)
    void add_weighted_f16 "ebagx_add_weighted_f16"(float*, const uint16_t*, float, int)
    void add_weighted_bf16 "ebagx_add_weighted_bf16"(float*, const int16_t*, float, int)
    void take_greater_f32 "ebagx_take_greater_f32"(
        float*, float*, float*, const float*, float, float, int
    )
    void take_greater_f64 "ebagx_take_greater_f64"(
        double*, double*, double*, const double*, double, double, int
    )
    void take_greater_f16 "ebagx_take_greater_f16"(
        float*, float*, float*, const uint16_t*, float, float, int
    )
    void take_greater_bf16 "ebagx_take_greater_bf16"(
        float*, float*, float*, const int16_t*, float, float, int
    )

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


cdef inline real_t value_of(cell_t cell, real_t like) noexcept nogil:
    # `like` only names the type to widen to.
    if cell_t is uint16_t:
        return value_f16(cell)
    elif cell_t is int16_t:
        return value_bf16(cell)
    else:
        return <real_t>cell


cdef inline void store(cell_t* cell, real_t value) noexcept nogil:
    if cell_t is uint16_t:
        cell[0] = cell_f16(<float>value)
    elif cell_t is int16_t:
        cell[0] = cell_bf16(<float>value)
    else:
        cell[0] = <cell_t>value


cdef inline void add_block(real_t* sum_d, const cell_t* row, int width) noexcept nogil:
    if real_t is double and cell_t is double:
        add_f64(sum_d, row, width)
    elif real_t is float and cell_t is float:
        add_f32(sum_d, row, width)
    elif real_t is float and cell_t is uint16_t:
        add_f16(sum_d, row, width)
    elif real_t is float and cell_t is int16_t:
        add_bf16(sum_d, row, width)


cdef inline void add_weighted_block(
    real_t* sum_d, const cell_t* row, real_t weight, int width
) noexcept nogil:
    if real_t is double and cell_t is double:
        add_weighted_f64(sum_d, row, weight, width)
    elif real_t is float and cell_t is float:
        add_weighted_f32(sum_d, row, weight, width)
    elif real_t is float and cell_t is uint16_t:
        add_weighted_f16(sum_d, row, weight, width)
    elif real_t is float and cell_t is int16_t:
        add_weighted_bf16(sum_d, row, weight, width)


cdef inline void take_greater_block(
    real_t* best_d, real_t* at_d, real_t* has_nan_d, const cell_t* row, real_t direction,
    real_t position, int width,
) noexcept nogil:
    if real_t is double and cell_t is double:
        take_greater_f64(best_d, at_d, has_nan_d, row, direction, position, width)
    elif real_t is float and cell_t is float:
        take_greater_f32(best_d, at_d, has_nan_d, row, direction, position, width)
    elif real_t is float and cell_t is uint16_t:
        take_greater_f16(best_d, at_d, has_nan_d, row, direction, position, width)
    elif real_t is float and cell_t is int16_t:
        take_greater_bf16(best_d, at_d, has_nan_d, row, direction, position, width)


cdef inline void prefetch_bytes(const char* start, int count) noexcept nogil:
    cdef int line
    for line in range((count + CACHE_LINE - 1) // CACHE_LINE):
        prefetch(start + line * CACHE_LINE)


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
