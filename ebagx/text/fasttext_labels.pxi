# Scores of the labels of a fastText model: products with the rows of its output table, or a walk
# through a tree of labels.

cdef enum:
    MOST_GUARDED = 16  # labels that are asked for, so that branches without them are left out


cdef struct RowScoreArrays:
    Rows scores
    Rows pooled


def score_fasttext_rows(
    scores_bl,        # OUT float32
    pooled_bd,        # float32
    tuple matrix,     # fields of Matrix, then its step
    int num_threads,
    /,
) -> None:
    """Write the products of pooled lines with all rows. Cost: a read of all rows for each line."""
    cdef RowScoreArrays given
    cdef Matrix rows
    cdef Arrays arrays, of_matrix
    cdef Py_ssize_t b, label
    cdef float* scores
    cdef const float* pooled
    arrays.count = of_matrix.count = 0
    try:
        open_arrays(&arrays, <Rows*>&given, (scores_bl, pooled_bd), b"f2w f2")
        open_arrays(&of_matrix, <Rows*>&rows, matrix[:5], MATRIX_LAYOUT)
        rows.step = matrix[5]
        for b in prange(
            given.scores.count, nogil=True, schedule="static", num_threads=num_threads
        ):
            scores = <float*>(given.scores.data + b * given.scores.row_bytes)
            pooled = <const float*>(given.pooled.data + b * given.pooled.row_bytes)
            for label in range(given.scores.dim):
                scores[label] = multiply_row(&rows, label, pooled, given.pooled.dim)
    finally:
        close_arrays(&of_matrix)
        close_arrays(&arrays)


cdef struct WalkArrays:
    Rows scores
    Rows pooled
    Rows children
    Rows scratch


# A branch that is still to be walked.
cdef struct Branch:
    int32_t node
    float score


# The scores of the best labels so far, best first: a branch below the last of them is left out.
cdef struct Guard:
    float[MOST_GUARDED] scores
    Py_ssize_t count
    Py_ssize_t k          # 0 keeps nothing


cdef struct Walk:
    const Matrix* matrix
    const float* pooled
    float* scores
    float least
    Branch* branches
    Py_ssize_t n_branches
    Guard best


cdef inline float log_of(float x) noexcept nogil:
    return <float>log(x + 1e-5)


cdef inline bint is_out(const Walk* walk, float score) noexcept nogil:
    cdef const Guard* best = &walk.best
    if not score >= walk.least:  # or if it is not a number
        return True
    return best.k > 0 and best.count == best.k and score < best.scores[best.k - 1]


cdef void keep_best(Guard* best, float score) noexcept nogil:
    cdef Py_ssize_t place
    if best.k == 0:
        return
    if best.count < best.k:
        best.count += 1
    elif score <= best.scores[best.k - 1]:
        return
    place = best.count - 1
    while place > 0 and best.scores[place - 1] < score:
        best.scores[place] = best.scores[place - 1]
        place -= 1
    best.scores[place] = score


cdef void walk_tree(Walk* walk, const WalkArrays* given, Py_ssize_t n_labels) noexcept nogil:
    """Write the scores of the labels that are reached, from the root on, left branches first."""
    cdef Branch branch
    cdef const int32_t* children
    cdef float right
    walk.branches[0] = Branch(<int32_t>(2 * n_labels - 2), 0)
    walk.n_branches = 1
    while walk.n_branches:
        walk.n_branches -= 1
        branch = walk.branches[walk.n_branches]
        if is_out(walk, branch.score):
            continue
        if branch.node < n_labels:
            walk.scores[branch.node] = branch.score
            keep_best(&walk.best, branch.score)
            continue
        branch.node -= <int32_t>n_labels
        right = multiply_row(walk.matrix, branch.node, walk.pooled, given.pooled.dim)
        right = <float>(1.0 / (1.0 + expf(-right)))
        children = <const int32_t*>(given.children.data + branch.node * given.children.row_bytes)
        walk.branches[walk.n_branches] = Branch(children[1], branch.score + log_of(right))
        walk.branches[walk.n_branches + 1] = Branch(
            children[0], branch.score + log_of(<float>(1.0 - right))
        )
        walk.n_branches += 2


cdef void walk_line(
    const WalkArrays* given, const Matrix* matrix, Py_ssize_t k, Py_ssize_t b, Py_ssize_t thread
) noexcept nogil:
    cdef Walk walk
    cdef Py_ssize_t label
    walk.matrix = matrix
    walk.pooled = <const float*>(given.pooled.data + b * given.pooled.row_bytes)
    walk.scores = <float*>(given.scores.data + b * given.scores.row_bytes)
    walk.branches = <Branch*>(given.scratch.data + thread * given.scratch.row_bytes)
    walk.least = log_of(0)
    walk.best.count = 0
    walk.best.k = k if 0 < k <= MOST_GUARDED else 0
    for label in range(given.scores.dim):
        walk.scores[label] = -INFINITY
    walk_tree(&walk, given, given.scores.dim)


def walk_fasttext_tree(
    tuple results,    # OUT float32 scores_bl; pooled_bd; int32 children_n2; scratch of uint32
    tuple matrix,     # fields of Matrix, then its step
    Py_ssize_t k,
    int num_threads,
    /,
) -> None:
    """Write the logarithms of the probabilities of labels, -inf for those that are not reached.

    Labels under about 1e-5 are not, nor with a positive `k`, up to 16, some of those that are not
    among the `k` likeliest. The tree is that of `join_labels`. A thread has a row of the scratch,
    of two entries for each label and two more. Cost: at most a read of all rows for each line.
    """
    cdef WalkArrays given
    cdef Matrix rows
    cdef Arrays arrays, of_matrix
    cdef Py_ssize_t b
    arrays.count = of_matrix.count = 0
    try:
        open_arrays(&arrays, <Rows*>&given, results, b"f2w f2 l2 L2w")
        open_arrays(&of_matrix, <Rows*>&rows, matrix[:5], MATRIX_LAYOUT)
        rows.step = matrix[5]
        for b in prange(
            given.scores.count, nogil=True, schedule="dynamic", chunksize=LINES_AT_ONCE,
            num_threads=num_threads,
        ):
            walk_line(&given, &rows, k, b, threadid())
    finally:
        close_arrays(&of_matrix)
        close_arrays(&arrays)
