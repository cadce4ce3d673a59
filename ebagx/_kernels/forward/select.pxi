# Selection: padding and invalid lookups are removed, and empty bags filled, before other kernels
# see the bags.

ctypedef fused item_t:
    int32_t
    int64_t
    float
    double


cdef struct SelectCall:
    Rows kept_indices
    Rows kept_offsets
    Rows kept_weights
    Rows indices
    Rows offsets
    Rows weights
    Py_ssize_t num_rows
    Py_ssize_t padding_row
    Py_ssize_t default_row


cdef inline Py_ssize_t copy_kept(
    item_t* kept_k, const item_t* items_k, const index_t* indices_k, Py_ssize_t start,
    Py_ssize_t end, const SelectCall* call, bint* outside,
) noexcept nogil:
    # Returns how many items stay. Each one is stored, then kept or overwritten: there is no branch
    # to mispredict.
    cdef Py_ssize_t k, row, kept = 0, num_rows = call.num_rows, padding_row = call.padding_row
    cdef bint inside, any_outside = False
    for k in range(start, end):
        row = indices_k[k]
        kept_k[kept] = items_k[k]
        inside = <size_t>row < <size_t>num_rows
        any_outside |= not inside
        kept += inside & (row != padding_row)
    outside[0] |= any_outside
    return kept


cdef Py_ssize_t select_unit(const SelectCall* call, index_t index, real_t real) noexcept nogil:
    # Returns FOUND_OUTSIDE if an index is outside the table.
    cdef index_t* kept_indices_k = <index_t*>call.kept_indices.data
    cdef index_t* kept_offsets_b = <index_t*>call.kept_offsets.data
    cdef real_t* kept_weights_k = <real_t*>call.kept_weights.data
    cdef const index_t* indices_k = <const index_t*>call.indices.data
    cdef const index_t* offsets_b = <const index_t*>call.offsets.data
    cdef const real_t* weights_k = <const real_t*>call.weights.data
    cdef Py_ssize_t b, count, start = 0, end, kept = 0, n = call.indices.count
    cdef bint outside = False
    kept_offsets_b[0] = 0
    for b in range(call.offsets.count - 1):
        # Each lookup is copied at most once, even if another thread changes the offsets.
        end = max(clamped(offsets_b[b + 1], n), start)
        if weights_k != NULL:
            copy_kept(&kept_weights_k[kept], weights_k, indices_k, start, end, call, &outside)
        count = copy_kept(&kept_indices_k[kept], indices_k, indices_k, start, end, call, &outside)
        if count == 0 and call.default_row >= 0:
            kept_indices_k[kept] = <index_t>call.default_row
            if weights_k != NULL:
                kept_weights_k[kept] = 1
            count = 1
        kept += count
        kept_offsets_b[b + 1] = <index_t>kept
        start = end
    return FOUND_OUTSIDE * outside


def select_lookups(
    kept_indices_k,    # OUT (n,), or (n + B,) with a default_row; the first kept_offsets[B] count
    kept_offsets_b,    # OUT (B + 1,)
    kept_weights_k,    # OUT as long as kept_indices_k, or empty as weights_k
    indices_k,         # (n,)
    offsets_b,         # (B + 1,)
    weights_k,         # (n,), or empty: every weight is 1
    Py_ssize_t num_rows,
    Py_ssize_t padding_row,
    Py_ssize_t default_row,
    /,
):
    """Copy the bags without the lookups of padding_row and those outside [0, num_rows).

    A bag that is left empty gets one lookup of default_row, with weight 1. A row of -1 is none.
    Return whether every index is in [0, num_rows).
    """
    cdef SelectCall call
    cdef Arrays arrays
    cdef Py_ssize_t found
    open_arrays(
        &arrays, <Rows*>&call,
        (kept_indices_k, kept_offsets_b, kept_weights_k, indices_k, offsets_b, weights_k),
        b"i1w i1w r1w i1 i1 r1",
    )
    call.num_rows, call.padding_row, call.default_row = num_rows, padding_row, default_row
    with nogil:
        found = run_unit(&call, &arrays, 0, 1)
    close_arrays(&arrays)
    return not found
