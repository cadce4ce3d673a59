# Words are numbered in a table with open addressing. The caller makes room for all that a call may
# add, so that nothing here allocates.

# The bytes of word w are [offsets[w], offsets[w + 1]) of `bytes`. A slot is 0 or has the hash of a
# word in its upper half and its number plus 1 in the lower: so a slot of another word costs no look
# at its bytes.
cdef struct Words:
    unsigned char* bytes
    Py_ssize_t* offsets_w
    uint32_t* hashes_w
    uint64_t* slots
    uint64_t mask
    int shift         # which leaves as many bits of a product as slots are numbered with
    Py_ssize_t count
    bint learns       # else words that are not there have the number -1


cdef int shift_of(Py_ssize_t num_slots) noexcept nogil:
    cdef int shift = 64
    while num_slots > 1:
        num_slots //= 2
        shift -= 1
    return shift


cdef Words words_of(const Rows* bytes, const Rows* offsets, const Rows* slots) noexcept:
    """Return the words of the arrays of a call, for look-ups only."""
    cdef Words words
    words.bytes = <unsigned char*>bytes.data
    words.offsets_w = <Py_ssize_t*>offsets.data
    words.hashes_w = NULL
    words.slots = <uint64_t*>slots.data
    words.mask = <uint64_t>(slots.count - 1)
    words.shift = shift_of(slots.count)
    words.count = 0
    words.learns = False
    return words


cdef inline bint is_blank(unsigned char byte) noexcept nogil:
    return (byte == 32) | (9 <= byte <= 13) | (byte == 0)


cdef inline uint64_t first_place(uint32_t hash, int shift) noexcept nogil:
    # The upper bits of the product depend on all bits of the hash.
    return <uint64_t>hash * 11400714819323198485u >> shift


def count_words(text, /) -> int:
    """Return the number of words between blanks, each as often as it occurs, of a text of uint8."""
    cdef Rows chars
    cdef Arrays arrays
    cdef Py_ssize_t i, count = 0
    cdef bint before = True, now
    open_arrays(&arrays, &chars, (text,), b"B1")
    cdef const unsigned char* bytes = <unsigned char*>chars.data
    with nogil:
        for i in range(chars.count):
            now = is_blank(bytes[i])
            count += before > now  # as numbers: a branch would often be mispredicted
            before = now
    close_arrays(&arrays)
    return count


cdef inline bint is_word(
    const Words* words, Py_ssize_t word, const unsigned char* start, Py_ssize_t length
) noexcept nogil:
    cdef Py_ssize_t first = words.offsets_w[word]
    return words.offsets_w[word + 1] - first == length and (
        memcmp(words.bytes + first, start, <size_t>length) == 0
    )


cdef int32_t number_word(
    Words* words, const unsigned char* start, Py_ssize_t length, uint32_t hash
) noexcept nogil:
    """Return the number of a word; if it is not there yet, the next one or -1."""
    cdef uint64_t place = first_place(hash, words.shift), slot = words.slots[place]
    cdef Py_ssize_t word, first
    while slot:
        word = <Py_ssize_t>(<uint32_t>slot) - 1
        if <uint32_t>(slot >> 32) == hash and is_word(words, word, start, length):
            return <int32_t>word
        place = (place + 1) & words.mask
        slot = words.slots[place]
    if not words.learns:
        return -1
    word = words.count
    first = words.offsets_w[word]
    memcpy(words.bytes + first, start, <size_t>length)
    words.offsets_w[word + 1] = first + length
    words.hashes_w[word] = hash
    words.count = word + 1
    words.slots[place] = <uint64_t>hash << 32 | <uint64_t>words.count
    return <int32_t>word


cdef enum:
    WHOLE = 0        # a span is one word
    BLANKS = 1       # words are cut at blanks of ASCII, as fastText does
    BOUNDARIES = 2   # words end at the boundaries of boundaries.pxi


cdef Py_ssize_t number_whole(
    int32_t* words_k, Py_ssize_t token, Words* words, Scan* scan
) noexcept nogil:
    cdef const unsigned char* start = scan.text
    cdef uint32_t hash = FNV_BASIS
    if start == scan.stop:
        return token
    while scan.text < scan.stop:
        hash = add_byte(hash, scan.text[0])
        scan.text += 1
    words_k[token] = number_word(words, start, scan.stop - start, hash)
    return token + 1


cdef inline bint next_between_blanks(Scan* scan) noexcept nogil:
    """Find the next word between blanks, which stays where it is; return False at the end."""
    cdef const unsigned char* char = scan.text
    cdef uint32_t hash = FNV_BASIS
    while char < scan.stop and is_blank(char[0]):
        char += 1
    scan.word = <unsigned char*>char
    while char < scan.stop and not is_blank(char[0]):
        hash = add_byte(hash, char[0])
        char += 1
    scan.text = char
    scan.length = char - scan.word
    scan.hash = hash
    return scan.length > 0


cdef inline bint next_token(Scan* scan, int rule) noexcept nogil:
    """Take the next word by a rule other than WHOLE; return False at the end of the text."""
    return next_between_blanks(scan) if rule == BLANKS else next_word(scan)


cdef Py_ssize_t number_span(
    int32_t* words_k, Py_ssize_t token, Words* words, Scan* scan, int rule
) noexcept nogil:
    """Number the words of a span of text; return the next token."""
    if rule == WHOLE:
        return number_whole(words_k, token, words, scan)
    while next_token(scan, rule):
        words_k[token] = number_word(words, scan.word, scan.length, scan.hash)
        token += 1
    return token


cdef struct NumberArrays:
    Rows words
    Rows ends
    Rows bytes
    Rows offsets
    Rows hashes
    Rows slots
    Rows spans
    Rows text
    Rows word


def number_words(
    words_k,          # OUT int32: number of each token's word
    ends_b,           # OUT intp: tokens of the spans up to this one
    bytes,            # INOUT uint8: the words, one after the other
    offsets_w,        # INOUT intp: where each word starts, and the last one ends
    hashes_w,         # INOUT uint32
    slots,            # INOUT uint64: a power of 2 above the number of words
    spans_b2,         # intp: parts of the text
    text,             # uint8
    word,             # OUT uint8: scratch, as long as the longest span
    Py_ssize_t count,
    int rule,         # WHOLE, BLANKS or BOUNDARIES
    bint lowercase,   # of letters of ASCII, by the rule BOUNDARIES
    bint learns,
    /,
) -> int:
    """Number the words of some spans of a text; return how many are known then.

    There are `count` words before. With `learns`, words that are not known get the next numbers,
    else -1; there must be room for them.

    Cost: a pass over the spans and a look-up per token.
    """
    cdef NumberArrays given
    cdef Arrays arrays
    cdef Words words
    cdef Py_ssize_t b, token = 0
    cdef const Span* span
    cdef Scan scan
    # Known words may be in a read-only map.
    cdef const char* layout = b"l1w n1w B1 n1 L1 Q1 n2 B1 B1w"
    if learns:
        layout = b"l1w n1w B1w n1w L1w Q1w n2 B1 B1w"
    open_arrays(
        &arrays, <Rows*>&given,
        (words_k, ends_b, bytes, offsets_w, hashes_w, slots, spans_b2, text, word), layout,
    )
    words = words_of(&given.bytes, &given.offsets, &given.slots)
    words.hashes_w = <uint32_t*>given.hashes.data
    words.count = count
    words.learns = learns
    cdef Py_ssize_t* ends = <Py_ssize_t*>given.ends.data
    cdef int32_t* numbers = <int32_t*>given.words.data
    cdef const unsigned char* bytes_of_text = <unsigned char*>given.text.data
    scan.word = <unsigned char*>given.word.data
    scan.lowercase = lowercase
    with nogil:
        for b in range(given.spans.count):
            span = span_of(&given.spans, b)
            scan.text, scan.stop = bytes_of_text + span.start, bytes_of_text + span.end
            token = number_span(numbers, token, &words, &scan, rule)
            ends[b] = token
    close_arrays(&arrays)
    return words.count


cdef struct SlotArrays:
    Rows slots
    Rows hashes


def fill_slots(
    slots,            # INOUT uint64: zeros, a power of 2 above the number of words
    hashes_w,         # uint32
    /,
) -> None:
    """Enter words into a table of another size. Cost: a look-up per word."""
    cdef SlotArrays given
    cdef Arrays arrays
    cdef Py_ssize_t w
    cdef uint64_t place, mask
    open_arrays(&arrays, <Rows*>&given, (slots, hashes_w), b"Q1w L1")
    cdef uint64_t* entries = <uint64_t*>given.slots.data
    cdef const uint32_t* hashes = <uint32_t*>given.hashes.data
    mask = <uint64_t>(given.slots.count - 1)
    cdef int shift = shift_of(given.slots.count)
    with nogil:
        for w in range(given.hashes.count):
            place = first_place(hashes[w], shift)
            while entries[place]:
                place = (place + 1) & mask
            entries[place] = <uint64_t>hashes[w] << 32 | <uint64_t>(w + 1)
    close_arrays(&arrays)


cdef struct CopyArrays:
    Rows out
    Rows spans
    Rows text


def copy_spans(
    out,              # OUT uint8
    spans_w2,         # intp
    text,             # uint8
    /,
) -> None:
    """Write parts of a text one after the other, each followed by a newline."""
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
