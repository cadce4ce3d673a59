# Scores of labels: products of pooled embeddings with the rows of a linear layer.
#
#     out[b, l] = sum_d pooled[b, d] * coef[d, l] + intercept[l]
#
# The terms are added in the order of d, so that a text has the same bits whichever texts are beside
# it. A product of matrices by BLAS promises no such order: it differs with the number of rows.

cdef enum:
    LABELS_AT_ONCE = 16    # whose sums stay in registers
    TERMS_WITH_GIL = 20000  # take some microseconds: see BYTES_WITH_GIL


cdef struct ScoreArrays:
    Rows scores
    Rows pooled
    Rows coef
    Rows intercept


cdef inline void score_labels(
    const ScoreArrays* given, Py_ssize_t b, Py_ssize_t first, int width
) noexcept nogil:
    cdef float[LABELS_AT_ONCE] sums
    cdef const float* pooled = <const float*>(given.pooled.data + b * given.pooled.row_bytes)
    cdef float* scores = <float*>(given.scores.data + b * given.scores.row_bytes) + first
    cdef const float* coef = <const float*>given.coef.data + first
    cdef Py_ssize_t d
    cdef int k
    for k in range(width):
        sums[k] = 0
    for d in range(given.coef.count):
        for k in range(width):
            sums[k] += pooled[d] * coef[k]
        coef += given.coef.dim
    for k in range(width):
        scores[k] = sums[k] + (<const float*>given.intercept.data)[first + k]


cdef void score_row(const ScoreArrays* given, Py_ssize_t b) noexcept nogil:
    cdef Py_ssize_t first = 0, n_labels = given.intercept.count
    while first + LABELS_AT_ONCE <= n_labels:
        score_labels(given, b, first, LABELS_AT_ONCE)
        first += LABELS_AT_ONCE
    if first < n_labels:
        score_labels(given, b, first, <int>(n_labels - first))


cdef Py_ssize_t likeliest_label(const ScoreArrays* given, Py_ssize_t b) noexcept nogil:
    """Return the place of the largest score as `numpy.argmax` does: the first, or the first NaN."""
    cdef const float* scores = <const float*>(given.scores.data + b * given.scores.row_bytes)
    cdef Py_ssize_t label, best = 0
    for label in range(1, given.scores.dim):
        if scores[best] != scores[best]:
            break
        if not scores[label] <= scores[best]:
            best = label
    return best


def score_rows(
    scores_bl,        # OUT float32
    pooled_bd,        # float32
    coef_dl,          # float32, contiguous
    intercept_l,      # float32
    int num_threads,
    /,
) -> None:
    """Write the scores of labels. Cost: a multiplication for each entry of `coef_dl` and row."""
    cdef ScoreArrays given
    cdef Arrays arrays
    cdef Py_ssize_t b
    open_arrays(
        &arrays, <Rows*>&given, (scores_bl, pooled_bd, coef_dl, intercept_l), b"f2w f2 f2 f1"
    )
    cdef Py_ssize_t n_terms = given.scores.count * given.coef.count * given.coef.dim
    if num_threads == 1 and n_terms <= TERMS_WITH_GIL:
        for b in range(given.scores.count):
            score_row(&given, b)
    else:
        for b in prange(
            given.scores.count, nogil=True, schedule="static", num_threads=num_threads
        ):
            score_row(&given, b)
    close_arrays(&arrays)


cdef struct RankArrays:
    Rows places
    Rows values
    Rows scores


cdef void rank_row(const RankArrays* given, Py_ssize_t b) noexcept nogil:
    """Keep the best so far in order; each score that is among them moves those below it."""
    cdef Py_ssize_t* places = <Py_ssize_t*>(given.places.data + b * given.places.row_bytes)
    cdef uint32_t* best = <uint32_t*>(given.values.data + b * given.values.row_bytes)
    cdef const uint32_t* scores = <const uint32_t*>(given.scores.data + b * given.scores.row_bytes)
    cdef Py_ssize_t most = given.places.dim, count = 0, label, k
    for label in range(given.scores.dim):
        if count == most and scores[label] <= best[most - 1]:
            continue
        k = count if count < most else most - 1
        while k > 0 and scores[label] > best[k - 1]:
            best[k], places[k] = best[k - 1], places[k - 1]
            k -= 1
        best[k], places[k] = scores[label], label
        count += count < most


def rank_rows(
    places_bk,        # OUT intp
    values_bk,        # OUT float32
    scores_bl,        # float32, not negative
    /,
) -> None:
    """Write positions and values of the K largest of each row, of equals the first; 0 < K <= L.

    Floats that are not negative ascend with their bits, by which NaN comes first. Cost: a
    comparison for each entry, and up to K moves for each that is among the largest so far.
    """
    cdef RankArrays given
    cdef Arrays arrays
    cdef Py_ssize_t b
    open_arrays(&arrays, <Rows*>&given, (places_bk, values_bk, scores_bl), b"n2w f2w f2")
    if given.scores.count * given.scores.dim <= TERMS_WITH_GIL:
        for b in range(given.scores.count):
            rank_row(&given, b)
    else:
        with nogil:
            for b in range(given.scores.count):
                rank_row(&given, b)
    close_arrays(&arrays)
