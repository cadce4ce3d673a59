# Steps of optimizers: the kernel reads and writes the rows of the gradient, and their state, alone.
#
# With g = grad + decay * row, where row has been scaled:
#
#     sgd                row -= rate * g
#     momentum           v = first * v + g, row -= rate * v
#     nesterov           v = first * v + g, row -= rate * (g + first * v)
#     adagrad            s += g^2, row -= rate * g / (sqrt(s) + eps)
#     rowwise adagrad    s += mean(g^2), one number a row, row -= rate / (sqrt(s) + eps) * g
#     adam               m += first * (g - m), s += second * (g^2 - s),
#                        row -= rate * m / (sqrt(s) + eps)

cdef extern from "update/step_ops.h" nogil:
    void scale_f32 "ebagx_scale_f32"(float*, float, int)
    void scale_f64 "ebagx_scale_f64"(double*, double, int)
    void decayed_f32 "ebagx_decayed_f32"(float*, const float*, const float*, float, int)
    void decayed_f64 "ebagx_decayed_f64"(double*, const double*, const double*, double, int)
    void sgd_f32 "ebagx_sgd_f32"(float*, const float*, float, int)
    void sgd_f64 "ebagx_sgd_f64"(double*, const double*, double, int)
    void momentum_f32 "ebagx_momentum_f32"(float*, float*, const float*, float, float, int)
    void momentum_f64 "ebagx_momentum_f64"(double*, double*, const double*, double, double, int)
    void nesterov_f32 "ebagx_nesterov_f32"(float*, float*, const float*, float, float, int)
    void nesterov_f64 "ebagx_nesterov_f64"(double*, double*, const double*, double, double, int)
    void adagrad_f32 "ebagx_adagrad_f32"(float*, float*, const float*, float, float, int)
    void adagrad_f64 "ebagx_adagrad_f64"(double*, double*, const double*, double, double, int)
    void adam_f32 "ebagx_adam_f32"(
        float*, float*, float*, const float*, float, float, float, float, int
    )
    void adam_f64 "ebagx_adam_f64"(
        double*, double*, double*, const double*, double, double, double, double, int
    )

# Rules have the numbers that ebagx.optim.rules gives them.
cdef enum:
    SGD = 0
    MOMENTUM = 1
    NESTEROV = 2
    ADAGRAD = 3
    ROWWISE_ADAGRAD = 4
    ADAM = 5


cdef struct Step:
    int rule
    double rate
    double decay    # of L2: gradient += decay * row
    double first    # momentum, or Adam's 1 - beta1
    double second   # Adam's 1 - beta2
    double eps


cdef struct StepCall:
    Rows table
    Rows first
    Rows second
    Rows scales
    Rows rows
    Rows grad
    Rows numbers
    Step step


cdef struct RowSquaresCall:
    Rows out
    Rows grad


cdef inline const real_t* decayed(
    real_t* out_d, const real_t* grad_d, const real_t* value_d, double decay, int width
) noexcept nogil:
    # Without decay this is the gradient itself: 0 * inf would be NaN.
    if decay == 0:
        return grad_d
    if real_t is float:
        decayed_f32(out_d, grad_d, value_d, <float>decay, width)
    else:
        decayed_f64(out_d, grad_d, value_d, decay, width)
    return out_d


cdef inline void step_block(
    real_t* value_d, real_t* first_d, real_t* second_d, const real_t* grad_d, const Step* step,
    int width,
) noexcept nogil:
    cdef real_t rate = <real_t>step.rate, eps = <real_t>step.eps
    cdef real_t first = <real_t>step.first, second = <real_t>step.second
    if real_t is float:
        if step.rule == MOMENTUM:
            momentum_f32(value_d, first_d, grad_d, rate, first, width)
        elif step.rule == NESTEROV:
            nesterov_f32(value_d, first_d, grad_d, rate, first, width)
        elif step.rule == ADAGRAD:
            adagrad_f32(value_d, first_d, grad_d, rate, eps, width)
        elif step.rule == ADAM:
            adam_f32(value_d, first_d, second_d, grad_d, rate, first, second, eps, width)
        else:
            sgd_f32(value_d, grad_d, rate, width)
    else:
        if step.rule == MOMENTUM:
            momentum_f64(value_d, first_d, grad_d, rate, first, width)
        elif step.rule == NESTEROV:
            nesterov_f64(value_d, first_d, grad_d, rate, first, width)
        elif step.rule == ADAGRAD:
            adagrad_f64(value_d, first_d, grad_d, rate, eps, width)
        elif step.rule == ADAM:
            adam_f64(value_d, first_d, second_d, grad_d, rate, first, second, eps, width)
        else:
            sgd_f64(value_d, grad_d, rate, width)


cdef double sum_of_squares(
    const cell_t* row, const real_t* grad_d, double decay, Py_ssize_t dim
) noexcept nogil:
    # Adds the squares of the gradient, decay included, in float64: column d goes to partial sum
    # d % LANES.
    cdef double[LANES] lanes
    cdef real_t[LANES] value_d
    cdef real_t[LANES] decayed_d
    cdef const real_t* grad
    cdef Py_ssize_t column = 0
    cdef int width
    for width in range(LANES):
        lanes[width] = 0
    while column < dim:
        width = <int>min(dim - column, LANES)
        grad = decayed(
            decayed_d, &grad_d[column], widened(&row[column], value_d, width), decay, width
        )
        if real_t is float:
            add_squares_f32(lanes, grad, width)
        else:
            add_squares_f64(lanes, grad, width)
        column += width
    return add_lanes(lanes)


cdef inline void scale_block(real_t* value_d, real_t scale, int width) noexcept nogil:
    if real_t is float:
        scale_f32(value_d, scale, width)
    else:
        scale_f64(value_d, scale, width)


cdef inline real_t* state_at(real_t* state_d, Py_ssize_t column) noexcept nogil:
    # Returns NULL for the rules that have no such state.
    return state_d if state_d == NULL else state_d + column


cdef void step_row(
    cell_t* row, real_t* first_d, real_t* second_d, const real_t* grad_d, real_t scale,
    const Step* step, Py_ssize_t dim,
) noexcept nogil:
    cdef real_t[MAX_BLOCK] value_d
    cdef real_t[MAX_BLOCK] decayed_d
    cdef real_t* values
    cdef const real_t* grad
    cdef Py_ssize_t column = 0
    cdef int width
    while column < dim:
        width = <int>min(dim - column, MAX_BLOCK)
        values = <real_t*>widened(&row[column], value_d, width)
        if scale != 1:
            scale_block(values, scale, width)
        grad = decayed(decayed_d, &grad_d[column], values, step.decay, width)
        step_block(
            values, state_at(first_d, column), state_at(second_d, column), grad, step, width
        )
        if cell_t is not real_t:
            store(&row[column], value_d, width)
        column += width


cdef void step_rowwise(
    cell_t* row, real_t* square, const real_t* grad_d, real_t scale, const Step* step,
    Py_ssize_t dim,
) noexcept nogil:
    # A row has one accumulator. The row is scaled first, since decay adds the scaled row.
    cdef Step own = step[0]
    if scale != 1:
        scale_row(row, dim, scale)
    square[0] += <real_t>(sum_of_squares(row, grad_d, step.decay, dim) / dim)
    own.rate = step.rate / (sqrt(<double>square[0]) + step.eps)
    step_row(row, <real_t*>NULL, <real_t*>NULL, grad_d, <real_t>1, &own, dim)


cdef Py_ssize_t step_unit(
    const StepCall* call, index_t index, cell_t cell, real_t real, Py_ssize_t unit, Py_ssize_t units
) noexcept nogil:
    cdef Rows table = call.table, first = call.first, second = call.second, grad = call.grad
    cdef const real_t* scales_u = <const real_t*>call.scales.data
    cdef const index_t* rows_u = <const index_t*>call.rows.data
    cdef const Step* step = &call.step
    cdef Py_ssize_t u, ahead, row, count = call.rows.count, dim = grad.dim
    cdef real_t scale = 1
    cdef cell_t* values
    cdef real_t* firsts
    cdef real_t* seconds
    cdef const real_t* grad_d
    for u in range(even_start(count, unit, units), even_start(count, unit + 1, units)):
        row = rows_u[u]
        ahead = rows_u[min(u + AHEAD // 2, count - 1)]
        prefetch_written_row(table, ahead, dim * sizeof(cell_t))
        if step.rule != SGD:
            prefetch_written_row(
                first, ahead, min(first.row_bytes, dim * <Py_ssize_t>sizeof(real_t))
            )
        if step.rule == ADAM:
            prefetch_written_row(second, ahead, dim * sizeof(real_t))
        if scales_u != NULL:
            scale = scales_u[u]
        values = <cell_t*>row_address(table, row)
        firsts = <real_t*>row_address(first, row)
        seconds = <real_t*>row_address(second, row)
        grad_d = <const real_t*>row_address(grad, u)
        if step.rule == ROWWISE_ADAGRAD:
            step_rowwise(values, firsts, grad_d, scale, step, dim)
        else:
            step_row(values, firsts, seconds, grad_d, scale, step, dim)
    return 0


cdef inline Step step_of(int rule, const double* numbers) noexcept nogil:
    cdef Step step
    step.rule = rule
    step.rate = numbers[0]
    step.decay = numbers[1]
    step.first = numbers[2]
    step.second = numbers[3]
    step.eps = numbers[4]
    return step


def step_rows(
    table_rd,          # INOUT (N, D)
    first_rd,          # INOUT (N, D) or (N, 1): velocity, sums of squares or means of the rule
    second_rd,         # INOUT (N, D), of Adam: means of squares
    scales_u,          # (U,), of the rows before the step; empty: 1
    rows_u,            # (U,), unique
    grad_ud,           # (U, D)
    numbers,           # (5,), float64, as Step has them
    int rule,
    int num_threads,
    /,
):
    """Take one step of an optimizer on the rows of a gradient.

    Cost: one read and write of each touched row and of its state.
    """
    cdef StepCall call
    cdef Arrays arrays
    open_arrays(
        &arrays, <Rows*>&call,
        (table_rd, first_rd, second_rd, scales_u, rows_u, grad_ud, numbers),
        b"c2w r2w r2w r1 i1 r2 d1",
    )
    with nogil:
        if call.grad.data != NULL:
            call.step = step_of(rule, <const double*>call.numbers.data)
            share_units(&call, &arrays, unit_count(call.rows.count, num_threads), num_threads)
    close_arrays(&arrays)


cdef Py_ssize_t row_squares_unit(const RowSquaresCall* call, real_t real) noexcept nogil:
    cdef double* out_u = <double*>call.out.data
    cdef const real_t* grad_d
    cdef Py_ssize_t u
    for u in range(call.grad.count):
        grad_d = <const real_t*>row_address(call.grad, u)
        out_u[u] = sum_of_squares(grad_d, grad_d, 0, call.grad.dim)
    return 0


def row_squares(
    out_u,             # OUT (U,), float64
    grad_ud,           # (U, D)
    /,
):
    """Write the sum of squares of each row, in float64."""
    cdef RowSquaresCall call
    cdef Arrays arrays
    open_arrays(&arrays, <Rows*>&call, (out_u, grad_ud), b"d1w r2")
    with nogil:
        if call.grad.data != NULL:
            run_unit(&call, &arrays, 0, 1)
    close_arrays(&arrays)
