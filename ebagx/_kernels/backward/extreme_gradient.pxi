# The gradient of max and min: each column of a bag's goes to the row that won it.

cdef void extreme_gradient_row(
    real_t* out_d, const Rows* grad, const Rows* winners, index_t row, const index_t* bags_k,
    const real_t* scales_k, const Lookups* bag,
) noexcept nogil:
    cdef const real_t* grad_d
    cdef const index_t* winner_d
    cdef real_t scale
    cdef Py_ssize_t d, k, dim = grad.dim
    for d in range(dim):
        out_d[d] = 0
    for k in range(bag.start, bag.end):
        # A row that a bag holds twice still wins it once.
        if k > bag.start and bags_k[k] == bags_k[k - 1]:
            continue
        grad_d = <const real_t*>row_address(grad[0], bags_k[k])
        winner_d = <const index_t*>row_address(winners[0], bags_k[k])
        scale = scales_k[k] if scales_k != NULL else <real_t>1
        for d in range(dim):
            out_d[d] += scale * grad_d[d] if winner_d[d] == row else <real_t>0


cdef void extreme_gradient_unit(
    const Arrays* arrays, index_t index, real_t real, Py_ssize_t unit, Py_ssize_t units
) noexcept nogil:
    cdef const Rows* out = &arrays.rows[0]
    cdef const index_t* rows_u = <const index_t*>arrays.rows[3].data
    cdef const index_t* bags_k = <const index_t*>arrays.rows[4].data
    cdef const index_t* row_offsets_u = <const index_t*>arrays.rows[5].data
    cdef const real_t* scales_k = <const real_t*>arrays.rows[6].data
    cdef Py_ssize_t first = unit_start(row_offsets_u, out.count, unit, units)
    cdef Py_ssize_t u, stop = unit_start(row_offsets_u, out.count, unit + 1, units)
    cdef Lookups bag
    for u in range(first, stop):
        bag = lookups_of_bag(row_offsets_u, u, arrays.rows[4].count)
        extreme_gradient_row(
            <real_t*>row_address(out[0], u), &arrays.rows[1], &arrays.rows[2], rows_u[u], bags_k,
            scales_k, &bag,
        )


cdef void extreme_gradient_rows(
    const Arrays* arrays, index_t index, real_t real, int num_threads
) noexcept nogil:
    cdef Py_ssize_t unit, units = unit_count(arrays.rows[0].count, num_threads)
    if units == 1:
        extreme_gradient_unit(arrays, index, real, 0, 1)
        return
    for unit in prange(units, schedule="dynamic", num_threads=num_threads):
        extreme_gradient_unit(arrays, index, real, unit, units)


cdef void extreme_gradient_reals(
    const Arrays* arrays, index_t index, int num_threads
) noexcept nogil:
    if arrays.real == FLOAT:
        extreme_gradient_rows(arrays, index, <float>0, num_threads)
    else:
        extreme_gradient_rows(arrays, index, <double>0, num_threads)


def extreme_gradient(
    out_ud,            # OUT
    grad_bd,
    winners_bd,
    rows_u,
    bags_k,            # transposed: the bags of each touched row
    row_offsets_u,
    scales_k,          # empty: every scale is 1
    int num_threads,
    /,
):
    """Give each bag's gradient, column by column, to the row that won it.

    Cost: reads the gradient and the winners of each (row, bag) pair once.
    """
    cdef Arrays arrays
    open_arrays(
        &arrays, (out_ud, grad_bd, winners_bd, rows_u, bags_k, row_offsets_u, scales_k),
        b"r2w r2 i2 i1 i1 i1 r1",
    )
    with nogil:
        if arrays.rows[0].data == NULL:
            pass
        elif arrays.index == INT32:
            extreme_gradient_reals(&arrays, <int32_t>0, num_threads)
        else:
            extreme_gradient_reals(&arrays, <int64_t>0, num_threads)
    close_arrays(&arrays)
