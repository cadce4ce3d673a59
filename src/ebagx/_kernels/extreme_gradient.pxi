# The gradient of max and min: each column of a bag's goes to the row that won it.

cdef void extreme_gradient_row(
    real_t* out_d, Rows grad, Rows winners, index_t row, const index_t* bags_k,
    const real_t* scales_k, Py_ssize_t start, Py_ssize_t end, Py_ssize_t dim,
) noexcept nogil:
    cdef const real_t* grad_d
    cdef const index_t* winner_d
    cdef real_t scale
    cdef Py_ssize_t d, k
    for d in range(dim):
        out_d[d] = 0
    for k in range(start, end):
        # A row that a bag holds twice still wins it once.
        if k > start and bags_k[k] == bags_k[k - 1]:
            continue
        grad_d = <const real_t*>row_address(grad, bags_k[k])
        winner_d = <const index_t*>row_address(winners, bags_k[k])
        scale = scales_k[k] if scales_k != NULL else <real_t>1
        for d in range(dim):
            out_d[d] += scale * grad_d[d] if winner_d[d] == row else <real_t>0


cdef void extreme_gradient_unit(
    real_t[:, :] out_ud, Rows grad, Rows winners, const index_t[::1] rows_u,
    const index_t[::1] bags_k, const index_t[::1] row_offsets_u, const real_t* scales_k,
    Py_ssize_t unit, Py_ssize_t units,
) noexcept nogil:
    cdef Py_ssize_t u
    cdef Lookups bag
    for u in range(
        unit_start(row_offsets_u, unit, units), unit_start(row_offsets_u, unit + 1, units)
    ):
        bag = lookups_of_bag(row_offsets_u, u, bags_k.shape[0])
        extreme_gradient_row(
            &out_ud[u, 0], grad, winners, rows_u[u], address(bags_k), scales_k,
            bag.start, bag.end, out_ud.shape[1],
        )


def extreme_gradient(
    real_t[:, :] out_ud,               # OUT
    const real_t[:, :] grad_bd,
    const index_t[:, :] winners_bd,
    const index_t[::1] rows_u,
    const index_t[::1] bags_k,           # transposed: the bags of each touched row
    const index_t[::1] row_offsets_u,
    const real_t[::1] scales_k,          # empty: every scale is 1
    int num_threads,
    /,
):
    """Give each bag's gradient, column by column, to the row that won it.

    Cost: reads the gradient and the winners of each (row, bag) pair once.
    """
    cdef Rows grad = rows_of(grad_bd)
    cdef Rows winners
    cdef const real_t* scales = address(scales_k)
    cdef Py_ssize_t unit, units = unit_count(rows_u.shape[0], num_threads)
    if out_ud.shape[0] == 0 or out_ud.shape[1] == 0:
        return
    winners.count = winners_bd.shape[0]
    winners.row_bytes = winners_bd.strides[0]
    winners.data = <const char*>&winners_bd[0, 0]
    if units == 1:
        with nogil:
            extreme_gradient_unit(
                out_ud, grad, winners, rows_u, bags_k, row_offsets_u, scales, 0, 1
            )
        return
    for unit in prange(units, nogil=True, schedule="dynamic", num_threads=num_threads):
        extreme_gradient_unit(
            out_ud, grad, winners, rows_u, bags_k, row_offsets_u, scales, unit, units
        )
