# Character n-grams of words.

cdef Py_ssize_t count_ngrams(
    const unsigned char* char, const unsigned char* end,
    Py_ssize_t min_length, Py_ssize_t max_length,
) noexcept nogil:
    cdef Py_ssize_t length = 2, longest, count
    while char < end:
        length += starts_char(char[0])
        char += 1
    longest = min(max_length, length)
    if longest < min_length:
        return 0
    count = (longest - min_length + 1) * (2 * length + 2 - longest - min_length) // 2
    return count - 2 if min_length == 1 else count


cdef struct CountArrays:
    Rows counts
    Rows spans
    Rows text


def count_char_ngrams(
    counts_w,         # OUT intp
    spans_w2,         # intp
    text,             # uint8
    Py_ssize_t min_length,
    Py_ssize_t max_length,
    /,
) -> None:
    """Count the n-grams that `hash_char_ngrams` finds in each word."""
    cdef CountArrays given
    cdef Arrays arrays
    cdef Py_ssize_t w
    cdef const Span* span
    open_arrays(&arrays, <Rows*>&given, (counts_w, spans_w2, text), b"n1w n2 B1")
    cdef Py_ssize_t* counts = <Py_ssize_t*>given.counts.data
    cdef const unsigned char* bytes = <unsigned char*>given.text.data
    with nogil:
        for w in range(given.counts.count):
            span = span_of(&given.spans, w)
            counts[w] = count_ngrams(bytes + span.start, bytes + span.end, min_length, max_length)
    close_arrays(&arrays)


cdef inline uint32_t add_rest(
    uint32_t hash, const unsigned char** char, const unsigned char* end, uint32_t high_bits
) noexcept nogil:
    """Take the bytes that go on with a character."""
    while char[0] < end and not starts_char(char[0][0]):
        hash = add_byte(hash, char[0][0], high_bits)
        char[0] += 1
    return hash


cdef int32_t* hash_ngrams_from(
    int32_t* out, const unsigned char* char, const unsigned char* end, bint opened,
    const Hashing* hashing,
) noexcept nogil:
    """Append the n-grams that start at `char` or, where `opened`, at the ``<`` before it."""
    cdef uint32_t hash = FNV_BASIS
    cdef Py_ssize_t length = 0
    cdef bint closed = False
    if opened:  # what follows it is of no character if the word is not UTF-8
        hash = add_rest(add_byte(hash, b"<"), &char, end, hashing.high_bits)
        length = 1
    while length < hashing.max_length and not closed:
        if char == end:
            hash = add_byte(hash, b">")
            closed = True
        else:
            hash = add_byte(hash, char[0], hashing.high_bits)
            char += 1
            hash = add_rest(hash, &char, end, hashing.high_bits)
        length += 1
        if length >= hashing.min_length:
            out[0] = hashing.first + <int32_t>(hash % hashing.n_buckets)
            out += 1
    return out


cdef int32_t* hash_ngrams(
    int32_t* out, const unsigned char* char, const unsigned char* end, const Hashing* hashing
) noexcept nogil:
    """Write the n-grams of a word; return the place after them."""
    out = hash_ngrams_from(out, char, end, True, hashing)
    while char < end:
        if starts_char(char[0]):
            out = hash_ngrams_from(out, char, end, False, hashing)
        char += 1
    return out


cdef struct CharArrays:
    Rows features
    Rows starts
    Rows spans
    Rows text


def hash_char_ngrams(
    features_k,       # OUT int32
    starts_w,         # intp: the first feature of each word
    spans_w2,         # intp
    text,             # uint8
    Py_ssize_t min_length,
    Py_ssize_t max_length,
    int32_t first,
    uint32_t n_buckets,
    /,
) -> None:
    """Hash the character n-grams of ``<word>``, but for ``<`` and ``>`` alone.

    Cost: `max_length` steps per character of a distinct word.
    """
    cdef CharArrays given
    cdef Arrays arrays
    cdef Hashing hashing = Hashing(min_length, max_length, first, n_buckets, NO_BITS)
    cdef Py_ssize_t w
    cdef const Span* span
    open_arrays(
        &arrays, <Rows*>&given, (features_k, starts_w, spans_w2, text), b"l1w n1 n2 B1"
    )
    cdef int32_t* features = <int32_t*>given.features.data
    cdef const Py_ssize_t* starts = <Py_ssize_t*>given.starts.data
    cdef const unsigned char* bytes = <unsigned char*>given.text.data
    with nogil:
        for w in range(given.spans.count if features != NULL else 0):
            span = span_of(&given.spans, w)
            hash_ngrams(features + starts[w], bytes + span.start, bytes + span.end, &hashing)
    close_arrays(&arrays)
