# The gradient with respect to per-sample weights.

cdef void weights_gradient_bag(
    real_t* out_k, const real_t* grad_d, const Rows* table, const index_t* indices_k,
    const real_t* weights_k, const Lookups* bag, int mode, cell_t like,
) noexcept nogil:
    # With c_i = dot(grad, row_i), out_k[i] is, for divisor q,
    #   sum    c_i
    #   mean   (c_i - sum_j(w_j c_j) / q) / q,                q = sum_j(w_j)
    #   sqrtn  (c_i - w_i (sum_j(w_j c_j) / q) / q) / q,      q = sqrt(sum_j(w_j^2))
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


cdef void weights_gradient_unit(
    const Arrays* arrays, index_t index, cell_t cell, real_t real, int mode, Py_ssize_t unit,
    Py_ssize_t units,
) noexcept nogil:
    cdef real_t* out_k = <real_t*>arrays.rows[0].data
    cdef Rows grad = arrays.rows[1]
    cdef const index_t* indices_k = <const index_t*>arrays.rows[3].data
    cdef const index_t* offsets_b = <const index_t*>arrays.rows[4].data
    cdef const real_t* weights_k = <const real_t*>arrays.rows[5].data
    cdef Py_ssize_t num_bags = arrays.rows[4].count - 1
    cdef Py_ssize_t first = unit_start(offsets_b, num_bags, unit, units)
    cdef Py_ssize_t b, stop = unit_start(offsets_b, num_bags, unit + 1, units)
    cdef Lookups bag
    for b in range(first, stop):
        bag = lookups_of_bag(offsets_b, b, arrays.rows[3].count)
        weights_gradient_bag(
            out_k, <const real_t*>row_address(grad, b), &arrays.rows[2], indices_k, weights_k, &bag,
            mode, cell,
        )


cdef void weights_gradient_bags(
    const Arrays* arrays, index_t index, cell_t cell, real_t real, int mode, int num_threads
) noexcept nogil:
    cdef Py_ssize_t unit, units = unit_count(arrays.rows[4].count - 1, num_threads)
    if units == 1:
        weights_gradient_unit(arrays, index, cell, real, mode, 0, 1)
        return
    for unit in prange(units, schedule="dynamic", num_threads=num_threads):
        weights_gradient_unit(arrays, index, cell, real, mode, unit, units)


cdef void weights_gradient_cells(
    const Arrays* arrays, index_t index, int mode, int num_threads
) noexcept nogil:
    if arrays.cell == FLOAT:
        weights_gradient_bags(arrays, index, <float>0, <float>0, mode, num_threads)
    elif arrays.cell == DOUBLE:
        weights_gradient_bags(arrays, index, <double>0, <double>0, mode, num_threads)
    elif arrays.cell == HALF:
        weights_gradient_bags(arrays, index, <uint16_t>0, <float>0, mode, num_threads)
    else:
        weights_gradient_bags(arrays, index, <int16_t>0, <float>0, mode, num_threads)


def weights_gradient(
    out_k,         # OUT
    grad_bd,
    table_rd,
    indices_k,
    offsets_b,
    weights_k,
    int mode,
    int num_threads,
    /,
):
    """Write the gradient of each lookup's weight.

    Cost: one read of each looked-up row.
    """
    cdef Arrays arrays
    open_arrays(
        &arrays, (out_k, grad_bd, table_rd, indices_k, offsets_b, weights_k),
        b"r1w r2 c2 i1 i1 r1",
    )
    with nogil:
        if arrays.rows[3].data == NULL:
            pass
        elif arrays.index == INT32:
            weights_gradient_cells(&arrays, <int32_t>0, mode, num_threads)
        else:
            weights_gradient_cells(&arrays, <int64_t>0, mode, num_threads)
    close_arrays(&arrays)
