# Words of a text by rule 2: a simplification of the word boundaries of Unicode (UAX #29).
#
# Words are
#   letters, digits and underscores, with their marks (accents, vowel signs, joiners), and with
#     ' ’ · ״ between letters and . , ' ’ between digits: don't, l·l, 1,000.5;
#   a Chinese or Japanese character (ideographs, Hiragana), with its marks;
#   a picture (emoji) with its modifiers, and those that joiners join; a pair of regional letters;
#   a run of other symbols, to which # % & @ count: the ++ of C++, the # of C#.
# All other characters, white space and punctuation among them, separate words. Rule 1 is that of
# ``\w+``: see ``ngrams.py``.
#
# The differences from UAX #29: punctuation is no word; . : between letters separate; symbols are
# taken in runs; Katakana, Thai and other scripts without spaces are taken in runs of letters.

cdef extern from "word_classes.h" nogil:
    const uint8_t ebagx_block_of_code[]
    const uint8_t ebagx_class_in_block[][128]

# The classes of characters, numbered as in word_classes.h.
cdef enum:
    SEPARATOR
    LETTER
    DIGIT
    EXTEND
    JOINER
    MID_BOTH
    MID_LETTER
    MID_DIGIT
    SYMBOL
    PICTOGRAPH
    REGIONAL
    IDEOGRAPH


# A character of a text has a start, an end and a class. The text ends with an empty separator.
cdef struct Char:
    const unsigned char* start
    const unsigned char* end
    int kind


cdef inline int class_of_code(uint32_t code) noexcept nogil:
    return ebagx_class_in_block[ebagx_block_of_code[code >> 7]][code & 127]


cdef inline Char char_at(const unsigned char* start, const unsigned char* stop) noexcept nogil:
    # The text is UTF-8 that Python's encoder wrote, so that a first byte tells the length.
    cdef uint32_t code
    if start >= stop:
        return Char(start, start, SEPARATOR)
    code = start[0]
    if code < 0x80:
        return Char(start, start + 1, ebagx_class_in_block[0][code])
    if code < 0xE0:
        code = (code & 0x1F) << 6 | (start[1] & 0x3F)
        return Char(start, start + 2, class_of_code(code))
    if code < 0xF0:
        code = (code & 0x0F) << 12 | <uint32_t>(start[1] & 0x3F) << 6 | (start[2] & 0x3F)
        return Char(start, start + 3, class_of_code(code))
    code = (code & 0x07) << 18 | <uint32_t>(start[1] & 0x3F) << 12
    code |= <uint32_t>(start[2] & 0x3F) << 6 | (start[3] & 0x3F)
    return Char(start, start + 4, class_of_code(code))


cdef inline const unsigned char* past_marks(
    const unsigned char* end, const unsigned char* stop
) noexcept nogil:
    cdef Char char = char_at(end, stop)
    while char.kind == EXTEND or char.kind == JOINER:
        char = char_at(char.end, stop)
    return char.start


cdef inline bint joins(int kind, int before, int after) noexcept nogil:
    if before != after:
        return False
    if before == LETTER:
        return kind == MID_BOTH or kind == MID_LETTER
    return before == DIGIT and (kind == MID_BOTH or kind == MID_DIGIT)


cdef const unsigned char* end_of_letters(Char char, const unsigned char* stop) noexcept nogil:
    cdef int base = char.kind  # of the last character that is no mark
    cdef Char after
    while True:
        while LETTER <= char.kind <= JOINER:
            if char.kind <= DIGIT:
                base = char.kind
            char = char_at(char.end, stop)
        after = char_at(char.end, stop)
        if not joins(char.kind, base, after.kind):
            return char.start
        char = after


cdef const unsigned char* end_of_picture(Char char, const unsigned char* stop) noexcept nogil:
    cdef Char last
    while True:
        last = char
        char = char_at(char.end, stop)
        while char.kind == EXTEND or char.kind == JOINER:
            last = char
            char = char_at(char.end, stop)
        if last.kind != JOINER or char.kind != PICTOGRAPH:
            return char.start


cdef const unsigned char* end_of_word(Char char, const unsigned char* stop) noexcept nogil:
    """Return the end of the word that starts with a character, or NULL if none starts with it."""
    cdef Char after
    if char.kind == LETTER or char.kind == DIGIT:
        return end_of_letters(char, stop)
    if char.kind == PICTOGRAPH:
        return end_of_picture(char, stop)
    if char.kind == IDEOGRAPH:
        return past_marks(char.end, stop)
    if char.kind == REGIONAL:
        after = char_at(char.end, stop)
        return past_marks(after.end if after.kind == REGIONAL else char.end, stop)
    if char.kind != SYMBOL:
        return NULL
    while char.kind == SYMBOL or char.kind == EXTEND or char.kind == JOINER:
        char = char_at(char.end, stop)
    return char.start


cdef inline unsigned char lower_ascii(unsigned char byte) noexcept nogil:
    return byte | <unsigned char>((<unsigned char>(byte - 65) < 26) << 5)


cdef inline bint is_ascii_letter(unsigned char byte) noexcept nogil:
    # Digits and the underscore count as letters here.
    return byte < 0x80 and LETTER <= ebagx_class_in_block[0][byte] <= DIGIT


# A text is read from here on; its next word is written, in lower case where asked for, and hashed.
cdef struct Scan:
    const unsigned char* text
    const unsigned char* stop
    unsigned char* word
    Py_ssize_t length
    uint32_t hash
    bint lowercase


cdef inline void take_letters(Scan* scan) noexcept nogil:
    """Take letters of ASCII, which are most of most texts."""
    cdef const unsigned char* text = scan.text
    cdef unsigned char* word = scan.word
    cdef uint32_t hash = FNV_BASIS
    cdef unsigned char byte, mask = 0xFF if scan.lowercase else 0
    while text < scan.stop and is_ascii_letter(text[0]):
        byte = text[0] | (lower_ascii(text[0]) & mask)
        word[0] = byte
        hash = add_byte(hash, byte)
        text += 1
        word += 1
    scan.text = text
    scan.length = word - scan.word
    scan.hash = hash


cdef void take_rest(Scan* scan, const unsigned char* end) noexcept nogil:
    cdef unsigned char byte
    while scan.text < end:
        byte = lower_ascii(scan.text[0]) if scan.lowercase else scan.text[0]
        scan.word[scan.length] = byte
        scan.hash = add_byte(scan.hash, byte)
        scan.text += 1
        scan.length += 1


cdef inline bint next_word(Scan* scan) noexcept nogil:
    """Take the next word; return False at the end of the text."""
    cdef const unsigned char* end
    cdef Char char
    while scan.text < scan.stop:
        take_letters(scan)
        char = char_at(scan.text, scan.stop)
        if scan.length and char.kind == SEPARATOR:
            return True
        if scan.length:  # marks and other letters may follow
            take_rest(scan, end_of_letters(char_at(scan.text - 1, scan.stop), scan.stop))
            return True
        end = end_of_word(char, scan.stop)
        if end != NULL:
            take_rest(scan, end)
            return True
        scan.text = char.end
    return False


def count_starts(
    text,             # uint8
    /,
) -> int:
    """Return a number of words that a text does not exceed: of characters that may start one.

    These are letters of ASCII after others, symbols of ASCII, and all characters beyond ASCII.
    """
    cdef Rows chars
    cdef Arrays arrays
    cdef Py_ssize_t i, count = 0
    cdef bint before = False, now
    open_arrays(&arrays, &chars, (text,), b"B1")
    cdef const unsigned char* bytes = <unsigned char*>chars.data
    with nogil:
        for i in range(chars.count):
            now = is_ascii_letter(bytes[i])
            count += (now > before) | (bytes[i] >= 0xC0)
            count += bytes[i] < 0x80 and ebagx_class_in_block[0][bytes[i]] == SYMBOL
            before = now
    close_arrays(&arrays)
    return count
