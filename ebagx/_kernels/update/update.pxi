# Updates of dense gradients: the kernels read or write nothing but the rows they are given.

cdef struct AddRowsCall:
    Rows table
    Rows rows
    Rows values


cdef Py_ssize_t add_rows_unit(
    const AddRowsCall* call, index_t index, real_t real, Py_ssize_t unit, Py_ssize_t units
) noexcept nogil:
    cdef Rows table = call.table, values = call.values
    cdef const index_t* rows_u = <const index_t*>call.rows.data
    cdef Py_ssize_t u, column, count = call.rows.count, dim = values.dim
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
    return 0


def add_rows(
    table_rd,          # INOUT (N, D)
    rows_u,            # (U,), unique
    values_ud,         # (U, D)
    int num_threads,
    /,
):
    """Add values to rows. Cost: one read and write of each of these rows."""
    cdef AddRowsCall call
    cdef Arrays arrays
    open_arrays(&arrays, <Rows*>&call, (table_rd, rows_u, values_ud), b"r2w i1 r2")
    with nogil:
        if call.values.data != NULL:
            share_units(&call, &arrays, unit_count(call.rows.count, num_threads), num_threads)
    close_arrays(&arrays)


cdef struct ClearRowsCall:
    Rows table
    Rows rows
    size_t length  # of a row, in bytes


cdef inline Py_ssize_t unit_of_row(Py_ssize_t row, Py_ssize_t units) noexcept nogil:
    # The unit is a scaled hash of the row, as a division takes ten times as long.
    cdef uint32_t hash = <uint32_t>row * <uint32_t>0x9E3779B1
    return <Py_ssize_t>((<uint64_t>hash * <uint64_t>units) >> 32)


cdef Py_ssize_t clear_rows_unit(
    const ClearRowsCall* call, index_t index, Py_ssize_t unit, Py_ssize_t units
) noexcept nogil:
    # Each unit looks at all rows and clears its own. Cut by position, a row that is given many
    # times would move between the caches of two threads, which take twice as long as one.
    cdef Rows table = call.table
    cdef const index_t* rows_k = <const index_t*>call.rows.data
    cdef Py_ssize_t k
    for k in range(call.rows.count):
        if unit_of_row(rows_k[k], units) == unit:
            memset(row_address(table, rows_k[k]), 0, call.length)
    return 0


def clear_rows(
    table_rd,          # INOUT (N, D)
    rows_k,            # (n,), may hold a row more than once
    int num_threads,
    /,
):
    """Set rows to zero. Cost: one write of each of these rows."""
    cdef ClearRowsCall call
    cdef Arrays arrays
    open_arrays(&arrays, <Rows*>&call, (table_rd, rows_k), b"r2w i1")
    call.length = <size_t>call.table.dim * (4 if arrays.real == FLOAT else 8)
    with nogil:
        if call.table.data != NULL and call.rows.data != NULL:
            share_units(&call, &arrays, num_threads, num_threads)
    close_arrays(&arrays)
