# Removal of the lookups of one row.

def drop_padding(
    index_t[::1] kept_indices_k,         # OUT, first offsets[-1] entries
    index_t[::1] kept_offsets_b,         # OUT
    real_t[::1] kept_weights_k,          # OUT, may be empty as weights_k
    const index_t[::1] indices_k,
    const index_t[::1] offsets_b,
    const real_t[::1] weights_k,
    Py_ssize_t padding_row,
    /,
):
    """Copy the bags without the lookups of padding_row."""
    cdef Py_ssize_t b, end, k = 0, kept = 0, num_bags = offsets_b.shape[0] - 1
    cdef Py_ssize_t n = indices_k.shape[0]
    cdef bint weighted = weights_k.shape[0] > 0
    cdef index_t row
    with nogil:
        kept_offsets_b[0] = 0
        for b in range(num_bags):
            # Each lookup is met once, whatever another thread makes of the offsets.
            end = clamped(offsets_b[b + 1], n)
            while k < end:
                # Always stored, then kept or overwritten: no branch to mispredict.
                row = indices_k[k]
                kept_indices_k[kept] = row
                if weighted:
                    kept_weights_k[kept] = weights_k[k]
                kept += row != padding_row
                k += 1
            kept_offsets_b[b + 1] = <index_t>kept
