# Features of lines: functions here append the features of words and of runs of words, and number
# the columns of features.
#
# A bit for each bucket says whether it has a column. Words have the first columns; the columns of
# buckets follow in the order of their set bits.

cdef uint64_t RUN_FACTOR = 116049371u


cdef void append_words(
    int32_t* features_k, Py_ssize_t* ends_b, Py_ssize_t n_lines, const int32_t* words_k,
    const Py_ssize_t* offsets_b, const int32_t* own_k, const Py_ssize_t* own_offsets_w,
) noexcept nogil:
    cdef Py_ssize_t b, k, j, end
    cdef int32_t word
    for b in range(n_lines):
        end = ends_b[b]
        for k in range(offsets_b[b], offsets_b[b + 1]):
            word = words_k[k]
            for j in range(own_offsets_w[word], own_offsets_w[word + 1]):
                features_k[end] = own_k[j]
                end += 1
        ends_b[b] = end


cdef struct PlaceArrays:
    Rows features
    Rows ends
    Rows words
    Rows offsets
    Rows own         # the features of each word
    Rows own_offsets


def place_words(
    features_k,       # OUT int32
    ends_b,           # INOUT intp: where each line's next feature goes
    words_k,          # int32
    offsets_b,        # intp
    own_k,            # int32
    own_offsets_w,    # intp
    /,
) -> None:
    """Append to each line the features of each of its words. Cost: a copy of those."""
    cdef PlaceArrays given
    cdef Arrays arrays
    open_arrays(
        &arrays, <Rows*>&given, (features_k, ends_b, words_k, offsets_b, own_k, own_offsets_w),
        b"l1w n1w l1 n1 l1 n1",
    )
    with nogil:
        append_words(
            <int32_t*>given.features.data, <Py_ssize_t*>given.ends.data, given.ends.count,
            <int32_t*>given.words.data, <Py_ssize_t*>given.offsets.data,
            <int32_t*>given.own.data, <Py_ssize_t*>given.own_offsets.data,
        )
    close_arrays(&arrays)


cdef void append_word_ngrams(
    int32_t* features_k, Py_ssize_t* ends_b, Py_ssize_t n_lines, const int32_t* words_k,
    const Py_ssize_t* offsets_b, const uint32_t* hashes_w, const Hashing* hashing,
) noexcept nogil:
    cdef Py_ssize_t b, k, j, end
    cdef uint64_t hash
    for b in range(n_lines):
        end = ends_b[b]
        for k in range(offsets_b[b], offsets_b[b + 1]):
            hash = hashes_w[words_k[k]]
            for j in range(k + 1, min(k + hashing.max_length, offsets_b[b + 1])):
                hash = hash * RUN_FACTOR + hashes_w[words_k[j]]
                features_k[end] = hashing.first + <int32_t>(hash % hashing.n_buckets)
                end += 1
        ends_b[b] = end


cdef struct PlaceRunArrays:
    Rows features
    Rows ends
    Rows words
    Rows offsets
    Rows hashes


def place_word_ngrams(
    features_k,       # OUT int32
    ends_b,           # INOUT intp: where each line's next feature goes
    words_k,          # int32
    offsets_b,        # intp
    hashes_w,         # uint32
    Py_ssize_t max_length,
    int32_t first,
    uint32_t n_buckets,
    /,
) -> None:
    """Append to each line its runs of 2 to `max_length` words. Cost: a division per run."""
    cdef PlaceRunArrays given
    cdef Arrays arrays
    cdef Hashing hashing = Hashing(2, max_length, first, n_buckets)
    open_arrays(
        &arrays, <Rows*>&given, (features_k, ends_b, words_k, offsets_b, hashes_w),
        b"l1w n1w l1 n1 L1",
    )
    with nogil:
        append_word_ngrams(
            <int32_t*>given.features.data, <Py_ssize_t*>given.ends.data, given.ends.count,
            <int32_t*>given.words.data, <Py_ssize_t*>given.offsets.data,
            <uint32_t*>given.hashes.data, &hashing,
        )
    close_arrays(&arrays)


cdef inline int count_bits(uint32_t bits) noexcept nogil:
    bits = bits - ((bits >> 1) & 0x55555555u)
    bits = (bits & 0x33333333u) + ((bits >> 2) & 0x33333333u)
    return <int>((((bits + (bits >> 4)) & 0x0F0F0F0Fu) * 0x01010101u) >> 24)


cdef struct MarkArrays:
    Rows bits
    Rows features


def mark_buckets(
    bits,             # INOUT uint32: a bit for each bucket
    features_k,       # int32
    int32_t first,
    /,
) -> None:
    """Set the bits of the buckets among some features."""
    cdef MarkArrays given
    cdef Arrays arrays
    cdef Py_ssize_t k
    cdef int32_t bucket
    open_arrays(&arrays, <Rows*>&given, (bits, features_k), b"L1w l1")
    cdef uint32_t* words = <uint32_t*>given.bits.data
    cdef const int32_t* features = <int32_t*>given.features.data
    with nogil:
        for k in range(given.features.count):
            bucket = features[k] - first
            if bucket >= 0:
                words[bucket >> 5] |= <uint32_t>1 << (bucket & 31)
    close_arrays(&arrays)


cdef struct RankArrays:
    Rows ranks
    Rows bits


def rank_buckets(
    ranks,            # OUT int32: the number of set bits before each word of 32
    bits,             # uint32
    /,
) -> int:
    """Count the set bits up to each position, so that a bucket's rank is a look-up; return all."""
    cdef RankArrays given
    cdef Arrays arrays
    cdef Py_ssize_t i
    cdef int32_t count = 0
    open_arrays(&arrays, <Rows*>&given, (ranks, bits), b"l1w L1")
    cdef int32_t* before = <int32_t*>given.ranks.data
    cdef const uint32_t* words = <uint32_t*>given.bits.data
    with nogil:
        for i in range(given.bits.count):
            before[i] = count
            count += count_bits(words[i])
    close_arrays(&arrays)
    return count


cdef struct ListArrays:
    Rows buckets
    Rows bits


def list_buckets(
    buckets_c,        # OUT int32
    bits,             # uint32
    /,
) -> None:
    """List the set bits in ascending order."""
    cdef ListArrays given
    cdef Arrays arrays
    cdef Py_ssize_t i
    cdef uint32_t rest
    open_arrays(&arrays, <Rows*>&given, (buckets_c, bits), b"l1w L1")
    cdef int32_t* bucket = <int32_t*>given.buckets.data
    cdef const uint32_t* words = <uint32_t*>given.bits.data
    with nogil:
        for i in range(given.bits.count):
            rest = words[i]
            while rest:
                bucket[0] = <int32_t>(32 * i + count_bits((rest & (0u - rest)) - 1))
                bucket += 1
                rest &= rest - 1
    close_arrays(&arrays)


# A word, below `first`, has the column of its own number, a bucket that of its rank after those.
cdef struct Columns:
    int32_t first
    const uint32_t* bits
    const int32_t* ranks


cdef inline int32_t column_of(int32_t feature, const Columns* columns) noexcept nogil:
    """Return the column of a word or bucket, or -1."""
    cdef int32_t bucket = feature - columns.first
    if bucket < 0:
        return feature
    cdef uint32_t bit = <uint32_t>1 << (bucket & 31)
    cdef uint32_t bits = columns.bits[bucket >> 5]
    if not bits & bit:
        return -1
    return columns.first + columns.ranks[bucket >> 5] + count_bits(bits & (bit - 1))


cdef void merge_lines(
    int32_t* features_k, float* counts_k, Py_ssize_t* offsets_b, Py_ssize_t n_lines,
    Py_ssize_t* last_c, const Columns* columns,
) noexcept nogil:
    cdef Py_ssize_t b, k, start, stop = 0, end = 0
    cdef int32_t column
    for b in range(n_lines):
        start = end
        k = stop
        stop = offsets_b[b + 1]
        for k in range(k, stop):
            column = column_of(features_k[k], columns)
            if column < 0:
                continue
            if last_c[column] > start:
                counts_k[last_c[column] - 1] += 1
            else:
                features_k[end] = column
                counts_k[end] = 1
                end += 1
                last_c[column] = end
        offsets_b[b + 1] = end


cdef struct MergeArrays:
    Rows features
    Rows counts
    Rows offsets
    Rows last
    Rows bits
    Rows ranks


def merge_features(
    features_k,       # INOUT int32: becomes columns
    counts_k,         # OUT float32
    offsets_b,        # INOUT intp
    last_c,           # scratch of intp: zeros
    bits,             # uint32
    ranks,            # int32
    int32_t first,
    /,
) -> None:
    """Turn the features of each line into distinct columns, by first occurrence, with counts.

    Buckets without a set bit are left out. `last_c` has where a column was last written, plus 1.
    """
    cdef MergeArrays given
    cdef Arrays arrays
    cdef Columns columns
    open_arrays(
        &arrays, <Rows*>&given, (features_k, counts_k, offsets_b, last_c, bits, ranks),
        b"l1w f1w n1w n1w L1 l1",
    )
    columns.first = first
    columns.bits = <uint32_t*>given.bits.data
    columns.ranks = <int32_t*>given.ranks.data
    with nogil:
        merge_lines(
            <int32_t*>given.features.data, <float*>given.counts.data,
            <Py_ssize_t*>given.offsets.data, given.offsets.count - 1,
            <Py_ssize_t*>given.last.data, &columns,
        )
    close_arrays(&arrays)
