# The loss "softmax" of training on pairs: all pairs of a batch are compared with the same K items,
# which were drawn for the batch.
#
#     logit       s_p - log(K q_p) of the pair's item, s_n - log(K q_n) of the items drawn that the
#                 user has not; q is the probability of an item in a draw
#     loss        strength * (log(sum of exp(logits)) - logit of p)
#
# The gradient of a drawn item is a sum over the pairs of the batch. It is written behind the
# vectors of the pairs, and the item has one lookup, which refers to it: a lookup for each pair
# would be K times as many to sort.

cdef extern from "training/pair_ops.h" nogil:
    # own and others become the loss's derivatives
    # out += the sum of k rows, times scales that lie so many numbers apart
    void add_scaled_rows "ebagx_add_scaled_rows"(
        float* out, const float* rows, Py_ssize_t row, const float* scales, Py_ssize_t step,
        Py_ssize_t count, Py_ssize_t dim,
    )
    float pair_softmax "ebagx_pair_softmax"(float* own, float* others, float, Py_ssize_t)

cdef enum:
    UNIT_DRAWN = 16  # drawn items of one unit


cdef inline Py_ssize_t floats_apart(Rows rows) noexcept nogil:
    return rows.row_bytes // <Py_ssize_t>sizeof(float)


cdef inline const int32_t* drawn_items(const PairCall* call) noexcept nogil:
    # Returns the items drawn for the batch, which ascend.
    return <const int32_t*>row_address(call.sampling.drawn, call.batch)


cdef void shift_logits(const PairCall* call, Py_ssize_t r, Py_ssize_t user) noexcept nogil:
    # Writes what a run's scores lose: log(K q), or all if the user has the item.
    cdef Indices items = Indices(call.data.items.data, call.long_data)
    cdef Indices offsets = Indices(call.data.offsets.data, call.long_data)
    cdef const int32_t* drawn_k = drawn_items(call)
    cdef float* shifts_k = <float*>row_address(call.items.shifts, r)
    cdef Py_ssize_t n = call.data.items.count, place = clamped(index_at(offsets, user), n)
    cdef Py_ssize_t stop = clamped(index_at(offsets, user + 1), n), k
    for k in range(call.sampling.drawn.dim):
        while place < stop and index_at(items, place) < drawn_k[k]:
            place += 1
        if place < stop and index_at(items, place) == drawn_k[k]:
            shifts_k[k] = INFINITY
        else:
            shifts_k[k] = (<const float*>row_address(call.sampling.shifts, drawn_k[k]))[0]


cdef inline float differentiate_softmax(
    const PairCall* call, Py_ssize_t b, Py_ssize_t r, Py_ssize_t item, float own, float strength
) noexcept nogil:
    # Returns the loss of a pair, and writes its derivatives by the scores.
    cdef float* coefficients = <float*>row_address(call.buffers.coefficients, b)
    cdef const float* vector = <const float*>row_address(call.buffers.vectors, b)
    cdef const float* shifts_k = <const float*>row_address(call.items.shifts, r)
    cdef Py_ssize_t count = call.sampling.drawn.dim, dim = call.buffers.pooled.dim, k
    coefficients[0] = own - (<const float*>row_address(call.sampling.shifts, item))[0]
    for k in range(count):
        coefficients[1 + k] = score_of(
            vector, <const float*>row_address(call.items.catalogue, k), dim
        ) - shifts_k[k]
    return pair_softmax(coefficients, coefficients + 1, strength, count)


cdef inline void write_softmax_gradient(
    const PairCall* call, Py_ssize_t b, const float* own, float divisor
) noexcept nogil:
    # Writes the gradient of the user's pooled vector.
    cdef const float* coefficients = <const float*>row_address(call.buffers.coefficients, b)
    cdef float* grad_d = <float*>row_address(call.buffers.gradients, b)
    cdef Py_ssize_t dim = call.buffers.gradients.dim
    scaled_row(grad_d, own, coefficients[0], dim)
    add_scaled_rows(
        grad_d, <const float*>call.items.catalogue.data, floats_apart(call.items.catalogue),
        coefficients + 1, 1, call.sampling.drawn.dim, dim,
    )
    if divisor != 1:
        divide_row(grad_d, divisor, dim)


cdef void sum_drawn_unit(const PairCall* call, Py_ssize_t first) noexcept nogil:
    # Adds up the gradients of some drawn items, behind the vectors of all pairs.
    cdef Rows vectors = call.buffers.vectors, coefficients = call.buffers.coefficients
    cdef const float* scales_b = <const float*>coefficients.data + 1
    cdef float* sum_d
    cdef Py_ssize_t k
    for k in range(first, min(first + UNIT_DRAWN, call.sampling.drawn.dim)):
        sum_d = <float*>row_address(vectors, call.num_pairs + k)
        clear_floats(sum_d, vectors.dim)
        add_scaled_rows(
            sum_d, <const float*>vectors.data, floats_apart(vectors), scales_b + k,
            floats_apart(coefficients), call.num_pairs, vectors.dim,
        )
