# Scattering: the gradient of a dense table, straight into it.
#
# Threads share the columns: each adds all lookups, in order, to its columns of their rows. So there
# is nothing to sort, and no bit depends on the number of threads. What comes out has the bits of
# pooling over the transposed bags when the rows start as zeros.

cdef inline void scatter_bag(
    Rows table, const real_t* grad_d, const index_t* indices_k, const real_t* weights_k,
    const Lookups* bag, int mode, Py_ssize_t first, Py_ssize_t last,
) noexcept nogil:
    # Columns [first, last) of one bag.
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


cdef void scatter_columns(
    Rows table, Rows grad, const index_t[::1] indices_k, const index_t[::1] offsets_b,
    const real_t* weights_k, int mode, Py_ssize_t first, Py_ssize_t last,
) noexcept nogil:
    cdef Py_ssize_t b
    cdef Lookups bag
    if first == last:
        return
    for b in range(offsets_b.shape[0] - 1):
        bag = lookups_of_bag(offsets_b, b, indices_k.shape[0])
        scatter_bag(
            table, <const real_t*>row_address(grad, b), &indices_k[0], weights_k, &bag, mode, first,
            last,
        )


def scatter(
    real_t[:, :] table_rd,           # INOUT
    const real_t[:, :] grad_bd,
    const index_t[::1] indices_k,
    const index_t[::1] offsets_b,
    const real_t[::1] weights_k,     # empty: every weight is 1
    int mode,
    int num_threads,
    /,
):
    """Add w / divisor * gradient of the bag to the row of each lookup.

    Cost: one read and write of the row of each lookup.
    """
    cdef Py_ssize_t part, dim = table_rd.shape[1]
    cdef Rows table = rows_of(table_rd), grad = rows_of(grad_bd)
    cdef const real_t* weights = address(weights_k)
    if indices_k.shape[0] == 0 or dim == 0:
        return
    if num_threads == 1:
        with nogil:
            scatter_columns(table, grad, indices_k, offsets_b, weights, mode, 0, dim)
        return
    for part in prange(num_threads, nogil=True, schedule="static", num_threads=num_threads):
        scatter_columns(
            table, grad, indices_k, offsets_b, weights, mode,
            column_start(dim, part, num_threads), column_start(dim, part + 1, num_threads),
        )
