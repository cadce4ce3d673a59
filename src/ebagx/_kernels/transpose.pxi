# Transposition of bags: the lookups of each touched table row, in occurrence order.
#
# A stable LSD radix sort of the n occurrences by row. Nothing has the size of the table.

cdef enum:
    RADIX_BITS = 11  # 2048 counters: they stay in the first-level cache
    RADIX = 1 << RADIX_BITS


cdef inline int bit_length(Py_ssize_t value) noexcept nogil:
    cdef int bits = 0
    while value:
        value >>= 1
        bits += 1
    return bits


cdef void radix_pass(
    index_t* to_rows_k, index_t* to_order_k, const index_t* rows_k, const index_t* order_k,
    Py_ssize_t n, int shift, int bits,
) noexcept nogil:
    # order_k is NULL in the first pass: occurrences are in order.
    cdef Py_ssize_t[RADIX] next_k
    cdef Py_ssize_t k, digit, count, total = 0
    cdef Py_ssize_t mask = (<Py_ssize_t>1 << bits) - 1
    for digit in range(mask + 1):
        next_k[digit] = 0
    for k in range(n):
        next_k[(rows_k[k] >> shift) & mask] += 1
    for digit in range(mask + 1):
        count = next_k[digit]
        next_k[digit] = total
        total += count
    for k in range(n):
        digit = (rows_k[k] >> shift) & mask
        to_rows_k[next_k[digit]] = rows_k[k]
        to_order_k[next_k[digit]] = order_k[k] if order_k != NULL else <index_t>k
        next_k[digit] += 1


def sort_lookups(
    index_t[::1] rows_k,             # OUT
    index_t[::1] order_k,            # OUT
    index_t[::1] scratch_rows_k,     # SCRATCH
    index_t[::1] scratch_order_k,    # SCRATCH
    const index_t[::1] indices_k,
    Py_ssize_t num_rows,
):
    """Sort the looked-up rows, stably; order[j] is the lookup that came to place j.

    Cost: ceil(log2(num_rows) / 11) passes over the n lookups.
    """
    cdef Py_ssize_t k, n = indices_k.shape[0]
    cdef Py_ssize_t last_row = num_rows - 1
    cdef int total_bits
    if index_t is int32_t:
        last_row = min(last_row, <Py_ssize_t>0x7FFFFFFF)
    total_bits = bit_length(max(last_row, 1))
    cdef int passes = (total_bits + RADIX_BITS - 1) // RADIX_BITS
    cdef int bits = (total_bits + passes - 1) // passes
    cdef index_t row
    cdef index_t* rows
    cdef index_t* order
    cdef index_t* to_rows
    cdef index_t* to_order
    cdef int p
    if n == 0:
        return
    rows, order = &scratch_rows_k[0], &scratch_order_k[0]
    to_rows, to_order = &rows_k[0], &order_k[0]
    if passes % 2 == 0:
        rows, to_rows = to_rows, rows
        order, to_order = to_order, order
    with nogil:
        # A private copy: counting and placing must see the same rows.
        for k in range(n):
            row = indices_k[k]
            rows[k] = row if 0 <= row < num_rows else 0
        for p in range(passes):
            radix_pass(to_rows, to_order, rows, order if p else NULL, n, p * bits, bits)
            rows, to_rows = to_rows, rows
            order, to_order = to_order, order


def group_rows(
    index_t[::1] rows_u,             # OUT, room for n
    index_t[::1] row_offsets_u,      # OUT, room for n + 1
    const index_t[::1] sorted_rows_k,
):
    """Return the number of distinct rows; write each once, and where its lookups start."""
    cdef Py_ssize_t k, u = 0, n = sorted_rows_k.shape[0]
    row_offsets_u[0] = 0
    with nogil:
        # Always stored, then kept or overwritten: no branch to mispredict.
        for k in range(n - 1):
            rows_u[u] = sorted_rows_k[k]
            row_offsets_u[u + 1] = <index_t>(k + 1)
            u += sorted_rows_k[k] != sorted_rows_k[k + 1]
        if n:
            rows_u[u] = sorted_rows_k[n - 1]
            row_offsets_u[u + 1] = <index_t>n
            u += 1
    return u


cdef inline real_t scale_of(const real_t* weights_k, Py_ssize_t k, real_t divisor) noexcept nogil:
    if divisor == 0:
        return 0
    return (weights_k[k] if weights_k != NULL else <real_t>1) / divisor


cdef void expand_bags(
    index_t[::1] bags_k, real_t[::1] scales_k, const index_t[::1] offsets_b,
    const real_t* weights_k, int mode, Py_ssize_t unit, Py_ssize_t units,
) noexcept nogil:
    # The bag and the scale of each lookup, in input order.
    cdef Py_ssize_t b, k
    cdef bint scaled = scales_k.shape[0] > 0
    cdef Lookups bag
    cdef real_t divisor
    for b in range(unit_start(offsets_b, unit, units), unit_start(offsets_b, unit + 1, units)):
        bag = lookups_of_bag(offsets_b, b, bags_k.shape[0])
        divisor = divisor_of_bag(weights_k, bag, mode, <real_t>0)
        for k in range(bag.start, bag.end):
            bags_k[k] = <index_t>b
            if scaled:
                scales_k[k] = scale_of(weights_k, k, divisor)


cdef void reorder(
    index_t[::1] bags_k, real_t[::1] scales_k, index_t[::1] from_bags_k, real_t[::1] from_scales_k,
    const index_t[::1] order_k, Py_ssize_t unit, Py_ssize_t units,
) noexcept nogil:
    cdef Py_ssize_t j, n = order_k.shape[0]
    cdef bint scaled = scales_k.shape[0] > 0
    for j in range(even_start(n, unit, units), even_start(n, unit + 1, units)):
        bags_k[j] = from_bags_k[order_k[j]]
        if scaled:
            scales_k[j] = from_scales_k[order_k[j]]


def transpose_lookups(
    index_t[::1] bags_k,             # OUT
    real_t[::1] scales_k,            # OUT, empty when every scale is 1
    index_t[::1] scratch_bags_k,     # SCRATCH
    real_t[::1] scratch_scales_k,    # SCRATCH, empty as scales_k
    const index_t[::1] order_k,
    const index_t[::1] offsets_b,
    const real_t[::1] weights_k,     # empty: every weight is 1
    int mode,
    int num_threads,
):
    """Write, in sorted order, the bag of each lookup and its scale w / divisor.

    The scale is 0 where the divisor is 0.
    """
    cdef const real_t* weights = address(weights_k)
    cdef Py_ssize_t unit, units = unit_count(offsets_b.shape[0] - 1, num_threads)
    if units <= 1:
        with nogil:
            expand_bags(scratch_bags_k, scratch_scales_k, offsets_b, weights, mode, 0, 1)
            reorder(bags_k, scales_k, scratch_bags_k, scratch_scales_k, order_k, 0, 1)
        return
    for unit in prange(units, nogil=True, schedule="dynamic", num_threads=num_threads):
        expand_bags(scratch_bags_k, scratch_scales_k, offsets_b, weights, mode, unit, units)
    for unit in prange(units, nogil=True, schedule="static", num_threads=num_threads):
        reorder(bags_k, scales_k, scratch_bags_k, scratch_scales_k, order_k, unit, units)
