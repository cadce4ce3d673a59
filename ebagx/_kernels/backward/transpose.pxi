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
    uint64_t* keys_k, const index_t* indices_k, Py_ssize_t n, const index_t* offsets_b,
    Py_ssize_t num_bags, Py_ssize_t num_rows, int payload_bits, Py_ssize_t unit, Py_ssize_t units,
) noexcept nogil:
    # Row and bag of each lookup. Units are cut by lookups, and no lookup is written twice or left
    # out, whatever another thread makes of the offsets.
    cdef Py_ssize_t b = 0, end = 0
    cdef Py_ssize_t k = even_start(n, unit, units), stop = even_start(n, unit + 1, units)
    cdef size_t row
    if k < stop:
        b = bag_of_lookup(offsets_b, num_bags, k)
        end = offsets_b[b + 1]
    while k < stop:
        while k >= end and b < num_bags - 1:
            b += 1
            end = offsets_b[b + 1]
        row = <size_t>indices_k[k]
        keys_k[k] = (<uint64_t>(row if row < <size_t>num_rows else 0) << payload_bits) | <uint64_t>b
        k += 1


cdef inline Py_ssize_t bag_of_lookup(
    const index_t* offsets_b, Py_ssize_t num_bags, Py_ssize_t k
) noexcept nogil:
    # The last bag b with offsets[b] <= k.
    cdef Py_ssize_t low = 0, high = num_bags - 1, middle
    while low < high:
        middle = low + (high - low + 1) // 2
        if offsets_b[middle] <= k:
            low = middle
        else:
            high = middle - 1
    return low


# One pass of the sort: by a digit of the keys.
cdef struct Digit:
    int shift
    Py_ssize_t values  # 2 ** bits


cdef inline Py_ssize_t digit_of(uint64_t key, Digit digit) noexcept nogil:
    return <Py_ssize_t>((key >> digit.shift) & <uint64_t>(digit.values - 1))


cdef void count_unit(
    int64_t* counts, const uint64_t* keys_k, Py_ssize_t n, Digit digit, Py_ssize_t unit,
    Py_ssize_t units,
) noexcept nogil:
    cdef int64_t* own = &counts[unit * RADIX]
    cdef Py_ssize_t k
    memset(own, 0, <size_t>digit.values * sizeof(int64_t))
    for k in range(even_start(n, unit, units), even_start(n, unit + 1, units)):
        own[digit_of(keys_k[k], digit)] += 1


cdef void place_units(int64_t* counts, Digit digit, Py_ssize_t units) noexcept nogil:
    # From how many keys a unit has of a value to where they go: by value, then by unit.
    cdef Py_ssize_t value, unit
    cdef int64_t count, total = 0
    for value in range(digit.values):
        for unit in range(units):
            count = counts[unit * RADIX + value]
            counts[unit * RADIX + value] = total
            total += count


cdef void scatter_unit(
    uint64_t* to_k, int64_t* counts, const uint64_t* keys_k, Py_ssize_t n, Digit digit,
    Py_ssize_t unit, Py_ssize_t units,
) noexcept nogil:
    cdef int64_t* own = &counts[unit * RADIX]
    cdef Py_ssize_t k, value
    for k in range(even_start(n, unit, units), even_start(n, unit + 1, units)):
        value = digit_of(keys_k[k], digit)
        to_k[own[value]] = keys_k[k]
        own[value] += 1


cdef void sort_by_digit(
    uint64_t* to_k, int64_t* counts, const uint64_t* keys_k, Py_ssize_t n, Digit digit, int units
) noexcept nogil:
    cdef Py_ssize_t unit
    if units == 1:
        count_unit(counts, keys_k, n, digit, 0, 1)
        place_units(counts, digit, 1)
        scatter_unit(to_k, counts, keys_k, n, digit, 0, 1)
        return
    for unit in prange(units, schedule="static", num_threads=units):
        count_unit(counts, keys_k, n, digit, unit, units)
    place_units(counts, digit, units)
    for unit in prange(units, schedule="static", num_threads=units):
        scatter_unit(to_k, counts, keys_k, n, digit, unit, units)


cdef void sort_all(
    const Arrays* arrays, index_t index, Py_ssize_t num_rows, int payload_bits, int units
) noexcept nogil:
    # The last of the passes, which alternate between two buffers, ends in the keys.
    cdef uint64_t* to = <uint64_t*>arrays.rows[0].data
    cdef uint64_t* keys = <uint64_t*>arrays.rows[1].data
    cdef int64_t* counts = <int64_t*>arrays.rows[2].data
    cdef const index_t* indices_k = <const index_t*>arrays.rows[3].data
    cdef const index_t* offsets_b = <const index_t*>arrays.rows[4].data
    cdef Py_ssize_t n = arrays.rows[3].count, num_bags = arrays.rows[4].count - 1, unit
    cdef int total_bits = bit_length(max(num_rows - 1, 1))
    cdef int passes = (total_bits + RADIX_BITS - 1) // RADIX_BITS
    cdef int bits = (total_bits + passes - 1) // passes, p
    cdef Digit digit
    if passes % 2 == 0:
        keys, to = to, keys
    if units == 1:
        pack_unit(keys, indices_k, n, offsets_b, num_bags, num_rows, payload_bits, 0, 1)
    else:
        for unit in prange(units, schedule="static", num_threads=units):
            pack_unit(
                keys, indices_k, n, offsets_b, num_bags, num_rows, payload_bits, unit, units
            )
    digit.values = <Py_ssize_t>1 << bits
    for p in range(passes):
        digit.shift = payload_bits + p * bits
        sort_by_digit(to, counts, keys, n, digit, units)
        keys, to = to, keys


def sort_lookups(
    keys_k,        # OUT, uint64
    scratch_k,     # SCRATCH, uint64
    counts,        # SCRATCH, int64, (num_threads, RADIX)
    indices_k,
    offsets_b,
    Py_ssize_t num_rows,
    int payload_bits,
    int num_threads,
    /,
):
    """Sort the keys row << payload_bits | bag of all lookups, stably, by row.

    Cost: ceil(log2(num_rows) / 11) passes over the n lookups.
    """
    cdef Arrays arrays
    open_arrays(
        &arrays, (keys_k, scratch_k, counts, indices_k, offsets_b), b"Q1w Q1w q2w i1 i1"
    )
    with nogil:
        if arrays.rows[3].data == NULL:
            pass
        elif arrays.index == INT32:
            sort_all(&arrays, <int32_t>0, num_rows, payload_bits, num_threads)
        else:
            sort_all(&arrays, <int64_t>0, num_rows, payload_bits, num_threads)
    close_arrays(&arrays)


cdef Py_ssize_t group_keys(const Arrays* arrays, index_t index, int payload_bits) noexcept nogil:
    cdef index_t* rows_u = <index_t*>arrays.rows[0].data
    cdef index_t* row_offsets_u = <index_t*>arrays.rows[1].data
    cdef index_t* payloads_k = <index_t*>arrays.rows[2].data
    cdef const uint64_t* keys_k = <const uint64_t*>arrays.rows[3].data
    cdef Py_ssize_t k, u = 0, n = arrays.rows[3].count
    cdef uint64_t mask = (<uint64_t>1 << payload_bits) - 1
    row_offsets_u[0] = 0
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


def group_rows(
    rows_u,            # OUT, room for n
    row_offsets_u,     # OUT, room for n + 1
    payloads_k,        # OUT
    keys_k,            # uint64, sorted
    int payload_bits,
    /,
):
    """Return the number of distinct rows; write them, where their lookups start, and payloads."""
    cdef Arrays arrays
    cdef Py_ssize_t num_rows
    open_arrays(&arrays, (rows_u, row_offsets_u, payloads_k, keys_k), b"i1w i1w i1w Q1")
    with nogil:
        if arrays.index == INT32:
            num_rows = group_keys(&arrays, <int32_t>0, payload_bits)
        else:
            num_rows = group_keys(&arrays, <int64_t>0, payload_bits)
    close_arrays(&arrays)
    return num_rows


cdef void expand_bags(
    const Arrays* arrays, index_t index, real_t real, int mode, Py_ssize_t unit, Py_ssize_t units
) noexcept nogil:
    # The bag and the scale of each lookup, in input order.
    cdef index_t* bags_k = <index_t*>arrays.rows[2].data
    cdef real_t* scales_k = <real_t*>arrays.rows[3].data
    cdef const index_t* offsets_b = <const index_t*>arrays.rows[5].data
    cdef const real_t* weights_k = <const real_t*>arrays.rows[6].data
    cdef Py_ssize_t n = arrays.rows[2].count, num_bags = arrays.rows[5].count - 1
    cdef Py_ssize_t first = unit_start(offsets_b, num_bags, unit, units)
    cdef Py_ssize_t b, k, stop = unit_start(offsets_b, num_bags, unit + 1, units)
    cdef Lookups bag
    cdef real_t divisor
    for b in range(first, stop):
        bag = lookups_of_bag(offsets_b, b, n)
        divisor = divisor_of_bag(weights_k, &bag, mode, real)
        for k in range(bag.start, bag.end):
            bags_k[k] = <index_t>b
            if scales_k != NULL:
                scales_k[k] = scale_of(weights_k, k, divisor)


cdef void reorder(
    const Arrays* arrays, index_t index, real_t real, Py_ssize_t unit, Py_ssize_t units
) noexcept nogil:
    cdef index_t* bags_k = <index_t*>arrays.rows[0].data
    cdef real_t* scales_k = <real_t*>arrays.rows[1].data
    cdef const index_t* from_bags_k = <const index_t*>arrays.rows[2].data
    cdef const real_t* from_scales_k = <const real_t*>arrays.rows[3].data
    cdef const index_t* order_k = <const index_t*>arrays.rows[4].data
    cdef Py_ssize_t j, n = arrays.rows[4].count
    for j in range(even_start(n, unit, units), even_start(n, unit + 1, units)):
        bags_k[j] = from_bags_k[order_k[j]]
        if scales_k != NULL:
            scales_k[j] = from_scales_k[order_k[j]]


cdef void transpose_bags(
    const Arrays* arrays, index_t index, real_t real, int mode, int num_threads
) noexcept nogil:
    cdef Py_ssize_t unit, units = unit_count(arrays.rows[5].count - 1, num_threads)
    if units <= 1:
        expand_bags(arrays, index, real, mode, 0, 1)
        reorder(arrays, index, real, 0, 1)
        return
    for unit in prange(units, schedule="dynamic", num_threads=num_threads):
        expand_bags(arrays, index, real, mode, unit, units)
    for unit in prange(units, schedule="static", num_threads=num_threads):
        reorder(arrays, index, real, unit, units)


cdef void transpose_reals(
    const Arrays* arrays, index_t index, int mode, int num_threads
) noexcept nogil:
    if arrays.real == FLOAT:
        transpose_bags(arrays, index, <float>0, mode, num_threads)
    else:
        transpose_bags(arrays, index, <double>0, mode, num_threads)


def transpose_lookups(
    bags_k,            # OUT
    scales_k,          # OUT, empty when every scale is 1
    scratch_bags_k,    # SCRATCH
    scratch_scales_k,  # SCRATCH, empty as scales_k
    order_k,
    offsets_b,
    weights_k,         # empty: every weight is 1
    int mode,
    int num_threads,
    /,
):
    """Write, in sorted order, the bag of each lookup and its scale w / divisor.

    The scale is 0 where the divisor is 0.
    """
    cdef Arrays arrays
    open_arrays(
        &arrays,
        (bags_k, scales_k, scratch_bags_k, scratch_scales_k, order_k, offsets_b, weights_k),
        b"i1w r1w i1w r1w i1 i1 r1",
    )
    with nogil:
        if arrays.index == INT32:
            transpose_reals(&arrays, <int32_t>0, mode, num_threads)
        else:
            transpose_reals(&arrays, <int64_t>0, mode, num_threads)
    close_arrays(&arrays)
