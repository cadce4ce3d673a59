# Row updates of the optimizers: only the touched rows are read or written.

cdef extern from "row_ops.h" nogil:
    void adagrad_f32 "ebagx_adagrad_f32"(
        float*, float*, const float*, float, float, Py_ssize_t
    )
    void adagrad_f64 "ebagx_adagrad_f64"(
        double*, double*, const double*, double, double, Py_ssize_t
    )
    void adagrad_f16 "ebagx_adagrad_f16"(
        uint16_t*, float*, const float*, float, float, Py_ssize_t
    )
    void adagrad_bf16 "ebagx_adagrad_bf16"(
        int16_t*, float*, const float*, float, float, Py_ssize_t
    )


cdef inline void adagrad_row(
    cell_t* row, real_t* squares_d, const real_t* grad_d, real_t rate, real_t eps, Py_ssize_t dim
) noexcept nogil:
    if real_t is double and cell_t is double:
        adagrad_f64(row, squares_d, grad_d, rate, eps, dim)
    elif real_t is float and cell_t is float:
        adagrad_f32(row, squares_d, grad_d, rate, eps, dim)
    elif real_t is float and cell_t is uint16_t:
        adagrad_f16(row, squares_d, grad_d, rate, eps, dim)
    elif real_t is float and cell_t is int16_t:
        adagrad_bf16(row, squares_d, grad_d, rate, eps, dim)


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
                &grad_ud[u, 0], <real_t>learning_rate, <real_t>eps, dim,
            )
