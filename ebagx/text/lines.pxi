# Lines, which are kept as numbers of words, become bags: the distinct columns of each, in the order
# of their first occurrence, with counts. First come the columns of each word (its own, then those
# of its character n-grams), then those of runs of words.

cdef struct CountRowArrays:
    Rows counts
    Rows order
    Rows rows
    Rows words
    Rows offsets


def count_rows(
    counts_w,         # INOUT intp: how often each word occurs
    order_w,          # OUT int32: the words, by first occurrence
    rows_b,           # intp
    words_k,          # int32
    offsets,          # intp: where the tokens of each line start
    Py_ssize_t n_words,
    /,
) -> int:
    """Count the words of some lines. `n_words` are in the order before; return how many then."""
    cdef CountRowArrays given
    cdef Arrays arrays
    cdef Py_ssize_t b, k
    cdef int32_t word
    open_arrays(
        &arrays, <Rows*>&given, (counts_w, order_w, rows_b, words_k, offsets),
        b"n1w l1w n1 l1 n1",
    )
    cdef Py_ssize_t* counts = <Py_ssize_t*>given.counts.data
    cdef int32_t* order = <int32_t*>given.order.data
    cdef const Py_ssize_t* rows = <Py_ssize_t*>given.rows.data
    cdef const Py_ssize_t* starts = <Py_ssize_t*>given.offsets.data
    cdef const int32_t* words = <int32_t*>given.words.data
    with nogil:
        for b in range(given.rows.count):
            for k in range(starts[rows[b]], starts[rows[b] + 1]):
                word = words[k]
                if counts[word] == 0:
                    order[n_words] = word
                    n_words += 1
                counts[word] += 1
    close_arrays(&arrays)
    return n_words


# Lines as numbers of words, and the columns that words have.
cdef struct LineArrays:
    Rows rows         # (B,) intp: the lines of a call
    Rows words        # (tokens,) int32
    Rows offsets      # (lines + 1,) intp: where the tokens of each line start
    Rows own          # int32: the columns of each word, or -1
    Rows own_offsets  # (words + 1,) intp


cdef struct LengthArrays:
    Rows lengths
    LineArrays lines


cdef Py_ssize_t most_lookups(
    const LineArrays* lines, Py_ssize_t b, Py_ssize_t max_length
) noexcept nogil:
    """Return how many columns the words and runs of a line have, each as often as it occurs."""
    cdef Py_ssize_t row = (<const Py_ssize_t*>lines.rows.data)[b], k, n, count = 0, word
    cdef const Py_ssize_t* starts = <const Py_ssize_t*>lines.offsets.data
    cdef const Py_ssize_t* own_offsets = <const Py_ssize_t*>lines.own_offsets.data
    if lines.own.count + 1 == lines.own_offsets.count:  # one column a word
        count = starts[row + 1] - starts[row]
    else:
        for k in range(starts[row], starts[row + 1]):
            word = (<const int32_t*>lines.words.data)[k]
            count += own_offsets[word + 1] - own_offsets[word]
    for n in range(1, max_length):
        count += max(starts[row + 1] - starts[row] - n, 0)
    return count


def measure_rows(
    lengths_b,        # OUT int64
    tuple lines,      # fields of LineArrays
    Py_ssize_t max_length,
    int num_threads,
    /,
) -> None:
    """Return a bound on the lookups of each line. Cost: a look-up per token."""
    cdef LengthArrays given
    cdef Arrays arrays
    cdef Py_ssize_t b
    open_arrays(&arrays, <Rows*>&given, (lengths_b, *lines), b"q1w n1 l1 n1 l1 n1")
    cdef int64_t* lengths = <int64_t*>given.lengths.data
    for b in prange(
        given.lengths.count, nogil=True, schedule="dynamic", chunksize=LINES_AT_ONCE,
        num_threads=num_threads,
    ):
        lengths[b] = most_lookups(&given.lines, b, max_length)
    close_arrays(&arrays)


cdef enum:
    LINES_AT_ONCE = 32  # that one thread takes


# The bag that a line becomes. A slot is 0 or 1 plus the place of a column in the bag; the table is
# as large as the line needs, so that it stays in the first-level cache for most lines.
cdef struct Bag:
    int32_t* indices
    float* counts
    int32_t length
    uint32_t* slots
    uint32_t mask
    int shift


cdef struct BagArrays:
    Rows indices
    Rows counts
    Rows lengths
    Rows starts
    Rows slots


cdef struct HashArrays:
    Rows hashes
    Rows table


cdef struct ExpandCall:
    BagArrays bags
    LineArrays lines
    HashArrays features
    Hashing runs


cdef inline void add_column(Bag* bag, int32_t column) noexcept nogil:
    cdef uint32_t place = (<uint32_t>column * 2654435769u) >> bag.shift, slot
    if column < 0:
        return
    slot = bag.slots[place]
    while slot:
        if bag.indices[slot - 1] == column:
            bag.counts[slot - 1] += 1
            return
        place = (place + 1) & bag.mask
        slot = bag.slots[place]
    bag.indices[bag.length] = column
    bag.counts[bag.length] = 1
    bag.length += 1
    bag.slots[place] = <uint32_t>bag.length


cdef void open_bag(
    Bag* bag, const BagArrays* bags, Py_ssize_t b, Py_ssize_t thread
) noexcept nogil:
    cdef Py_ssize_t start = (<const Py_ssize_t*>bags.starts.data)[b]
    cdef Py_ssize_t most = (<const Py_ssize_t*>bags.starts.data)[b + 1] - start
    bag.indices = <int32_t*>bags.indices.data + start
    bag.counts = <float*>bags.counts.data + start
    bag.length = 0
    bag.slots = <uint32_t*>(bags.slots.data + thread * bags.slots.row_bytes)
    bag.mask, bag.shift = 1, 31
    while <Py_ssize_t>bag.mask < 2 * most and <Py_ssize_t>bag.mask + 1 < bags.slots.dim:
        bag.mask = 2 * bag.mask + 1
        bag.shift -= 1
    memset(bag.slots, 0, (<size_t>bag.mask + 1) * sizeof(uint32_t))


cdef void add_words(Bag* bag, const LineArrays* lines, Py_ssize_t row) noexcept nogil:
    cdef const Py_ssize_t* starts = <const Py_ssize_t*>lines.offsets.data
    cdef const Py_ssize_t* own_offsets = <const Py_ssize_t*>lines.own_offsets.data
    cdef Py_ssize_t k, j, word
    for k in range(starts[row], starts[row + 1]):
        word = (<const int32_t*>lines.words.data)[k]
        for j in range(own_offsets[word], own_offsets[word + 1]):
            add_column(bag, (<const int32_t*>lines.own.data)[j])


cdef void add_runs(
    Bag* bag, const int32_t* words_k, Py_ssize_t count, const uint32_t* hashes_w,
    const Buckets* table, const Hashing* runs,
) noexcept nogil:
    cdef Py_ssize_t k, j
    cdef uint64_t hash
    for k in range(count):
        hash = hashes_w[words_k[k]]
        for j in range(k + 1, min(k + runs.max_length, count)):
            hash = hash * RUN_FACTOR + hashes_w[words_k[j]]
            add_column(bag, column_of(table, <int32_t>(hash % runs.n_buckets), runs.first))


cdef void expand_row(const ExpandCall* call, Py_ssize_t b, Py_ssize_t thread) noexcept nogil:
    cdef const LineArrays* lines = &call.lines
    cdef Py_ssize_t row = (<const Py_ssize_t*>lines.rows.data)[b]
    cdef const Py_ssize_t* starts = &(<const Py_ssize_t*>lines.offsets.data)[row]
    cdef Bag bag
    open_bag(&bag, &call.bags, b, thread)
    add_words(&bag, lines, row)
    if call.runs.max_length > 1:
        add_runs(
            &bag, <const int32_t*>lines.words.data + starts[0], starts[1] - starts[0],
            <const uint32_t*>call.features.hashes.data, <const Buckets*>call.features.table.data,
            &call.runs,
        )
    (<Py_ssize_t*>call.bags.lengths.data)[b] = bag.length


def expand_rows(
    tuple bags,       # fields of BagArrays: OUT int32, float32, intp; intp, scratch of uint32
    tuple lines,      # fields of LineArrays
    tuple features,   # fields of HashArrays: uint32
    Py_ssize_t max_length,
    int32_t first,
    uint32_t n_buckets,
    int num_threads,
    /,
) -> None:
    """Write the distinct columns of each line from its start on, their counts, and how many.

    Buckets without a column are left out. `starts` has one entry more than there are lines: a line
    has room up to the next start. A thread has a row of slots, a power of 2 that is at least twice
    the columns a line may have. Cost: a division per run, and a look-up per column.
    """
    cdef ExpandCall call
    cdef Arrays of_bags, of_lines, of_features
    cdef Py_ssize_t b
    of_bags.count = of_lines.count = of_features.count = 0
    call.runs = Hashing(2, max_length, first, n_buckets, NO_BITS)
    try:
        open_arrays(&of_bags, <Rows*>&call.bags, bags, b"l1w f1w n1w n1 L2w")
        open_arrays(&of_lines, <Rows*>&call.lines, lines, b"n1 l1 n1 l1 n1")
        open_arrays(&of_features, <Rows*>&call.features, features, b"L1 L2")
        for b in prange(
            call.bags.lengths.count, nogil=True, schedule="dynamic", chunksize=LINES_AT_ONCE,
            num_threads=num_threads,
        ):
            expand_row(&call, b, threadid())
    finally:
        close_arrays(&of_features)
        close_arrays(&of_lines)
        close_arrays(&of_bags)


cdef struct GapArrays:
    Rows indices
    Rows counts
    Rows lengths
    Rows starts


def close_gaps(
    indices_k,        # INOUT int32
    counts_k,         # INOUT float32
    lengths_b,        # intp
    starts,           # INOUT intp: where the lookups of each line start, and the last ones end
    /,
) -> None:
    """Move the lookups of lines together. Cost: a move of all."""
    cdef GapArrays given
    cdef Arrays arrays
    cdef Py_ssize_t b, end = 0
    cdef size_t length
    open_arrays(
        &arrays, <Rows*>&given, (indices_k, counts_k, lengths_b, starts), b"l1w f1w n1 n1w"
    )
    cdef int32_t* indices = <int32_t*>given.indices.data
    cdef float* counts = <float*>given.counts.data
    cdef Py_ssize_t* offsets = <Py_ssize_t*>given.starts.data
    with nogil:
        for b in range(given.lengths.count):
            length = <size_t>(<const Py_ssize_t*>given.lengths.data)[b]
            if length:  # C forbids even an empty move from NULL, where no line has a lookup
                memmove(indices + end, indices + offsets[b], length * sizeof(int32_t))
                memmove(counts + end, counts + offsets[b], length * sizeof(float))
            offsets[b] = end
            end += <Py_ssize_t>length
        offsets[given.lengths.count] = end
    close_arrays(&arrays)
