# Padding: the lookups of one row are removed before the other kernels see them.

ctypedef fused item_t:
    int32_t
    int64_t
    float
    double


cdef struct DropPaddingCall:
    Rows kept_indices
    Rows kept_offsets
    Rows kept_weights
    Rows indices
    Rows offsets
    Rows weights
    Py_ssize_t padding_row


cdef inline Py_ssize_t copy_kept(
    item_t* kept_k, const item_t* items_k, const index_t* indices_k, Py_ssize_t start,
    Py_ssize_t end, index_t padding_row,
) noexcept nogil:
    # Returns how many items stay. Each one is stored, then kept or overwritten: there is no branch
    # to mispredict.
    cdef Py_ssize_t k, kept = 0
    for k in range(start, end):
        kept_k[kept] = items_k[k]
        kept += indices_k[k] != padding_row
    return kept


cdef Py_ssize_t drop_padding_unit(
    const DropPaddingCall* call, index_t index, real_t real
) noexcept nogil:
    cdef index_t* kept_indices_k = <index_t*>call.kept_indices.data
    cdef index_t* kept_offsets_b = <index_t*>call.kept_offsets.data
    cdef real_t* kept_weights_k = <real_t*>call.kept_weights.data
    cdef const index_t* indices_k = <const index_t*>call.indices.data
    cdef const index_t* offsets_b = <const index_t*>call.offsets.data
    cdef const real_t* weights_k = <const real_t*>call.weights.data
    cdef index_t padding_row = <index_t>call.padding_row
    cdef Py_ssize_t b, start = 0, end, kept = 0, n = call.indices.count
    kept_offsets_b[0] = 0
    for b in range(call.offsets.count - 1):
        # Each lookup is copied at most once, even if another thread changes the offsets.
        end = max(clamped(offsets_b[b + 1], n), start)
        if weights_k != NULL:
            copy_kept(&kept_weights_k[kept], weights_k, indices_k, start, end, padding_row)
        kept += copy_kept(&kept_indices_k[kept], indices_k, indices_k, start, end, padding_row)
        kept_offsets_b[b + 1] = <index_t>kept
        start = end
    return 0


def drop_padding(
    kept_indices_k,    # OUT (n,), of which the first kept_offsets[B] entries count
    kept_offsets_b,    # OUT (B + 1,)
    kept_weights_k,    # OUT (n,), or empty as weights_k
    indices_k,         # (n,)
    offsets_b,         # (B + 1,)
    weights_k,         # (n,), or empty: every weight is 1
    Py_ssize_t padding_row,
    /,
):
    """Copy the bags without the lookups of padding_row."""
    cdef DropPaddingCall call
    cdef Arrays arrays
    open_arrays(
        &arrays, <Rows*>&call,
        (kept_indices_k, kept_offsets_b, kept_weights_k, indices_k, offsets_b, weights_k),
        b"i1w i1w r1w i1 i1 r1",
    )
    call.padding_row = padding_row
    with nogil:
        run_unit(&call, &arrays, 0, 1)
    close_arrays(&arrays)
