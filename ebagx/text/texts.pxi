# Few texts become pooled bags and scores in one call, with the words of a model, and nothing is
# learned. For one text, the arrays of lines.pxi and the calls for them cost ten times as much as
# the text itself. The results have the same bits.

from cpython.bytes cimport PyBytes_AsStringAndSize
from cpython.unicode cimport PyUnicode_AsUTF8AndSize

cdef enum:
    # Some 25 us of `work_of`. To get the GIL back from another thread can take 50 us, and 5 ms:
    # two threads that give it back in each call have .6 times the answers of one for lists of 5 us,
    # 1.1 times for 25 us, 1.5 times for 40.
    WORK_WITH_GIL = 100000
    POOLED_AT_ONCE = 32    # columns whose sums stay in registers
    LONG_BAG = 512         # lookups of one part: see forward/pool.pxi


# The bytes of one of the texts.
cdef struct Text:
    const char* start
    Py_ssize_t length


cdef struct ModelArrays:
    Rows bytes        # the words of the model, and the next two as well: see Words
    Rows word_offsets
    Rows slots
    Rows table        # of buckets
    Rows embedding    # of float, or of codes: see code_rows.pxi
    Rows coef
    Rows intercept


# A result without rows is not wanted.
cdef struct AnswerArrays:
    Rows scratch
    Rows pooled
    Rows scores
    Rows places       # of the largest scores


cdef struct TextCall:
    ModelArrays given
    AnswerArrays results
    ScoreArrays head  # where pooled bags and scores are written to, wanted or not
    const Text* texts
    Py_ssize_t n_texts
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
    cdef float* out = <float*>(call.head.pooled.data + b * call.head.pooled.row_bytes)
    cdef Py_ssize_t dim = call.head.pooled.dim, first = 0, k
    cdef double total = 0 if call.bag.length else 1
    for k in range(call.bag.length):
        total += call.bag.counts[k]
    total = <float>total
    while first + POOLED_AT_ONCE <= dim:
        pool_columns(out, call, total, first, POOLED_AT_ONCE)
        first += POOLED_AT_ONCE
    if first < dim:
        pool_columns(out, call, total, first, <int>(dim - first))


cdef void answer_text(TextCall* call, Py_ssize_t b) noexcept nogil:
    cdef const unsigned char* start = <const unsigned char*>call.texts[b].start
    expand_text(call, start, start + call.texts[b].length)
    pool_text(call, b)
    if call.results.scores.count or call.results.places.count:
        score_row(&call.head, b)
    if call.results.places.count:
        (<Py_ssize_t*>call.results.places.data)[b] = likeliest_label(&call.head, b)


cdef void answer_all(TextCall* call) noexcept nogil:
    cdef Py_ssize_t b
    for b in range(call.n_texts):
        answer_text(call, b)


cdef Rows wanted_or(const Rows* results, void* row) noexcept:
    """Return results or, where they are not wanted, a row for those of each text in turn."""
    cdef Rows rows = results[0]
    if rows.count == 0:
        rows.data = <char*>row
        rows.row_bytes = 0
    return rows


cdef void divide_scratch(TextCall* call, Py_ssize_t longest) noexcept:
    # A text has at most as many tokens and letters as bytes.
    cdef Py_ssize_t most = longest * call.most_per_byte
    call.texts = <const Text*>call.results.scratch.data
    cdef float* row = <float*>(call.texts + call.n_texts)
    call.head.pooled = wanted_or(&call.results.pooled, row)
    row += call.results.pooled.dim
    call.head.scores = wanted_or(&call.results.scores, row)
    row += call.results.scores.dim
    call.bag.indices = <int32_t*>row
    call.bag.counts = row + most
    call.hashes_k = <uint32_t*>call.bag.counts + most
    call.numbers_k = <int32_t*>call.hashes_k + longest
    call.word = <unsigned char*>(call.numbers_k + longest)
    call.bag.slots = <uint32_t*>call.numbers_k + longest + (longest + 3) // 4


cdef Py_ssize_t locate_texts(Text* located, list texts) except -1:
    """Find the bytes of texts; return how many there are."""
    cdef Py_ssize_t b, n_bytes = 0
    for b in range(len(texts)):
        text = texts[b]
        if isinstance(text, bytes):
            PyBytes_AsStringAndSize(text, <char**>&located[b].start, &located[b].length)
        else:
            located[b].start = PyUnicode_AsUTF8AndSize(text, &located[b].length)
        n_bytes += located[b].length
    return n_bytes


cdef inline Py_ssize_t work_of(
    Py_ssize_t n_bytes, const Hashing* chars, const Hashing* runs, Py_ssize_t dim
) noexcept nogil:
    """Return about how many additions texts take, a third of a nanosecond each.

    A character has one n-gram of each length; a word and its look-up take as long as one of them.
    """
    cdef Py_ssize_t lengths = runs.max_length
    if chars.max_length:
        lengths += 1 + chars.max_length - chars.min_length
    return n_bytes * lengths * (64 + dim)


@cython.final
@cython.auto_pickle(False)
cdef class TextReader:
    """The arrays of a model, opened once: to open them takes as long as a short text.

    Parameters
    ----------
    given : tuple of arrays
        The fields of ModelArrays.
    codes : tuple
        The fields of Codes; the first is 0 for rows of float.
    rule, lowercase
        See `number_words`.
    ngrams : tuple of int
        The longest run, the shortest and longest n-gram of characters or 0, buckets.
    n_words : int
        Columns of words, which come first.
    most_per_byte : int
        Bound on the columns for a byte of a text.
    """

    cdef TextCall call
    cdef Arrays opened

    def __cinit__(
        self, tuple given, tuple codes, int rule, bint lowercase, ngrams, Py_ssize_t n_words,
        Py_ssize_t most_per_byte,
    ):
        cdef TextCall* call = &self.call
        cdef const char* layout = b"B1 n1 Q1 L2 B2 f2 f1" if codes[0] else b"B1 n1 Q1 L2 f2 f2 f1"
        open_arrays(&self.opened, <Rows*>&call.given, given, layout)
        call.words = words_of(
            &call.given.bytes, &call.given.word_offsets, &call.given.slots
        )
        call.head.coef, call.head.intercept = call.given.coef, call.given.intercept
        call.chars = Hashing(max(<Py_ssize_t>ngrams[1], 1), ngrams[2], 0, ngrams[3], NO_BITS)
        call.runs = Hashing(2, ngrams[0], <int32_t>n_words, ngrams[3], NO_BITS)
        call.codes = Codes(codes[0], codes[1], codes[2], codes[3])
        call.rule, call.lowercase, call.most_per_byte = rule, lowercase, most_per_byte

    def __dealloc__(self):
        close_arrays(&self.opened)

    def answer(
        self,
        tuple results,    # fields of AnswerArrays: scratch of uint32; OUT float32, float32, intp
        list texts,       # bytes in UTF-8, or str in ASCII
        Py_ssize_t longest,
        /,
    ) -> None:
        """Write the mean embeddings (B, D) of texts, scores (B, L), and places of the largest (B,).

        Results without entries are left out. The texts are prepared, and have at most `longest`
        bytes each. With `most` = `longest` * `most_per_byte` columns, the scratch has 4 B + D + L +
        2 `most` + 9 / 4 `longest` + 1 entries and a power of 2 above 2 `most` more.

        The GIL is given back once, and only if the work is long. Cost: a look-up per word and
        column, a division per run and n-gram, and the sums.
        """
        cdef TextCall call = self.call
        cdef Arrays of_results
        cdef Py_ssize_t work
        open_arrays(&of_results, <Rows*>&call.results, results, b"L1w f2w f2w n1w")
        try:
            call.n_texts = len(texts)
            divide_scratch(&call, longest)
            work = locate_texts(<Text*>call.texts, texts)
            work = work_of(work, &call.chars, &call.runs, call.head.pooled.dim)
            work += call.n_texts * call.head.coef.count * call.head.coef.dim
            if work <= WORK_WITH_GIL:
                answer_all(&call)
            else:
                with nogil:
                    answer_all(&call)
        finally:
            close_arrays(&of_results)
