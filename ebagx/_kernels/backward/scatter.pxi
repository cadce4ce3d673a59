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
    const Arrays* arrays, index_t index, real_t real, int mode, Py_ssize_t first, Py_ssize_t last
) noexcept nogil:
    cdef const index_t* indices_k = <const index_t*>arrays.rows[2].data
    cdef const index_t* offsets_b = <const index_t*>arrays.rows[3].data
    cdef const real_t* weights_k = <const real_t*>arrays.rows[4].data
    cdef Rows table = arrays.rows[0], grad = arrays.rows[1]
    cdef Py_ssize_t b
    cdef Lookups bag
    if first == last:
        return
    for b in range(arrays.rows[3].count - 1):
        bag = lookups_of_bag(offsets_b, b, arrays.rows[2].count)
        scatter_bag(
            table, <const real_t*>row_address(grad, b), indices_k, weights_k, &bag, mode, first,
            last,
        )


cdef void scatter_bags(
    const Arrays* arrays, index_t index, real_t real, int mode, int num_threads
) noexcept nogil:
    cdef Py_ssize_t part, dim = arrays.rows[0].dim
    if num_threads == 1:
        scatter_columns(arrays, index, real, mode, 0, dim)
        return
    for part in prange(num_threads, schedule="static", num_threads=num_threads):
        scatter_columns(
            arrays, index, real, mode, column_start(dim, part, num_threads),
            column_start(dim, part + 1, num_threads),
        )


cdef void scatter_reals(
    const Arrays* arrays, index_t index, int mode, int num_threads
) noexcept nogil:
    if arrays.real == FLOAT:
        scatter_bags(arrays, index, <float>0, mode, num_threads)
    else:
        scatter_bags(arrays, index, <double>0, mode, num_threads)


def scatter(
    table_rd,      # INOUT
    grad_bd,
    indices_k,
    offsets_b,
    weights_k,     # empty: every weight is 1
    int mode,
    int num_threads,
    /,
):
    """Add w / divisor * gradient of the bag to the row of each lookup.

    Cost: one read and write of the row of each lookup.
    """
    cdef Arrays arrays
    open_arrays(&arrays, (table_rd, grad_bd, indices_k, offsets_b, weights_k), b"r2w r2 i1 i1 r1")
    with nogil:
        if arrays.rows[0].data == NULL or arrays.rows[2].data == NULL:
            pass
        elif arrays.index == INT32:
            scatter_reals(&arrays, <int32_t>0, mode, num_threads)
        else:
            scatter_reals(&arrays, <int64_t>0, mode, num_threads)
    close_arrays(&arrays)
