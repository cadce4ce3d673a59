# The entries of a fastText model, its words and labels, lie one after the other without an index:
# bytes, a zero, a count of eight bytes and a kind of one.

cdef enum:
    AFTER_WORD = 10  # bytes: the zero, the count, the kind


cdef struct EntryArrays:
    Rows spans
    Rows counts
    Rows kinds
    Rows content


cdef Py_ssize_t scan_entry(const EntryArrays* given, Py_ssize_t e, Py_ssize_t start) noexcept nogil:
    """Read an entry; return where it ends, or -1 if the content ends before."""
    cdef const unsigned char* content = <const unsigned char*>given.content.data
    cdef const unsigned char* end = <const unsigned char*>memchr(
        content + start, 0, <size_t>(given.content.count - start)
    )
    cdef uint64_t count = 0
    cdef int k
    if end == NULL or given.content.count - (end - content) < AFTER_WORD:
        return -1
    for k in range(8):
        count |= <uint64_t>end[1 + k] << 8 * k
    span_of(&given.spans, e)[0] = Span(start, end - content)
    (<int64_t*>given.counts.data)[e] = <int64_t>count
    (<uint8_t*>given.kinds.data)[e] = end[9]
    return end - content + AFTER_WORD


def scan_entries(
    spans_e2,         # OUT intp: the bytes of each entry
    counts_e,         # OUT int64
    kinds_e,          # OUT uint8
    content,          # uint8: a file
    Py_ssize_t start,
    /,
) -> int:
    """Find the entries that begin at `start`; return where they end, or -1 if the file ends before.

    Cost: a pass over their bytes.
    """
    cdef EntryArrays given
    cdef Arrays arrays
    cdef Py_ssize_t e
    open_arrays(
        &arrays, <Rows*>&given, (spans_e2, counts_e, kinds_e, content), b"n2w q1w B1w B1"
    )
    with nogil:
        for e in range(given.spans.count):
            start = scan_entry(&given, e, start)
            if start < 0:
                break
    close_arrays(&arrays)
    return start


cdef struct TreeArrays:
    Rows children
    Rows counts


def join_labels(
    children_n2,      # OUT int32, a row less than there are labels
    counts_m,         # INOUT int64: first those of the L labels; 2 L - 1 entries
    /,
) -> None:
    """Join the two rarest nodes again and again: the tree of fastText's hierarchical softmax.

    Labels are nodes 0 to L - 1, by falling counts, all under 1e15 together; node L + n has the
    children of row n. A label that is as frequent as a node is taken after it. Cost: O(L).
    """
    cdef TreeArrays given
    cdef Arrays arrays
    open_arrays(&arrays, <Rows*>&given, (children_n2, counts_m), b"l2w q1w")
    cdef int64_t* counts = <int64_t*>given.counts.data
    cdef Py_ssize_t n_labels = given.children.count + 1
    cdef Py_ssize_t label = n_labels - 1, node = n_labels, n, taken
    cdef int32_t* children
    cdef int side
    with nogil:
        for n in range(given.children.count):
            children = <int32_t*>(given.children.data + n * given.children.row_bytes)
            counts[n_labels + n] = 0
            for side in range(2):
                # There are nodes enough if no label is left.
                if label >= 0 and (node == n_labels + n or counts[label] < counts[node]):
                    taken = label
                    label -= 1
                else:
                    taken = node
                    node += 1
                children[side] = <int32_t>taken
                counts[n_labels + n] += counts[taken]
    close_arrays(&arrays)
