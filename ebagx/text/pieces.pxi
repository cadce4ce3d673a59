# Words are cut into pieces of a vocabulary, as WordPiece does: the longest piece that fits comes
# first, and the pieces after the first one of a word have a prefix, ``##``, in the vocabulary.

cdef struct PieceArrays:
    Rows pieces
    Rows ends
    Rows bytes         # the vocabulary, and the next two as well: see Words
    Rows word_offsets
    Rows slots
    Rows spans
    Rows text
    Rows prefix
    Rows scratch


cdef struct PieceCall:
    PieceArrays given
    Words words
    Py_ssize_t longest     # bytes of the vocabulary's longest piece
    Py_ssize_t max_chars   # longer words are unknown
    Py_ssize_t limit       # pieces of a text
    uint32_t prefix_hash


cdef inline bint is_mark(unsigned char byte) noexcept nogil:
    """Return whether a character of ASCII is punctuation, which is a word of its own."""
    return 33 <= byte <= 47 or 58 <= byte <= 64 or 91 <= byte <= 96 or 123 <= byte <= 126


cdef inline const unsigned char* end_of_unit(
    const unsigned char* start, const unsigned char* stop
) noexcept nogil:
    """Return the end of a word: a character of punctuation, or all up to a space or to one."""
    if is_mark(start[0]):
        return start + 1
    while start < stop and start[0] != 32 and not is_mark(start[0]):
        start += 1
    return start


cdef Py_ssize_t longest_piece(
    PieceCall* call, const unsigned char* start, const unsigned char* stop, bint is_first,
    int32_t* piece,
) noexcept nogil:
    """Write the number of the longest piece at the start of some bytes; return its length or 0."""
    cdef Py_ssize_t skipped = 0 if is_first else call.given.prefix.count
    cdef Py_ssize_t most = min(stop - start, call.longest - skipped), length, best = 0
    cdef uint32_t hash = FNV_BASIS if is_first else call.prefix_hash
    cdef int32_t found
    for length in range(1, most + 1):
        hash = add_byte(hash, start[length - 1])
        if start + length < stop and not starts_char(start[length]):
            continue
        found = number_word(&call.words, start - skipped, length + skipped, hash)
        if found >= 0:
            piece[0] = found
            best = length
    return best


cdef int32_t* cut_word(
    int32_t* out, PieceCall* call, const unsigned char* start, Py_ssize_t length,
) noexcept nogil:
    """Append the pieces of a word, or -1 if it is unknown."""
    cdef Py_ssize_t n_prefix = call.given.prefix.count, chars = 0, taken, i
    cdef unsigned char* word = <unsigned char*>call.given.scratch.data + n_prefix
    cdef unsigned char* stop = word + length
    cdef int32_t* first = out
    for i in range(length):
        chars += starts_char(start[i])
    if chars <= call.max_chars:
        memcpy(word, start, <size_t>length)
        while word < stop:
            if out > first:  # the prefix takes the place of the bytes before
                memcpy(word - n_prefix, call.given.prefix.data, <size_t>n_prefix)
            taken = longest_piece(call, word, stop, out == first, out)
            if taken == 0:
                break
            out += 1
            word += taken
    if chars > call.max_chars or word < stop:
        first[0] = -1
        return first + 1
    return out


cdef void cut_text(PieceCall* call, Py_ssize_t b, int32_t** next) noexcept nogil:
    cdef const Span* span = span_of(&call.given.spans, b)
    cdef const unsigned char* text = <const unsigned char*>call.given.text.data + span.start
    cdef const unsigned char* stop = text + span.end - span.start
    cdef const unsigned char* end
    cdef int32_t* first = next[0]
    while text < stop and next[0] - first < call.limit:
        if text[0] == 32:
            text += 1
            continue
        end = end_of_unit(text, stop)
        next[0] = cut_word(next[0], call, text, end - text)
        text = end
    if next[0] - first > call.limit:
        next[0] = first + call.limit


def number_pieces(
    pieces_k,         # OUT int32: as many as the text has bytes
    ends_b,           # OUT intp: pieces of the texts up to this one
    tuple vocabulary,  # uint8 bytes, intp offsets_w, uint64 slots: see Words
    spans_b2,         # intp: texts
    text,             # uint8: UTF-8 with spaces between words
    prefix,           # uint8: of pieces that do not begin a word
    scratch,          # OUT uint8: as long as the longest text and the prefix
    limits,           # most bytes of a piece, characters of a word, and pieces of a text
    /,
) -> None:
    """Cut texts into pieces of a vocabulary; -1 stands for an unknown word.

    Cost: a look-up per character of a word, for each of its pieces.
    """
    cdef PieceCall call
    cdef Arrays arrays
    cdef Py_ssize_t b, i
    open_arrays(
        &arrays, <Rows*>&call.given,
        (pieces_k, ends_b, *vocabulary, spans_b2, text, prefix, scratch),
        b"l1w n1w B1 n1 Q1 n2 B1 B1 B1w",
    )
    call.words = words_of(&call.given.bytes, &call.given.word_offsets, &call.given.slots)
    call.longest, call.max_chars, call.limit = limits
    call.prefix_hash = FNV_BASIS
    for i in range(call.given.prefix.count):
        call.prefix_hash = add_byte(call.prefix_hash, (<unsigned char*>call.given.prefix.data)[i])
    cdef int32_t* first = <int32_t*>call.given.pieces.data
    cdef int32_t* next = first
    cdef Py_ssize_t* ends = <Py_ssize_t*>call.given.ends.data
    with nogil:
        for b in range(call.given.spans.count):
            cut_text(&call, b, &next)
            ends[b] = next - first
    close_arrays(&arrays)
