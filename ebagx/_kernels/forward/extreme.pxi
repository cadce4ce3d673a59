# Elementwise maximum or minimum of each bag, with the table row that won.

cdef enum:
    SEGMENT = 65536  # lookups scanned with positions counted from 0: exact even in float


# Indices of either width: what is as large as these functions is not compiled for each. It takes a
# twentieth longer, and makes each level a seventh smaller.
cdef struct Indices:
    char* data
    bint is_long  # int64, else int32


cdef inline Py_ssize_t index_at(Indices indices, Py_ssize_t k) noexcept nogil:
    if indices.is_long:
        return <Py_ssize_t>(<const int64_t*>indices.data)[k]
    return (<const int32_t*>indices.data)[k]


cdef inline void set_index(Indices indices, Py_ssize_t k, Py_ssize_t row) noexcept nogil:
    if indices.is_long:
        (<int64_t*>indices.data)[k] = row
    else:
        (<int32_t*>indices.data)[k] = <int32_t>row


cdef inline Indices indices_from(const index_t* indices_k) noexcept nogil:
    return Indices(<char*>indices_k, sizeof(index_t) == sizeof(int64_t))


cdef void take_first_nan(
    cell_t* out_d, Indices winners_d, Rows table, Indices indices_k, const Lookups* bag,
    Py_ssize_t column, real_t like,
) noexcept nogil:
    # NaN wins over everything: found once per bag and column, if there is one.
    cdef Py_ssize_t k
    cdef real_t value
    for k in range(bag.start, bag.end):
        value = widened(
            <const cell_t*>row_address(table, index_at(indices_k, k)) + column, &like, 1
        )[0]
        if value != value:
            store(&out_d[column], &value, 1)
            set_index(winners_d, column, index_at(indices_k, k))
            return


cdef inline void extreme_block(
    cell_t* out_d, Indices winners_d, Rows table, Indices indices_k, const Lookups* bag,
    real_t direction, Py_ssize_t column, int width,
) noexcept nogil:
    # The first row starts as the winner, so that an all -inf bag has one.
    cdef real_t[MAX_BLOCK] best_d
    cdef real_t[MAX_BLOCK] at_d
    cdef real_t[VECTOR_BYTES] has_nan  # as many lanes as a vector has
    cdef bint any_nan = False
    cdef Py_ssize_t start = bag.start, end = bag.end, last = bag.last
    cdef Py_ssize_t k, begin = start, prefetch_stop, stop
    cdef const real_t* first_d
    cdef real_t position
    cdef Rows block = table
    cdef int d
    block.data += column * <Py_ssize_t>sizeof(cell_t)
    first_d = widened(<const cell_t*>row_address(block, index_at(indices_k, begin)), at_d, width)
    for d in range(width):
        best_d[d] = direction * first_d[d]
    for d in range(VECTOR_BYTES // <int>sizeof(real_t)):
        has_nan[d] = 0
    while begin < end:
        stop = min(begin + SEGMENT, end)
        prefetch_stop = max(begin, min(stop, last + 1 - AHEAD))
        position = 0
        for d in range(width):
            at_d[d] = 0 if begin == start else -1
        # One loop with a clamp, as pool_block has it, is a tenth slower: it needs more registers.
        for k in range(begin, prefetch_stop):
            prefetch_block(block, index_at(indices_k, k + AHEAD), width * <int>sizeof(cell_t))
            take_greater_block(
                best_d, at_d, has_nan, <const cell_t*>row_address(block, index_at(indices_k, k)),
                direction, position, width,
            )
            position += 1
        for k in range(prefetch_stop, stop):
            take_greater_block(
                best_d, at_d, has_nan, <const cell_t*>row_address(block, index_at(indices_k, k)),
                direction, position, width,
            )
            position += 1
        for d in range(width):
            if at_d[d] >= 0:
                set_index(
                    winners_d, column + d, index_at(indices_k, begin + <Py_ssize_t>at_d[d])
                )
        begin = stop
    for d in range(width):
        best_d[d] *= direction
    store(&out_d[column], best_d, width)
    for d in range(VECTOR_BYTES // <int>sizeof(real_t)):
        any_nan |= has_nan[d] != 0
    if any_nan:
        for d in range(width):
            take_first_nan(out_d, winners_d, table, indices_k, bag, column + d, direction)


cdef inline void extreme_columns(
    cell_t* out_d, Indices winners_d, const Rows* table, Indices indices_k,
    const Lookups* bag, real_t direction, Py_ssize_t first, Py_ssize_t last,
) noexcept nogil:
    cdef Py_ssize_t column = first
    cdef int width, widest = PAIR_BYTES // <int>sizeof(real_t)
    while column < last:
        width = block_width(last - column, last - first, widest)
        if width == 24:
            width = 16
        column = min(column, last - width)
        if width == 128 and widest >= 128:
            extreme_block(out_d, winners_d, table[0], indices_k, bag, direction, column, 128)
        elif width == 64 and widest >= 64:
            extreme_block(out_d, winners_d, table[0], indices_k, bag, direction, column, 64)
        elif width == 32 and widest >= 32:
            extreme_block(out_d, winners_d, table[0], indices_k, bag, direction, column, 32)
        elif width == 16 and widest >= 16:
            extreme_block(out_d, winners_d, table[0], indices_k, bag, direction, column, 16)
        else:
            extreme_block(out_d, winners_d, table[0], indices_k, bag, direction, column, 8)
        column += width


cdef inline void extreme_narrow(
    cell_t* out_d, Indices winners_d, const Rows* table, Indices indices_k,
    const Lookups* bag, real_t direction, Py_ssize_t first, Py_ssize_t last,
) noexcept nogil:
    # Under 8 columns.
    cdef Py_ssize_t column = first
    cdef int width
    while column < last:
        width = block_width(last - column, last - first, 8)
        column = min(column, last - width)
        if width == 4:
            extreme_block(out_d, winners_d, table[0], indices_k, bag, direction, column, 4)
        elif width == 2:
            extreme_block(out_d, winners_d, table[0], indices_k, bag, direction, column, 2)
        else:
            extreme_block(out_d, winners_d, table[0], indices_k, bag, direction, column, 1)
        column += width


cdef void extreme_bag(
    cell_t* out_d, Indices winners_d, const Rows* table, Indices indices_k,
    const Lookups* bag, real_t direction, Py_ssize_t first, Py_ssize_t last,
) noexcept nogil:
    # Columns [first, last) of one bag. A literal direction would save max a multiplication, 3 % of
    # its time, but double the code.
    cdef Py_ssize_t column
    cdef real_t zero = 0
    if bag.start >= bag.end:
        for column in range(first, last):
            store(&out_d[column], &zero, 1)
            set_index(winners_d, column, -1)
    elif last - first < 8:
        extreme_narrow(out_d, winners_d, table, indices_k, bag, direction, first, last)
    else:
        extreme_columns(out_d, winners_d, table, indices_k, bag, direction, first, last)


cdef Py_ssize_t extreme_unit(
    const Rows* out, const Rows* winners, const Rows* table, const index_t* indices_k, Py_ssize_t n,
    const index_t* offsets_b, real_t direction, Py_ssize_t giant, Py_ssize_t unit,
    Py_ssize_t units, cell_t like,
) noexcept nogil:
    # Returns how many giant bags it left for extreme_bags to cut by columns. `like` only names the
    # type of cells.
    cdef Py_ssize_t first = unit_start(offsets_b, out.count, unit, units)
    cdef Py_ssize_t b, stop = unit_start(offsets_b, out.count, unit + 1, units), giants = 0
    cdef Lookups bag
    for b in range(first, stop):
        bag = lookups_of_bag(offsets_b, b, n)
        if bag.end - bag.start > giant:
            giants += 1
        else:
            extreme_bag(
                <cell_t*>row_address(out[0], b), indices_from(<index_t*>row_address(winners[0], b)),
                table, indices_from(indices_k), &bag, direction, 0, out.dim,
            )
    return giants


cdef void extreme_bags(
    const Arrays* arrays, index_t index, cell_t cell, real_t direction, int num_threads
) noexcept nogil:
    cdef const Rows* out = &arrays.rows[0]
    cdef const Rows* winners = &arrays.rows[1]
    cdef const Rows* table = &arrays.rows[2]
    cdef const index_t* indices_k = <const index_t*>arrays.rows[3].data
    cdef const index_t* offsets_b = <const index_t*>arrays.rows[4].data
    cdef Py_ssize_t n = arrays.rows[3].count
    cdef Py_ssize_t units = unit_count(out.count, num_threads)
    cdef Py_ssize_t giant = giant_size(offsets_b, out.count, num_threads)
    cdef Py_ssize_t b, unit, part, giants = 0
    cdef Lookups bag
    if num_threads == 1:
        extreme_unit(out, winners, table, indices_k, n, offsets_b, direction, giant, 0, 1, cell)
        return
    for unit in prange(units, schedule="dynamic", num_threads=num_threads):
        giants += extreme_unit(
            out, winners, table, indices_k, n, offsets_b, direction, giant, unit, units, cell
        )
    if giants == 0:
        return
    for b in range(out.count):
        bag = lookups_of_bag(offsets_b, b, n)
        if bag.end - bag.start > giant:
            for part in prange(num_threads, schedule="static", num_threads=num_threads):
                extreme_bag(
                    <cell_t*>row_address(out[0], b),
                    indices_from(<index_t*>row_address(winners[0], b)), table,
                    indices_from(indices_k), &bag, direction,
                    column_start(out.dim, part, num_threads),
                    column_start(out.dim, part + 1, num_threads),
                )


cdef void extreme_cells(
    const Arrays* arrays, index_t index, int direction, int num_threads
) noexcept nogil:
    if arrays.cell == FLOAT:
        extreme_bags(arrays, index, <float>0, <float>direction, num_threads)
    elif arrays.cell == DOUBLE:
        extreme_bags(arrays, index, <double>0, <double>direction, num_threads)
    elif arrays.cell == HALF:
        extreme_bags(arrays, index, <uint16_t>0, <float>direction, num_threads)
    else:
        extreme_bags(arrays, index, <int16_t>0, <float>direction, num_threads)


def extreme(
    out_bd,        # OUT
    winners_bd,    # OUT
    table_rd,
    indices_k,
    offsets_b,
    int direction,     # 1 for max, -1 for min
    int num_threads,
    /,
):
    """Take the elementwise maximum (minimum) of each bag's rows and the table row it is from.

    Ties go to the first lookup, NaN to the first NaN; an empty bag gives 0 and winner -1.
    Cost: one read of each looked-up row.
    """
    cdef Arrays arrays
    open_arrays(
        &arrays, (out_bd, winners_bd, table_rd, indices_k, offsets_b), b"c2w i2w c2 i1 i1"
    )
    with nogil:
        if arrays.rows[0].data == NULL:
            pass
        elif arrays.index == INT32:
            extreme_cells(&arrays, <int32_t>0, direction, num_threads)
        else:
            extreme_cells(&arrays, <int64_t>0, direction, num_threads)
    close_arrays(&arrays)
