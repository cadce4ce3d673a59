"""Labelled lines, their words, and features of lines, for texts too large for objects of Python.

===========  ==================================================================
records.pxi  labels and text of each line of a block
boundaries.pxi  where a word ends, by the word boundaries of Unicode
words.pxi    words are numbered
chars.pxi    character n-grams of words are hashed
buckets.pxi  the buckets of hashed n-grams that have a column
lines.pxi    lines become bags: columns with counts
scores.pxi   pooled bags become scores of labels
code_rows.pxi  rows of codes are pooled as their values
texts.pxi    few texts become pooled bags and scores in one call
pieces.pxi   words are cut into pieces of a vocabulary
murmur.pxi   words and n-grams are hashed as floret does
fasttext_file.pxi   words, labels and the tree of labels of a fastText model
fasttext_rows.pxi   rows of its tables, plain or product-quantised
fasttext_lines.pxi  the features of lines by its rules, pooled or listed
fasttext_labels.pxi scores of labels
===========  ==================================================================

``ebagx.text.words`` prepares text: it is UTF-8, each line ends with a newline, single spaces or
newlines stand between words, and every other byte is part of a word.

A word is hashed by FNV-1a (32 bits), and so is a character n-gram of the word between ``<`` and
``>``. A run of words has the hash ``hash(first); hash = hash * 116049371 + hash(next)`` modulo
2**64, as in fastText. Hashes modulo the number of buckets are the same on every platform.

Words that have a column have the first columns; those of buckets follow. Axis letters at the end of
array names: b line, k token or lookup, w distinct word, l label, c column. Nothing here allocates,
and nothing but the dtypes of arrays is checked. ``tests/support/ngram_definition.py`` has the
definition in plain Python.
"""

cimport cython
from cython.parallel cimport prange, threadid
from libc.math cimport INFINITY, expf, log
from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memchr, memcmp, memcpy, memmove, memset

include "common/arrays.pxi"


# A row of spans_b2 says that the bytes [start, end) of a text are a line, a word or a label.
cdef struct Span:
    Py_ssize_t start
    Py_ssize_t end


# N-grams of these lengths are hashed to buckets, which are numbered from `first`.
cdef struct Hashing:
    Py_ssize_t min_length
    Py_ssize_t max_length
    int32_t first
    uint32_t n_buckets
    uint32_t high_bits    # which bytes of 128 and more have beside their own: see add_byte


cdef inline Span* span_of(const Rows* spans, Py_ssize_t place) noexcept nogil:
    return <Span*>(spans.data + place * spans.row_bytes)


cdef uint32_t FNV_BASIS = 2166136261u
cdef uint32_t FNV_PRIME = 16777619u


# The bits that bytes of 128 and more have besides, where fastText hashes: its bytes have a sign.
cdef enum:
    NO_BITS = 0
    SIGN_BITS = 0xFFFFFF00u


cdef inline uint32_t add_byte(
    uint32_t hash, unsigned char byte, uint32_t high_bits=NO_BITS
) noexcept nogil:
    return (hash ^ byte ^ (high_bits & (0u - <uint32_t>(byte >> 7)))) * FNV_PRIME


cdef inline bint starts_char(unsigned char byte) noexcept nogil:
    return (byte & 0xC0) != 0x80


include "boundaries.pxi"
include "words.pxi"
include "chars.pxi"
include "buckets.pxi"
include "lines.pxi"
include "scores.pxi"
include "code_rows.pxi"
include "texts.pxi"
include "records.pxi"
include "pieces.pxi"
include "murmur.pxi"
include "fasttext_file.pxi"
include "fasttext_rows.pxi"
include "fasttext_lines.pxi"
include "fasttext_labels.pxi"
