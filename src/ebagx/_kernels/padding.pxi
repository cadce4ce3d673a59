# Removal of the lookups of one row.

cdef void drop_lookups(
    const Arrays* arrays, index_t padding_row, real_t real
) noexcept nogil:
    cdef index_t* kept_indices_k = <index_t*>arrays.rows[0].data
    cdef index_t* kept_offsets_b = <index_t*>arrays.rows[1].data
    cdef real_t* kept_weights_k = <real_t*>arrays.rows[2].data
    cdef const index_t* indices_k = <const index_t*>arrays.rows[3].data
    cdef const index_t* offsets_b = <const index_t*>arrays.rows[4].data
    cdef const real_t* weights_k = <const real_t*>arrays.rows[5].data
    cdef Py_ssize_t b, end, k = 0, kept = 0, n = arrays.rows[3].count
    cdef index_t row
    kept_offsets_b[0] = 0
    for b in range(arrays.rows[4].count - 1):
        # Each lookup is met once, whatever another thread makes of the offsets.
        end = clamped(offsets_b[b + 1], n)
        while k < end:
            # Always stored, then kept or overwritten: no branch to mispredict.
            row = indices_k[k]
            kept_indices_k[kept] = row
            if weights_k != NULL:
                kept_weights_k[kept] = weights_k[k]
            kept += row != padding_row
            k += 1
        kept_offsets_b[b + 1] = <index_t>kept


cdef void drop_lookups_of(const Arrays* arrays, index_t padding_row) noexcept nogil:
    if arrays.real == FLOAT:
        drop_lookups(arrays, padding_row, <float>0)
    else:
        drop_lookups(arrays, padding_row, <double>0)


def drop_padding(
    kept_indices_k,    # OUT, first offsets[-1] entries
    kept_offsets_b,    # OUT
    kept_weights_k,    # OUT, may be empty as weights_k
    indices_k,
    offsets_b,
    weights_k,
    Py_ssize_t padding_row,
    /,
):
    """Copy the bags without the lookups of padding_row."""
    cdef Arrays arrays
    open_arrays(
        &arrays, (kept_indices_k, kept_offsets_b, kept_weights_k, indices_k, offsets_b, weights_k),
        b"i1w i1w r1w i1 i1 r1",
    )
    with nogil:
        if arrays.index == INT32:
            drop_lookups_of(&arrays, <int32_t>padding_row)
        else:
            drop_lookups_of(&arrays, <int64_t>padding_row)
    close_arrays(&arrays)
