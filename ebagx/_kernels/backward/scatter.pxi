# Scattering: the kernel adds the gradient of pooling straight to the rows of a dense table.
#
#     table[i[k]] += w[k] / q[b] * d_out[b]      for each lookup k of each bag b
#
# pool.pxi has the forward pass and the divisors q.
#
# Threads share the columns: each adds all lookups, in order, to its columns of their rows. So there
# is nothing to sort, and no bit depends on the number of threads. The result has the bits of
# pooling over the transposed bags when the rows start as zeros.

cdef struct ScatterCall:
    Rows table
    Rows grad
    Rows indices
    Rows offsets
    Rows weights
    int mode


cdef inline void scatter_bag(
    Rows table, const real_t* grad_d, const index_t* indices_k, const real_t* weights_k,
    const Lookups* bag, int mode, Py_ssize_t first, Py_ssize_t last,
) noexcept nogil:
    # Adds columns [first, last) of one bag's gradient.
    cdef Py_ssize_t k, column
    cdef real_t* row
    cdef real_t scale, divisor = divisor_of_bag(weights_k, bag, mode, <real_t>0)
    cdef bint scaled = weights_k != NULL or mode != SUM
    cdef Rows part = table
    cdef int width
    part.data += first * <Py_ssize_t>sizeof(real_t)
    for k in range(bag.start, bag.end):
        prefetch_block(
            part, indices_k[min(k + AHEAD, bag.last)],
            <int>min((last - first) * <Py_ssize_t>sizeof(real_t), 8 * CACHE_LINE),
        )
        row = <real_t*>row_address(table, indices_k[k])
        scale = scale_of(weights_k, k, divisor)
        column = first
        while column < last:
            width = <int>min(last - column, MAX_BLOCK)
            if scaled:
                add_weighted_block(&row[column], &grad_d[column], scale, width)
            else:
                add_block(&row[column], &grad_d[column], width)
            column += width


cdef Py_ssize_t scatter_unit(
    const ScatterCall* call, index_t index, real_t real, Py_ssize_t unit, Py_ssize_t units
) noexcept nogil:
    # A unit is a range of columns.
    cdef const index_t* indices_k = <const index_t*>call.indices.data
    cdef Indices offsets_b = indices_from(<const index_t*>call.offsets.data)
    cdef const real_t* weights_k = <const real_t*>call.weights.data
    cdef Py_ssize_t first = column_start(call.table.dim, unit, units)
    cdef Py_ssize_t b, last = column_start(call.table.dim, unit + 1, units)
    cdef Rows table = call.table, grad = call.grad
    cdef Lookups bag
    if first == last:
        return 0
    for b in range(call.offsets.count - 1):
        bag = lookups_of_bag(offsets_b, b, call.indices.count)
        scatter_bag(
            table, <const real_t*>row_address(grad, b), indices_k, weights_k, &bag, call.mode,
            first, last,
        )
    return 0


def scatter(
    table_rd,          # INOUT (N, D)
    grad_bd,           # (B, D)
    indices_k,         # (n,)
    offsets_b,         # (B + 1,)
    weights_k,         # (n,), or empty: every weight is 1
    int mode,
    int num_threads,
    /,
):
    """Add w / divisor * gradient of the bag to the row of each lookup.

    Cost: one read and write of the row of each lookup.
    """
    cdef ScatterCall call
    cdef Arrays arrays
    open_arrays(
        &arrays, <Rows*>&call, (table_rd, grad_bd, indices_k, offsets_b, weights_k),
        b"r2w r2 i1 i1 r1",
    )
    call.mode = mode
    with nogil:
        if call.table.data != NULL and call.indices.data != NULL:
            share_units(&call, &arrays, num_threads, num_threads)
    close_arrays(&arrays)
