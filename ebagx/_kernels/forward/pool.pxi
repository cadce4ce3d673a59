# Pooling: the kernel adds the weighted table rows of each bag and divides as the mode says.
#
#     forward    out[b] = sum_k w[k] * table[i[k]] / q[b]      over the lookups k of bag b
#     divisor    q[b] = 1 for sum, sum_k w[k] for mean, sqrt(sum_k w[k]^2) for sqrtn
#     gradient   d_table[r] = sum_k w[k] / q[b(k)] * d_out[b(k)]      over the lookups k of row r
#
# The gradient is pooling, too: gradient rows in place of table rows, and the lookups of each row,
# which transpose.pxi finds, in place of those of each bag. scatter.pxi adds it to a dense table;
# weights.pxi has the gradient of w.
#
# The rounding errors of a sum grow with its number of terms: a float mean of a million times 0.1,
# added up in order, is 0.101. So a bag of more than LONG_BAG lookups is added up in parts of so
# many, and the sums of the parts are added up in float64. Shorter bags are added up in order. A
# gradient always is (IN_ORDER), as scatter.pxi cannot find the parts of a row's lookups.

cdef enum:
    IN_ORDER = -1  # a sum that is not added up in parts
    SUM = 0
    MEAN = 1
    SQRTN = 2

cdef enum:
    LONG_BAG = 512   # lookups of one part
    LONG_SPAN = 128  # columns of a long bag that one walk adds up
    MAX_GROUP = 32   # bags of a group


# A bag that is not empty has the lookups [start, end).
cdef struct Bag:
    char* out_d
    Py_ssize_t start
    Py_ssize_t end
    double divisor  # a real_t; 0 stands for a part of a bag, whose sums `out_d` takes as they are


# All bags of a group are pooled in one block of columns, then in the next one. So each look-ahead,
# except those at the end of the group, is for the block of columns that follows: of 300 columns,
# this takes 0.9 of the time that it takes to pool one bag after the other.
cdef struct Group:
    Py_ssize_t count
    Py_ssize_t last  # looking ahead ends at the last lookup of all bags
    Bag[MAX_GROUP] bags


cdef struct PoolCall:
    Rows out
    Rows table
    Rows indices
    Rows offsets
    Rows weights
    int mode
    Cut cut


cdef inline real_t divisor_of_bag(
    const real_t* weights_k, const Lookups* bag, int mode, real_t like
) noexcept nogil:
    # Weights are added in float64, and their sum is rounded once. `like` only names the type.
    cdef double total = 0
    cdef Py_ssize_t k
    if mode <= SUM:
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
    cell_t* out_d, Py_ssize_t column, real_t* sum_d, real_t divisor, int width
) noexcept nogil:
    # The divisor 0 stands for a part of a bag, whose sums out_d takes as they are.
    cdef int d
    if unlikely(divisor == 0):
        for d in range(width):
            (<real_t*>out_d)[column + d] = sum_d[d]
        return
    if divisor != 1:
        for d in range(width):
            sum_d[d] /= divisor
    store(&out_d[column], sum_d, width)


cdef inline bint add_lookup(
    real_t* sum_d, real_t* tail_d, Rows block, Indices indices_k, const real_t* weights_k,
    Py_ssize_t k, Py_ssize_t last, int width, Py_ssize_t tail, int tail_width, cell_t like,
) noexcept nogil:
    # Returns whether the index is outside the table: then row 0 stands for it.
    cdef size_t ahead = address_as_number(block, index_at(indices_k, min(k + AHEAD, last)))
    cdef Py_ssize_t row = index_at(indices_k, k)
    cdef const cell_t* cells
    cdef bint outside = False
    prefetch_lines(ahead, width * <int>sizeof(cell_t))
    prefetch_lines(ahead + <size_t>tail * sizeof(cell_t), tail_width * <int>sizeof(cell_t))
    if unlikely(<size_t>row >= <size_t>block.count):
        row, outside = 0, True
    cells = <const cell_t*>address_as_number(block, row)
    if weights_k == NULL:
        add_block(sum_d, cells, width)
        add_block(tail_d, &cells[tail], tail_width)
    else:
        add_weighted_block(sum_d, cells, weights_k[k], width)
        add_weighted_block(tail_d, &cells[tail], weights_k[k], tail_width)
    return outside


cdef inline bint add_lookups(
    real_t* sum_d, real_t* tail_d, Rows block, Indices indices_k, const real_t* weights_k,
    const Bag* bag, Py_ssize_t last, int width, Py_ssize_t tail, int tail_width, cell_t like,
) noexcept nogil:
    # The compiler keeps sums in registers from the first lookup to the output if nothing but one
    # loop is between, which runs at least once; so the look-ahead is clamped in it.
    cdef Py_ssize_t k = bag.start, end = bag.end
    cdef bint outside = False
    cdef int d
    for d in range(width):
        sum_d[d] = 0
    for d in range(tail_width):
        tail_d[d] = 0
    while True:
        outside |= add_lookup(
            sum_d, tail_d, block, indices_k, weights_k, k, last, width, tail, tail_width, like
        )
        k += 1
        if k >= end:
            break
    return outside


cdef inline bint pool_blocks(
    const Group* group, const Rows* table, Indices indices_k, const real_t* weights_k,
    Py_ssize_t column, int width, Py_ssize_t tail, int tail_width, cell_t like,
) noexcept nogil:
    # Pools `width` columns from `column` on, and `tail_width` columns that start `tail` after that.
    # Returns whether an index is outside the table.
    cdef real_t[MAX_BLOCK] sum_d
    cdef real_t[MAX_BLOCK] tail_d
    cdef Rows block = table[0]
    cdef Py_ssize_t g, last = group.last
    cdef bint outside = False
    cdef real_t divisor
    cdef const Bag* bag
    block.data += column * <Py_ssize_t>sizeof(cell_t)
    for g in range(group.count):
        bag = &group.bags[g]
        if weights_k == NULL:
            outside |= add_lookups(
                sum_d, tail_d, block, indices_k, <const real_t*>NULL, bag, last, width, tail,
                tail_width, like,
            )
        else:
            outside |= add_lookups(
                sum_d, tail_d, block, indices_k, weights_k, bag, last, width, tail, tail_width, like
            )
        divisor = <real_t>bag.divisor
        finish_block(<cell_t*>bag.out_d, column, sum_d, divisor, width)
        finish_block(<cell_t*>bag.out_d, column + tail, tail_d, divisor, tail_width)
    return outside


cdef inline bint pool_block(
    const Group* group, const Rows* table, Indices indices_k, const real_t* weights_k,
    Py_ssize_t column, int width, cell_t like,
) noexcept nogil:
    return pool_blocks(group, table, indices_k, weights_k, column, width, 0, 0, like)


cdef inline bint pool_columns(
    const Group* group, const Rows* table, Indices indices_k, const real_t* weights_k,
    Py_ssize_t first, Py_ssize_t last, cell_t like,
) noexcept nogil:
    # Pools one block after the other, each in a walk over the group.
    cdef Py_ssize_t column = first
    cdef bint outside = False
    cdef int width, widest = BLOCK_BYTES // <int>sizeof(real_t)  # constant: else no block is made
    while column < last:
        width = block_width(last - column, last - first, widest)
        column = min(column, last - width)
        if width == 128 and widest >= 128:
            outside |= pool_block(group, table, indices_k, weights_k, column, 128, like)
        elif width == 64 and widest >= 64:
            outside |= pool_block(group, table, indices_k, weights_k, column, 64, like)
        elif width == 32 and widest >= 32:
            outside |= pool_block(group, table, indices_k, weights_k, column, 32, like)
        elif width == 24 and widest >= 32:
            outside |= pool_block(group, table, indices_k, weights_k, column, 24, like)
        elif width == 16:
            outside |= pool_block(group, table, indices_k, weights_k, column, 16, like)
        elif width == 8:
            outside |= pool_block(group, table, indices_k, weights_k, column, 8, like)
        elif width == 4:
            outside |= pool_block(group, table, indices_k, weights_k, column, 4, like)
        elif width == 2:
            outside |= pool_block(group, table, indices_k, weights_k, column, 2, like)
        else:
            outside |= pool_block(group, table, indices_k, weights_k, column, 1, like)
        column += width
    return outside


cdef bint pool_group(
    const Group* group, const Rows* table, Indices indices_k, const real_t* weights_k,
    Py_ssize_t first, Py_ssize_t last, cell_t like,
) noexcept nogil:
    # Pools columns [first, last) of short bags, or of a part of a long one.
    cdef Py_ssize_t tail, span = last - first
    cdef int widest = BLOCK_BYTES // <int>sizeof(real_t)
    # Two blocks overlap, and one walk fills both.
    if widest >= 64 and 64 < span <= 112:
        tail = span - 48
        return pool_blocks(group, table, indices_k, weights_k, first, 64, tail, 48, like)
    if widest >= 64 and 32 < span < 64:
        tail = span - 32
        return pool_blocks(group, table, indices_k, weights_k, first, 32, tail, 32, like)
    return pool_columns(group, table, indices_k, weights_k, first, last, like)


cdef bint pool_long_bag(
    cell_t* out_d, const Rows* table, Indices indices_k, const real_t* weights_k,
    const Lookups* bag, real_t divisor, Py_ssize_t first, Py_ssize_t last,
) noexcept nogil:
    # Adds up a bag in parts, and the sums of the parts in float64.
    cdef real_t[LONG_SPAN] part_d
    cdef double[LONG_SPAN] total_d
    cdef Rows columns = table[0]
    cdef Group part
    cdef Py_ssize_t column = first, k
    cdef bint outside = False
    cdef int d, span
    columns.data += first * <Py_ssize_t>sizeof(cell_t)
    part.count, part.last = 1, bag.last
    while column < last:
        span = <int>min(last - column, LONG_SPAN)
        for d in range(span):
            total_d[d] = 0
        k = bag.start
        while k < bag.end:
            part.bags[0] = Bag(<char*>part_d, k, min(k + LONG_BAG, bag.end), 0)
            outside |= pool_group(&part, &columns, indices_k, weights_k, 0, span, <cell_t>0)
            for d in range(span):
                total_d[d] += part_d[d]
            k = part.bags[0].end
        for d in range(span):
            part_d[d] = <real_t>(total_d[d] / divisor)
        store(&out_d[column], part_d, span)
        columns.data += span * <Py_ssize_t>sizeof(cell_t)
        column += span
    return outside


cdef inline bint add_bag(
    Group* group, cell_t* out_d, const Rows* table, Indices indices_k,
    const real_t* weights_k, const Lookups* bag, int mode, Py_ssize_t first, Py_ssize_t last,
) noexcept nogil:
    # Adds a bag to a group; a long bag, and one without a divisor, are pooled at once. Returns
    # whether one of the indices that were read is outside the table.
    cdef real_t divisor = divisor_of_bag(weights_k, bag, mode, <real_t>0)
    if divisor == 0:
        memset(&out_d[first], 0, <size_t>(last - first) * sizeof(cell_t))
        return any_outside_of(indices_k, bag, table.count)
    if unlikely(bag.end - bag.start > LONG_BAG) and mode != IN_ORDER:
        return pool_long_bag(out_d, table, indices_k, weights_k, bag, divisor, first, last)
    group.bags[group.count] = Bag(<char*>out_d, bag.start, bag.end, divisor)
    group.count += 1
    return False


cdef inline bint pool_bag(
    cell_t* out_d, const Rows* table, Indices indices_k, const real_t* weights_k,
    const Lookups* bag, int mode, Py_ssize_t first, Py_ssize_t last,
) noexcept nogil:
    # Pools columns [first, last) of one bag. Returns whether an index is outside the table.
    cdef Group group
    cdef bint outside
    group.count, group.last = 0, bag.last
    outside = add_bag(&group, out_d, table, indices_k, weights_k, bag, mode, first, last)
    if group.count:
        outside |= pool_group(&group, table, indices_k, weights_k, first, last, <cell_t>0)
    return outside


cdef Py_ssize_t pool_bags(
    const PoolCall* call, Indices indices_k, Indices offsets_b, cell_t cell, real_t real,
    Py_ssize_t unit, Py_ssize_t units,
) noexcept nogil:
    cdef const real_t* weights_k = <const real_t*>call.weights.data
    cdef Py_ssize_t b, k, first, stop, n = call.indices.count, dim = call.out.dim, found = 0
    cdef Lookups bag
    cdef Group group
    if call.cut.giant >= 0:
        bag = lookups_of_bag(offsets_b, call.cut.giant, n)
        return FOUND_OUTSIDE * pool_bag(
            <cell_t*>row_address(call.out, call.cut.giant), &call.table, indices_k, weights_k, &bag,
            call.mode, column_start(dim, unit, units), column_start(dim, unit + 1, units),
        )
    first = unit_start(offsets_b, call.out.count, unit, units)
    stop = unit_start(offsets_b, call.out.count, unit + 1, units)
    if first < stop:  # no lookup is ahead of the first ones
        bag = lookups_of_bag(offsets_b, first, n)
        for k in range(bag.start, min(bag.start + AHEAD, n)):
            prefetch_row(call.table, index_at(indices_k, k), dim * <Py_ssize_t>sizeof(cell_t))
    group.count, group.last = 0, n - 1
    for b in range(first, stop):
        bag = lookups_of_bag(offsets_b, b, n)
        if bag.end - bag.start > call.cut.most:
            found |= FOUND_GIANT
        else:
            found |= FOUND_OUTSIDE * add_bag(
                &group, <cell_t*>row_address(call.out, b), &call.table, indices_k, weights_k, &bag,
                call.mode, 0, dim,
            )
        if group.count == MAX_GROUP or b + 1 == stop:
            found |= FOUND_OUTSIDE * pool_group(
                &group, &call.table, indices_k, weights_k, 0, dim, cell
            )
            group.count = 0
    return found


cdef inline Py_ssize_t pool_unit(
    const PoolCall* call, index_t index, cell_t cell, real_t real, Py_ssize_t unit, Py_ssize_t units
) noexcept nogil:
    cdef Indices indices_k = indices_from(<const index_t*>call.indices.data)
    cdef Indices offsets_b = indices_from(<const index_t*>call.offsets.data)
    return pool_bags(call, indices_k, offsets_b, cell, real, unit, units)


cdef int open_pool(PoolCall* call, Arrays* arrays, tuple given, int mode) except -1:
    """Open the arrays of a call of `pool`; `close_arrays` must follow, unless this raises."""
    open_arrays(arrays, <Rows*>call, given, b"c2w c2 i1 i1 r1")
    call.mode = mode
    return 0


def pool(
    out_bd,            # OUT (B, D)
    table_rd,          # (N, D)
    indices_k,         # (n,)
    offsets_b,         # (B + 1,)
    weights_k,         # (n,), or empty: every weight is 1
    int mode,
    int num_threads,
    /,
):
    """Pool the table rows of each bag: sum(w * row) / divisor, 0 where the divisor is 0.

    Return whether every index is in [0, num_rows); row 0 stands for the others, so a table without
    rows takes empty bags alone. If `out_bd` has no entries, no index is looked at. Cost: one read
    of each looked-up row. Each column is added by one thread in bag order, the parts of long bags
    in float64.
    """
    cdef PoolCall call
    cdef Arrays arrays
    cdef Py_ssize_t found = 0
    open_pool(&call, &arrays, (out_bd, table_rd, indices_k, offsets_b, weights_k), mode)
    with nogil:
        if call.out.data != NULL:
            found = share_bags(&call, &arrays, num_threads)
    close_arrays(&arrays)
    return not found & FOUND_OUTSIDE
