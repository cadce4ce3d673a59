# Numbering: the touched rows of each batch, in the order in which they first occur.
#
# Numbers count on from batch to batch, so a number below the batch's first says that the row is
# new to it, and nobody clears the slots. Where a caller has memory of the table's length anyway,
# this is many times cheaper than the sort of transpose.pxi.

cdef index_t number_batch(
    index_t[::1] rows_u, index_t[::1] numbers_k, index_t[::1] slots_r,
    const index_t[::1] indices_k, Py_ssize_t start, Py_ssize_t end, Py_ssize_t u, index_t first,
) noexcept nogil:
    # Returns the next number. `rows_u` has room for a row per lookup from u on.
    cdef Py_ssize_t k, row, num_rows = slots_r.shape[0]
    cdef index_t number, is_new, following = first
    for k in range(start, end):
        row = indices_k[k]
        row = row if <size_t>row < <size_t>num_rows else 0
        number = slots_r[row]
        # All is stored, then kept or overwritten: no branch to mispredict.
        is_new = -<index_t>(number < first)
        number ^= (number ^ following) & is_new
        rows_u[u + following - first] = <index_t>row
        slots_r[row] = number
        numbers_k[k] = number - first
        following -= is_new
    return following


def number_rows(
    index_t[::1] rows_u,             # OUT, room for n
    int64_t[::1] ends_t,             # OUT, where the rows of batch t end
    index_t[::1] numbers_k,          # OUT
    index_t[::1] slots_r,            # INOUT, as long as the table: at first zeros
    const index_t[::1] indices_k,
    const index_t[::1] bounds_t,     # (T + 1,): lookups [bounds_t[t], bounds_t[t + 1]) are batch t
    Py_ssize_t first,                # at first 1, then what the last call returned
    /,
):
    """Write the rows of each batch, and which of them each lookup is of; return the next number."""
    cdef Py_ssize_t t, start, end = 0, n = indices_k.shape[0], u = 0
    cdef index_t number = <index_t>first, following
    with nogil:
        for t in range(bounds_t.shape[0] - 1):
            # Each lookup is met once, whatever another thread makes of the bounds.
            start = max(clamped(bounds_t[t], n), end)
            end = max(clamped(bounds_t[t + 1], n), start)
            following = number_batch(
                rows_u, numbers_k, slots_r, indices_k, start, end, u, number
            )
            u += following - number
            number = following
            ends_t[t] = u
    return number
