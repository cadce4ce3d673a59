# Labelled lines: functions here find the labels and the text of each line of a block.
#
# A line is UTF-8, and a carriage return at its end does not belong to it. Characters of white space
# are those of `str.isspace`: the set has not changed since Unicode 6.3.

cdef extern from *:
    """
    #include <string.h>
    static void *ebagx_find_byte(const void *bytes, int byte, size_t count)
    { return (void *)memchr(bytes, byte, count); }
    """
    void* find_byte "ebagx_find_byte"(const void*, int, size_t) noexcept nogil

cdef enum:
    UNKNOWN_FORM = 0   # the first line that is not blank decides
    TAB_FORM = 1       # label, tab, text
    PREFIX_FORM = 2    # text, and one or more words among it that are a prefix and a label

ctypedef const unsigned char* Chars


cdef struct Records:
    Chars text
    unsigned char* kept
    Chars prefix
    Py_ssize_t prefix_length
    Py_ssize_t form
    Rows spans_b2
    Py_ssize_t* label_ends_b
    unsigned char* odd_b
    Rows labels_l2
    Py_ssize_t num_lines
    Py_ssize_t num_labels


cdef Py_ssize_t char_bytes(Chars char, Chars end) noexcept nogil:
    """Return how many bytes the UTF-8 character at `char` has, or 0 if there is none."""
    cdef unsigned char first = char[0]
    cdef Py_ssize_t length = 2 + (first >= 0xE0) + (first >= 0xF0), i
    if first < 0x80:
        return 1
    if first < 0xC2 or first > 0xF4 or end - char < length:
        return 0
    for i in range(1, length):
        if starts_char(char[i]):
            return 0
    # Longer forms than needed, surrogates, and numbers above 0x10FFFF are no characters.
    if (first == 0xE0 and char[1] < 0xA0) or (first == 0xF0 and char[1] < 0x90):
        return 0
    if (first == 0xED and char[1] > 0x9F) or (first == 0xF4 and char[1] > 0x8F):
        return 0
    return length


cdef inline bint is_ascii_space(unsigned char byte) noexcept nogil:
    return byte == 32 or 9 <= byte <= 13 or 28 <= byte <= 31


cdef Py_ssize_t space_bytes(Chars char, Chars end) noexcept nogil:
    """Return how many bytes the white space at `char` has, or 0 if another character is there."""
    cdef Py_ssize_t left = end - char
    if left <= 0:
        return 0
    if char[0] < 0x80:
        return is_ascii_space(char[0])
    if char[0] == 0xC2 and left >= 2:
        return 2 * (char[1] == 0x85 or char[1] == 0xA0)
    if left < 3:
        return 0
    if char[0] == 0xE2 and char[1] == 0x80:
        return 3 * (char[2] <= 0x8A or char[2] == 0xA8 or char[2] == 0xA9 or char[2] == 0xAF)
    return 3 * (
        (char[0] == 0xE1 and char[1] == 0x9A and char[2] == 0x80)
        or (char[0] == 0xE2 and char[1] == 0x81 and char[2] == 0x9F)
        or (char[0] == 0xE3 and char[1] == 0x80 and char[2] == 0x80)
    )


cdef Chars after_space(Chars char, Chars end) noexcept nogil:
    cdef Py_ssize_t length = space_bytes(char, end)
    while length:
        char += length
        length = space_bytes(char, end)
    return char


cdef Chars before_space(Chars start, Chars end) noexcept nogil:
    # The last byte of white space never begins a character, so that at most one length fits.
    cdef Py_ssize_t length
    while True:
        for length in range(1, 4):
            if end - start >= length and space_bytes(end - length, end) == length:
                break
        else:
            return end
        end -= length


cdef bint is_utf8(Chars char, Chars end, bint* is_odd) noexcept nogil:
    """Return whether bytes are UTF-8, and write whether any is above 127."""
    cdef uint64_t eight
    cdef Py_ssize_t length
    is_odd[0] = False
    while char < end:
        if end - char >= 8:
            memcpy(&eight, char, 8)
            if not eight & 0x8080808080808080u:
                char += 8
                continue
        length = char_bytes(char, end)
        if not length:
            return False
        is_odd[0] |= length > 1
        char += length
    return True


cdef bint add_label(Records* records, Chars start, Chars end) noexcept nogil:
    """Append a label; return whether it is one: not empty, and without control characters."""
    cdef Span* span = span_of(&records.labels_l2, records.num_labels)
    cdef Chars char
    start = after_space(start, end)
    end = before_space(start, end)
    if start == end:
        return False
    char = start
    while char < end:
        if char[0] < 32:
            return False
        char += 1
    span.start = start - records.text
    span.end = end - records.text
    records.num_labels += 1
    return True


cdef inline bint has_prefix(const Records* records, Chars char, Chars end) noexcept nogil:
    return end - char >= records.prefix_length and (
        memcmp(char, records.prefix, <size_t>records.prefix_length) == 0
    )


cdef Chars next_label(
    const Records* records, Chars start, Chars char, Chars end
) noexcept nogil:
    """Return where the next word with the prefix is in a line, from `char` on, or `end`."""
    while end - char >= records.prefix_length:
        char = <Chars>find_byte(char, records.prefix[0], <size_t>(end - char))
        if char == NULL:
            return end
        if has_prefix(records, char, end):
            if char == start or before_space(start, char) != char:
                return char
        char += 1
    return end


cdef Py_ssize_t form_of(const Records* records, Chars start, Chars end) noexcept nogil:
    cdef Chars stop = <Chars>find_byte(start, c"\t", <size_t>(end - start))
    stop = end if stop == NULL else stop
    return PREFIX_FORM if next_label(records, start, start, stop) < stop else TAB_FORM


cdef void keep_text(Records* records, Span* span, Chars char, Chars end) noexcept nogil:
    """Add a part of a line to its text. The first part stays in its place."""
    if span.start == span.end:
        span.start, span.end = char - records.text, end - records.text
        return
    memcpy(records.kept + span.end, char, <size_t>(end - char))
    span.end += end - char


cdef bint add_prefixed(Records* records, Span* span, Chars start, Chars end) noexcept nogil:
    """Append the labels of a line, and its text without them; return whether it is a record."""
    cdef Py_ssize_t num_labels = records.num_labels
    cdef Chars char = start, label
    span.start = span.end = start - records.text
    while True:
        label = next_label(records, start, char, end)
        keep_text(records, span, char, label)
        if label == end:
            return records.num_labels > num_labels
        label += records.prefix_length
        char = label
        while char < end and not space_bytes(char, end):
            char += 1
        if not add_label(records, label, char):
            return False
        char = after_space(char, end)


cdef bint add_tabbed(Records* records, Span* span, Chars start, Chars end) noexcept nogil:
    """Append the label before the first tab, and the text after it; return whether both exist."""
    cdef Chars tab = <Chars>find_byte(start, c"\t", <size_t>(end - start))
    if tab == NULL or not add_label(records, start, tab):
        return False
    span.start, span.end = tab + 1 - records.text, end - records.text
    return True


cdef bint add_record(Records* records, Chars start, Chars end) noexcept nogil:
    """Append a line, unless it is blank; return whether it is as it must be."""
    cdef Span* span = span_of(&records.spans_b2, records.num_lines)
    cdef bint is_odd, is_record
    if not is_utf8(start, end, &is_odd):
        return False
    if end > start and (end - 1)[0] == c"\r":
        end -= 1
    if after_space(start, end) == end:
        return True
    if records.form == UNKNOWN_FORM:
        records.form = form_of(records, start, end)
    if records.form == PREFIX_FORM:
        is_record = add_prefixed(records, span, start, end)
    else:
        is_record = add_tabbed(records, span, start, end)
    if not is_record:
        return False
    records.odd_b[records.num_lines] = is_odd
    records.label_ends_b[records.num_lines] = records.num_labels
    records.num_lines += 1
    return True


cdef Py_ssize_t add_records(Records* records, Py_ssize_t size) noexcept nogil:
    """Append the lines of a block; return where the first bad one starts, or `size`."""
    cdef Chars start = records.text, stop = records.text + size, end
    while start < stop:
        end = <Chars>find_byte(start, c"\n", <size_t>(stop - start))
        if end == NULL or not add_record(records, start, end):
            return start - records.text
        start = end + 1
    return size


cdef struct RecordArrays:
    Rows spans
    Rows label_ends
    Rows odd
    Rows labels
    Rows found
    Rows kept
    Rows text
    Rows prefix


def split_records(
    spans_b2,         # OUT intp: the text of each line that is not blank
    label_ends_b,     # OUT intp: labels of the lines up to this one
    odd_b,            # OUT uint8: whether the line is not ASCII
    labels_l2,        # OUT intp: where each label is
    found_3,          # OUT intp: lines, labels, and the form that the first line has decided
    kept,             # INOUT uint8: a copy of `text`, in which texts lose the labels among them
    text,             # uint8: lines, each with a newline
    prefix,           # uint8
    Py_ssize_t form,  # that of the lines, or 0 if no line has decided yet
    /,
) -> int:
    """Find labels and texts; return the end of `text`, or where the first bad line starts.

    `spans_b2`, `label_ends_b` and `odd_b` have room for each line, `labels_l2` for each line and
    each prefix. `labels_l2` are places in `text`, `spans_b2` in `kept`, which may be empty if
    `text` has no prefix: then it would be the same. A label takes the white space after it along.
    Cost: two passes over `text`.
    """
    cdef RecordArrays given
    cdef Arrays arrays
    cdef Records records
    cdef Py_ssize_t end
    open_arrays(
        &arrays, <Rows*>&given,
        (spans_b2, label_ends_b, odd_b, labels_l2, found_3, kept, text, prefix),
        b"n2w n1w B1w n2w n1w B1w B1 B1",
    )
    cdef Py_ssize_t* found = <Py_ssize_t*>given.found.data
    records.spans_b2, records.labels_l2 = given.spans, given.labels
    records.label_ends_b = <Py_ssize_t*>given.label_ends.data
    records.odd_b = <unsigned char*>given.odd.data
    records.kept = <unsigned char*>given.kept.data
    records.text, records.prefix = <Chars>given.text.data, <Chars>given.prefix.data
    records.prefix_length = given.prefix.count
    records.form = form
    records.num_lines = records.num_labels = 0
    with nogil:
        end = add_records(&records, given.text.count)
    found[0], found[1], found[2] = records.num_lines, records.num_labels, records.form
    close_arrays(&arrays)
    return end
