# The gradient with respect to per-sample weights.

cdef void weights_gradient_bag(
    real_t* out_k, const real_t* grad_d, Rows table, Py_ssize_t dim, const index_t* indices_k,
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
            out_k[k] = dot(grad_d, <const cell_t*>row_address(table, indices_k[k]), dim)
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
    real_t[::1] out_k, Rows grad, const cell_t[:, :] table_rd, const index_t[::1] indices_k,
    const index_t[::1] offsets_b, const real_t* weights_k, int mode, Py_ssize_t unit,
    Py_ssize_t units,
) noexcept nogil:
    cdef Rows table = rows_of(table_rd)
    cdef Py_ssize_t b
    cdef Lookups bag
    for b in range(unit_start(offsets_b, unit, units), unit_start(offsets_b, unit + 1, units)):
        bag = lookups_of_bag(offsets_b, b, indices_k.shape[0])
        weights_gradient_bag(
            &out_k[0], <const real_t*>row_address(grad, b), table, table_rd.shape[1],
            &indices_k[0], weights_k, &bag, mode, <cell_t>0,
        )


def weights_gradient(
    real_t[::1] out_k,                # OUT
    const real_t[:, :] grad_bd,
    const cell_t[:, :] table_rd,
    const index_t[::1] indices_k,
    const index_t[::1] offsets_b,
    const real_t[::1] weights_k,
    int mode,
    int num_threads,
    /,
):
    """Write the gradient of each lookup's weight.

    Cost: one read of each looked-up row.
    """
    cdef Rows grad = rows_of(grad_bd)
    cdef const real_t* weights = address(weights_k)
    cdef Py_ssize_t unit, units = unit_count(offsets_b.shape[0] - 1, num_threads)
    if cell_t is double and real_t is float:
        return
    elif cell_t is not double and real_t is double:
        return
    else:
        if indices_k.shape[0] == 0:
            return
        if units == 1:
            with nogil:
                weights_gradient_unit(
                    out_k, grad, table_rd, indices_k, offsets_b, weights, mode, 0, 1
                )
            return
        for unit in prange(units, nogil=True, schedule="dynamic", num_threads=num_threads):
            weights_gradient_unit(
                out_k, grad, table_rd, indices_k, offsets_b, weights, mode, unit, units
            )
