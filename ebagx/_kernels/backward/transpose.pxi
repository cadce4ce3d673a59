# Transposition of bags: the kernels list the lookups of each touched table row, in input order.
#
#     rows[u], and for each lookup j of row u: bags[j] and scales[j] = w / q of the bag
#
# It is a stable LSD radix sort of n keys: the row in the high bits, in the low ones the payload,
# which is the number of the bag or of the lookup. Nothing has the size of the table.

cdef enum:
    RADIX_BITS = 11  # 2048 counters: they stay in the first-level cache
    RADIX = 1 << RADIX_BITS


cdef inline int bit_length(Py_ssize_t value) noexcept nogil:
    cdef int bits = 0
    while value:
        value >>= 1
        bits += 1
    return bits


cdef struct SortCall:
    Rows keys
    Rows scratch
    Rows counts
    Rows indices
    Rows offsets
    Py_ssize_t num_rows
    int payload_bits
    int passes
    uint64_t* packed_k  # the one of keys and scratch that is packed first


cdef Py_ssize_t pack_unit(
    const SortCall* call, index_t index, Py_ssize_t unit, Py_ssize_t units
) noexcept nogil:
    # Packs row and bag of each lookup. Units are cut by lookups, and no lookup is written twice or
    # left out, even if another thread changes the offsets.
    cdef const index_t* indices_k = <const index_t*>call.indices.data
    cdef const index_t* offsets_b = <const index_t*>call.offsets.data
    cdef Py_ssize_t b = 0, end = 0, n = call.indices.count, num_bags = call.offsets.count - 1
    cdef Py_ssize_t k = even_start(n, unit, units), stop = even_start(n, unit + 1, units)
    cdef size_t row, num_rows = <size_t>call.num_rows
    cdef uint64_t* packed_k = call.packed_k
    cdef int payload_bits = call.payload_bits
    if k < stop:
        b = bag_of_lookup(offsets_b, num_bags, k)
        end = offsets_b[b + 1]
    while k < stop:
        while k >= end and b < num_bags - 1:
            b += 1
            end = offsets_b[b + 1]
        row = <size_t>indices_k[k]
        packed_k[k] = (<uint64_t>(row if row < num_rows else 0) << payload_bits) | <uint64_t>b
        k += 1
    return 0


cdef inline Py_ssize_t bag_of_lookup(
    const index_t* offsets_b, Py_ssize_t num_bags, Py_ssize_t k
) noexcept nogil:
    # Returns the last bag b with offsets[b] <= k.
    cdef Py_ssize_t low = 0, high = num_bags - 1, middle
    while low < high:
        middle = low + (high - low + 1) // 2
        if offsets_b[middle] <= k:
            low = middle
        else:
            high = middle - 1
    return low


# One pass of the sort orders the keys by one digit.
cdef struct Digit:
    int shift
    Py_ssize_t values  # 2 ** bits


cdef inline Py_ssize_t digit_of(uint64_t key, Digit digit) noexcept nogil:
    return <Py_ssize_t>((key >> digit.shift) & <uint64_t>(digit.values - 1))


# One pass of the sort counts the keys by their digit, or moves them to where they go.
cdef struct DigitCall:
    uint64_t* to_k
    int64_t* counts        # RADIX of each unit
    const uint64_t* keys_k
    Py_ssize_t n
    Digit digit
    bint moves


cdef void count_keys(
    const DigitCall* call, int64_t* counts, Py_ssize_t start, Py_ssize_t stop
) noexcept nogil:
    cdef Py_ssize_t k
    memset(counts, 0, <size_t>call.digit.values * sizeof(int64_t))
    for k in range(start, stop):
        counts[digit_of(call.keys_k[k], call.digit)] += 1


cdef void place_units(int64_t* counts, Digit digit, Py_ssize_t units) noexcept nogil:
    # Turns counts of keys into places where the keys go: by value, then by unit.
    cdef Py_ssize_t value, unit
    cdef int64_t count, total = 0
    for value in range(digit.values):
        for unit in range(units):
            count = counts[unit * RADIX + value]
            counts[unit * RADIX + value] = total
            total += count


cdef void move_keys(
    const DigitCall* call, int64_t* places, Py_ssize_t start, Py_ssize_t stop
) noexcept nogil:
    cdef Py_ssize_t k, value
    for k in range(start, stop):
        value = digit_of(call.keys_k[k], call.digit)
        call.to_k[places[value]] = call.keys_k[k]
        places[value] += 1


cdef Py_ssize_t digit_unit(
    const DigitCall* call, Py_ssize_t unit, Py_ssize_t units
) noexcept nogil:
    cdef Py_ssize_t start = even_start(call.n, unit, units)
    cdef Py_ssize_t stop = even_start(call.n, unit + 1, units)
    if call.moves:
        move_keys(call, &call.counts[unit * RADIX], start, stop)
    else:
        count_keys(call, &call.counts[unit * RADIX], start, stop)
    return 0


cdef void sort_by_digit(DigitCall* call, int units) noexcept nogil:
    call.moves = False
    share_units(call, NULL, units, units)
    place_units(call.counts, call.digit, units)
    call.moves = True
    share_units(call, NULL, units, units)


cdef void plan_sort(SortCall* call) noexcept nogil:
    # Keys move between `keys` and `scratch` from pass to pass, and the last pass ends in `keys`.
    call.passes = (bit_length(max(call.num_rows - 1, 1)) + RADIX_BITS - 1) // RADIX_BITS
    call.packed_k = <uint64_t*>(call.scratch.data if call.passes % 2 else call.keys.data)


cdef void sort_packed(const SortCall* call, int units) noexcept nogil:
    # Sorts the packed keys, in the passes that were planned.
    cdef uint64_t* keys = call.packed_k
    cdef uint64_t* to = <uint64_t*>(call.keys.data if call.passes % 2 else call.scratch.data)
    cdef int total_bits = bit_length(max(call.num_rows - 1, 1)), p
    cdef int bits = (total_bits + call.passes - 1) // call.passes
    cdef DigitCall of_digit
    of_digit.counts, of_digit.n = <int64_t*>call.counts.data, call.indices.count
    of_digit.digit.values = <Py_ssize_t>1 << bits
    for p in range(call.passes):
        of_digit.to_k, of_digit.keys_k = to, keys
        of_digit.digit.shift = call.payload_bits + p * bits
        sort_by_digit(&of_digit, units)
        keys, to = to, keys


cdef void sort_keys(SortCall* call, const Arrays* arrays, int units) noexcept nogil:
    plan_sort(call)
    share_units(call, arrays, units, units)
    sort_packed(call, units)


def sort_lookups(
    keys_k,            # OUT (n,), uint64
    scratch_k,         # SCRATCH (n,), uint64
    counts,            # SCRATCH (num_threads, RADIX), int64
    indices_k,         # (n,)
    offsets_b,         # (B + 1,)
    Py_ssize_t num_rows,
    int payload_bits,
    int num_threads,
    /,
):
    """Sort the keys row << payload_bits | bag of all lookups, stably, by row.

    Cost: ceil(log2(num_rows) / 11) passes over the n lookups.
    """
    cdef SortCall call
    cdef Arrays arrays
    open_arrays(
        &arrays, <Rows*>&call, (keys_k, scratch_k, counts, indices_k, offsets_b),
        b"Q1w Q1w q2w i1 i1",
    )
    call.num_rows, call.payload_bits = num_rows, payload_bits
    with nogil:
        if call.indices.data != NULL:
            sort_keys(&call, &arrays, num_threads)
    close_arrays(&arrays)


cdef struct GroupCall:
    Rows rows
    Rows row_offsets
    Rows payloads
    Rows keys
    int payload_bits


cdef Py_ssize_t group_unit(const GroupCall* call, index_t index) noexcept nogil:
    # Returns the number of distinct rows.
    cdef index_t* rows_u = <index_t*>call.rows.data
    cdef index_t* row_offsets_u = <index_t*>call.row_offsets.data
    cdef index_t* payloads_k = <index_t*>call.payloads.data
    cdef const uint64_t* keys_k = <const uint64_t*>call.keys.data
    cdef int payload_bits = call.payload_bits
    cdef Py_ssize_t k, u = 0, n = call.keys.count
    cdef uint64_t mask = (<uint64_t>1 << payload_bits) - 1
    row_offsets_u[0] = 0
    # Each row is stored, then kept or overwritten: there is no branch to mispredict.
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
    rows_u,            # OUT (n,), of which the first U entries count
    row_offsets_u,     # OUT (n + 1,), of which the first U + 1 entries count
    payloads_k,        # OUT (n,)
    keys_k,            # (n,), uint64, sorted
    int payload_bits,
    /,
):
    """Return the number of distinct rows; write them, where their lookups start, and payloads."""
    cdef GroupCall call
    cdef Arrays arrays
    cdef Py_ssize_t num_rows
    open_arrays(
        &arrays, <Rows*>&call, (rows_u, row_offsets_u, payloads_k, keys_k), b"i1w i1w i1w Q1"
    )
    call.payload_bits = payload_bits
    with nogil:
        num_rows = run_unit(&call, &arrays, 0, 1)
    close_arrays(&arrays)
    return num_rows


cdef struct TransposeCall:
    Rows bags
    Rows scales
    Rows scratch_bags
    Rows scratch_scales
    Rows order
    Rows offsets
    Rows weights
    int mode
    bint reorders  # the second phase: the first one expands


cdef void expand_bags(
    const TransposeCall* call, index_t index, real_t real, Py_ssize_t unit, Py_ssize_t units
) noexcept nogil:
    # Writes the bag and the scale of each lookup, in input order.
    cdef index_t* bags_k = <index_t*>call.scratch_bags.data
    cdef real_t* scales_k = <real_t*>call.scratch_scales.data
    cdef Indices offsets_b = indices_from(<const index_t*>call.offsets.data)
    cdef const real_t* weights_k = <const real_t*>call.weights.data
    cdef Py_ssize_t n = call.scratch_bags.count, num_bags = call.offsets.count - 1
    cdef Py_ssize_t first = unit_start(offsets_b, num_bags, unit, units)
    cdef Py_ssize_t b, k, stop = unit_start(offsets_b, num_bags, unit + 1, units)
    cdef Lookups bag
    cdef real_t divisor
    for b in range(first, stop):
        bag = lookups_of_bag(offsets_b, b, n)
        divisor = divisor_of_bag(weights_k, &bag, call.mode, real)
        for k in range(bag.start, bag.end):
            bags_k[k] = <index_t>b
            if scales_k != NULL:
                scales_k[k] = scale_of(weights_k, k, divisor)


cdef void reorder(
    const TransposeCall* call, index_t index, real_t real, Py_ssize_t unit, Py_ssize_t units
) noexcept nogil:
    # Copies the bag and the scale of each lookup, in sorted order.
    cdef index_t* bags_k = <index_t*>call.bags.data
    cdef real_t* scales_k = <real_t*>call.scales.data
    cdef const index_t* from_bags_k = <const index_t*>call.scratch_bags.data
    cdef const real_t* from_scales_k = <const real_t*>call.scratch_scales.data
    cdef const index_t* order_k = <const index_t*>call.order.data
    cdef Py_ssize_t j, n = call.order.count
    for j in range(even_start(n, unit, units), even_start(n, unit + 1, units)):
        bags_k[j] = from_bags_k[order_k[j]]
        if scales_k != NULL:
            scales_k[j] = from_scales_k[order_k[j]]


cdef Py_ssize_t transpose_unit(
    const TransposeCall* call, index_t index, real_t real, Py_ssize_t unit, Py_ssize_t units
) noexcept nogil:
    if call.reorders:
        reorder(call, index, real, unit, units)
    else:
        expand_bags(call, index, real, unit, units)
    return 0


def transpose_lookups(
    bags_k,            # OUT (n,)
    scales_k,          # OUT (n,), or empty when every scale is 1
    scratch_bags_k,    # SCRATCH (n,)
    scratch_scales_k,  # SCRATCH (n,), or empty as scales_k
    order_k,           # (n,)
    offsets_b,         # (B + 1,)
    weights_k,         # (n,), or empty: every weight is 1
    int mode,
    int num_threads,
    /,
):
    """Write, in sorted order, the bag of each lookup and its scale w / divisor.

    The scale is 0 where the divisor is 0.
    """
    cdef TransposeCall call
    cdef Arrays arrays
    cdef Py_ssize_t units
    open_arrays(
        &arrays, <Rows*>&call,
        (bags_k, scales_k, scratch_bags_k, scratch_scales_k, order_k, offsets_b, weights_k),
        b"i1w r1w i1w r1w i1 i1 r1",
    )
    call.mode = mode
    with nogil:
        units = unit_count(call.offsets.count - 1, num_threads)
        call.reorders = False
        share_units(&call, &arrays, units, num_threads)
        call.reorders = True
        share_units(&call, &arrays, units, num_threads)
    close_arrays(&arrays)


cdef enum:
    FEW_LOOKUPS = 512  # their scratch memory, 36 KB, is on the stack


cdef struct TransposeFewCall:
    Rows rows
    Rows row_offsets
    Rows bags
    Rows scales
    Rows indices
    Rows offsets
    Rows weights
    Py_ssize_t num_rows
    int mode


cdef struct FewScratch:
    uint64_t[FEW_LOOKUPS] keys_k
    uint64_t[FEW_LOOKUPS] spare_k
    int64_t[RADIX] counts
    int64_t[FEW_LOOKUPS] order_k
    int64_t[FEW_LOOKUPS] bags_k
    double[FEW_LOOKUPS] scales_k


cdef void sort_few(
    const TransposeFewCall* call, FewScratch* scratch, index_t index, int payload_bits
) noexcept nogil:
    # Sorts the lookups by row; the payloads are their numbers.
    cdef const index_t* indices_k = <const index_t*>call.indices.data
    cdef size_t row, num_rows = <size_t>call.num_rows
    cdef Py_ssize_t k
    cdef SortCall sort
    sort.keys.data, sort.scratch.data = <char*>scratch.keys_k, <char*>scratch.spare_k
    sort.counts.data, sort.indices = <char*>scratch.counts, call.indices
    sort.num_rows, sort.payload_bits = call.num_rows, payload_bits
    plan_sort(&sort)
    for k in range(call.indices.count):
        row = <size_t>indices_k[k]
        sort.packed_k[k] = (
            <uint64_t>(row if row < num_rows else 0) << payload_bits
        ) | <uint64_t>k
    sort_packed(&sort, 1)


cdef Py_ssize_t transpose_few_unit(
    const TransposeFewCall* call, index_t index, real_t real
) noexcept nogil:
    # Returns the number of distinct rows.
    cdef FewScratch scratch
    cdef GroupCall group
    cdef TransposeCall transpose
    cdef Rows order = call.indices
    group.payload_bits = bit_length(call.indices.count - 1)
    sort_few(call, &scratch, index, group.payload_bits)
    order.data = <char*>scratch.order_k
    group.rows, group.row_offsets, group.payloads = call.rows, call.row_offsets, order
    group.keys.data, group.keys.count = <char*>scratch.keys_k, call.indices.count
    transpose.bags, transpose.scales = call.bags, call.scales
    transpose.scratch_bags, transpose.scratch_scales = call.bags, call.scales
    transpose.scratch_bags.data = <char*>scratch.bags_k
    if call.scales.data != NULL:
        transpose.scratch_scales.data = <char*>scratch.scales_k
    transpose.order, transpose.offsets, transpose.weights = order, call.offsets, call.weights
    transpose.mode = call.mode
    expand_bags(&transpose, index, real, 0, 1)
    cdef Py_ssize_t touched = group_unit(&group, index)
    reorder(&transpose, index, real, 0, 1)
    return touched


def transpose_few(
    rows_u,            # OUT (n,), of which the first U entries count
    row_offsets_u,     # OUT (n + 1,), of which the first U + 1 entries count
    bags_k,            # OUT (n,)
    scales_k,          # OUT (n,), or empty when every scale is 1
    indices_k,         # (n,), n is at most 512
    offsets_b,         # (B + 1,)
    weights_k,         # (n,), or empty: every weight is 1
    Py_ssize_t num_rows,
    int mode,
    /,
):
    """Do what `sort_lookups`, `group_rows` and `transpose_lookups` do, for few lookups.

    Return the number of distinct rows. Indices outside [0, num_rows), which is less than 2**54,
    count as row 0.
    """
    cdef TransposeFewCall call
    cdef Arrays arrays
    cdef Py_ssize_t touched = 0
    open_arrays(
        &arrays, <Rows*>&call,
        (rows_u, row_offsets_u, bags_k, scales_k, indices_k, offsets_b, weights_k),
        b"i1w i1w i1w r1w i1 i1 r1",
    )
    call.num_rows, call.mode = num_rows, mode
    if 0 < call.indices.count <= FEW_LOOKUPS:
        touched = run_unit(&call, &arrays, 0, 1)
    close_arrays(&arrays)
    return touched
