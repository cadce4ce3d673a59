# Primitives on one row, or on one block of its columns: they are row_ops.h for every type of cell.
#
# Callers pass `width` as a literal; inlining makes it the constant trip count that lets the C
# compiler keep an accumulator block in vector registers.

cdef extern from "common/portable.h" nogil:
    void prefetch "EBAGX_PREFETCH"(size_t address)  # need not be that of an object
    # The line comes for writing: no other processor's cache keeps a copy.
    void prefetch_written "EBAGX_PREFETCH_WRITTEN"(size_t address)
    bint unlikely "EBAGX_UNLIKELY"(bint condition)
    enum:
        BLOCK_BYTES "EBAGX_BLOCK_BYTES"
        PAIR_BYTES "EBAGX_PAIR_BYTES"
        MAX_BLOCK "EBAGX_MAX_BLOCK"  # columns in the widest accumulator block
        VECTOR_BYTES "EBAGX_VECTOR_BYTES"

cdef extern from "common/row_ops.h" nogil:
    uint16_t cell_f16 "ebagx_cell_f16"(float value)
    int16_t cell_bf16 "ebagx_cell_bf16"(float value)
    void widen_f16 "ebagx_widen_f16"(float*, const uint16_t*, int)
    void widen_bf16 "ebagx_widen_bf16"(float*, const int16_t*, int)
    void narrow_f16 "ebagx_narrow_f16"(uint16_t*, const float*, int)
    void narrow_bf16 "ebagx_narrow_bf16"(int16_t*, const float*, int)
    void add_f32 "ebagx_add_f32"(float*, const float*, int)
    void add_f64 "ebagx_add_f64"(double*, const double*, int)
    void add_weighted_f32 "ebagx_add_weighted_f32"(float*, const float*, float, int)
    void add_weighted_f64 "ebagx_add_weighted_f64"(double*, const double*, double, int)
    void add_products_f32 "ebagx_add_products_f32"(float*, const float*, const float*, int)
    void add_products_f64 "ebagx_add_products_f64"(double*, const double*, const double*, int)
    void add_squares_f32 "ebagx_add_squares_f32"(double*, const float*, int)
    void add_squares_f64 "ebagx_add_squares_f64"(double*, const double*, int)
    float add_lanes_f32 "ebagx_add_lanes_f32"(float*)
    double add_lanes_f64 "ebagx_add_lanes_f64"(double*)
    void take_greater_f32 "ebagx_take_greater_f32"(
        float*, float*, float*, const float*, float, float, int
    )
    void take_greater_f64 "ebagx_take_greater_f64"(
        double*, double*, double*, const double*, double, double, int
    )

ctypedef fused index_t:
    int32_t
    int64_t

# Sums are float for float, float16 and bfloat16 tables, double for double tables.
ctypedef fused real_t:
    float
    double

# A table holds cells of one of these types.
ctypedef fused cell_t:
    float
    double
    uint16_t  # float16, as bits
    int16_t   # bfloat16, as bits

cdef enum:
    LANES = 16      # partial sums of a dot product, added in a fixed order
    CACHE_LINE = 64


cdef inline size_t address_as_number(Rows rows, Py_ssize_t row) noexcept nogil:
    # Returns the address of a row that may lie outside the table, for prefetches: a number may have
    # any value and wrap around, while a pointer outside its array may not even be computed.
    return <size_t>rows.data + <size_t>row * <size_t>rows.row_bytes


cdef inline char* row_address(Rows rows, Py_ssize_t row) noexcept nogil:
    # A row number outside the table is read as row 0, so no address is wild, even when another
    # thread changes the indices after they were checked. One unsigned comparison finds negative
    # numbers, too. The address is computed as that of a prefetch is, which shares the work: else
    # there would be two more additions.
    return <char*>address_as_number(rows, row if <size_t>row < <size_t>rows.count else 0)


cdef inline const real_t* widened(
    const cell_t* row, real_t* value_d, int width
) noexcept nogil:
    # Returns the row's values: the row itself if they are of the wanted type, else value_d.
    if cell_t is real_t:
        return row
    else:
        if cell_t is uint16_t and real_t is float:
            widen_f16(value_d, row, width)
        elif cell_t is int16_t and real_t is float:
            widen_bf16(value_d, row, width)
        return value_d


cdef inline void store(cell_t* row, const real_t* value_d, int width) noexcept nogil:
    cdef int d
    if cell_t is real_t:
        for d in range(width):
            row[d] = value_d[d]
    elif cell_t is uint16_t and real_t is float:
        narrow_f16(row, value_d, width)
    elif cell_t is int16_t and real_t is float:
        narrow_bf16(row, value_d, width)


cdef inline void add_block(real_t* sum_d, const cell_t* row, int width) noexcept nogil:
    cdef real_t[MAX_BLOCK] value_d
    if real_t is float:
        add_f32(sum_d, widened(row, value_d, width), width)
    else:
        add_f64(sum_d, widened(row, value_d, width), width)


cdef inline void add_weighted_block(
    real_t* sum_d, const cell_t* row, real_t weight, int width
) noexcept nogil:
    cdef real_t[MAX_BLOCK] value_d
    if real_t is float:
        add_weighted_f32(sum_d, widened(row, value_d, width), weight, width)
    else:
        add_weighted_f64(sum_d, widened(row, value_d, width), weight, width)


cdef inline void take_greater_block(
    real_t* best_d, real_t* at_d, real_t* has_nan_d, const cell_t* row, real_t direction,
    real_t position, int width,
) noexcept nogil:
    cdef real_t[MAX_BLOCK] value_d
    cdef const real_t* values = widened(row, value_d, width)
    if real_t is float:
        take_greater_f32(best_d, at_d, has_nan_d, values, direction, position, width)
    else:
        take_greater_f64(best_d, at_d, has_nan_d, values, direction, position, width)


cdef inline void prefetch_lines(size_t start, int count) noexcept nogil:
    cdef int line
    for line in range((count + CACHE_LINE - 1) // CACHE_LINE):
        prefetch(start + <size_t>(line * CACHE_LINE))


cdef inline void prefetch_block(Rows block, Py_ssize_t row, int count) noexcept nogil:
    prefetch_lines(address_as_number(block, row), count)


cdef inline void prefetch_row(Rows rows, Py_ssize_t row, Py_ssize_t row_bytes) noexcept nogil:
    # Prefetches the beginning of a row: the processor's own prefetcher goes on from there.
    prefetch_block(rows, row, <int>min(row_bytes, 8 * CACHE_LINE))


cdef inline void prefetch_written_row(
    Rows rows, Py_ssize_t row, Py_ssize_t row_bytes
) noexcept nogil:
    # Prefetches the beginning of a row for writing. Else a line that another core has read comes
    # twice, to be read and to be written: an optimizer's step of two threads on 10,000 rows of 64
    # numbers, after a forward pass, took .31 ms in place of .19.
    cdef size_t start = address_as_number(rows, row)
    cdef int line, count = <int>min(row_bytes, 8 * CACHE_LINE)
    for line in range((count + CACHE_LINE - 1) // CACHE_LINE):
        prefetch_written(start + <size_t>(line * CACHE_LINE))


cdef inline real_t add_lanes(real_t* lanes) noexcept nogil:
    if real_t is float:
        return add_lanes_f32(lanes)
    else:
        return add_lanes_f64(lanes)


cdef inline void add_products(
    real_t* lanes, const real_t* left, const cell_t* right, int width
) noexcept nogil:
    cdef real_t[LANES] value_d
    if real_t is float:
        add_products_f32(lanes, left, widened(right, value_d, width), width)
    else:
        add_products_f64(lanes, left, widened(right, value_d, width), width)


cdef inline real_t dot(const real_t* left, const cell_t* right, Py_ssize_t dim) noexcept nogil:
    # Column d is added to partial sum d % LANES: the sums are independent, their order is fixed.
    cdef real_t[LANES] lanes
    cdef Py_ssize_t d = 0
    cdef int lane
    for lane in range(LANES):
        lanes[lane] = 0
    while d + LANES <= dim:
        add_products(lanes, left + d, right + d, LANES)
        d += LANES
    add_products(lanes, left + d, right + d, <int>(dim - d))
    return add_lanes(lanes)


cdef inline int block_width(Py_ssize_t remaining, Py_ssize_t span, int widest) noexcept nogil:
    # Kernels are specialised for the widths 128, 64, 32, 24, 16 and 8, and for narrower spans 4, 2
    # and 1. Returns the narrowest that ends the remaining columns (it may overlap columns already
    # done, if the span has them), else the widest that fits.
    cdef Py_ssize_t width, narrower
    if remaining >= widest:
        return widest
    if remaining > 64:
        width, narrower = 128, 64
    elif remaining > 32:
        width, narrower = 64, 32
    elif span >= 8:
        width = (remaining + 7) // 8 * 8
        narrower = width - 8
    else:
        width = 8 if remaining > 4 else (4 if remaining > 2 else remaining)
        narrower = width // 2
    return <int>(width if width <= span else narrower)
