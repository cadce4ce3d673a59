# max_norm: the kernel scales rows down, in place, whose norm is too large.
#
#     row *= max_norm / (norm + 1e-7)      where norm = (sum_d |row[d]|^p)^(1/p) > max_norm
#
# It runs before the forward pass and has no gradient, as in PyTorch.

cdef struct RenormCall:
    Rows table
    Rows rows
    double max_norm
    double norm_type


cdef inline double power(double size, double norm_type) noexcept nogil:
    if norm_type == 1:
        return size
    if norm_type == 0:
        return 1.0 if size != 0 else 0.0
    return pow(size, norm_type)


cdef inline void add_terms(
    double* lanes, const real_t* row_d, double norm_type, int width
) noexcept nogil:
    cdef int d
    if norm_type != 2:
        for d in range(width):
            lanes[d] += power(fabs(row_d[d]), norm_type)
    elif real_t is float:
        add_squares_f32(lanes, row_d, width)
    else:
        add_squares_f64(lanes, row_d, width)


cdef inline double norm_of_row(
    const cell_t* row, Py_ssize_t dim, double norm_type, real_t like
) noexcept nogil:
    # Column d goes to partial sum d % LANES, as in dot. `like` only names a type.
    cdef double[LANES] lanes
    cdef real_t[LANES] value_d
    cdef double total
    cdef Py_ssize_t d = 0
    cdef int lane
    for lane in range(LANES):
        lanes[lane] = 0
    while d + LANES <= dim:
        add_terms(lanes, widened(row + d, value_d, LANES), norm_type, LANES)
        d += LANES
    add_terms(lanes, widened(row + d, value_d, <int>(dim - d)), norm_type, <int>(dim - d))
    total = add_lanes(lanes)
    if norm_type == 2:
        return sqrt(total)
    if norm_type == 1 or norm_type == 0:
        return total
    return pow(total, 1.0 / norm_type)


cdef double extreme_of_row(
    const cell_t* row, Py_ssize_t dim, double norm_type, real_t like
) noexcept nogil:
    # Returns the largest (norm_type inf) or smallest (-inf) absolute value; NaN stays.
    cdef double size, best = 0
    cdef Py_ssize_t d
    for d in range(dim):
        size = fabs(widened(row + d, &like, 1)[0])
        if d == 0 or size != size or (size > best if norm_type > 0 else size < best):
            best = size
        if best != best:
            break
    return best


cdef void renorm_row(
    cell_t* row, Py_ssize_t dim, double max_norm, double norm_type, real_t like
) noexcept nogil:
    cdef double norm
    if fabs(norm_type) == INFINITY:
        norm = extreme_of_row(row, dim, norm_type, like)
    elif norm_type == 2:
        norm = norm_of_row(row, dim, 2, like)  # a literal: the loop is specialised for it
    else:
        norm = norm_of_row(row, dim, norm_type, like)
    if norm > max_norm:
        scale_row(row, dim, <real_t>(max_norm / (norm + 1e-7)))


cdef inline void scale_row(cell_t* row, Py_ssize_t dim, real_t factor) noexcept nogil:
    cdef real_t[MAX_BLOCK] value_d
    cdef real_t[MAX_BLOCK] scaled_d
    cdef const real_t* values
    cdef Py_ssize_t column = 0
    cdef int d, width
    while column < dim:
        width = <int>min(dim - column, MAX_BLOCK)
        values = widened(&row[column], value_d, width)
        for d in range(width):
            scaled_d[d] = values[d] * factor
        store(&row[column], scaled_d, width)
        column += width


cdef Py_ssize_t renorm_unit(
    const RenormCall* call, index_t index, cell_t cell, real_t real, Py_ssize_t unit,
    Py_ssize_t units,
) noexcept nogil:
    cdef Rows table = call.table
    cdef const index_t* rows_u = <const index_t*>call.rows.data
    cdef Py_ssize_t u, count = call.rows.count
    for u in range(even_start(count, unit, units), even_start(count, unit + 1, units)):
        prefetch_row(table, rows_u[min(u + AHEAD // 2, count - 1)], table.dim * sizeof(cell_t))
        renorm_row(
            <cell_t*>row_address(table, rows_u[u]), table.dim, call.max_norm, call.norm_type, real
        )
    return 0


def renorm(
    table_rd,          # INOUT (N, D)
    rows_u,            # (U,), unique
    double max_norm,
    double norm_type,
    int num_threads,
    /,
):
    """Scale rows with a norm over max_norm by max_norm / (norm + 1e-7), norm in float64."""
    cdef RenormCall call
    cdef Arrays arrays
    open_arrays(&arrays, <Rows*>&call, (table_rd, rows_u), b"c2w i1")
    call.max_norm, call.norm_type = max_norm, norm_type
    with nogil:
        if call.table.data != NULL:
            share_units(&call, &arrays, unit_count(call.rows.count, num_threads), num_threads)
    close_arrays(&arrays)
