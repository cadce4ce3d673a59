# Updates of the rows of dense gradients: only those rows are read or written.

cdef void add_rows_unit(
    const Arrays* arrays, index_t index, real_t real, Py_ssize_t unit, Py_ssize_t units
) noexcept nogil:
    cdef Rows table = arrays.rows[0], values = arrays.rows[2]
    cdef const index_t* rows_u = <const index_t*>arrays.rows[1].data
    cdef Py_ssize_t u, column, count = arrays.rows[1].count, dim = values.dim
    cdef real_t* row
    cdef const real_t* value_d
    for u in range(even_start(count, unit, units), even_start(count, unit + 1, units)):
        prefetch_row(table, rows_u[min(u + AHEAD // 2, count - 1)], dim * sizeof(real_t))
        row = <real_t*>row_address(table, rows_u[u])
        value_d = <const real_t*>row_address(values, u)
        column = 0
        while column < dim:
            add_block(&row[column], &value_d[column], <int>min(dim - column, MAX_BLOCK))
            column += MAX_BLOCK


cdef void add_rows_all(
    const Arrays* arrays, index_t index, real_t real, int num_threads
) noexcept nogil:
    cdef Py_ssize_t unit, units = unit_count(arrays.rows[1].count, num_threads)
    if units == 1:
        add_rows_unit(arrays, index, real, 0, 1)
        return
    for unit in prange(units, schedule="dynamic", num_threads=num_threads):
        add_rows_unit(arrays, index, real, unit, units)


cdef void add_rows_reals(const Arrays* arrays, index_t index, int num_threads) noexcept nogil:
    if arrays.real == FLOAT:
        add_rows_all(arrays, index, <float>0, num_threads)
    else:
        add_rows_all(arrays, index, <double>0, num_threads)


def add_rows(
    table_rd,      # INOUT
    rows_u,        # unique
    values_ud,
    int num_threads,
    /,
):
    """Add values to rows. Cost: one read and write of each of these rows."""
    cdef Arrays arrays
    open_arrays(&arrays, (table_rd, rows_u, values_ud), b"r2w i1 r2")
    with nogil:
        if arrays.rows[2].data == NULL:
            pass
        elif arrays.index == INT32:
            add_rows_reals(&arrays, <int32_t>0, num_threads)
        else:
            add_rows_reals(&arrays, <int64_t>0, num_threads)
    close_arrays(&arrays)


cdef inline Py_ssize_t share_of(Py_ssize_t row, Py_ssize_t units) noexcept nogil:
    # Which unit a row belongs to: a hash, scaled, as a division takes ten times as long.
    cdef uint32_t hash = <uint32_t>row * <uint32_t>0x9E3779B1
    return <Py_ssize_t>((<uint64_t>hash * <uint64_t>units) >> 32)


cdef void clear_rows_unit(
    const Arrays* arrays, index_t index, Py_ssize_t unit, Py_ssize_t units
) noexcept nogil:
    # Each thread reads all rows and clears its own: a row that is listed many times would move
    # between the caches of the threads, and two of them take twice as long as one.
    cdef Rows table = arrays.rows[0]
    cdef const index_t* rows_k = <const index_t*>arrays.rows[1].data
    cdef Py_ssize_t k
    cdef size_t length = <size_t>table.dim * (4 if arrays.real == FLOAT else 8)
    for k in range(arrays.rows[1].count):
        if share_of(rows_k[k], units) == unit:
            memset(row_address(table, rows_k[k]), 0, length)


cdef void clear_all_rows(
    const Arrays* arrays, index_t index, int num_threads
) noexcept nogil:
    cdef Py_ssize_t unit
    if num_threads == 1:
        clear_rows_unit(arrays, index, 0, 1)
        return
    for unit in prange(num_threads, schedule="static", num_threads=num_threads):
        clear_rows_unit(arrays, index, unit, num_threads)


def clear_rows(
    table_rd,      # INOUT
    rows_k,        # may be there more than once
    int num_threads,
    /,
):
    """Set rows to zero. Cost: one write of each of these rows."""
    cdef Arrays arrays
    open_arrays(&arrays, (table_rd, rows_k), b"r2w i1")
    with nogil:
        if arrays.rows[0].data == NULL or arrays.rows[1].data == NULL:
            pass
        elif arrays.index == INT32:
            clear_all_rows(&arrays, <int32_t>0, num_threads)
        else:
            clear_all_rows(&arrays, <int64_t>0, num_threads)
    close_arrays(&arrays)
