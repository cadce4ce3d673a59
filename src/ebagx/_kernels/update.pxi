# Updates of the rows of dense gradients: only those rows are read or written.

cdef void add_rows_unit(
    Rows table, const index_t[::1] rows_u, const real_t[:, ::1] values_ud, Py_ssize_t unit,
    Py_ssize_t units,
) noexcept nogil:
    cdef Py_ssize_t u, ahead, column, count = rows_u.shape[0], dim = values_ud.shape[1]
    cdef real_t* row
    for u in range(even_start(count, unit, units), even_start(count, unit + 1, units)):
        ahead = rows_u[min(u + AHEAD // 2, count - 1)]
        prefetch_row(table, ahead, dim * sizeof(real_t))
        row = <real_t*>row_address(table, rows_u[u])
        column = 0
        while column < dim:
            add_block(&row[column], &values_ud[u, column], <int>min(dim - column, MAX_BLOCK))
            column += MAX_BLOCK


def add_rows(
    real_t[:, :] table_rd,           # INOUT
    const index_t[::1] rows_u,       # unique
    const real_t[:, ::1] values_ud,
    int num_threads,
    /,
):
    """Add values to rows. Cost: one read and write of each of these rows."""
    cdef Py_ssize_t unit, units = unit_count(rows_u.shape[0], num_threads)
    cdef Rows table
    if values_ud.shape[0] == 0 or values_ud.shape[1] == 0:
        return
    table = rows_of(table_rd)
    if units == 1:
        with nogil:
            add_rows_unit(table, rows_u, values_ud, 0, 1)
        return
    for unit in prange(units, nogil=True, schedule="dynamic", num_threads=num_threads):
        add_rows_unit(table, rows_u, values_ud, unit, units)


cdef void clear_rows_unit(
    Rows table, const index_t[::1] rows_u, Py_ssize_t dim, Py_ssize_t unit, Py_ssize_t units,
    real_t zero,
) noexcept nogil:
    cdef Py_ssize_t u, d, count = rows_u.shape[0]
    cdef real_t* row
    for u in range(even_start(count, unit, units), even_start(count, unit + 1, units)):
        row = <real_t*>row_address(table, rows_u[u])
        for d in range(dim):
            row[d] = zero


def clear_rows(
    real_t[:, :] table_rd,           # INOUT
    const index_t[::1] rows_u,
    int num_threads,
    /,
):
    """Set rows to zero. Cost: one write of each of these rows."""
    cdef Py_ssize_t unit, units = unit_count(rows_u.shape[0], num_threads)
    cdef Py_ssize_t dim = table_rd.shape[1]
    cdef Rows table = rows_of(table_rd)
    if rows_u.shape[0] == 0 or dim == 0:
        return
    if units == 1:
        with nogil:
            clear_rows_unit(table, rows_u, dim, 0, 1, <real_t>0)
        return
    for unit in prange(units, nogil=True, schedule="dynamic", num_threads=num_threads):
        clear_rows_unit(table, rows_u, dim, unit, units, <real_t>0)
