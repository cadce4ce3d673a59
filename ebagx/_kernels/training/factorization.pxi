# Factorization machines in training: pooled factors and their squares take the place of layers.
#
# A row of the table has D factors v for each output k, one output after the other, and then a
# weight u for each output. With the lookups i[j] of a bag and their weights w[j]:
#
#     pooled      s[k, d] = sum_j w[j] * v[i[j], k, d]          p[k] = sum_j w[j] * u[i[j], k]
#     scores      b[k] + p[k] + (sum_d s[k, d]^2 - sum_j (w[j] * v[i[j], k, d])^2) / 2
#     gradient    of v[i, k, d]: sum_j w[j] * (e[k] * s[k, d]) - v[i, k, d] * sum_j w[j]^2 * e[k]
#                 of u[i, k]: sum_j w[j] * e[k]             of b[k]: sum of e[k] over bags
#
# where e is the gradient of the scores, and j in the gradients runs over the lookups of row i.
#
# The squares are subtracted for each d, before the sum over d: so one lookup alone gives exactly
# 0. They cost one product and one sum more where the pooled factors are computed; norms of the
# rows would need a phase and an array of their own. Sums over d have 16 lanes.

cdef extern from "training/factor_ops.h" nogil:
    void pool_squares "ebagx_pool_squares"(
        float*, float*, const char*, Py_ssize_t, const int64_t*, const float*, Py_ssize_t,
        Py_ssize_t, int
    )


cdef inline void pool_squares_of_bag(
    float* out, float* lanes, const TrainCall* call, const Lookups* bag, Py_ssize_t column,
    int width,
) noexcept nogil:
    cdef const Rows* table = &call.trained[call.num_layers].arrays.weights
    pool_squares(
        &out[column], lanes, table.data + column * <Py_ssize_t>sizeof(float), table.row_bytes,
        &(<const int64_t*>call.block.indices.data)[bag.start],
        &(<const float*>call.block.weights.data)[bag.start], bag.end - bag.start,
        bag.last - bag.start, width,
    )


cdef float pool_factors(
    float* out, const TrainCall* call, const Lookups* bag, Py_ssize_t column, Py_ssize_t count
) noexcept nogil:
    # Writes `count` columns of a bag's pooled vector. Returns the sum of their squares, less the
    # squares of each lookup alone.
    cdef Py_ssize_t stop = column + count
    cdef float[LANES] lanes
    cdef int d
    for d in range(LANES):
        lanes[d] = 0
    while column + 16 <= stop:
        pool_squares_of_bag(out, lanes, call, bag, column, 16)
        column += 16
    d = 0
    if column + 8 <= stop:
        pool_squares_of_bag(out, lanes, call, bag, column, 8)
        column += 8
        d = 8
    if column < stop:
        pool_squares_of_bag(out, &lanes[d], call, bag, column, <int>(stop - column))
    return add_lanes(lanes)


cdef void score_bag(
    float* scores, float* pooled, const TrainCall* call, const Lookups* bag
) noexcept nogil:
    # Writes the scores of a bag, 16 numbers apart, and its pooled vector.
    cdef const LayerBuffers* layer = &call.layers[0]
    cdef Py_ssize_t outputs = layer.weights.count, k
    cdef float products
    pool_factors(pooled, call, bag, outputs * call.factors, outputs)
    for k in range(outputs):
        products = pool_factors(pooled, call, bag, k * call.factors, call.factors)
        products = pooled[outputs * call.factors + k] + <float>0.5 * products
        scores[k * STRIP] = products + weights_of(layer.weights, k)[0]


cdef void to_gradient(
    float* pooled, const float* errors, Py_ssize_t factors, Py_ssize_t outputs
) noexcept nogil:
    # Turns the pooled vector of a bag into the gradient that its lookups have in common.
    cdef Py_ssize_t k
    for k in range(outputs):
        multiply_row(&pooled[k * factors], errors[k * STRIP], factors)
        pooled[outputs * factors + k] = errors[k * STRIP]


cdef void factorize_strip(
    const TrainCall* call, Py_ssize_t first, Py_ssize_t count
) noexcept nogil:
    # Writes losses, the gradient of the scores, and the gradient of the pooled vectors.
    cdef const LayerBuffers* layer = &call.layers[0]
    cdef Py_ssize_t outputs = layer.weights.count, lane
    cdef Py_ssize_t place = call.first_batch * call.batch_size + call.first_bag + first
    cdef float* scores = strip_of(layer.errors, outputs, first // STRIP)
    cdef StripBags bags
    cdef Lookups bag
    if count < STRIP:
        clear_floats(scores, outputs * STRIP)
    for lane in range(count):
        bag = lookups_in_batch(call, first + lane)
        score_bag(&scores[lane], <float*>row_address(call.buffers.grad, first + lane), call, &bag)
    bags_of_strip(call, &bags, first, count)
    strip_loss(
        &(<double*>call.buffers.losses.data)[place], scores, &call.targets, &bags, NULL, call.loss,
        call.epsilon, outputs,
    )
    for lane in range(count):
        to_gradient(
            <float*>row_address(call.buffers.grad, first + lane), &scores[lane], call.factors,
            outputs,
        )


cdef void subtract_own_terms(
    float* grad_d, const float* values, const float* grad, const int32_t* bags_j,
    const float* scales_j, Py_ssize_t count, Py_ssize_t factors, Py_ssize_t dim,
) noexcept nogil:
    # Subtracts from the gradient of a row the part of its factors' own squares. The last columns of
    # the gradients of bags are those of their scores.
    cdef Py_ssize_t outputs = dim // (factors + 1), k, j, d
    cdef float total
    for k in range(outputs):
        total = 0
        for j in range(count):
            total += (
                (scales_j[j] * scales_j[j]) * grad[bags_j[j] * dim + outputs * factors + k]
            )
        for d in range(k * factors, (k + 1) * factors):
            grad_d[d] -= total * values[d]
