# Maximum and minimum: the kernel takes, in each column of a bag, the extreme of its rows.
#
#     forward    out[b, d] = max_k table[i[k], d], and winners[b, d] = the row i[k] it is from
#     gradient   d_table[r, d] = sum_b d_out[b, d]      over the bags b with winners[b, d] = r
#
# extreme_gradient.pxi has the gradient. Minimum is the maximum of -table.
#
# Indices are not compiled for each width (`Indices`), since these functions are large: that takes a
# twentieth longer, and makes each level a seventh smaller.

cdef enum:
    SEGMENT = 65536  # lookups scanned with positions counted from 0: exact even in float


cdef struct ExtremeCall:
    Rows out
    Rows winners
    Rows table
    Rows indices
    Rows offsets
    int direction  # 1 for max, -1 for min
    Cut cut


cdef void take_first_nan(
    cell_t* out_d, Indices winners_d, Rows table, Indices indices_k, const Lookups* bag,
    Py_ssize_t column, real_t like,
) noexcept nogil:
    # NaN wins over everything. The first one is looked up once per bag and column that has any.
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
        # One loop with a clamp, as in pool_blocks, is a tenth slower: it needs more registers.
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
    # Takes fewer than 8 columns.
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
    # Takes columns [first, last) of one bag. A literal direction would save max a multiplication,
    # 3 % of its time, but double the code.
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


cdef inline Indices winners_of(const ExtremeCall* call, Py_ssize_t b, bint is_long) noexcept nogil:
    return Indices(row_address(call.winners, b), is_long)


cdef Py_ssize_t extreme_bags(
    const ExtremeCall* call, Indices indices, Indices offsets_b, cell_t cell, real_t direction,
    Py_ssize_t unit, Py_ssize_t units,
) noexcept nogil:
    cdef Py_ssize_t b, first, stop, n = call.indices.count, dim = call.out.dim, found = 0
    cdef Lookups bag
    if call.cut.giant >= 0:
        bag = lookups_of_bag(offsets_b, call.cut.giant, n)
        extreme_bag(
            <cell_t*>row_address(call.out, call.cut.giant),
            winners_of(call, call.cut.giant, indices.is_long), &call.table, indices, &bag,
            direction, column_start(dim, unit, units), column_start(dim, unit + 1, units),
        )
        return 0
    first = unit_start(offsets_b, call.out.count, unit, units)
    stop = unit_start(offsets_b, call.out.count, unit + 1, units)
    for b in range(first, stop):
        bag = lookups_of_bag(offsets_b, b, n)
        if bag.end - bag.start > call.cut.most:
            found |= FOUND_GIANT
        else:
            extreme_bag(
                <cell_t*>row_address(call.out, b), winners_of(call, b, indices.is_long),
                &call.table, indices, &bag, direction, 0, dim,
            )
    return found


cdef inline Py_ssize_t extreme_unit(
    const ExtremeCall* call, index_t index, cell_t cell, real_t real, Py_ssize_t unit,
    Py_ssize_t units,
) noexcept nogil:
    cdef Indices indices = indices_from(<const index_t*>call.indices.data)
    cdef Indices offsets_b = indices_from(<const index_t*>call.offsets.data)
    return extreme_bags(call, indices, offsets_b, cell, <real_t>call.direction, unit, units)


def extreme(
    out_bd,            # OUT (B, D)
    winners_bd,        # OUT (B, D)
    table_rd,          # (N, D)
    indices_k,         # (n,)
    offsets_b,         # (B + 1,)
    int direction,     # 1 for max, -1 for min
    int num_threads,
    /,
):
    """Take the elementwise maximum (minimum) of each bag's rows and the table row it is from.

    Ties go to the first lookup, NaN to the first NaN; an empty bag gives 0 and winner -1.
    Cost: one read of each looked-up row.
    """
    cdef ExtremeCall call
    cdef Arrays arrays
    open_arrays(
        &arrays, <Rows*>&call, (out_bd, winners_bd, table_rd, indices_k, offsets_b),
        b"c2w i2w c2 i1 i1",
    )
    call.direction = direction
    with nogil:
        if call.out.data != NULL:
            share_bags(&call, &arrays, num_threads)
    close_arrays(&arrays)
