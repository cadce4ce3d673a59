# Gradient of maximum and minimum: each column of a bag's gradient goes to the winning row.
#
#     d_table[r, d] = sum_b scale[k] * d_out[b, d]      over the bags b with winners[b, d] = r
#
# extreme.pxi has the forward pass, transpose.pxi the bags of each row.

cdef struct ExtremeGradientCall:
    Rows out
    Rows grad
    Rows winners
    Rows rows
    Rows bags
    Rows row_offsets
    Rows scales


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


cdef Py_ssize_t extreme_gradient_unit(
    const ExtremeGradientCall* call, index_t index, real_t real, Py_ssize_t unit, Py_ssize_t units
) noexcept nogil:
    cdef const index_t* rows_u = <const index_t*>call.rows.data
    cdef const index_t* bags_k = <const index_t*>call.bags.data
    cdef Indices row_offsets_u = indices_from(<const index_t*>call.row_offsets.data)
    cdef const real_t* scales_k = <const real_t*>call.scales.data
    cdef Py_ssize_t first = unit_start(row_offsets_u, call.out.count, unit, units)
    cdef Py_ssize_t u, stop = unit_start(row_offsets_u, call.out.count, unit + 1, units)
    cdef Lookups bag
    for u in range(first, stop):
        bag = lookups_of_bag(row_offsets_u, u, call.bags.count)
        extreme_gradient_row(
            <real_t*>row_address(call.out, u), &call.grad, &call.winners, rows_u[u], bags_k,
            scales_k, &bag,
        )
    return 0


def extreme_gradient(
    out_ud,            # OUT (U, D)
    grad_bd,           # (B, D)
    winners_bd,        # (B, D)
    rows_u,            # (U,)
    bags_k,            # (n,), transposed: the bags of each touched row
    row_offsets_u,     # (U + 1,)
    scales_k,          # (n,), or empty: every scale is 1
    int num_threads,
    /,
):
    """Give each bag's gradient, column by column, to the row that won it.

    Cost: reads the gradient and the winners of each (row, bag) pair once.
    """
    cdef ExtremeGradientCall call
    cdef Arrays arrays
    open_arrays(
        &arrays, <Rows*>&call,
        (out_ud, grad_bd, winners_bd, rows_u, bags_k, row_offsets_u, scales_k),
        b"r2w r2 i2 i1 i1 i1 r1",
    )
    with nogil:
        if call.out.data != NULL:
            share_units(&call, &arrays, unit_count(call.out.count, num_threads), num_threads)
    close_arrays(&arrays)
