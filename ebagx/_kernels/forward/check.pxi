# Validation: one look at indices and offsets decides whether bags may go to the other kernels.

cdef struct IndicesValidCall:
    Rows indices
    Py_ssize_t num_rows


cdef struct OffsetsValidCall:
    Rows offsets
    Py_ssize_t num_lookups


cdef struct CloseOffsetsCall:
    Rows ends
    Rows starts
    Py_ssize_t num_lookups


cdef inline bint any_outside(
    const index_t* indices_k, Py_ssize_t n, Py_ssize_t num_rows
) noexcept nogil:
    # There is no early exit, and no comparison: vectors of integers have few. Both row and
    # last_row - row have a sign bit of 0 just if 0 <= row <= last_row.
    cdef Py_ssize_t k
    cdef uint32_t bits32 = 0, last32 = <uint32_t>min(num_rows - 1, <Py_ssize_t>0x7FFFFFFF)
    cdef uint64_t bits64 = 0, last64 = <uint64_t>(num_rows - 1)
    for k in range(n):
        if index_t is int32_t:
            bits32 |= <uint32_t>indices_k[k] | (last32 - <uint32_t>indices_k[k])
        else:
            bits64 |= <uint64_t>indices_k[k] | (last64 - <uint64_t>indices_k[k])
    return bits32 >> 31 != 0 or bits64 >> 63 != 0


cdef inline bint any_outside_of(
    Indices indices_k, const Lookups* bag, Py_ssize_t num_rows
) noexcept nogil:
    cdef Py_ssize_t n = bag.end - bag.start
    if indices_k.is_long:
        return any_outside(<const int64_t*>indices_k.data + bag.start, n, num_rows)
    return any_outside(<const int32_t*>indices_k.data + bag.start, n, num_rows)


cdef Py_ssize_t indices_valid_unit(
    const IndicesValidCall* call, index_t index, Py_ssize_t unit, Py_ssize_t units
) noexcept nogil:
    cdef const index_t* indices_k = <const index_t*>call.indices.data
    cdef Py_ssize_t start = even_start(call.indices.count, unit, units)
    cdef Py_ssize_t stop = even_start(call.indices.count, unit + 1, units)
    return FOUND_OUTSIDE if any_outside(indices_k + start, stop - start, call.num_rows) else 0


def indices_valid(
    indices_k,
    Py_ssize_t num_rows,
    int num_threads,
    /,
):
    """Return whether every index is in [0, num_rows). Cost: one read of the indices."""
    cdef IndicesValidCall call
    cdef Arrays arrays
    cdef Py_ssize_t found
    open_arrays(&arrays, <Rows*>&call, (indices_k,), b"i1")
    call.num_rows = num_rows
    with nogil:
        found = share_units(&call, &arrays, num_threads, num_threads)
    close_arrays(&arrays)
    return not found


cdef bint ascend(
    const index_t* offsets_b, Py_ssize_t num_bags, Py_ssize_t num_lookups
) noexcept nogil:
    # Returns whether offsets run from 0 to num_lookups without decreasing.
    cdef Py_ssize_t b
    cdef bint decreasing = False
    for b in range(num_bags):
        decreasing |= offsets_b[b + 1] < offsets_b[b]
    return not decreasing and offsets_b[0] == 0 and offsets_b[num_bags] == num_lookups


cdef Py_ssize_t offsets_valid_unit(const OffsetsValidCall* call, index_t index) noexcept nogil:
    cdef const index_t* offsets_b = <const index_t*>call.offsets.data
    return ascend(offsets_b, call.offsets.count - 1, call.num_lookups)


def offsets_valid(
    offsets_b,         # (B + 1,)
    Py_ssize_t num_lookups,
    /,
):
    """Return whether offsets run from 0 to num_lookups without decreasing."""
    cdef OffsetsValidCall call
    cdef Arrays arrays
    cdef bint valid
    open_arrays(&arrays, <Rows*>&call, (offsets_b,), b"i1")
    call.num_lookups = num_lookups
    with nogil:
        valid = run_unit(&call, &arrays, 0, 1)
    close_arrays(&arrays)
    return valid


cdef Py_ssize_t close_offsets_unit(const CloseOffsetsCall* call, index_t index) noexcept nogil:
    cdef index_t* ends_b = <index_t*>call.ends.data
    cdef const index_t* starts_b = <const index_t*>call.starts.data
    cdef Py_ssize_t b, num_bags = call.starts.count
    for b in range(num_bags):
        ends_b[b] = starts_b[b]
    ends_b[num_bags] = <index_t>call.num_lookups
    return ascend(ends_b, num_bags, call.num_lookups)


def close_offsets(
    ends_b,            # OUT (B + 1,)
    starts_b,          # (B,)
    Py_ssize_t num_lookups,
    /,
):
    """Write the starts of bags and where the last one ends; return as `offsets_valid` does."""
    cdef CloseOffsetsCall call
    cdef Arrays arrays
    cdef bint valid
    open_arrays(&arrays, <Rows*>&call, (ends_b, starts_b), b"i1w i1")
    call.num_lookups = num_lookups
    with nogil:
        valid = run_unit(&call, &arrays, 0, 1)
    close_arrays(&arrays)
    return valid
