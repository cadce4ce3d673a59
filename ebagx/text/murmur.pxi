# Rows of words by floret's rule: MurmurHash3 (128 bits for 64-bit machines, by A. Appleby, in the
# public domain) of the word and of its n-grams of characters.

# N-grams of these lengths are hashed; each hash has up to four rows.
cdef struct Murmur:
    Py_ssize_t min_length
    Py_ssize_t max_length
    int rows_per_hash
    uint32_t seed
    uint32_t n_buckets


cdef inline uint64_t rotated(uint64_t bits, int count) noexcept nogil:
    return bits << count | bits >> (64 - count)


cdef inline uint64_t mixed(uint64_t bits) noexcept nogil:
    bits = (bits ^ bits >> 33) * 0xFF51AFD7ED558CCDu
    bits = (bits ^ bits >> 33) * 0xC4CEB9FE1A85EC53u
    return bits ^ bits >> 33


cdef inline uint64_t bytes_of(const unsigned char* text, Py_ssize_t count) noexcept nogil:
    """Return up to 8 bytes as a little-endian number."""
    cdef uint64_t number = 0
    cdef Py_ssize_t i
    for i in range(count):
        number |= <uint64_t>text[i] << (8 * <int>i)
    return number


cdef inline uint64_t first_scrambled(uint64_t bits) noexcept nogil:
    return rotated(bits * 0x87C37B91114253D5u, 31) * 0x4CF5AD432745937Fu


cdef inline uint64_t second_scrambled(uint64_t bits) noexcept nogil:
    return rotated(bits * 0x4CF5AD432745937Fu, 33) * 0x87C37B91114253D5u


cdef void murmur_hash(
    uint64_t* hash, const unsigned char* text, Py_ssize_t length, uint32_t seed
) noexcept nogil:
    """Write the two halves of the hash of some bytes."""
    cdef uint64_t h1 = seed, h2 = seed
    cdef Py_ssize_t rest = length
    while rest >= 16:
        h1 = (rotated(h1 ^ first_scrambled(bytes_of(text, 8)), 27) + h2) * 5 + 0x52DCE729
        h2 = (rotated(h2 ^ second_scrambled(bytes_of(text + 8, 8)), 31) + h1) * 5 + 0x38495AB5
        text += 16
        rest -= 16
    if rest > 8:
        h2 ^= second_scrambled(bytes_of(text + 8, rest - 8))
    h1 ^= first_scrambled(bytes_of(text, min(rest, 8)))
    h1 ^= <uint64_t>length
    h2 ^= <uint64_t>length
    h1 += h2
    h2 += h1
    h1, h2 = mixed(h1), mixed(h2)
    hash[0] = h1 + h2
    hash[1] = h1 + h2 + h2


cdef int32_t* add_murmur(
    int32_t* out, const unsigned char* start, const unsigned char* end, const Murmur* rule
) noexcept nogil:
    """Append the rows of a word or an n-gram."""
    cdef uint64_t[2] hash
    cdef int i
    murmur_hash(hash, start, end - start, rule.seed)
    for i in range(rule.rows_per_hash):
        out[0] = <int32_t>(<uint32_t>(hash[i // 2] >> (32 * (i % 2))) % rule.n_buckets)
        out += 1
    return out


cdef int32_t* add_murmurs(
    int32_t* out, const unsigned char* word, const unsigned char* stop, const Murmur* rule
) noexcept nogil:
    """Append the rows of a word, with its ends, and of its n-grams by start and length."""
    cdef const unsigned char* start = word
    cdef const unsigned char* end
    cdef Py_ssize_t length
    out = add_murmur(out, word, stop, rule)
    while start < stop:
        end, length = start, 0
        while starts_char(start[0]) and end < stop and length < rule.max_length:
            end += 1
            while end < stop and not starts_char(end[0]):
                end += 1
            length += 1
            # The first and the last character are the marks of the ends.
            if length >= rule.min_length and not (length == 1 and (start == word or end == stop)):
                out = add_murmur(out, start, end, rule)
        start += 1
    return out


cdef struct MurmurArrays:
    Rows rows
    Rows ends
    Rows spans
    Rows text


def hash_murmur(
    rows_k,           # OUT int32
    ends_w,           # OUT intp: rows up to each word
    spans_w2,         # intp: words with the marks of their ends
    text,             # uint8: UTF-8
    lengths,          # shortest and longest n-gram; 0 and 0 for none
    int rows_per_hash,
    uint32_t seed,
    uint32_t n_buckets,
    /,
) -> None:
    """Write the rows of words: for each, and for each n-gram of it, the first parts of its hash.

    There is room for `rows_per_hash` rows a word, and as many a byte and length of n-grams.

    Cost: a hash per word and n-gram.
    """
    cdef MurmurArrays given
    cdef Arrays arrays
    cdef Murmur rule = Murmur(lengths[0], lengths[1], rows_per_hash, seed, n_buckets)
    cdef Py_ssize_t w
    cdef const Span* span
    open_arrays(&arrays, <Rows*>&given, (rows_k, ends_w, spans_w2, text), b"l1w n1w n2 B1")
    cdef int32_t* first = <int32_t*>given.rows.data
    cdef int32_t* next = first
    cdef Py_ssize_t* ends = <Py_ssize_t*>given.ends.data
    cdef const unsigned char* bytes = <const unsigned char*>given.text.data
    with nogil:
        for w in range(given.spans.count):
            span = span_of(&given.spans, w)
            next = add_murmurs(next, bytes + span.start, bytes + span.end, &rule)
            ends[w] = next - first
    close_arrays(&arrays)
