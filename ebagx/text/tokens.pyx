"""Words and n-grams of prepared text: numbered, hashed, and gathered as rows of features.

Text is prepared by ``ebagx.sklearn.vectorizer``: it is UTF-8, each line ends with a newline, single
spaces or newlines stand between words, and every other byte is part of a word.

A word is hashed by FNV-1a (32 bits), and so is a character n-gram of the word between ``<`` and
``>``. A run of words has the hash ``hash(first); hash = hash * 116049371 + hash(next)`` modulo
2**64, as in fastText. Hashes modulo the number of buckets are the same on every platform.

Features are numbered: a word that has a column by that column, which is below `first`, a bucket by
`first` plus its number. Axis letters at the end of array names: b line, k token or feature, w
distinct word, c column. Nothing here allocates, and nothing but the dtypes of arrays is checked.
``tests/support/ngram_definition.py`` has the definition in plain Python.
"""

from libc.stdint cimport int32_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy

include "common/arrays.pxi"

cdef uint32_t FNV_BASIS = 2166136261u
cdef uint32_t FNV_PRIME = 16777619u


# A row of spans_w2 says that the bytes [start, end) of the text are a word.
cdef struct Span:
    Py_ssize_t start
    Py_ssize_t end


# Words are numbered here: `slots` is a table with open addressing of their numbers plus 1.
cdef struct Words:
    const unsigned char* text
    Rows spans_w2
    uint32_t* hashes_w
    int32_t* slots
    Py_ssize_t mask
    int32_t count


# N-grams of these lengths are hashed to buckets, which are numbered from `first`.
cdef struct Hashing:
    Py_ssize_t min_length
    Py_ssize_t max_length
    int32_t first
    uint32_t n_buckets


cdef inline Span* span_of(const Rows* spans_w2, Py_ssize_t word) noexcept nogil:
    return <Span*>(spans_w2.data + word * spans_w2.row_bytes)


cdef inline uint32_t add_byte(uint32_t hash, unsigned char byte) noexcept nogil:
    return (hash ^ byte) * FNV_PRIME


cdef inline bint is_separator(unsigned char byte) noexcept nogil:
    return (byte == b" ") | (byte == b"\n")


cdef inline bint starts_char(unsigned char byte) noexcept nogil:
    return (byte & 0xC0) != 0x80


def count_words(text, /) -> int:
    """Return the number of words, each as often as it occurs, of a text of uint8."""
    cdef Rows chars
    cdef Arrays arrays
    cdef Py_ssize_t i, count = 0
    cdef bint before = True, now
    open_arrays(&arrays, &chars, (text,), b"B1")
    cdef const unsigned char* bytes = <unsigned char*>chars.data
    with nogil:
        for i in range(chars.count):
            now = is_separator(bytes[i])
            count += before > now  # as numbers: a branch would often be mispredicted
            before = now
    close_arrays(&arrays)
    return count


cdef int32_t number_word(Words* words, Span found, uint32_t hash) noexcept nogil:
    """Return the number of a word, the next one if it is not there yet."""
    cdef Py_ssize_t slot = <Py_ssize_t>hash & words.mask
    cdef Py_ssize_t length = found.end - found.start
    cdef const Span* span
    cdef int32_t word
    while words.slots[slot]:
        word = words.slots[slot] - 1
        span = span_of(&words.spans_w2, word)
        if (
            words.hashes_w[word] == hash
            and span.end - span.start == length
            and memcmp(words.text + span.start, words.text + found.start, <size_t>length) == 0
        ):
            return word
        slot = (slot + 1) & words.mask
    word = words.count
    span_of(&words.spans_w2, word)[0] = found
    words.hashes_w[word] = hash
    words.count += 1
    words.slots[slot] = words.count
    return word


cdef void number_tokens(
    int32_t* words_k, Py_ssize_t* offsets_b, Words* words, Py_ssize_t size
) noexcept nogil:
    cdef const unsigned char* text = words.text
    cdef Py_ssize_t i = 0, line = 0, token = 0
    cdef Span found
    cdef uint32_t hash
    offsets_b[0] = 0
    while i < size:
        if is_separator(text[i]):
            if text[i] == b"\n":
                line += 1
                offsets_b[line] = token
            i += 1
            continue
        found.start = i
        hash = FNV_BASIS
        while i < size and not is_separator(text[i]):
            hash = add_byte(hash, text[i])
            i += 1
        found.end = i
        words_k[token] = number_word(words, found, hash)
        token += 1


cdef struct NumberArrays:
    Rows words
    Rows offsets
    Rows spans
    Rows hashes
    Rows slots
    Rows text


def number_words(
    words_k,          # OUT int32: number of each token's word
    offsets_b,        # OUT intp: tokens before each line, and all
    spans_w2,         # OUT intp: where each word starts and ends
    hashes_w,         # OUT uint32
    slots,            # INOUT int32: zeros, a power of 2 above the number of tokens
    text,             # uint8
    /,
) -> int:
    """Number the distinct words in the order in which they first occur; return how many.

    Cost: a pass over `text` and a look-up per token in an open-addressing table.
    """
    cdef NumberArrays given
    cdef Arrays arrays
    cdef Words words
    open_arrays(
        &arrays, <Rows*>&given, (words_k, offsets_b, spans_w2, hashes_w, slots, text),
        b"l1w n1w n2w L1w l1w B1",
    )
    words.spans_w2 = given.spans
    words.hashes_w = <uint32_t*>given.hashes.data
    words.slots = <int32_t*>given.slots.data
    words.mask = given.slots.count - 1
    words.text = <unsigned char*>given.text.data
    words.count = 0
    with nogil:
        number_tokens(
            <int32_t*>given.words.data, <Py_ssize_t*>given.offsets.data, &words, given.text.count
        )
    close_arrays(&arrays)
    return words.count


cdef struct CopyArrays:
    Rows out
    Rows spans
    Rows text


def copy_words(
    out,              # OUT uint8
    spans_w2,         # intp
    text,             # uint8
    /,
) -> None:
    """Write the distinct words one after the other, each followed by a newline."""
    cdef CopyArrays given
    cdef Arrays arrays
    cdef Py_ssize_t w, length
    cdef const Span* span
    open_arrays(&arrays, <Rows*>&given, (out, spans_w2, text), b"B1w n2 B1")
    cdef char* end = given.out.data
    with nogil:
        for w in range(given.spans.count):
            span = span_of(&given.spans, w)
            length = span.end - span.start
            memcpy(end, given.text.data + span.start, <size_t>length)
            end[length] = b"\n"
            end += length + 1
    close_arrays(&arrays)


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


cdef int32_t* hash_ngrams_from(
    int32_t* out, const unsigned char* char, const unsigned char* end, bint opened,
    const Hashing* hashing,
) noexcept nogil:
    """Append the n-grams that start at `char` or, where `opened`, at the ``<`` before it."""
    cdef uint32_t hash = add_byte(FNV_BASIS, b"<") if opened else FNV_BASIS
    cdef Py_ssize_t length = opened
    cdef bint closed = False
    while length < hashing.max_length and not closed:
        if char == end:
            hash = add_byte(hash, b">")
            closed = True
        else:
            hash = add_byte(hash, char[0])
            char += 1
            while char < end and not starts_char(char[0]):
                hash = add_byte(hash, char[0])
                char += 1
        length += 1
        if length >= hashing.min_length:
            out[0] = hashing.first + <int32_t>(hash % hashing.n_buckets)
            out += 1
    return out


cdef void hash_ngrams(
    int32_t* out, const unsigned char* char, const unsigned char* end, const Hashing* hashing
) noexcept nogil:
    out = hash_ngrams_from(out, char, end, True, hashing)
    while char < end:
        if starts_char(char[0]):
            out = hash_ngrams_from(out, char, end, False, hashing)
        char += 1


cdef struct HashArrays:
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
    cdef HashArrays given
    cdef Arrays arrays
    cdef Hashing hashing = Hashing(min_length, max_length, first, n_buckets)
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


include "lines.pxi"
include "boundaries.pxi"
