# Numbering: the kernel lists the touched rows of each batch in order of first occurrence.
#
# Numbers go on rising from batch to batch, so a number below the batch's first says that the row is
# new to it, and the slots need no clearing. Where a caller has memory of the table's length anyway,
# this is many times cheaper than the sort of transpose.pxi.

cdef struct NumberCall:
    Rows rows
    Rows ends
    Rows numbers
    Rows slots
    Rows indices
    Rows bounds
    Py_ssize_t first


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
        # Each row is stored, then kept or overwritten: there is no branch to mispredict.
        is_new = -<index_t>(number < first)
        number ^= (number ^ following) & is_new
        rows_u[following - first] = <index_t>row
        slots_r[row] = number
        numbers_k[k] = number - first
        following -= is_new
    return following


cdef Py_ssize_t number_unit(const NumberCall* call, index_t index) noexcept nogil:
    # Returns the next number.
    cdef index_t* rows_u = <index_t*>call.rows.data
    cdef int64_t* ends_t = <int64_t*>call.ends.data
    cdef index_t* numbers_k = <index_t*>call.numbers.data
    cdef index_t* slots_r = <index_t*>call.slots.data
    cdef const index_t* indices_k = <const index_t*>call.indices.data
    cdef const index_t* bounds_t = <const index_t*>call.bounds.data
    cdef Py_ssize_t t, start, end = 0, n = call.indices.count, u = 0
    cdef index_t first = <index_t>call.first, following
    for t in range(call.bounds.count - 1):
        # Each lookup is numbered at most once, even if another thread changes the bounds.
        start = max(clamped(bounds_t[t], n), end)
        end = max(clamped(bounds_t[t + 1], n), start)
        following = number_batch(
            &rows_u[u], numbers_k, slots_r, call.slots.count, indices_k, start, end, first
        )
        u += following - first
        first = following
        ends_t[t] = u
    return first


def number_rows(
    rows_u,            # OUT (n,), of which the first ends[T - 1] entries count
    ends_t,            # OUT (T,), int64: where the rows of batch t end
    numbers_k,         # OUT (n,)
    slots_r,           # INOUT (N,): at first zeros
    indices_k,         # (n,)
    bounds_t,          # (T + 1,): lookups [bounds_t[t], bounds_t[t + 1]) are batch t
    Py_ssize_t first,  # at first 1, then what the last call returned
    /,
):
    """Write the rows of each batch, and which of them each lookup is of; return the next number."""
    cdef NumberCall call
    cdef Arrays arrays
    open_arrays(
        &arrays, <Rows*>&call, (rows_u, ends_t, numbers_k, slots_r, indices_k, bounds_t),
        b"i1w q1w i1w i1w i1 i1",
    )
    call.first = first
    with nogil:
        first = run_unit(&call, &arrays, 0, 1)
    close_arrays(&arrays)
    return first
