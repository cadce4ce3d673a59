# Numbering: the touched rows of each batch, in the order in which they first occur.
#
# Numbers count on from batch to batch, so a number below the batch's first says that the row is
# new to it, and nobody clears the slots. Where a caller has memory of the table's length anyway,
# this is many times cheaper than the sort of transpose.pxi.

cdef index_t number_batch(
    index_t* rows_u, index_t* numbers_k, index_t* slots_r, Py_ssize_t num_rows,
    const index_t* indices_k, Py_ssize_t start, Py_ssize_t end, index_t first,
) noexcept nogil:
    # Returns the next number. `rows_u` has room for a row per lookup.
    cdef Py_ssize_t k, row
    cdef index_t number, is_new, following = first
    for k in range(start, end):
        row = indices_k[k]
        row = row if <size_t>row < <size_t>num_rows else 0
        number = slots_r[row]
        # All is stored, then kept or overwritten: no branch to mispredict.
        is_new = -<index_t>(number < first)
        number ^= (number ^ following) & is_new
        rows_u[following - first] = <index_t>row
        slots_r[row] = number
        numbers_k[k] = number - first
        following -= is_new
    return following


cdef index_t number_batches(const Arrays* arrays, index_t first) noexcept nogil:
    cdef index_t* rows_u = <index_t*>arrays.rows[0].data
    cdef int64_t* ends_t = <int64_t*>arrays.rows[1].data
    cdef index_t* numbers_k = <index_t*>arrays.rows[2].data
    cdef index_t* slots_r = <index_t*>arrays.rows[3].data
    cdef const index_t* indices_k = <const index_t*>arrays.rows[4].data
    cdef const index_t* bounds_t = <const index_t*>arrays.rows[5].data
    cdef Py_ssize_t t, start, end = 0, n = arrays.rows[4].count, u = 0
    cdef index_t following
    for t in range(arrays.rows[5].count - 1):
        # Each lookup is met once, whatever another thread makes of the bounds.
        start = max(clamped(bounds_t[t], n), end)
        end = max(clamped(bounds_t[t + 1], n), start)
        following = number_batch(
            &rows_u[u], numbers_k, slots_r, arrays.rows[3].count, indices_k, start, end, first
        )
        u += following - first
        first = following
        ends_t[t] = u
    return first


def number_rows(
    rows_u,        # OUT, room for n
    ends_t,        # OUT, int64, where the rows of batch t end
    numbers_k,     # OUT
    slots_r,       # INOUT, as long as the table: at first zeros
    indices_k,
    bounds_t,      # (T + 1,): lookups [bounds_t[t], bounds_t[t + 1]) are batch t
    Py_ssize_t first,  # at first 1, then what the last call returned
    /,
):
    """Write the rows of each batch, and which of them each lookup is of; return the next number."""
    cdef Arrays arrays
    open_arrays(
        &arrays, (rows_u, ends_t, numbers_k, slots_r, indices_k, bounds_t),
        b"i1w q1w i1w i1w i1 i1",
    )
    with nogil:
        if arrays.index == INT32:
            first = number_batches(&arrays, <int32_t>first)
        else:
            first = number_batches(&arrays, <int64_t>first)
    close_arrays(&arrays)
    return first
