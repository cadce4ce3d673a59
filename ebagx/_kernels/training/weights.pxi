# Weights in training: a table or a layer with the state of its optimizer, and steps of its rows.
#
# A row's gradient is clipped by value, then by its norm, then by the norm of the whole gradient;
# the row is multiplied by the decay that it has missed; then step.pxi takes its step.

cdef extern from "training/functions.h" nogil:
    double exp_f64 "ebagx_exp_f64"(double)

cdef enum:
    # Columns of a plan, which has a row for each step.
    PLAN_RATE = 0
    PLAN_DECAY = 1
    PLAN_FIRST = 2
    PLAN_SECOND = 3
    PLAN_EPS = 4
    PLAN_BEFORE = 5  # sum of the logarithms of the decay of all steps before
    PLAN_AFTER = 6   # the same with this step
    PLAN_KEPT = 7    # factor of this step for rows, if decay is decoupled, else 1
    # Options of an optimizer; a limit of infinity is none.
    OPTION_RULE = 0
    OPTION_VALUE = 1
    OPTION_ROW_NORM = 2
    OPTION_NORM = 3


cdef struct TrainedArrays:
    Rows weights  # (R, C)
    Rows first    # (R, C), (R, 1) or empty
    Rows second
    Rows seen     # (R,) float64, or empty: no decay
    Rows plan     # (T, 8) float64
    Rows options  # (4,) float64
    Rows whole    # (U, C): the gradient, if it is clipped by its norm, else empty
    Rows squares  # (U,) float64


cdef struct Trained:
    TrainedArrays arrays
    Step step
    double before
    double after
    double kept
    double value
    double row_norm
    double norm
    float factor    # by which the norm of the whole gradient limits it


cdef void begin_step(Trained* trained, Py_ssize_t number) noexcept nogil:
    cdef const double* plan = <const double*>row_address(trained.arrays.plan, number)
    cdef const double* options = <const double*>trained.arrays.options.data
    trained.step = step_of(<int>options[OPTION_RULE], plan)
    trained.before, trained.after = plan[PLAN_BEFORE], plan[PLAN_AFTER]
    trained.kept = plan[PLAN_KEPT]
    trained.value, trained.row_norm = options[OPTION_VALUE], options[OPTION_ROW_NORM]
    trained.norm, trained.factor = options[OPTION_NORM], 1


cdef void clip_values(float* grad_d, float limit, Py_ssize_t dim) noexcept nogil:
    cdef Py_ssize_t d
    for d in range(dim):
        grad_d[d] = -limit if grad_d[d] < -limit else (limit if grad_d[d] > limit else grad_d[d])


cdef void multiply_row(float* grad_d, float factor, Py_ssize_t dim) noexcept nogil:
    cdef Py_ssize_t d
    for d in range(dim):
        grad_d[d] *= factor


cdef inline void clip_row(float* grad_d, const Trained* trained, Py_ssize_t dim) noexcept nogil:
    cdef double factor
    if trained.value != INFINITY:
        clip_values(grad_d, <float>trained.value, dim)
    if trained.row_norm != INFINITY:
        factor = sqrt(sum_of_squares(grad_d, grad_d, 0, dim)) + 1e-6
        factor = trained.row_norm / factor
        multiply_row(grad_d, <float>(1 if factor > 1 else factor), dim)


cdef void keep_row(Trained* trained, Py_ssize_t u, const float* grad_d) noexcept nogil:
    # Keeps a row of the gradient, and its sum of squares, until the norm of the whole is known.
    cdef Py_ssize_t dim = trained.arrays.whole.dim
    memcpy(row_address(trained.arrays.whole, u), grad_d, <size_t>dim * sizeof(float))
    (<double*>trained.arrays.squares.data)[u] = sum_of_squares(grad_d, grad_d, 0, dim)


cdef void limit_norm(Trained* trained, Py_ssize_t count) noexcept nogil:
    # Sets the factor of the whole gradient. Squares of rows are added up in 16 lanes.
    cdef const double* squares_u = <const double*>trained.arrays.squares.data
    cdef double[LANES] lanes
    cdef double factor
    cdef Py_ssize_t u
    for u in range(LANES):
        lanes[u] = 0
    for u in range(count):
        lanes[u % LANES] += squares_u[u]
    factor = trained.norm / (sqrt(add_lanes(lanes)) + 1e-6)
    trained.factor = 1 if factor >= 1 else <float>factor


cdef inline void step_trained(
    const Trained* trained, Py_ssize_t row, const float* grad_d
) noexcept nogil:
    cdef const TrainedArrays* arrays = &trained.arrays
    cdef Py_ssize_t dim = arrays.weights.dim
    cdef double* seen
    cdef float scale = 1
    cdef float* values = <float*>row_address(arrays.weights, row)
    cdef float* firsts = <float*>row_address(arrays.first, row)
    cdef float* seconds = <float*>row_address(arrays.second, row)
    if arrays.seen.data != NULL:
        seen = <double*>row_address(arrays.seen, row)
        scale = <float>(exp_f64(trained.before - seen[0]) * trained.kept)
        seen[0] = trained.after
    if trained.step.rule == ROWWISE_ADAGRAD:
        step_rowwise(values, firsts, grad_d, scale, &trained.step, dim)
    else:
        step_row(values, firsts, seconds, grad_d, scale, &trained.step, dim)


cdef inline void prefetch_trained(const Trained* trained, Py_ssize_t row) noexcept nogil:
    # Prefetches a row and its state for writing: otherwise passes of two threads took up to a fifth
    # longer.
    cdef Py_ssize_t row_bytes = trained.arrays.weights.dim * <Py_ssize_t>sizeof(float)
    prefetch_written_row(trained.arrays.weights, row, row_bytes)
    if trained.step.rule != SGD:
        prefetch_written_row(
            trained.arrays.first, row, min(trained.arrays.first.row_bytes, row_bytes)
        )
    if trained.step.rule == ADAM:
        prefetch_written_row(trained.arrays.second, row, row_bytes)
    if trained.arrays.seen.data != NULL:
        prefetch_written(address_as_number(trained.arrays.seen, row))
