# Lookups of batches in training: they are copied in the order of the bags, with weights divided by
# the norm of their bag, and sorted by row.
#
# A block is some batches that one after the other train. Its arrays stay in the cache; each batch
# is prepared by one thread, with slots of its own for the numbers of rows.
#
# Numbers go on rising from batch to batch, so a number below the batch's first says that the row is
# new to it, and the slots need no clearing. That is many times cheaper than a sort.

cdef enum:
    BLOCK_BATCHES = 64  # batches of one block, at most
    BAGS_AHEAD = 4      # bags between the one that is prefetched and the one that is read

# The weights of a bag are divided by their norm.
cdef enum:
    NO_NORM = 0
    NORM_L1 = 1  # sum |w|
    NORM_L2 = 2  # sqrt(sum w^2)


# Bags of all examples, and the order in which training takes the examples. An example has a bag
# for each group of columns, one after the other.
cdef struct ExampleBags:
    Rows indices
    Rows offsets
    Rows weights
    Rows order
    int norm  # by which the weights of each bag are divided
    Py_ssize_t groups
    Py_ssize_t num_examples


# The lookups of a block. Those of one batch, [start, end), are in bag order; `bags` and `scales`
# have the bag and the weight of each in row order. `rows` has the touched rows of the batch from
# `start` on, in the order of their first lookups, and `row_ends` where their lookups start in row
# order, from `start` plus the number of the batch on.
cdef struct BlockLookups:
    Rows indices   # (n,) int64
    Rows weights   # (n,)
    Rows numbers   # (n,) int32: which of the batch's rows each lookup is of
    Rows rows      # (n,) int64
    Rows row_ends  # (n + BLOCK_BATCHES,) int64
    Rows bags      # (n,) int32
    Rows scales    # (n,)


cdef struct BlockPlan:
    Rows slots     # (threads, N) int32: numbers that rows had in batches of this thread
    Rows firsts    # (threads,) int64: the next number, at first 1
    Rows starts    # (bags of a block,) int64: where the lookups of bags start in all examples
    Rows ends      # (bags of a block + 1,) int64: where they end in the block, from 0 on
    Rows counts    # (BLOCK_BATCHES,) int64: touched rows of batches


cdef inline Py_ssize_t example_at(const ExampleBags* bags, Py_ssize_t place) noexcept nogil:
    # Returns the example that has this place in the order.
    return clamped((<const Py_ssize_t*>bags.order.data)[place], bags.num_examples - 1)


cdef Py_ssize_t measure_batch(
    const ExampleBags* bags, Indices offsets, int64_t* starts, int64_t* ends, Py_ssize_t place,
    Py_ssize_t count, Py_ssize_t end,
) noexcept nogil:
    # Writes where the lookups of each bag of a batch of `count` examples start in all examples, and
    # where they end if those of the first bag begin at `end`. Returns the last end.
    cdef Py_ssize_t b = 0, i, bag, first, start, n = bags.indices.count
    for i in range(count):
        first = example_at(bags, place + i) * bags.groups
        for bag in range(first, first + bags.groups):
            start = clamped(index_at(offsets, bag), n)
            starts[b] = start
            end += max(clamped(index_at(offsets, bag + 1), n) - start, 0)
            ends[b] = end
            b += 1
    return end


cdef inline void scale_bag(
    float* out_k, const float* given_k, Py_ssize_t count, int norm, double total
) noexcept nogil:
    # Copies the weights of a bag, divided by the norm that has this sum.
    cdef double divisor = sqrt(total) if norm == NORM_L2 else total
    cdef Py_ssize_t k
    if norm == NO_NORM or divisor == 0:
        for k in range(count):
            out_k[k] = given_k[k]
    else:
        for k in range(count):
            out_k[k] = <float>(<double>given_k[k] / divisor)


cdef int32_t number_bag(
    const BlockLookups* block, int32_t* slots_r, Py_ssize_t num_rows, int64_t* rows_u,
    int64_t* lengths_u, const index_t* given_k, const float* weights_k, int norm, Py_ssize_t place,
    Py_ssize_t count, int32_t first, int32_t following,
) noexcept nogil:
    # Copies the lookups of a bag to `place`. Writes their rows that are new to the batch, which of
    # the batch's rows each lookup is of, and how many lookups each row has. Row 0 stands for rows
    # outside the table. Numbers of the batch start at `first`; returns the next one. The norm is
    # added up in between, in float64 and in the order of the lookups: alone, each addition would
    # wait for the one before, and training take up to 7 % longer.
    cdef int64_t* indices_k = &(<int64_t*>block.indices.data)[place]
    cdef int32_t* numbers_k = &(<int32_t*>block.numbers.data)[place]
    cdef Py_ssize_t k, row
    cdef int32_t number, is_new
    cdef double total = 0
    cdef float weight
    for k in range(count):
        weight = weights_k[k]
        total += <double>(weight * weight if norm == NORM_L2 else fabsf(weight))
        row = given_k[k]
        row = row if <size_t>row < <size_t>num_rows else 0
        indices_k[k] = row
        number = slots_r[row]
        # Each row is stored, then kept or overwritten: there is no branch to mispredict.
        is_new = -<int32_t>(number < first)
        number ^= (number ^ following) & is_new
        rows_u[following - first] = row
        slots_r[row] = number
        number -= first
        numbers_k[k] = number
        lengths_u[number] = (lengths_u[number] & ~<int64_t>is_new) + 1
        following -= is_new
    scale_bag(&(<float*>block.weights.data)[place], weights_k, count, norm, total)
    return following


cdef inline void prefetch_bag(
    const ExampleBags* bags, bint is_long, Py_ssize_t start, Py_ssize_t count
) noexcept nogil:
    # Prefetches the beginning of a bag. In a shuffled order bags lie far apart, and the processor
    # does not know the next one: a pass takes 1 to 3 % longer.
    cdef size_t index_bytes = sizeof(int64_t) if is_long else sizeof(int32_t)
    cdef size_t first = <size_t>start
    cdef int num_bytes = <int>min(count, 4 * CACHE_LINE // <Py_ssize_t>sizeof(float))
    num_bytes *= <int>sizeof(float)
    prefetch_lines(<size_t>bags.indices.data + first * index_bytes, num_bytes)
    prefetch_lines(<size_t>bags.weights.data + first * sizeof(float), num_bytes)


cdef int32_t number_batch_lookups(
    const ExampleBags* bags, const BlockLookups* block, bint is_long, int32_t* slots_r,
    Py_ssize_t num_rows, int64_t* lengths_u, const int64_t* starts, const int64_t* ends,
    Py_ssize_t count, int32_t first,
) noexcept nogil:
    # Numbers the rows of a batch of `count` bags; returns the next number. `ends` starts with the
    # end of the bag before them.
    cdef int64_t* rows_u = &(<int64_t*>block.rows.data)[ends[0]]
    cdef const float* weights_k
    cdef int32_t following = first
    cdef Py_ssize_t b, ahead, start, length
    for b in range(min(count, BAGS_AHEAD)):
        prefetch_bag(bags, is_long, starts[b], ends[b + 1] - ends[b])
    for b in range(count):
        start, length = starts[b], ends[b + 1] - ends[b]
        weights_k = &(<const float*>bags.weights.data)[start]
        ahead = min(b + BAGS_AHEAD, count - 1)
        prefetch_bag(bags, is_long, starts[ahead], ends[ahead + 1] - ends[ahead])
        if is_long:
            following = number_bag(
                block, slots_r, num_rows, rows_u, lengths_u,
                &(<const int64_t*>bags.indices.data)[start], weights_k, bags.norm, ends[b], length,
                first, following,
            )
        else:
            following = number_bag(
                block, slots_r, num_rows, rows_u, lengths_u,
                &(<const int32_t*>bags.indices.data)[start], weights_k, bags.norm, ends[b], length,
                first, following,
            )
    return following


cdef void sort_lookups_of_batch(
    const BlockLookups* block, int64_t* starts_u, const int64_t* ends, Py_ssize_t count
) noexcept nogil:
    # Writes bag and weight of each lookup in row order; each row's start moves on to its end.
    cdef const int32_t* numbers_k = <const int32_t*>block.numbers.data
    cdef const float* weights_k = <const float*>block.weights.data
    cdef int32_t* bags_k = <int32_t*>block.bags.data
    cdef float* scales_k = <float*>block.scales.data
    cdef Py_ssize_t b, k, place
    for b in range(count):
        for k in range(ends[b], ends[b + 1]):
            place = starts_u[numbers_k[k]]
            starts_u[numbers_k[k]] = place + 1
            bags_k[place] = <int32_t>b
            scales_k[place] = weights_k[k]


cdef Py_ssize_t transpose_batch(
    const ExampleBags* bags, const BlockLookups* block, bint is_long, int32_t* slots_r,
    Py_ssize_t num_rows, int64_t* next_number, const int64_t* starts, const int64_t* ends,
    Py_ssize_t count, Py_ssize_t batch,
) noexcept nogil:
    # Lists the touched rows of a batch of `count` bags, and sorts its lookups by them. Returns the
    # number of rows.
    cdef Py_ssize_t start = ends[0], u, num_touched
    cdef int64_t* row_ends = &(<int64_t*>block.row_ends.data)[start + batch]
    cdef int64_t length, total = start
    if next_number[0] + (ends[count] - start) > 0x7FFFFFFF:
        memset(slots_r, 0, <size_t>num_rows * sizeof(int32_t))
        next_number[0] = 1
    num_touched = number_batch_lookups(
        bags, block, is_long, slots_r, num_rows, &row_ends[1], starts, ends, count,
        <int32_t>next_number[0],
    ) - next_number[0]
    next_number[0] += num_touched
    for u in range(num_touched):
        length = row_ends[u + 1]
        row_ends[u + 1] = total
        total += length
    row_ends[0] = start
    sort_lookups_of_batch(block, &row_ends[1], ends, count)
    return num_touched
