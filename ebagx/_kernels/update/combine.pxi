# The rows that several shards have trained become those of a block; `ebagx.dask._combine` has the
# rule and its reasons. For a row of m shards, with changes c[k] = row[k] - f[k] * old:
#
#     SHARE_SUM      old * f + sum_k c[k]         SHARE_ROOT     old * f + s * sum_k c[k] / sqrt(m)
#     SHARE_MEAN     old * f + sum_k c[k] / m     SHARE_SQUARES  see ebagx.dask._combine
#
# where f is the product of all f[k], which is 1 for states, and s restrains changes that are alike.
# Sums run in the order of the shards.
#
# The sums of all columns of a row are kept until s is known. Arrays of sums in Python took 0.36 s
# for 4 shards of 133,000 rows of 64 columns, this takes 0.04.

cdef extern from "update/combine_ops.h" nogil:
    void add_change "ebagx_add_change"(double*, double*, const float*, const float*, double, int)
    void restrain "ebagx_restrain"(double*, const double*, const float*, double, int)
    void set_changed "ebagx_set_changed"(float*, const double*, const float*, double, double, int)

cdef enum:
    SHARE_SUM = 0
    SHARE_ROOT = 1
    SHARE_MEAN = 2
    SHARE_SQUARES = 3  # of weights whose first state is sums of squares

cdef enum:
    BLOCK_ARRAYS = 3   # weights and at most two states
    STEP = 16          # columns


# The rows of one shard.
cdef struct Piece:
    Rows rows                  # (u,) int64, ascending
    Rows uses                  # (u,): how often the shard has used each row
    Rows[BLOCK_ARRAYS] arrays  # u rows each, or empty
    double decayed             # factor by which steps have decayed weights
    Arrays opened


cdef struct CombineCall:
    Rows[BLOCK_ARRAYS] out
    Rows[BLOCK_ARRAYS] old
    int[BLOCK_ARRAYS] rules
    double few          # uses of a row up to which its changes are hardly restrained
    double decayed      # product of all
    Piece* pieces
    Py_ssize_t count    # of pieces
    Py_ssize_t* places  # (units, 2 * count): for each piece the next of its rows, then `Touch`
    double* sums        # (units, columns of weights in whole STEPs)


# The pieces that have a row.
cdef struct Touch:
    Py_ssize_t row
    Py_ssize_t* next    # for each piece: the position of the row in it
    Py_ssize_t* pieces  # the numbers of those that have it
    Py_ssize_t count
    double* sums        # of the changes of its weights, if has_sums
    bint has_sums


cdef inline Py_ssize_t whole_steps(Py_ssize_t dim) noexcept nogil:
    return (dim + STEP - 1) // STEP * STEP


cdef inline const float* row_of_piece(
    const CombineCall* call, const Touch* touch, Py_ssize_t j, int array
) noexcept nogil:
    cdef Py_ssize_t k = touch.pieces[j]
    return <const float*>row_address(call.pieces[k].arrays[array], touch.next[k])


cdef inline const float* old_row(
    const CombineCall* call, const Touch* touch, int array
) noexcept nogil:
    return <const float*>row_address(call.old[array], touch.row)


cdef inline void add_changes(
    double* sum, double* squares, const CombineCall* call, const Touch* touch, int array,
    Py_ssize_t column, int width,
) noexcept nogil:
    # Writes the sums of some columns of all changes, and of their squares.
    cdef Py_ssize_t j
    cdef double factor = 1
    cdef int d
    for d in range(STEP):
        sum[d] = squares[d] = 0
    for j in range(touch.count):
        if array == 0:
            factor = call.pieces[touch.pieces[j]].decayed
        add_change(
            sum, squares, &row_of_piece(call, touch, j, array)[column],
            &old_row(call, touch, array)[column], factor, width,
        )


cdef double likeness(const CombineCall* call, Touch* touch) noexcept nogil:
    # Writes the sums of the row's changes. Returns the root of what the squared lengths of the
    # changes are of that of their sum, at most 1: it is 1 / sqrt(m) if they are the same.
    cdef double[STEP] squares, lengths, total
    cdef double* sum
    cdef Py_ssize_t column = 0, dim = call.old[0].dim
    cdef double length, whole
    cdef int d
    for d in range(STEP):
        lengths[d] = total[d] = 0
    while column < dim:
        sum = &touch.sums[column]
        add_changes(sum, squares, call, touch, 0, column, <int>min(dim - column, STEP))
        add_f64(lengths, squares, STEP)
        add_products_f64(total, sum, sum, STEP)
        column += STEP
    length = add_lanes_f64(lengths) + 2.2250738585072014e-308
    whole = add_lanes_f64(total) + 2.2250738585072014e-308
    touch.has_sums = True
    return sqrt(min(length, whole) / whole)


cdef double restraint(const CombineCall* call, Touch* touch) noexcept nogil:
    # Returns about 1 for rows of few uses, and about the likeness for those of many.
    cdef double uses = 0, few = call.few * <double>touch.count
    cdef Py_ssize_t j, k
    if touch.count < 2:
        return 1
    for j in range(touch.count):
        k = touch.pieces[j]
        uses += (<const float*>call.pieces[k].uses.data)[touch.next[k]]
    return (few + uses * likeness(call, touch)) / (few + uses)


cdef void restrain_by_squares(
    double* sum, const CombineCall* call, const Touch* touch, Py_ssize_t column, int width
) noexcept nogil:
    cdef double[STEP] added, squares
    cdef int d
    if touch.count < 2:
        return
    if call.old[1].dim == call.old[0].dim:
        add_changes(added, squares, call, touch, 1, column, width)
        restrain(sum, added, &old_row(call, touch, 1)[column], <double>touch.count, width)
        return
    add_changes(added, squares, call, touch, 1, 0, 1)
    squares[0] = 1
    restrain(squares, added, old_row(call, touch, 1), <double>touch.count, 1)
    for d in range(width):
        sum[d] *= squares[0]


cdef void combine_array(
    const CombineCall* call, const Touch* touch, int array, double scale
) noexcept nogil:
    cdef double[STEP] added, squares
    cdef double* sum
    cdef bint has_sums = array == 0 and touch.has_sums
    cdef double kept = 1 if array else call.decayed
    cdef Py_ssize_t column = 0, dim = call.out[array].dim
    cdef float* out = <float*>row_address(call.out[array], touch.row)
    cdef int width
    while column < dim:
        width = <int>min(dim - column, STEP)
        sum = &touch.sums[column] if has_sums else added
        if not has_sums:
            add_changes(sum, squares, call, touch, array, column, width)
        if call.rules[array] == SHARE_SQUARES:
            restrain_by_squares(sum, call, touch, column, width)
        set_changed(
            &out[column], sum, &old_row(call, touch, array)[column], kept, scale, width
        )
        column += STEP


cdef void combine_row(const CombineCall* call, Touch* touch) noexcept nogil:
    cdef double scale, count = <double>max(touch.count, 1)
    cdef int array
    for array in range(BLOCK_ARRAYS):
        if call.out[array].data == NULL:
            continue
        scale = 1
        if call.rules[array] == SHARE_MEAN:
            scale = 1 / count
        elif call.rules[array] != SHARE_SUM:
            scale = restraint(call, touch)
            if call.rules[array] == SHARE_ROOT:
                scale /= sqrt(count)
        combine_array(call, touch, array, scale)


cdef Py_ssize_t first_at_least(Rows rows, Py_ssize_t row) noexcept nogil:
    # Returns the position of the first number that is not below `row`, among ascending ones.
    cdef const int64_t* rows_u = <const int64_t*>rows.data
    cdef Py_ssize_t low = 0, high = rows.count, middle
    while low < high:
        middle = low + (high - low) // 2
        if rows_u[middle] < row:
            low = middle + 1
        else:
            high = middle
    return low


cdef void find_touch(const CombineCall* call, Touch* touch, Py_ssize_t row) noexcept nogil:
    # Finds the pieces that have a row, after those that had the row before it.
    cdef const Rows* rows
    cdef Py_ssize_t j, k
    for j in range(touch.count):
        touch.next[touch.pieces[j]] += 1
    touch.row, touch.count, touch.has_sums = row, 0, False
    for k in range(call.count):
        rows = &call.pieces[k].rows
        if touch.next[k] < rows.count and (<const int64_t*>rows.data)[touch.next[k]] == row:
            touch.pieces[touch.count] = k
            touch.count += 1


cdef Py_ssize_t combine_unit(
    const CombineCall* call, Py_ssize_t unit, Py_ssize_t units
) noexcept nogil:
    cdef Py_ssize_t start = even_start(call.out[0].count, unit, units), row, k
    cdef Touch touch
    touch.count = 0
    touch.next = &call.places[2 * call.count * unit]
    touch.pieces = &touch.next[call.count]
    touch.sums = &call.sums[unit * whole_steps(call.out[0].dim)]
    for k in range(call.count):
        touch.next[k] = first_at_least(call.pieces[k].rows, start)
    for row in range(start, even_start(call.out[0].count, unit + 1, units)):
        find_touch(call, &touch, row)
        combine_row(call, &touch)
    return 0


cdef int open_pieces(CombineCall* call, tuple pieces) except -1:
    # Opens the arrays of all pieces; those that are open when one of them raises are counted.
    cdef Piece* piece
    for rows, uses, arrays, decayed in pieces:
        piece = &call.pieces[call.count]
        piece.decayed = decayed
        open_arrays(&piece.opened, <Rows*>piece, (rows, uses, *arrays), b"q1 f1 f2 f2 f2")
        call.count += 1
        call.decayed *= piece.decayed
    return 0


def combine_rows(
    out,               # OUT three arrays (R, D), (R, W), (R, V): weights and states, or empty
    old,               # the same before the round
    tuple pieces_k,    # tuples rows (u,) int64, uses (u,), arrays as out, factor of the weights
    tuple rules,       # of each array: SHARE_SUM, ...
    double few,
    int num_threads,
    /,
):
    """Combine the rows that several shards have trained. All arrays but those of rows are float32.

    Cost: one read of all rows and a write of the block, 0.3 us for 4 shards' rows of 64 columns.
    """
    cdef CombineCall call
    cdef Arrays arrays
    cdef Py_ssize_t units, most = len(pieces_k)
    call.count, call.decayed, call.few = 0, 1, few
    for number, rule in enumerate(rules):
        call.rules[number] = rule
    open_arrays(&arrays, <Rows*>&call, (*out, *old), b"f2w f2w f2w f2 f2 f2")
    units = unit_count(call.out[0].count, num_threads)
    call.pieces = <Piece*>PyMem_Malloc(<size_t>max(most, 1) * sizeof(Piece))
    call.places = <Py_ssize_t*>PyMem_Malloc(
        <size_t>max(2 * most * units, 1) * sizeof(Py_ssize_t)
    )
    call.sums = <double*>PyMem_Malloc(
        <size_t>(max(units, 1) * max(whole_steps(call.out[0].dim), 1)) * sizeof(double)
    )
    try:
        if call.pieces == NULL or call.places == NULL or call.sums == NULL:
            raise MemoryError
        open_pieces(&call, pieces_k)
        with nogil:
            share_units(&call, &arrays, units, num_threads)
    finally:
        while call.count:
            call.count -= 1
            close_arrays(&call.pieces[call.count].opened)
        PyMem_Free(call.pieces)
        PyMem_Free(call.places)
        PyMem_Free(call.sums)
        close_arrays(&arrays)
