# Lines become features by the rules of fastText: the row of each word, those of its n-grams of
# characters, and after all words those of runs of words. The rows are added up or listed.
#
# A run's hash is made of hashes with a sign, and so is that of bytes: see SIGN_BITS. Labels are no
# features. The word </s> ends each line; it has a row, but no n-grams, and takes part in runs.

cdef enum:
    ROWS_AT_ONCE = 1024     # that are found before they are added up
    MOST_CHARS = 512        # of an n-gram of a model that is read


cdef char* LABEL_PREFIX = b"__label__"
cdef char* END_OF_LINE = b"</s>"


# `table` and `places` are those of the buckets that are left where some were pruned: the row of a
# bucket is `n_words` plus the place of its number.
cdef struct FastTextArrays:
    Rows text
    Rows spans
    Rows bytes        # of words and labels, and the next two as well: see Words
    Rows word_offsets
    Rows slots
    Rows table
    Rows places


cdef struct FastTextCall:
    FastTextArrays given
    Matrix matrix
    Words words
    Hashing chars
    Hashing runs
    bint is_pruned
    bint ends_lines   # with </s>, or a span is a word


# The features of one line. Its rows are found in blocks; each is added to `sums` or, if that is
# NULL, copied to `out` or, if this is NULL, too, counted only.
cdef struct Line:
    const FastTextCall* call
    int32_t* rows_k
    Py_ssize_t length
    uint32_t* hashes_k
    Py_ssize_t n_tokens
    float* sums
    int32_t* out
    Py_ssize_t dim
    Py_ssize_t total


cdef void flush(Line* line) noexcept nogil:
    if line.sums != NULL:
        add_table_rows(line.sums, &line.call.matrix, line.rows_k, line.length, line.dim)
    elif line.out != NULL:
        memcpy(line.out, line.rows_k, <size_t>line.length * sizeof(int32_t))
        line.out += line.length
    line.total += line.length
    line.length = 0


cdef inline void make_room(Line* line, Py_ssize_t count) noexcept nogil:
    if line.length + count > ROWS_AT_ONCE:
        flush(line)


cdef inline int32_t row_of_bucket(const FastTextCall* call, int32_t bucket) noexcept nogil:
    """Return the row of a bucket, or -1."""
    cdef int32_t place = column_of(<const Buckets*>call.given.table.data, bucket, 0)
    if place < 0:
        return -1
    return call.runs.first + (<const int32_t*>call.given.places.data)[place]


cdef inline void keep_rows_left(Line* line, int32_t* bucket, const int32_t* end) noexcept nogil:
    """Replace the buckets behind the rows by those of their rows that are left."""
    cdef int32_t row
    while bucket < end:
        row = row_of_bucket(line.call, bucket[0])
        line.rows_k[line.length] = row
        line.length += row >= 0
        bucket += 1


cdef void add_chars(
    Line* line, const unsigned char* char, const unsigned char* end
) noexcept nogil:
    """Add the rows of the n-grams of characters of a word."""
    cdef const Hashing* chars = &line.call.chars
    cdef bint opened = True
    cdef int32_t* first
    cdef const int32_t* last
    while opened or char < end:
        if opened or starts_char(char[0]):
            make_room(line, chars.max_length)
            first = line.rows_k + line.length
            last = hash_ngrams_from(first, char, end, opened, chars)
            if line.call.is_pruned:
                keep_rows_left(line, first, last)
            else:
                line.length += last - first
        char += not opened
        opened = False


cdef uint32_t hash_of(
    const unsigned char* char, const unsigned char* end, uint32_t high_bits
) noexcept nogil:
    cdef uint32_t hash = FNV_BASIS
    while char < end:
        hash = add_byte(hash, char[0], high_bits)
        char += 1
    return hash


cdef inline bint is_unknown_label(
    const FastTextCall* call, const unsigned char* word, Py_ssize_t length
) noexcept nogil:
    """Return whether a token of a line begins as labels do; a word by itself is just a word."""
    return call.ends_lines and length >= 9 and memcmp(word, LABEL_PREFIX, 9) == 0


cdef bint add_token(
    Line* line, const unsigned char* word, Py_ssize_t length, uint32_t hash
) noexcept nogil:
    """Add the rows of a token; return whether the line goes on after it."""
    cdef const FastTextCall* call = line.call
    cdef int32_t entry = number_word(<Words*>&call.words, word, length, hash)
    cdef bint is_end = length == 4 and memcmp(word, END_OF_LINE, 4) == 0
    if entry >= call.runs.first or (entry < 0 and is_unknown_label(call, word, length)):
        return True
    if call.runs.max_length > 1:
        line.hashes_k[line.n_tokens] = hash_of(word, word + length, SIGN_BITS)
        line.n_tokens += 1
    if entry >= 0:
        make_room(line, 1)
        line.rows_k[line.length] = entry
        line.length += 1
    if call.chars.max_length > 0 and not is_end:
        add_chars(line, word, word + length)
    return not is_end


cdef void add_line_runs(Line* line) noexcept nogil:
    cdef const FastTextCall* call = line.call
    cdef Py_ssize_t k, j
    cdef uint64_t hash
    cdef int32_t* bucket
    for k in range(line.n_tokens):
        hash = <uint64_t><int64_t><int32_t>line.hashes_k[k]
        for j in range(k + 1, min(k + call.runs.max_length, line.n_tokens)):
            hash = hash * RUN_FACTOR + <uint64_t><int64_t><int32_t>line.hashes_k[j]
            make_room(line, 1)
            bucket = line.rows_k + line.length
            bucket[0] = <int32_t>(hash % call.runs.n_buckets)
            if call.is_pruned:
                keep_rows_left(line, bucket, bucket + 1)
            else:
                bucket[0] += call.runs.first
                line.length += 1


cdef void add_tokens(
    Line* line, const unsigned char* text, const unsigned char* stop
) noexcept nogil:
    """Add the rows of the tokens of a line, up to the first </s> in it."""
    cdef const unsigned char* end = <const unsigned char*>END_OF_LINE
    cdef Scan scan
    scan.text, scan.stop = text, stop
    while next_between_blanks(&scan):
        if not add_token(line, scan.word, scan.length, scan.hash):
            return
    add_token(line, end, 4, hash_of(end, end + 4, NO_BITS))


cdef void expand_line(Line* line, const Span* span) noexcept nogil:
    """Find the rows of a line, or of a word."""
    cdef const unsigned char* text = <const unsigned char*>line.call.given.text.data
    line.length = line.n_tokens = line.total = 0
    if line.call.ends_lines:
        add_tokens(line, text + span.start, text + span.end)
        add_line_runs(line)
    elif span.start < span.end:
        add_token(
            line, text + span.start, span.end - span.start,
            hash_of(text + span.start, text + span.end, NO_BITS),
        )
    flush(line)


cdef Line open_line(
    const FastTextCall* call, const Rows* scratch, Py_ssize_t thread
) noexcept nogil:
    """Return a line without rows, in a row of the scratch."""
    cdef Line line
    line.call = call
    line.rows_k = <int32_t*>(scratch.data + thread * scratch.row_bytes)
    line.hashes_k = <uint32_t*>line.rows_k + ROWS_AT_ONCE
    line.sums = NULL
    line.out = NULL
    line.dim = 0
    return line


cdef void set_rules(FastTextCall* call, tuple rules) except *:
    n_words, word_ngrams, min_chars, max_chars, n_buckets, is_pruned, ends_lines = rules
    call.chars = Hashing(
        max(<Py_ssize_t>min_chars, 1), max_chars, 0 if is_pruned else <int32_t>n_words, n_buckets,
        SIGN_BITS,
    )
    call.runs = Hashing(2, word_ngrams, n_words, n_buckets, SIGN_BITS)
    call.is_pruned, call.ends_lines = is_pruned, ends_lines


cdef int open_fasttext(Arrays* arrays, FastTextCall* call, tuple given, tuple rules) except -1:
    open_arrays(arrays, <Rows*>&call.given, given, b"B1 n2 B1 n1 Q1 L2 l1")
    set_rules(call, rules)
    call.words = words_of(&call.given.bytes, &call.given.word_offsets, &call.given.slots)
    return 0


cdef struct ListArrays:
    Rows rows
    Rows ends
    Rows scratch


def list_fasttext_rows(
    tuple results,    # OUT int32 rows_k, or empty; OUT intp ends_b; scratch of uint32
    tuple given,      # fields of FastTextArrays
    tuple rules,      # words, longest run, lengths of n-grams, buckets, is_pruned, ends_lines
    /,
) -> None:
    """List the rows of lines or, if `rows_k` is empty, only write where those of each end.

    With `ends_lines` a span is a line, else it is a word. The scratch has a row, of 1024 entries
    and one for each token of the longest line. Cost: a look-up per word and a division per n-gram.
    """
    cdef FastTextCall call
    cdef ListArrays listed
    cdef Arrays of_results, of_given
    cdef Line line
    cdef Py_ssize_t b, end = 0
    of_results.count = of_given.count = 0
    try:
        open_arrays(&of_results, <Rows*>&listed, results, b"l1w n1w L2w")
        open_fasttext(&of_given, &call, given, rules)
        line = open_line(&call, &listed.scratch, 0)
        line.out = <int32_t*>listed.rows.data
        with nogil:
            for b in range(listed.ends.count):
                expand_line(&line, span_of(&call.given.spans, b))
                end += line.total
                (<Py_ssize_t*>listed.ends.data)[b] = end
    finally:
        close_arrays(&of_given)
        close_arrays(&of_results)


cdef struct PooledArrays:
    Rows pooled
    Rows counts
    Rows scratch


cdef void pool_line(
    const FastTextCall* call, const PooledArrays* results, Py_ssize_t b, Py_ssize_t thread
) noexcept nogil:
    cdef Line line = open_line(call, &results.scratch, thread)
    cdef float factor
    cdef Py_ssize_t d
    line.sums = <float*>(results.pooled.data + b * results.pooled.row_bytes)
    line.dim = results.pooled.dim
    memset(line.sums, 0, <size_t>line.dim * sizeof(float))
    expand_line(&line, span_of(&call.given.spans, b))
    (<Py_ssize_t*>results.counts.data)[b] = line.total
    factor = <float>(1.0 / <double>line.total) if line.total else 0
    for d in range(line.dim):
        line.sums[d] *= factor


def pool_fasttext_lines(
    tuple results,    # OUT float32 pooled_bd; OUT intp counts_b; scratch of uint32
    tuple given,      # fields of FastTextArrays
    tuple matrix,     # fields of Matrix, then its step
    tuple rules,      # as of list_fasttext_rows
    int num_threads,
    /,
) -> None:
    """Write the mean of the rows of each line, zeros where it has none, and their number.

    A thread has a row of the scratch. Cost: as of `list_fasttext_rows`, and a read of each row.
    """
    cdef FastTextCall call
    cdef PooledArrays pooled
    cdef Arrays of_results, of_given, of_matrix
    cdef Py_ssize_t b, work
    of_results.count = of_given.count = of_matrix.count = 0
    try:
        open_arrays(&of_results, <Rows*>&pooled, results, b"f2w n1w L2w")
        open_fasttext(&of_given, &call, given, rules)
        open_arrays(&of_matrix, <Rows*>&call.matrix, matrix[:5], MATRIX_LAYOUT)
        call.matrix.step = matrix[5]
        work = work_of(call.given.text.count, &call.chars, &call.runs, pooled.pooled.dim)
        if num_threads == 1 and work <= WORK_WITH_GIL:
            for b in range(pooled.counts.count):
                pool_line(&call, &pooled, b, 0)
        else:
            for b in prange(
                pooled.counts.count, nogil=True, schedule="dynamic", chunksize=LINES_AT_ONCE,
                num_threads=num_threads,
            ):
                pool_line(&call, &pooled, b, threadid())
    finally:
        close_arrays(&of_matrix)
        close_arrays(&of_given)
        close_arrays(&of_results)
