# max_norm: rows whose norm is too large are scaled down in place.

cdef inline double term(double size, double norm_type) noexcept nogil:
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
            lanes[d] += term(fabs(row_d[d]), norm_type)
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
    # The largest (norm_type inf) or smallest (-inf) absolute value; NaN stays.
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


cdef void renorm_unit(
    const Arrays* arrays, index_t index, cell_t cell, real_t real, double max_norm,
    double norm_type, Py_ssize_t unit, Py_ssize_t units,
) noexcept nogil:
    cdef const Rows* table = &arrays.rows[0]
    cdef const index_t* rows_u = <const index_t*>arrays.rows[1].data
    cdef Py_ssize_t u, count = arrays.rows[1].count
    for u in range(even_start(count, unit, units), even_start(count, unit + 1, units)):
        prefetch_row(table[0], rows_u[min(u + AHEAD // 2, count - 1)], table.dim * sizeof(cell_t))
        renorm_row(<cell_t*>row_address(table[0], rows_u[u]), table.dim, max_norm, norm_type, real)


cdef void renorm_rows(
    const Arrays* arrays, index_t index, cell_t cell, real_t real, double max_norm,
    double norm_type, int num_threads,
) noexcept nogil:
    cdef Py_ssize_t unit, units = unit_count(arrays.rows[1].count, num_threads)
    if units == 1:
        renorm_unit(arrays, index, cell, real, max_norm, norm_type, 0, 1)
        return
    for unit in prange(units, schedule="dynamic", num_threads=num_threads):
        renorm_unit(arrays, index, cell, real, max_norm, norm_type, unit, units)


cdef void renorm_cells(
    const Arrays* arrays, index_t index, double max_norm, double norm_type, int num_threads
) noexcept nogil:
    if arrays.cell == FLOAT:
        renorm_rows(arrays, index, <float>0, <float>0, max_norm, norm_type, num_threads)
    elif arrays.cell == DOUBLE:
        renorm_rows(arrays, index, <double>0, <double>0, max_norm, norm_type, num_threads)
    elif arrays.cell == HALF:
        renorm_rows(arrays, index, <uint16_t>0, <float>0, max_norm, norm_type, num_threads)
    else:
        renorm_rows(arrays, index, <int16_t>0, <float>0, max_norm, norm_type, num_threads)


def renorm(
    table_rd,      # INOUT
    rows_u,        # unique
    double max_norm,
    double norm_type,
    int num_threads,
    /,
):
    """Scale rows with a norm over max_norm by max_norm / (norm + 1e-7), norm in float64."""
    cdef Arrays arrays
    open_arrays(&arrays, (table_rd, rows_u), b"c2w i1")
    with nogil:
        if arrays.rows[0].data == NULL:
            pass
        elif arrays.index == INT32:
            renorm_cells(&arrays, <int32_t>0, max_norm, norm_type, num_threads)
        else:
            renorm_cells(&arrays, <int64_t>0, max_norm, norm_type, num_threads)
    close_arrays(&arrays)
