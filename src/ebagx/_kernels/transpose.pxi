# Transposition of bags: the lookups of each touched table row, in occurrence order.
#
# A stable LSD radix sort of n keys: the row in the high bits, in the low ones what the lookup is
# to be known by (its payload). Nothing has the size of the table.

cdef enum:
    RADIX_BITS = 11  # 2048 counters: they stay in the first-level cache
    RADIX = 1 << RADIX_BITS


cdef inline int bit_length(Py_ssize_t value) noexcept nogil:
    cdef int bits = 0
    while value:
        value >>= 1
        bits += 1
    return bits


cdef void pack_unit(
    uint64_t[::1] keys_k, const index_t[::1] indices_k, const index_t[::1] offsets_b,
    Py_ssize_t num_rows, int payload_bits, Py_ssize_t unit, Py_ssize_t units,
) noexcept nogil:
    # Row and bag of each lookup. Units are cut by lookups, and no lookup is written twice or left
    # out, whatever another thread makes of the offsets.
    cdef Py_ssize_t n = indices_k.shape[0], b = 0, end = 0, num_bags = offsets_b.shape[0] - 1
    cdef Py_ssize_t k = even_start(n, unit, units), stop = even_start(n, unit + 1, units)
    cdef size_t row
    if k < stop:
        b = bag_of_lookup(offsets_b, k)
        end = offsets_b[b + 1]
    while k < stop:
        while k >= end and b < num_bags - 1:
            b += 1
            end = offsets_b[b + 1]
        row = <size_t>indices_k[k]
        keys_k[k] = (<uint64_t>(row if row < <size_t>num_rows else 0) << payload_bits) | <uint64_t>b
        k += 1


cdef inline Py_ssize_t bag_of_lookup(const index_t[::1] offsets_b, Py_ssize_t k) noexcept nogil:
    # The last bag b with offsets[b] <= k.
    cdef Py_ssize_t low = 0, high = offsets_b.shape[0] - 2, middle
    while low < high:
        middle = low + (high - low + 1) // 2
        if offsets_b[middle] <= k:
            low = middle
        else:
            high = middle - 1
    return low


cdef void count_unit(
    int64_t[:, ::1] counts, const uint64_t* keys_k, Py_ssize_t n, int shift, int bits,
    Py_ssize_t unit, Py_ssize_t units,
) noexcept nogil:
    cdef Py_ssize_t k, digit
    cdef uint64_t mask = (<uint64_t>1 << bits) - 1
    for digit in range(<Py_ssize_t>mask + 1):
        counts[unit, digit] = 0
    for k in range(even_start(n, unit, units), even_start(n, unit + 1, units)):
        counts[unit, (keys_k[k] >> shift) & mask] += 1


cdef void place_units(int64_t[:, ::1] counts, int bits) noexcept nogil:
    # From how many keys a unit has of a digit to where they go: by digit, then by unit.
    cdef Py_ssize_t digit, unit
    cdef int64_t count, total = 0
    for digit in range(<Py_ssize_t>1 << bits):
        for unit in range(counts.shape[0]):
            count = counts[unit, digit]
            counts[unit, digit] = total
            total += count


cdef void scatter_unit(
    uint64_t* to_k, int64_t[:, ::1] counts, const uint64_t* keys_k, Py_ssize_t n, int shift,
    int bits, Py_ssize_t unit, Py_ssize_t units,
) noexcept nogil:
    cdef Py_ssize_t k
    cdef uint64_t digit, mask = (<uint64_t>1 << bits) - 1
    for k in range(even_start(n, unit, units), even_start(n, unit + 1, units)):
        digit = (keys_k[k] >> shift) & mask
        to_k[counts[unit, digit]] = keys_k[k]
        counts[unit, digit] += 1


def sort_lookups(
    uint64_t[::1] keys_k,            # OUT
    uint64_t[::1] scratch_k,         # SCRATCH
    int64_t[:, ::1] counts,          # SCRATCH, (num_threads, RADIX)
    const index_t[::1] indices_k,
    const index_t[::1] offsets_b,
    Py_ssize_t num_rows,
    int payload_bits,
    int num_threads,
    /,
):
    """Sort the keys row << payload_bits | bag of all lookups, stably, by row.

    Cost: ceil(log2(num_rows) / 11) passes over the n lookups.
    """
    cdef Py_ssize_t n = indices_k.shape[0], unit, units = num_threads
    cdef int total_bits = bit_length(max(num_rows - 1, 1))
    cdef int passes = (total_bits + RADIX_BITS - 1) // RADIX_BITS
    cdef int bits = (total_bits + passes - 1) // passes
    cdef int p, shift
    cdef uint64_t[::1] packed = scratch_k if passes % 2 else keys_k
    cdef uint64_t* keys
    cdef uint64_t* to
    if n == 0:
        return
    keys, to = &keys_k[0], &scratch_k[0]
    if passes % 2:
        keys, to = to, keys
    if units == 1:
        with nogil:
            pack_unit(packed, indices_k, offsets_b, num_rows, payload_bits, 0, 1)
            for p in range(passes):
                shift = payload_bits + p * bits
                count_unit(counts, keys, n, shift, bits, 0, 1)
                place_units(counts, bits)
                scatter_unit(to, counts, keys, n, shift, bits, 0, 1)
                keys, to = to, keys
        return
    for unit in prange(units, nogil=True, schedule="static", num_threads=num_threads):
        pack_unit(packed, indices_k, offsets_b, num_rows, payload_bits, unit, units)
    for p in range(passes):
        shift = payload_bits + p * bits
        for unit in prange(units, nogil=True, schedule="static", num_threads=num_threads):
            count_unit(counts, keys, n, shift, bits, unit, units)
        place_units(counts, bits)
        for unit in prange(units, nogil=True, schedule="static", num_threads=num_threads):
            scatter_unit(to, counts, keys, n, shift, bits, unit, units)
        keys, to = to, keys


def group_rows(
    index_t[::1] rows_u,             # OUT, room for n
    index_t[::1] row_offsets_u,      # OUT, room for n + 1
    index_t[::1] payloads_k,         # OUT
    const uint64_t[::1] keys_k,      # sorted
    int payload_bits,
    /,
):
    """Return the number of distinct rows; write them, where their lookups start, and payloads."""
    cdef Py_ssize_t k, u = 0, n = keys_k.shape[0]
    cdef uint64_t mask = (<uint64_t>1 << payload_bits) - 1
    row_offsets_u[0] = 0
    with nogil:
        # Always stored, then kept or overwritten: no branch to mispredict.
        for k in range(n - 1):
            payloads_k[k] = <index_t>(keys_k[k] & mask)
            rows_u[u] = <index_t>(keys_k[k] >> payload_bits)
            row_offsets_u[u + 1] = <index_t>(k + 1)
            u += (keys_k[k] ^ keys_k[k + 1]) > mask
        if n:
            payloads_k[n - 1] = <index_t>(keys_k[n - 1] & mask)
            rows_u[u] = <index_t>(keys_k[n - 1] >> payload_bits)
            row_offsets_u[u + 1] = <index_t>n
            u += 1
    return u


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
        divisor = divisor_of_bag(weights_k, &bag, mode, <real_t>0)
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
    /,
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
