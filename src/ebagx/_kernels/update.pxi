# Row updates of the optimizers: only the touched rows are read or written.

cdef inline void adagrad_row(
    cell_t* weight_d, real_t* squares_d, const real_t* grad_d, Py_ssize_t dim,
    real_t learning_rate, real_t eps,
) noexcept nogil:
    cdef Py_ssize_t d
    cdef real_t step
    for d in range(dim):
        squares_d[d] += grad_d[d] * grad_d[d]
        step = learning_rate * grad_d[d] / (<real_t>sqrt(squares_d[d]) + eps)
        store(&weight_d[d], value_of(weight_d[d], step) - step)


def adagrad(
    cell_t[:, :] table_rd,           # INOUT
    real_t[:, :] squares_rd,         # INOUT, sums of squared gradients
    const index_t[::1] rows_u,       # unique
    const real_t[:, ::1] grad_ud,
    double learning_rate,
    double eps,
    int num_threads,
):
    """Take one Adagrad step on the rows of a gradient.

    Cost: one read and write of each touched row and of its squares.
    """
    cdef Rows table, squares
    cdef Py_ssize_t u, dim = table_rd.shape[1]
    if cell_t is double and real_t is float:
        return
    elif cell_t is not double and real_t is double:
        return
    else:
        if dim == 0:
            return
        table = rows_of(table_rd)
        squares = rows_of(squares_rd)
        for u in prange(rows_u.shape[0], nogil=True, schedule="static", num_threads=num_threads):
            adagrad_row(
                <cell_t*>row_address(table, rows_u[u]), <real_t*>row_address(squares, rows_u[u]),
                &grad_ud[u, 0], dim, <real_t>learning_rate, <real_t>eps,
            )
