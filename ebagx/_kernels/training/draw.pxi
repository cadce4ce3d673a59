# Draws: classes or items at random, as negatives in training.
#
#     z(i)      the number i of SplitMix64: a function of the seed and i, so that no draw depends on
#               the order of draws or on a thread
#     class     floor(high * K / 2^32) for the high half of z. If the low half is not below the
#               threshold of this class, it is the class's other one (Walker's alias method)
#     i         (row * M + m) * most_draws + attempt, for the draw m of a row of M
#
# A draw that is one of a row's positives is made again, up to `most_draws` times in all. The shares
# of classes are wrong by K / 2^32 at most.

cdef struct DrawCall:
    Rows out         # (R, M) int32; -1 where all draws were positives
    Rows attempts    # (R, M) int32, or empty
    Rows thresholds  # (K,) uint32, or empty: all classes are equally likely
    Rows others      # (K,) int32
    Rows owners      # (R,) int64: whose positives each row has; or empty: no draw is made again
    Rows offsets     # of the positives of each owner, which ascend
    Rows positives
    uint64_t seed
    int64_t first_row
    int64_t most_draws
    Py_ssize_t num_classes
    bint long_positives


cdef inline Py_ssize_t class_of_bits(const DrawCall* call, uint64_t bits) noexcept nogil:
    cdef Py_ssize_t place = <Py_ssize_t>(((bits >> 32) * <uint64_t>call.num_classes) >> 32)
    if call.thresholds.data == NULL:
        return place
    if <uint32_t>bits < (<const uint32_t*>call.thresholds.data)[place]:
        return place
    return clamped((<const int32_t*>call.others.data)[place], call.num_classes - 1)


cdef int32_t draw_once(
    const DrawCall* call, Py_ssize_t start, Py_ssize_t end, int64_t number, int32_t* attempts
) noexcept nogil:
    # Draws until the class is not among the positives from `start` to `end`, or -1.
    cdef Indices positives = Indices(call.positives.data, call.long_positives)
    cdef int64_t attempt
    cdef Py_ssize_t drawn
    for attempt in range(call.most_draws):
        attempts[0] = <int32_t>(attempt + 1)
        drawn = class_of_bits(
            call, random_bits(call.seed, <uint64_t>(number * call.most_draws + attempt))
        )
        if not is_positive(positives, start, end, drawn):
            return <int32_t>drawn
    return -1


cdef Py_ssize_t draw_unit(
    const DrawCall* call, Py_ssize_t unit, Py_ssize_t units
) noexcept nogil:
    cdef Indices offsets = Indices(call.offsets.data, call.long_positives)
    cdef Py_ssize_t row, m, owner, start = 0, end = 0, columns = call.out.dim
    cdef int64_t number
    cdef int32_t attempts
    cdef int32_t* out_m
    for row in range(
        even_start(call.out.count, unit, units), even_start(call.out.count, unit + 1, units)
    ):
        if call.owners.data != NULL:
            owner = clamped((<const int64_t*>call.owners.data)[row], call.offsets.count - 2)
            start = clamped(index_at(offsets, owner), call.positives.count)
            end = clamped(index_at(offsets, owner + 1), call.positives.count)
        out_m = <int32_t*>row_address(call.out, row)
        number = (call.first_row + row) * columns
        for m in range(columns):
            out_m[m] = draw_once(call, start, end, number + m, &attempts)
            if call.attempts.data != NULL:
                (<int32_t*>row_address(call.attempts, row))[m] = attempts
    return 0


def draw_classes(
    outputs,           # OUT out (R, M) int32, attempts (R, M) int32 or empty: see DrawCall
    alias,             # thresholds (K,) uint32 and others (K,) int32 of `make_alias`, or empty
    positives,         # owners (R,) int64, offsets, classes: see DrawCall; or empty
    Py_ssize_t num_classes,
    uint64_t seed,
    int64_t first_row,
    int64_t most_draws,
    int num_threads,
    /,
):
    """Draw classes at random for the rows from `first_row` on.

    Cost: 3 ns a draw, and a search among the positives.
    """
    cdef DrawCall call
    cdef Arrays arrays
    open_arrays(
        &arrays, <Rows*>&call, (*outputs, *alias, *positives), b"l2w l2w L1 l1 q1 i1 i1"
    )
    call.num_classes, call.seed, call.first_row = num_classes, seed, first_row
    call.most_draws, call.long_positives = most_draws, arrays.index == INT64
    with nogil:
        share_units(&call, &arrays, unit_count(call.out.count, num_threads), num_threads)
    close_arrays(&arrays)


cdef struct AliasTable:
    Rows thresholds  # (K,) uint32
    Rows others      # (K,) int32
    Rows stack       # (K,) int32
    Rows shares      # (K,) float64: weights, then shares of the mean


cdef void scale_shares(Rows shares) noexcept nogil:
    # Divides weights by their mean; the sum runs in order.
    cdef double* shares_k = <double*>shares.data
    cdef double total = 0
    cdef Py_ssize_t k
    for k in range(shares.count):
        total += shares_k[k]
    for k in range(shares.count):
        shares_k[k] = shares_k[k] * <double>shares.count / total


cdef void fill_alias_table(const AliasTable* table) noexcept nogil:
    # Classes of less than the mean lie on the stack from its start on, the others from its end on.
    # One of the first is topped up by one of the others, which goes on with what is left.
    cdef double* shares_k = <double*>table.shares.data
    cdef int32_t* stack = <int32_t*>table.stack.data
    cdef int32_t* others_k = <int32_t*>table.others.data
    cdef uint32_t* thresholds_k = <uint32_t*>table.thresholds.data
    cdef Py_ssize_t k, num_small = 0, num_classes = table.shares.count, first_large = num_classes
    cdef int32_t small, large
    for k in range(num_classes):
        others_k[k], thresholds_k[k] = <int32_t>k, ~<uint32_t>0
        if shares_k[k] < 1:
            stack[num_small] = <int32_t>k
            num_small += 1
        else:
            first_large -= 1
            stack[first_large] = <int32_t>k
    while num_small > 0 and first_large < num_classes:
        num_small -= 1
        small, large = stack[num_small], stack[first_large]
        thresholds_k[small], others_k[small] = <uint32_t>(shares_k[small] * 4294967296.0), large
        shares_k[large] = (shares_k[large] + shares_k[small]) - 1
        if shares_k[large] < 1:
            first_large += 1
            stack[num_small] = large
            num_small += 1


def make_alias(
    thresholds_k,      # OUT (K,) uint32
    others_k,          # OUT (K,) int32
    stack_k,           # OUT (K,) int32
    shares_k,          # INOUT (K,) float64: weights above 0
    /,
):
    """Make the table from which `draw_classes` draws classes by their weights. Cost: O(K)."""
    cdef AliasTable table
    cdef Arrays arrays
    open_arrays(
        &arrays, <Rows*>&table, (thresholds_k, others_k, stack_k, shares_k), b"L1w l1w l1w d1w"
    )
    with nogil:
        scale_shares(table.shares)
        fill_alias_table(&table)
    close_arrays(&arrays)
