# Few texts become pooled bags and scores in one call, with the words of a model, and nothing is
# learned. For one text, the arrays of lines.pxi and the calls for them cost ten times as much as
# the text itself. The results have the same bits.

cdef enum:
    BYTES_WITH_GIL = 1024  # take 10 us or so; to get the GIL back can take 50 of them, and 5 ms
    POOLED_AT_ONCE = 32    # columns whose sums stay in registers
    LONG_BAG = 512         # lookups of one part: see forward/pool.pxi


cdef struct ModelArrays:
    Rows scratch
    Rows text
    Rows bytes        # the words of the model, and the next two as well: see Words
    Rows word_offsets
    Rows slots
    Rows table        # of buckets
    Rows embedding    # of float, or of codes: see code_rows.pxi


cdef struct TextCall:
    ScoreArrays results
    ModelArrays given
    Words words
    Hashing chars
    Hashing runs
    Codes codes
    int rule
    bint lowercase
    Py_ssize_t most_per_byte  # columns
    Bag bag
    # Parts of the scratch: hash and number of each token of a text, the word that is read.
    uint32_t* hashes_k
    int32_t* numbers_k
    unsigned char* word


cdef void add_word(Bag* bag, TextCall* call, const Scan* scan) noexcept nogil:
    """Add the columns of a word: its own, then those of its n-grams of characters."""
    cdef const Buckets* table = <const Buckets*>call.given.table.data
    cdef int32_t* bucket
    cdef int32_t* end
    add_column(bag, number_word(&call.words, scan.word, scan.length, scan.hash))
    if call.chars.max_length == 0:
        return
    # The buckets lie behind the columns of the bag. Each is read before its place is written to.
    bucket = bag.indices + bag.length
    end = hash_ngrams(bucket, scan.word, scan.word + scan.length, &call.chars)
    while bucket < end:
        add_column(bag, column_of(table, bucket[0], call.runs.first))
        bucket += 1


cdef void open_text_bag(TextCall* call, Py_ssize_t n_bytes) noexcept nogil:
    cdef Bag* bag = &call.bag
    cdef Py_ssize_t most = n_bytes * call.most_per_byte
    bag.length = 0
    bag.mask, bag.shift = 1, 31
    while <Py_ssize_t>bag.mask < 2 * most:
        bag.mask = 2 * bag.mask + 1
        bag.shift -= 1
    memset(bag.slots, 0, (<size_t>bag.mask + 1) * sizeof(uint32_t))


cdef void expand_text(
    TextCall* call, const unsigned char* text, const unsigned char* stop
) noexcept nogil:
    """Make the bag of a text."""
    cdef Py_ssize_t count = 0
    cdef Scan scan
    open_text_bag(call, stop - text)
    scan.text, scan.stop, scan.word, scan.lowercase = text, stop, call.word, call.lowercase
    while next_token(&scan, call.rule):
        call.hashes_k[count], call.numbers_k[count] = scan.hash, <int32_t>count
        count += 1
        add_word(&call.bag, call, &scan)
    if call.runs.max_length > 1:
        add_runs(
            &call.bag, call.numbers_k, count, call.hashes_k,
            <const Buckets*>call.given.table.data, &call.runs,
        )


cdef inline void add_rows(
    float* sums, const TextCall* call, Py_ssize_t start, Py_ssize_t end, Py_ssize_t first, int width
) noexcept nogil:
    cdef const Rows* rows = &call.given.embedding
    cdef const float* row
    cdef float count
    cdef Py_ssize_t k
    cdef int d
    for d in range(width):
        sums[d] = 0
    for k in range(start, end):
        row = <const float*>(rows.data + call.bag.indices[k] * rows.row_bytes) + first
        count = call.bag.counts[k]
        for d in range(width):
            sums[d] += count * row[d]


cdef inline void add_code_rows(
    float* sums, const TextCall* call, Py_ssize_t start, Py_ssize_t end, Py_ssize_t first, int width
) noexcept nogil:
    # Literal numbers of bits and columns make loops that keep their sums in registers.
    cdef const int32_t* rows_k = call.bag.indices + start
    cdef const float* counts_k = call.bag.counts + start
    cdef const Rows* rows = &call.given.embedding
    cdef const Codes* codes = &call.codes
    cdef Py_ssize_t n_rows = end - start
    if codes.bits == 8:
        add_codes(sums, rows, codes, rows_k, counts_k, n_rows, first, width, 8)
    elif codes.bits == 4 and width == 16:
        add_codes(sums, rows, codes, rows_k, counts_k, n_rows, first, 16, 4)
    elif codes.bits == 4:
        add_codes(sums, rows, codes, rows_k, counts_k, n_rows, first, width, 4)
    elif width == 16:
        add_codes(sums, rows, codes, rows_k, counts_k, n_rows, first, 16, 2)
    else:
        add_codes(sums, rows, codes, rows_k, counts_k, n_rows, first, width, 2)


cdef inline void pool_columns(
    float* out, const TextCall* call, double divisor, Py_ssize_t first, int width
) noexcept nogil:
    """Pool some columns of a bag as the mode mean does: long bags are added up in parts.

    A quotient of float numbers in float64 has, rounded to float, the bits of their quotient there.
    """
    cdef float[POOLED_AT_ONCE] part
    cdef double[POOLED_AT_ONCE] total
    cdef Py_ssize_t k = 0, end
    cdef int d
    for d in range(width):
        total[d] = 0
    while k < call.bag.length:
        end = min(k + LONG_BAG, call.bag.length)
        if call.codes.bits:
            add_code_rows(part, call, k, end, first, width)
        else:
            add_rows(part, call, k, end, first, width)
        for d in range(width):
            total[d] += part[d]
        k = end
    for d in range(width):
        out[first + d] = <float>(total[d] / divisor)


cdef void pool_text(const TextCall* call, Py_ssize_t b) noexcept nogil:
    """Write the mean embedding of the bag, zeros where it is empty."""
    cdef float* out = <float*>(call.results.pooled.data + b * call.results.pooled.row_bytes)
    cdef Py_ssize_t dim = call.results.pooled.dim, first = 0, k
    cdef double total = 0 if call.bag.length else 1
    for k in range(call.bag.length):
        total += call.bag.counts[k]
    total = <float>total
    while first + POOLED_AT_ONCE <= dim:
        pool_columns(out, call, total, first, POOLED_AT_ONCE)
        first += POOLED_AT_ONCE
    if first < dim:
        pool_columns(out, call, total, first, <int>(dim - first))


cdef void answer_all(TextCall* call) noexcept nogil:
    cdef const unsigned char* text = <const unsigned char*>call.given.text.data
    cdef const unsigned char* end = text + call.given.text.count
    cdef const unsigned char* stop
    cdef Py_ssize_t b
    for b in range(call.results.pooled.count):
        stop = <const unsigned char*>memchr(text, b"\n", <size_t>(end - text))
        expand_text(call, text, stop)
        pool_text(call, b)
        score_row(&call.results, b)
        text = stop + 1


cdef void divide_scratch(TextCall* call, Py_ssize_t longest) noexcept nogil:
    # A text has at most as many tokens and letters as bytes.
    cdef Py_ssize_t most = longest * call.most_per_byte
    call.bag.indices = <int32_t*>call.given.scratch.data
    call.bag.counts = <float*>call.bag.indices + most
    call.hashes_k = <uint32_t*>call.bag.counts + most
    call.numbers_k = <int32_t*>call.hashes_k + longest
    call.word = <unsigned char*>(call.numbers_k + longest)
    call.bag.slots = <uint32_t*>call.numbers_k + longest + (longest + 3) // 4


def answer_texts(
    tuple results,    # OUT float32 scores_bl, OUT float32 pooled_bd, coef_dl, intercept_l
    tuple given,      # fields of ModelArrays
    codes,            # fields of Codes; the first is 0 for rows of float
    int rule,
    bint lowercase,
    ngrams,           # longest run, shortest and longest n-gram of characters or 0, buckets
    Py_ssize_t n_words,
    Py_ssize_t most_per_byte,
    Py_ssize_t longest,
    /,
) -> None:
    """Write the mean embeddings of texts and the scores of labels.

    The text is prepared, and each of its parts ends with a newline. The scratch of uint32 has, for
    the `longest` of them with `most` = `longest` * `most_per_byte` columns, 2 `most` + 9 / 4
    `longest` + 1 entries and a power of 2 above 2 `most` more. The GIL is given back for a long
    text.

    Cost: a look-up per word and column, a division per run and n-gram, and the sums.
    """
    cdef TextCall call
    cdef Arrays of_results, of_model
    cdef const char* layout = b"L1w B1 B1 n1 Q1 L2 B2" if codes[0] else b"L1w B1 B1 n1 Q1 L2 f2"
    call.chars = Hashing(max(<Py_ssize_t>ngrams[1], 1), ngrams[2], 0, ngrams[3], NO_BITS)
    call.runs = Hashing(2, ngrams[0], <int32_t>n_words, ngrams[3], NO_BITS)
    call.codes = Codes(codes[0], codes[1], codes[2], codes[3])
    call.rule, call.lowercase, call.most_per_byte = rule, lowercase, most_per_byte
    of_results.count = of_model.count = 0
    try:
        open_arrays(&of_results, <Rows*>&call.results, results, b"f2w f2w f2 f1")
        open_arrays(&of_model, <Rows*>&call.given, given, layout)
        call.words = words_of(
            &call.given.bytes, &call.given.word_offsets, &call.given.slots
        )
        divide_scratch(&call, longest)
        if call.given.text.count <= BYTES_WITH_GIL:
            answer_all(&call)
        else:
            with nogil:
                answer_all(&call)
    finally:
        close_arrays(&of_model)
        close_arrays(&of_results)
