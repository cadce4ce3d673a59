# The buckets with a column: a bit for each says whether it has one, and its column is the number of
# set bits before it. So the table of two million buckets takes half a megabyte, which stays in a
# second-level cache.

cdef uint64_t RUN_FACTOR = 116049371u


# 32 buckets: their bits, and the number of bits that are set before them.
cdef struct Buckets:
    uint32_t bits
    int32_t rank


cdef inline int count_bits(uint32_t bits) noexcept nogil:
    bits = bits - ((bits >> 1) & 0x55555555u)
    bits = (bits & 0x33333333u) + ((bits >> 2) & 0x33333333u)
    return <int>((((bits + (bits >> 4)) & 0x0F0F0F0Fu) * 0x01010101u) >> 24)


cdef inline void mark_bucket(Buckets* table, int32_t bucket) noexcept nogil:
    table[bucket >> 5].bits |= <uint32_t>1 << (bucket & 31)


cdef inline int32_t column_of(const Buckets* table, int32_t bucket, int32_t first) noexcept nogil:
    """Return the column of a bucket, the first of which is `first`, or -1."""
    cdef Buckets near = table[bucket >> 5]
    cdef uint32_t bit = <uint32_t>1 << (bucket & 31)
    if not near.bits & bit:
        return -1
    return first + near.rank + count_bits(near.bits & (bit - 1))


cdef struct MarkArrays:
    Rows table
    Rows own
    Rows own_offsets
    Rows counts


def mark_words(
    table_n2,         # INOUT uint32
    own_k,            # int32: buckets of each word, or -1
    own_offsets_w,    # intp
    counts_w,         # intp
    /,
) -> None:
    """Set the bits of the buckets of words that occur. Cost: a write for each bucket."""
    cdef MarkArrays given
    cdef Arrays arrays
    cdef Py_ssize_t w, k
    open_arrays(
        &arrays, <Rows*>&given, (table_n2, own_k, own_offsets_w, counts_w), b"L2w l1 n1 n1"
    )
    cdef Buckets* table = <Buckets*>given.table.data
    cdef const int32_t* own = <int32_t*>given.own.data
    cdef const Py_ssize_t* offsets = <Py_ssize_t*>given.own_offsets.data
    cdef const Py_ssize_t* counts = <Py_ssize_t*>given.counts.data
    with nogil:
        for w in range(given.counts.count):
            if counts[w] > 0:
                for k in range(offsets[w], offsets[w + 1]):
                    if own[k] >= 0:
                        mark_bucket(table, own[k])
    close_arrays(&arrays)


cdef void mark_runs_of_line(
    Buckets* table, const int32_t* words_k, Py_ssize_t count, const uint32_t* hashes_w,
    const Hashing* hashing,
) noexcept nogil:
    cdef Py_ssize_t k, j
    cdef uint64_t hash
    for k in range(count):
        hash = hashes_w[words_k[k]]
        for j in range(k + 1, min(k + hashing.max_length, count)):
            hash = hash * RUN_FACTOR + hashes_w[words_k[j]]
            mark_bucket(table, <int32_t>(hash % hashing.n_buckets))


cdef struct MarkRunArrays:
    Rows table
    Rows rows
    Rows words
    Rows offsets
    Rows hashes


def mark_runs(
    table_n2,         # INOUT uint32
    rows_b,           # intp
    words_k,          # int32
    offsets,          # intp: where the tokens of each line start
    hashes_w,         # uint32
    Py_ssize_t max_length,
    uint32_t n_buckets,
    /,
) -> None:
    """Set the bits of the buckets of runs of words in some lines. Cost: a division per run."""
    cdef MarkRunArrays given
    cdef Arrays arrays
    cdef Hashing hashing = Hashing(2, max_length, 0, n_buckets, NO_BITS)
    cdef Py_ssize_t b, start
    open_arrays(
        &arrays, <Rows*>&given, (table_n2, rows_b, words_k, offsets, hashes_w),
        b"L2w n1 l1 n1 L1",
    )
    cdef const Py_ssize_t* rows = <Py_ssize_t*>given.rows.data
    cdef const Py_ssize_t* starts = <Py_ssize_t*>given.offsets.data
    cdef const int32_t* words = <int32_t*>given.words.data
    cdef const uint32_t* hashes = <uint32_t*>given.hashes.data
    with nogil:
        for b in range(given.rows.count):
            start = starts[rows[b]]
            mark_runs_of_line(
                <Buckets*>given.table.data, words + start, starts[rows[b] + 1] - start, hashes,
                &hashing,
            )
    close_arrays(&arrays)


cdef struct TableArrays:
    Rows table


def rank_buckets(
    table_n2,         # INOUT uint32: the second column becomes the number of set bits before each
    /,
) -> int:
    """Count the set bits up to each position, so that a bucket's rank is a look-up; return all."""
    cdef TableArrays given
    cdef Arrays arrays
    cdef Py_ssize_t i
    cdef int32_t count = 0
    open_arrays(&arrays, <Rows*>&given, (table_n2,), b"L2w")
    cdef Buckets* table = <Buckets*>given.table.data
    with nogil:
        for i in range(given.table.count):
            table[i].rank = count
            count += count_bits(table[i].bits)
    close_arrays(&arrays)
    return count


cdef struct BucketArrays:
    Rows buckets
    Rows table


def list_buckets(
    buckets_c,        # OUT int32
    table_n2,         # uint32
    /,
) -> None:
    """List the set bits in ascending order."""
    cdef BucketArrays given
    cdef Arrays arrays
    cdef Py_ssize_t i
    cdef uint32_t rest
    open_arrays(&arrays, <Rows*>&given, (buckets_c, table_n2), b"l1w L2")
    cdef int32_t* bucket = <int32_t*>given.buckets.data
    cdef const Buckets* table = <Buckets*>given.table.data
    with nogil:
        for i in range(given.table.count):
            rest = table[i].bits
            while rest:
                bucket[0] = <int32_t>(32 * i + count_bits((rest & (0u - rest)) - 1))
                bucket += 1
                rest &= rest - 1
    close_arrays(&arrays)


def number_buckets(
    own_k,            # INOUT int32: buckets become columns, or -1 if they have none
    table_n2,         # uint32
    int32_t first,
    /,
) -> None:
    """Replace buckets by their columns, the first of which is `first`. Cost: a look-up each."""
    cdef BucketArrays given
    cdef Arrays arrays
    cdef Py_ssize_t k
    open_arrays(&arrays, <Rows*>&given, (own_k, table_n2), b"l1w L2")
    cdef int32_t* own = <int32_t*>given.buckets.data
    cdef const Buckets* table = <Buckets*>given.table.data
    with nogil:
        for k in range(given.buckets.count):
            if own[k] >= 0:
                own[k] = column_of(table, own[k], first)
    close_arrays(&arrays)
