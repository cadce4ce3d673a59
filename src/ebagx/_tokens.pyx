"""Words and n-grams of prepared text: numbered, hashed, and gathered as rows of features.

Prepared text is what ``ebagx.sklearn._vectorizer`` makes: UTF-8 in which each line ends with a
newline, single spaces or newlines stand between words, and every other byte is part of a word.

A word is hashed by FNV-1a (32 bits), and so is a character n-gram of the word between ``<`` and
``>``. A run of words has the hash ``hash(first); hash = hash * 116049371 + hash(next)`` modulo
2**64, as in fastText. Hashes modulo the number of buckets are the same on every platform.

Features are numbered: words with a column by that column, below `first`; then the buckets. Axis
letters at the end of array names: b line, k token or feature, w distinct word, c column. Nothing
here allocates, raises or checks; ``tests/test_tokens.py`` has the definition in plain Python.
"""

from libc.stdint cimport int32_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy

cdef uint32_t FNV_BASIS = 2166136261u
cdef uint32_t FNV_PRIME = 16777619u
cdef uint64_t RUN_FACTOR = 116049371u


cdef inline uint32_t add_byte(uint32_t hash, unsigned char byte) noexcept nogil:
    return (hash ^ byte) * FNV_PRIME


cdef inline bint is_separator(unsigned char byte) noexcept nogil:
    return byte == b" " or byte == b"\n"


cdef inline int count_bits(uint32_t bits) noexcept nogil:
    bits = bits - ((bits >> 1) & 0x55555555u)
    bits = (bits & 0x33333333u) + ((bits >> 2) & 0x33333333u)
    return <int>((((bits + (bits >> 4)) & 0x0F0F0F0Fu) * 0x01010101u) >> 24)


def count_words(const unsigned char[::1] text not None) -> int:
    """Return the number of words, each as often as it occurs."""
    cdef Py_ssize_t i, count = 0
    cdef bint before = True, now
    with nogil:
        for i in range(text.shape[0]):
            now = is_separator(text[i])
            count += before and not now
            before = now
    return count


cdef int32_t find_word(
    const unsigned char[::1] text, const Py_ssize_t[:, ::1] spans_w2, const uint32_t[::1] hashes_w,
    const int32_t[::1] slots, Py_ssize_t start, Py_ssize_t length, uint32_t hash,
    Py_ssize_t* slot,
) noexcept nogil:
    """Return the number of a word, or -1 and in `slot` where its number belongs."""
    cdef Py_ssize_t mask = slots.shape[0] - 1
    cdef int32_t word
    slot[0] = <Py_ssize_t>hash & mask
    while slots[slot[0]]:
        word = slots[slot[0]] - 1
        if (
            hashes_w[word] == hash
            and spans_w2[word, 1] - spans_w2[word, 0] == length
            and memcmp(&text[spans_w2[word, 0]], &text[start], <size_t>length) == 0
        ):
            return word
        slot[0] = (slot[0] + 1) & mask
    return -1


def number_words(
    int32_t[::1] words_k not None,           # OUT: number of each token's word
    Py_ssize_t[::1] offsets_b not None,      # OUT: tokens before each line, and all
    Py_ssize_t[:, ::1] spans_w2 not None,    # OUT: where each word starts and ends
    uint32_t[::1] hashes_w not None,         # OUT
    int32_t[::1] slots not None,             # INOUT: zeros, a power of 2 above the number of tokens
    const unsigned char[::1] text not None,
) -> int:
    """Number the distinct words in the order in which they first occur; return how many.

    Cost: a pass over `text` and a look-up per token in an open-addressing table.
    """
    cdef Py_ssize_t i = 0, start, slot = 0, line = 0, token = 0, size = text.shape[0]
    cdef int32_t word, count = 0
    cdef uint32_t hash
    offsets_b[0] = 0
    with nogil:
        while i < size:
            if is_separator(text[i]):
                if text[i] == b"\n":
                    line += 1
                    offsets_b[line] = token
                i += 1
                continue
            start = i
            hash = FNV_BASIS
            while i < size and not is_separator(text[i]):
                hash = add_byte(hash, text[i])
                i += 1
            word = find_word(text, spans_w2, hashes_w, slots, start, i - start, hash, &slot)
            if word < 0:
                word = count
                spans_w2[word, 0] = start
                spans_w2[word, 1] = i
                hashes_w[word] = hash
                count += 1
                slots[slot] = count
            words_k[token] = word
            token += 1
    return count


def copy_words(
    unsigned char[::1] out not None,             # OUT
    const Py_ssize_t[:, ::1] spans_w2 not None,
    const unsigned char[::1] text not None,
) -> None:
    """Write the distinct words one after the other, each followed by a newline."""
    cdef Py_ssize_t w, length, end = 0
    with nogil:
        for w in range(spans_w2.shape[0]):
            length = spans_w2[w, 1] - spans_w2[w, 0]
            memcpy(&out[end], &text[spans_w2[w, 0]], <size_t>length)
            out[end + length] = b"\n"
            end += length + 1


def count_char_ngrams(
    Py_ssize_t[::1] counts_w not None,           # OUT
    const Py_ssize_t[:, ::1] spans_w2 not None,
    const unsigned char[::1] text not None,
    Py_ssize_t min_length,
    Py_ssize_t max_length,
) -> None:
    """Count the n-grams that `hash_char_ngrams` finds in each word."""
    cdef Py_ssize_t w, i, length, longest
    with nogil:
        for w in range(counts_w.shape[0]):
            length = 2
            for i in range(spans_w2[w, 0], spans_w2[w, 1]):
                length += (text[i] & 0xC0) != 0x80
            longest = min(max_length, length)
            counts_w[w] = 0
            if longest >= min_length:
                counts_w[w] = (
                    (longest - min_length + 1) * (2 * length + 2 - longest - min_length) // 2
                )
                if min_length == 1:
                    counts_w[w] -= 2


cdef void hash_ngrams_from(
    int32_t** out, const unsigned char* char, const unsigned char* end, bint opened,
    Py_ssize_t min_length, Py_ssize_t max_length, int32_t first, uint32_t n_buckets,
) noexcept nogil:
    """Append the n-grams that start at `char` or, where `opened`, at the ``<`` before it."""
    cdef uint32_t hash = add_byte(FNV_BASIS, b"<") if opened else FNV_BASIS
    cdef Py_ssize_t length = opened
    cdef bint closed = False
    while length < max_length and not closed:
        if char == end:
            hash = add_byte(hash, b">")
            closed = True
        else:
            hash = add_byte(hash, char[0])
            char += 1
            while char < end and (char[0] & 0xC0) == 0x80:
                hash = add_byte(hash, char[0])
                char += 1
        length += 1
        if length >= min_length:
            out[0][0] = first + <int32_t>(hash % n_buckets)
            out[0] += 1


def hash_char_ngrams(
    int32_t[::1] features_k not None,            # OUT
    const Py_ssize_t[::1] starts_w not None,     # where to write those of each word
    const Py_ssize_t[:, ::1] spans_w2 not None,
    const unsigned char[::1] text not None,
    Py_ssize_t min_length,
    Py_ssize_t max_length,
    int32_t first,
    uint32_t n_buckets,
) -> None:
    """Hash the character n-grams of ``<word>``, but for ``<`` and ``>`` alone.

    Cost: `max_length` steps per character of a distinct word.
    """
    cdef Py_ssize_t w, i
    cdef int32_t* out
    cdef const unsigned char* end
    with nogil:
        for w in range(starts_w.shape[0]):
            if features_k.shape[0] == 0:
                break
            out = &features_k[0] + starts_w[w]
            end = &text[0] + spans_w2[w, 1]
            i = spans_w2[w, 0]
            hash_ngrams_from(
                &out, &text[i], end, True, min_length, max_length, first, n_buckets
            )
            for i in range(spans_w2[w, 0], spans_w2[w, 1]):
                if (text[i] & 0xC0) != 0x80:
                    hash_ngrams_from(
                        &out, &text[i], end, False, min_length, max_length, first, n_buckets
                    )


def place_words(
    int32_t[::1] features_k not None,            # OUT
    Py_ssize_t[::1] ends_b not None,             # INOUT: where each line's next feature goes
    const int32_t[::1] words_k not None,
    const Py_ssize_t[::1] offsets_b not None,
    const int32_t[::1] own_k not None,
    const Py_ssize_t[::1] own_offsets_w not None,
) -> None:
    """Append to each line the features of each of its words. Cost: a copy of those."""
    cdef Py_ssize_t b, k, j, end
    cdef int32_t word
    with nogil:
        for b in range(ends_b.shape[0]):
            end = ends_b[b]
            for k in range(offsets_b[b], offsets_b[b + 1]):
                word = words_k[k]
                for j in range(own_offsets_w[word], own_offsets_w[word + 1]):
                    features_k[end] = own_k[j]
                    end += 1
            ends_b[b] = end


def place_word_ngrams(
    int32_t[::1] features_k not None,            # OUT
    Py_ssize_t[::1] ends_b not None,             # INOUT: where each line's next feature goes
    const int32_t[::1] words_k not None,
    const Py_ssize_t[::1] offsets_b not None,
    const uint32_t[::1] hashes_w not None,
    Py_ssize_t max_length,
    int32_t first,
    uint32_t n_buckets,
) -> None:
    """Append to each line its runs of 2 to `max_length` words. Cost: a division per run."""
    cdef Py_ssize_t b, k, j, end
    cdef uint64_t hash
    with nogil:
        for b in range(ends_b.shape[0]):
            end = ends_b[b]
            for k in range(offsets_b[b], offsets_b[b + 1]):
                hash = hashes_w[words_k[k]]
                for j in range(k + 1, min(k + max_length, offsets_b[b + 1])):
                    hash = hash * RUN_FACTOR + hashes_w[words_k[j]]
                    features_k[end] = first + <int32_t>(hash % n_buckets)
                    end += 1
            ends_b[b] = end


def mark_buckets(
    uint32_t[::1] bits not None,                 # INOUT: a bit for each bucket
    const int32_t[::1] features_k not None,
    int32_t first,
) -> None:
    """Set the bits of the buckets among some features."""
    cdef Py_ssize_t k
    cdef int32_t bucket
    with nogil:
        for k in range(features_k.shape[0]):
            bucket = features_k[k] - first
            if bucket >= 0:
                bits[bucket >> 5] |= <uint32_t>1 << (bucket & 31)


def rank_buckets(
    int32_t[::1] ranks not None,                 # OUT: set bits before each word of 32
    const uint32_t[::1] bits not None,
) -> int:
    """Count the set bits up to each position, so that a bucket's rank is a look-up; return all."""
    cdef Py_ssize_t i
    cdef int32_t count = 0
    with nogil:
        for i in range(bits.shape[0]):
            ranks[i] = count
            count += count_bits(bits[i])
    return count


def list_buckets(
    int32_t[::1] buckets_c not None,             # OUT
    const uint32_t[::1] bits not None,
) -> None:
    """List the set bits in ascending order."""
    cdef Py_ssize_t i, column = 0
    cdef uint32_t rest
    with nogil:
        for i in range(bits.shape[0]):
            rest = bits[i]
            while rest:
                buckets_c[column] = <int32_t>(32 * i + count_bits((rest & (0u - rest)) - 1))
                column += 1
                rest &= rest - 1


def merge_features(
    int32_t[::1] features_k not None,            # INOUT: becomes columns
    float[::1] counts_k not None,                # OUT
    Py_ssize_t[::1] offsets_b not None,          # INOUT
    Py_ssize_t[::1] last_c not None,             # scratch: zeros
    const uint32_t[::1] bits not None,
    const int32_t[::1] ranks not None,
    int32_t first,
) -> None:
    """Turn the features of each line into distinct columns, by first occurrence, with counts.

    Buckets without a set bit are left out. `last_c` has where a column was last written, plus 1.
    """
    cdef Py_ssize_t b, k, start, stop = 0, end = 0
    cdef int32_t column, bucket
    cdef uint32_t bit
    with nogil:
        for b in range(offsets_b.shape[0] - 1):
            start = end
            k = stop
            stop = offsets_b[b + 1]
            for k in range(k, stop):
                column = features_k[k]
                bucket = column - first
                if bucket >= 0:
                    bit = <uint32_t>1 << (bucket & 31)
                    if not bits[bucket >> 5] & bit:
                        continue
                    column = first + ranks[bucket >> 5] + count_bits(bits[bucket >> 5] & (bit - 1))
                if last_c[column] > start:
                    counts_k[last_c[column] - 1] += 1
                else:
                    features_k[end] = column
                    counts_k[end] = 1
                    end += 1
                    last_c[column] = end
            offsets_b[b + 1] = end
