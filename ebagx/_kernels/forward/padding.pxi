# Removal of the lookups of one row.

ctypedef fused item_t:
    int32_t
    int64_t
    float
    double


cdef inline Py_ssize_t keep(
    item_t* kept_k, const item_t* items_k, const index_t* indices_k, Py_ssize_t start,
    Py_ssize_t end, index_t padding_row,
) noexcept nogil:
    # Returns how many. Always stored, then kept or overwritten: no branch to mispredict.
    cdef Py_ssize_t k, kept = 0
    for k in range(start, end):
        kept_k[kept] = items_k[k]
        kept += indices_k[k] != padding_row
    return kept


cdef void drop_lookups(
    const Arrays* arrays, index_t padding_row, real_t real
) noexcept nogil:
    cdef index_t* kept_indices_k = <index_t*>arrays.rows[0].data
    cdef index_t* kept_offsets_b = <index_t*>arrays.rows[1].data
    cdef real_t* kept_weights_k = <real_t*>arrays.rows[2].data
    cdef const index_t* indices_k = <const index_t*>arrays.rows[3].data
    cdef const index_t* offsets_b = <const index_t*>arrays.rows[4].data
    cdef const real_t* weights_k = <const real_t*>arrays.rows[5].data
    cdef Py_ssize_t b, start = 0, end, kept = 0, n = arrays.rows[3].count
    kept_offsets_b[0] = 0
    for b in range(arrays.rows[4].count - 1):
        # Each lookup is met once, whatever another thread makes of the offsets.
        end = max(clamped(offsets_b[b + 1], n), start)
        if weights_k != NULL:
            keep(&kept_weights_k[kept], weights_k, indices_k, start, end, padding_row)
        kept += keep(&kept_indices_k[kept], indices_k, indices_k, start, end, padding_row)
        kept_offsets_b[b + 1] = <index_t>kept
        start = end


cdef void drop_lookups_reals(const Arrays* arrays, index_t padding_row) noexcept nogil:
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
            drop_lookups_reals(&arrays, <int32_t>padding_row)
        else:
            drop_lookups_reals(&arrays, <int64_t>padding_row)
    close_arrays(&arrays)
