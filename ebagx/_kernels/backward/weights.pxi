# Gradient of the weights: the kernel writes the derivative of the loss by each lookup's weight.
#
# With c[k] = dot(d_out[b], table[i[k]]) and the divisor q of bag b, d_w[k] is
#
#     sum      c[k]
#     mean     (c[k] - sum_j(w[j] c[j]) / q) / q,              q = sum_j(w[j])
#     sqrtn    (c[k] - w[k] (sum_j(w[j] c[j]) / q) / q) / q,   q = sqrt(sum_j(w[j]^2))
#
# and 0 where q = 0. pool.pxi has the forward pass.

cdef struct WeightsGradientCall:
    Rows out
    Rows grad
    Rows table
    Rows indices
    Rows offsets
    Rows weights
    int mode


cdef void weights_gradient_bag(
    real_t* out_k, const real_t* grad_d, const Rows* table, const index_t* indices_k,
    const real_t* weights_k, const Lookups* bag, int mode, cell_t like,
) noexcept nogil:
    cdef Py_ssize_t k
    cdef double pooled = 0
    cdef real_t shared, divisor = divisor_of_bag(weights_k, bag, mode, <real_t>0)
    for k in range(bag.start, bag.end):
        out_k[k] = 0
        if divisor != 0:
            out_k[k] = dot(grad_d, <const cell_t*>row_address(table[0], indices_k[k]), table.dim)
            pooled += <double>weights_k[k] * <double>out_k[k]
    if mode == SUM or divisor == 0:
        return
    shared = <real_t>(pooled / divisor)
    for k in range(bag.start, bag.end):
        if mode == MEAN:
            out_k[k] = (out_k[k] - shared) / divisor
        else:
            out_k[k] = (out_k[k] - weights_k[k] * (shared / divisor)) / divisor


cdef Py_ssize_t weights_gradient_unit(
    const WeightsGradientCall* call, index_t index, cell_t cell, real_t real, Py_ssize_t unit,
    Py_ssize_t units,
) noexcept nogil:
    cdef real_t* out_k = <real_t*>call.out.data
    cdef const index_t* indices_k = <const index_t*>call.indices.data
    cdef Indices offsets_b = indices_from(<const index_t*>call.offsets.data)
    cdef const real_t* weights_k = <const real_t*>call.weights.data
    cdef Py_ssize_t num_bags = call.offsets.count - 1
    cdef Py_ssize_t first = unit_start(offsets_b, num_bags, unit, units)
    cdef Py_ssize_t b, stop = unit_start(offsets_b, num_bags, unit + 1, units)
    cdef Lookups bag
    for b in range(first, stop):
        bag = lookups_of_bag(offsets_b, b, call.indices.count)
        weights_gradient_bag(
            out_k, <const real_t*>row_address(call.grad, b), &call.table, indices_k, weights_k,
            &bag, call.mode, cell,
        )
    return 0


def weights_gradient(
    out_k,             # OUT (n,)
    grad_bd,           # (B, D)
    table_rd,          # (N, D)
    indices_k,         # (n,)
    offsets_b,         # (B + 1,)
    weights_k,         # (n,)
    int mode,
    int num_threads,
    /,
):
    """Write the gradient of each lookup's weight.

    Cost: one read of each looked-up row.
    """
    cdef WeightsGradientCall call
    cdef Arrays arrays
    open_arrays(
        &arrays, <Rows*>&call, (out_k, grad_bd, table_rd, indices_k, offsets_b, weights_k),
        b"r1w r2 c2 i1 i1 r1",
    )
    call.mode = mode
    with nogil:
        if call.indices.data != NULL:
            share_units(
                &call, &arrays, unit_count(call.offsets.count - 1, num_threads), num_threads
            )
    close_arrays(&arrays)
