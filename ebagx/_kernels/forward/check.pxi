# Whether bags may be handed to the other kernels.

cdef int any_outside(
    const index_t* indices_k, Py_ssize_t n, index_t last_row, Py_ssize_t unit, Py_ssize_t units
) noexcept nogil:
    # No early exit, and no comparison: vectors of integers have few. Both row and last_row - row
    # have a sign bit of 0 just if 0 <= row <= last_row.
    cdef Py_ssize_t k
    cdef uint32_t bits32 = 0
    cdef uint64_t bits64 = 0
    for k in range(even_start(n, unit, units), even_start(n, unit + 1, units)):
        if index_t is int32_t:
            bits32 |= <uint32_t>indices_k[k] | (<uint32_t>last_row - <uint32_t>indices_k[k])
        else:
            bits64 |= <uint64_t>indices_k[k] | (<uint64_t>last_row - <uint64_t>indices_k[k])
    return bits32 >> 31 != 0 or bits64 >> 63 != 0


cdef bint all_inside(
    const index_t* indices_k, Py_ssize_t n, Py_ssize_t num_rows, int num_threads
) noexcept nogil:
    cdef Py_ssize_t unit
    cdef index_t last_row
    cdef int outside = 0
    if index_t is int32_t:
        last_row = <index_t>min(num_rows - 1, <Py_ssize_t>0x7FFFFFFF)
    else:
        last_row = num_rows - 1
    if num_threads == 1:
        return not any_outside(indices_k, n, last_row, 0, 1)
    for unit in prange(num_threads, schedule="static", num_threads=num_threads):
        outside |= any_outside(indices_k, n, last_row, unit, num_threads)
    return not outside


def indices_valid(
    indices_k,
    Py_ssize_t num_rows,
    int num_threads,
    /,
):
    """Return whether every index is in [0, num_rows). Cost: one read of the indices."""
    cdef Arrays arrays
    cdef Rows* indices = &arrays.rows[0]
    cdef bint valid
    open_arrays(&arrays, (indices_k,), b"i1")
    with nogil:
        if arrays.index == INT32:
            valid = all_inside(<int32_t*>indices.data, indices.count, num_rows, num_threads)
        else:
            valid = all_inside(<int64_t*>indices.data, indices.count, num_rows, num_threads)
    close_arrays(&arrays)
    return valid


cdef bint ascend(
    const index_t* offsets_b, Py_ssize_t num_bags, Py_ssize_t num_lookups
) noexcept nogil:
    cdef Py_ssize_t b
    cdef bint decreasing = False
    for b in range(num_bags):
        decreasing |= offsets_b[b + 1] < offsets_b[b]
    return not decreasing and offsets_b[0] == 0 and offsets_b[num_bags] == num_lookups


def offsets_valid(
    offsets_b,
    Py_ssize_t num_lookups,
    /,
):
    """Return whether offsets run from 0 to num_lookups without decreasing."""
    cdef Arrays arrays
    cdef Rows* offsets = &arrays.rows[0]
    cdef bint valid
    open_arrays(&arrays, (offsets_b,), b"i1")
    with nogil:
        if arrays.index == INT32:
            valid = ascend(<int32_t*>offsets.data, offsets.count - 1, num_lookups)
        else:
            valid = ascend(<int64_t*>offsets.data, offsets.count - 1, num_lookups)
    close_arrays(&arrays)
    return valid


cdef bint close_and_check(
    index_t* ends_b, const index_t* starts_b, Py_ssize_t num_bags, Py_ssize_t num_lookups
) noexcept nogil:
    cdef Py_ssize_t b
    for b in range(num_bags):
        ends_b[b] = starts_b[b]
    ends_b[num_bags] = <index_t>num_lookups
    return ascend(ends_b, num_bags, num_lookups)


def close_offsets(
    ends_b,        # OUT, (B + 1,)
    starts_b,      # (B,)
    Py_ssize_t num_lookups,
    /,
):
    """Write the starts of bags and where the last one ends; return as `offsets_valid` does."""
    cdef Arrays arrays
    cdef Rows* ends = &arrays.rows[0]
    cdef Rows* starts = &arrays.rows[1]
    cdef bint valid
    open_arrays(&arrays, (ends_b, starts_b), b"i1w i1")
    with nogil:
        if arrays.index == INT32:
            valid = close_and_check(
                <int32_t*>ends.data, <int32_t*>starts.data, starts.count, num_lookups
            )
        else:
            valid = close_and_check(
                <int64_t*>ends.data, <int64_t*>starts.data, starts.count, num_lookups
            )
    close_arrays(&arrays)
    return valid
