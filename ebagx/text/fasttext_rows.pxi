# Rows of fastText's tables are float32, or product-quantised: a row of M codes is M parts of `step`
# columns, the last of which may be shorter, and code c of part m stands for one of 256 centroids.
# All columns of a row are multiplied by a norm, which has a code of its own, if there are norms.
#
#     row[m * step + j] = norms[norm_codes[row]] * centroids[m, codes[row, m], j]
#
# Sums and products have fastText's order and roundings, so that probabilities have its digits.

cdef enum:
    CODES = 256


cdef struct Matrix:
    Rows dense        # (N, D) float32, or without rows
    Rows codes        # (N, M) uint8, or without rows
    Rows centroids    # float32: (256, step) for each part, one after the other
    Rows norm_codes   # (N,) uint8, or empty
    Rows norms        # (256,) float32
    Py_ssize_t step


cdef char* MATRIX_LAYOUT = b"f2 B2 f1 B1 f1"


cdef inline float norm_of(const Matrix* matrix, Py_ssize_t row) noexcept nogil:
    if not matrix.norm_codes.count:
        return 1
    return (<const float*>matrix.norms.data)[(<const uint8_t*>matrix.norm_codes.data)[row]]


cdef inline const float* centroid_of(
    const Matrix* matrix, const uint8_t* codes, Py_ssize_t part, Py_ssize_t width
) noexcept nogil:
    """Return the centroid of a row's code for a part that is `width` columns wide."""
    cdef const float* first = <const float*>matrix.centroids.data + part * CODES * matrix.step
    return first + codes[part] * width


cdef inline const uint8_t* codes_of(const Matrix* matrix, Py_ssize_t row) noexcept nogil:
    return <const uint8_t*>(matrix.codes.data + row * matrix.codes.row_bytes)


cdef inline void add_parts(
    float* sums, const Matrix* matrix, Py_ssize_t row, Py_ssize_t n_parts, int step
) noexcept nogil:
    cdef const uint8_t* codes = codes_of(matrix, row)
    cdef const float* centroid
    cdef float norm = norm_of(matrix, row)
    cdef Py_ssize_t part
    cdef int j
    for part in range(n_parts):
        centroid = centroid_of(matrix, codes, part, step)
        for j in range(step):
            sums[part * step + j] += norm * centroid[j]


cdef inline void add_last_part(
    float* sums, const Matrix* matrix, Py_ssize_t row, Py_ssize_t first, Py_ssize_t width
) noexcept nogil:
    cdef Py_ssize_t part = matrix.codes.dim - 1, j
    cdef const float* centroid = centroid_of(matrix, codes_of(matrix, row), part, width)
    cdef float norm = norm_of(matrix, row)
    for j in range(width):
        sums[first + j] += norm * centroid[j]


cdef void add_coded_rows(
    float* sums, const Matrix* matrix, const int32_t* rows_k, Py_ssize_t count, Py_ssize_t dim
) noexcept nogil:
    cdef Py_ssize_t whole = dim // matrix.step, first = whole * matrix.step, k
    for k in range(count):
        if matrix.step == 2:  # fastText's own, with which a loop of two turns is none
            add_parts(sums, matrix, rows_k[k], whole, 2)
        else:
            add_parts(sums, matrix, rows_k[k], whole, <int>matrix.step)
        if first < dim:
            add_last_part(sums, matrix, rows_k[k], first, dim - first)


cdef inline void add_columns(
    float* out, const Rows* rows, const int32_t* rows_k, Py_ssize_t count, Py_ssize_t first,
    int width,
) noexcept nogil:
    cdef float[POOLED_AT_ONCE] sums
    cdef const float* row
    cdef Py_ssize_t k
    cdef int d
    for d in range(width):
        sums[d] = out[first + d]
    for k in range(count):
        row = <const float*>(rows.data + rows_k[k] * rows.row_bytes) + first
        for d in range(width):
            sums[d] += row[d]
    for d in range(width):
        out[first + d] = sums[d]


cdef void add_table_rows(
    float* sums, const Matrix* matrix, const int32_t* rows_k, Py_ssize_t count, Py_ssize_t dim
) noexcept nogil:
    """Add some rows, one after the other, to `sums`. Cost: a read of each."""
    cdef Py_ssize_t first = 0
    if matrix.codes.count:
        add_coded_rows(sums, matrix, rows_k, count, dim)
        return
    while first + POOLED_AT_ONCE <= dim:
        add_columns(sums, &matrix.dense, rows_k, count, first, POOLED_AT_ONCE)
        first += POOLED_AT_ONCE
    if first + 16 <= dim:
        add_columns(sums, &matrix.dense, rows_k, count, first, 16)
        first += 16
    if first < dim:
        add_columns(sums, &matrix.dense, rows_k, count, first, <int>(dim - first))


cdef float multiply_coded_row(
    const Matrix* matrix, Py_ssize_t row, const float* vector, Py_ssize_t dim
) noexcept nogil:
    cdef const uint8_t* codes = codes_of(matrix, row)
    cdef const float* centroid
    cdef Py_ssize_t part, first, width, j
    cdef float product = 0
    for part in range(matrix.codes.dim):
        first = part * matrix.step
        width = min(matrix.step, dim - first)
        centroid = centroid_of(matrix, codes, part, width)
        for j in range(width):
            product += vector[first + j] * centroid[j]
    return product * norm_of(matrix, row)


cdef float multiply_row(
    const Matrix* matrix, Py_ssize_t row, const float* vector, Py_ssize_t dim
) noexcept nogil:
    """Return the scalar product of a row and a vector, added up in the order of columns."""
    cdef const float* cells = <const float*>(matrix.dense.data + row * matrix.dense.row_bytes)
    cdef float product = 0
    cdef Py_ssize_t d
    if matrix.codes.count:
        return multiply_coded_row(matrix, row, vector, dim)
    for d in range(dim):
        product += cells[d] * vector[d]
    return product
