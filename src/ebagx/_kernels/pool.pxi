# Pooling: the weighted sum of the table rows of each bag, divided as the mode says.
#
# This is forward (table rows per bag) and backward (gradient rows per table row: the same kernel
# on transposed bags).

cdef enum:
    SUM = 0
    MEAN = 1
    SQRTN = 2


cdef inline real_t divisor_of_bag(
    const real_t* weights_k, const Lookups* bag, int mode, real_t like
) noexcept nogil:
    # Added in float64, rounded once. `like` only names the type.
    cdef double total = 0
    cdef Py_ssize_t k
    if mode == SUM:
        return 1 if bag.start < bag.end else 0
    if weights_k == NULL:
        total = <double>(bag.end - bag.start)
    elif mode == MEAN:
        for k in range(bag.start, bag.end):
            total += weights_k[k]
    else:
        for k in range(bag.start, bag.end):
            total += <double>weights_k[k] * <double>weights_k[k]
    return <real_t>(sqrt(total) if mode == SQRTN else total)


cdef inline real_t scale_of(const real_t* weights_k, Py_ssize_t k, real_t divisor) noexcept nogil:
    if divisor == 0:
        return 0
    return (weights_k[k] if weights_k != NULL else <real_t>1) / divisor


cdef inline void finish_block(
    cell_t* out_d, real_t* sum_d, real_t divisor, int width
) noexcept nogil:
    cdef int d
    if divisor != 1:
        for d in range(width):
            sum_d[d] /= divisor
    store(out_d, sum_d, width)


cdef inline void pool_block(
    cell_t* out_d, Rows table, const index_t* indices_k, const real_t* weights_k,
    const Lookups* bag, real_t divisor, Py_ssize_t column, int width,
) noexcept nogil:
    # Of a bag that is not empty. The compiler keeps sums in registers from the first lookup to the
    # output if nothing but one loop is between, which runs at least once; so the look-ahead is
    # clamped in it.
    cdef real_t[MAX_BLOCK] sum_d
    cdef Rows block = table
    cdef Py_ssize_t k = bag.start, end = bag.end, last = bag.last
    cdef int d
    block.data += column * <Py_ssize_t>sizeof(cell_t)
    for d in range(width):
        sum_d[d] = 0
    if weights_k == NULL:
        while True:
            prefetch_block(block, indices_k[min(k + AHEAD, last)], width * <int>sizeof(cell_t))
            add_block(sum_d, <const cell_t*>row_address(block, indices_k[k]), width)
            k += 1
            if k >= end:
                break
        finish_block(&out_d[column], sum_d, divisor, width)
    else:
        while True:
            prefetch_block(block, indices_k[min(k + AHEAD, last)], width * <int>sizeof(cell_t))
            add_weighted_block(
                sum_d, <const cell_t*>row_address(block, indices_k[k]), weights_k[k], width
            )
            k += 1
            if k >= end:
                break
        finish_block(&out_d[column], sum_d, divisor, width)


cdef void pool_bag(
    cell_t* out_d, const Rows* table, const index_t* indices_k, const real_t* weights_k,
    const Lookups* bag, int mode, Py_ssize_t first, Py_ssize_t last,
) noexcept nogil:
    # Columns [first, last) of one bag.
    cdef Py_ssize_t column = first
    cdef real_t zero = 0
    cdef real_t divisor
    cdef int width, widest = BLOCK_BYTES // <int>sizeof(real_t)  # constant: else no block is made
    divisor = divisor_of_bag(weights_k, bag, mode, zero)
    while divisor == 0 and column < last:
        store(&out_d[column], &zero, 1)
        column += 1
    while column < last:
        width = block_width(last - column, last - first, widest)
        column = min(column, last - width)
        if width == 128 and widest >= 128:
            pool_block(out_d, table[0], indices_k, weights_k, bag, divisor, column, 128)
        elif width == 64 and widest >= 64:
            pool_block(out_d, table[0], indices_k, weights_k, bag, divisor, column, 64)
        elif width == 40 and widest >= 64:
            pool_block(out_d, table[0], indices_k, weights_k, bag, divisor, column, 40)
        elif width == 32 and widest >= 32:
            pool_block(out_d, table[0], indices_k, weights_k, bag, divisor, column, 32)
        elif width == 24 and widest >= 32:
            pool_block(out_d, table[0], indices_k, weights_k, bag, divisor, column, 24)
        elif width == 16:
            pool_block(out_d, table[0], indices_k, weights_k, bag, divisor, column, 16)
        elif width == 8:
            pool_block(out_d, table[0], indices_k, weights_k, bag, divisor, column, 8)
        elif width == 4:
            pool_block(out_d, table[0], indices_k, weights_k, bag, divisor, column, 4)
        elif width == 2:
            pool_block(out_d, table[0], indices_k, weights_k, bag, divisor, column, 2)
        else:
            pool_block(out_d, table[0], indices_k, weights_k, bag, divisor, column, 1)
        column += width


cdef Py_ssize_t pool_unit(
    const Rows* out, const Rows* table, const index_t* indices_k, Py_ssize_t n,
    const index_t* offsets_b, const real_t* weights_k, int mode, Py_ssize_t giant, Py_ssize_t unit,
    Py_ssize_t units, cell_t like,
) noexcept nogil:
    # Returns how many giant bags it left for pool_bags to cut by columns. `like` only names the
    # type of cells.
    cdef Py_ssize_t first = unit_start(offsets_b, out.count, unit, units)
    cdef Py_ssize_t b, stop = unit_start(offsets_b, out.count, unit + 1, units), giants = 0
    cdef Lookups bag
    for b in range(first, stop):
        bag = lookups_of_bag(offsets_b, b, n)
        if bag.end - bag.start > giant:
            giants += 1
        else:
            pool_bag(
                <cell_t*>row_address(out[0], b), table, indices_k, weights_k, &bag, mode, 0, out.dim
            )
    return giants


cdef void pool_bags(
    const Arrays* arrays, index_t index, cell_t cell, real_t real, int mode, int num_threads
) noexcept nogil:
    cdef const Rows* out = &arrays.rows[0]
    cdef const Rows* table = &arrays.rows[1]
    cdef const index_t* indices_k = <const index_t*>arrays.rows[2].data
    cdef const index_t* offsets_b = <const index_t*>arrays.rows[3].data
    cdef const real_t* weights_k = <const real_t*>arrays.rows[4].data
    cdef Py_ssize_t n = arrays.rows[2].count
    cdef Py_ssize_t units = unit_count(out.count, num_threads)
    cdef Py_ssize_t giant = giant_size(offsets_b, out.count, num_threads)
    cdef Py_ssize_t b, unit, part, giants = 0
    cdef Lookups bag
    if num_threads == 1:
        pool_unit(out, table, indices_k, n, offsets_b, weights_k, mode, giant, 0, 1, cell)
        return
    for unit in prange(units, schedule="dynamic", num_threads=num_threads):
        giants += pool_unit(
            out, table, indices_k, n, offsets_b, weights_k, mode, giant, unit, units, cell
        )
    if giants == 0:
        return
    for b in range(out.count):
        bag = lookups_of_bag(offsets_b, b, n)
        if bag.end - bag.start > giant:
            for part in prange(num_threads, schedule="static", num_threads=num_threads):
                pool_bag(
                    <cell_t*>row_address(out[0], b), table, indices_k, weights_k, &bag, mode,
                    column_start(out.dim, part, num_threads),
                    column_start(out.dim, part + 1, num_threads),
                )


cdef void pool_cells(
    const Arrays* arrays, index_t index, int mode, int num_threads
) noexcept nogil:
    if arrays.cell == FLOAT:
        pool_bags(arrays, index, <float>0, <float>0, mode, num_threads)
    elif arrays.cell == DOUBLE:
        pool_bags(arrays, index, <double>0, <double>0, mode, num_threads)
    elif arrays.cell == HALF:
        pool_bags(arrays, index, <uint16_t>0, <float>0, mode, num_threads)
    else:
        pool_bags(arrays, index, <int16_t>0, <float>0, mode, num_threads)


def pool(
    out_bd,        # OUT
    table_rd,
    indices_k,
    offsets_b,
    weights_k,     # empty: every weight is 1
    int mode,
    int num_threads,
    /,
):
    """Pool the table rows of each bag: sum(w * row) / divisor, 0 where the divisor is 0.

    Cost: one read of each looked-up row. Each column is added in bag order by one thread.
    """
    cdef Arrays arrays
    open_arrays(
        &arrays, (out_bd, table_rd, indices_k, offsets_b, weights_k), b"c2w c2 i1 i1 r1"
    )
    with nogil:
        if arrays.rows[0].data == NULL:
            pass
        elif arrays.index == INT32:
            pool_cells(&arrays, <int32_t>0, mode, num_threads)
        else:
            pool_cells(&arrays, <int64_t>0, mode, num_threads)
    close_arrays(&arrays)
