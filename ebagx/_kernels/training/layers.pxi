# Layers in training: linear, with a bias as the last column of the weights.
#
#     forward     scores[k] = sum_d W[k, d] * x[d] + W[k, D]
#     gradient    d_x[d] = sum_k W[k, d] * d_scores[k]
#                 d_W[k, d] = sum_b d_scores[b, k] * x[b, d],    d_W[k, D] = sum_b d_scores[b, k]
#
# Sums run in the order of d, k and b. Those of the bias run over the strips, and then over the bags
# of a strip as add_lanes does. Numbers of a batch are kept in strips of 16 bags (strip_ops.h): a
# strip of D columns is D times 16 numbers.

cdef extern from "training/strip_ops.h" nogil:
    void add_strip_products "ebagx_add_strip_products"(
        float*, const float*, Py_ssize_t, Py_ssize_t, const float*, Py_ssize_t, int
    )
    void outer_products "ebagx_outer_products"(
        float*, Py_ssize_t, const float*, Py_ssize_t, Py_ssize_t, Py_ssize_t, const float*,
        Py_ssize_t, Py_ssize_t, bint, int, int
    )
    void add_strips "ebagx_add_strips"(float*, const float*, Py_ssize_t, Py_ssize_t)
    void add_bias "ebagx_add_bias"(float*, float)
    void rectify "ebagx_rectify"(float*)
    void mask_errors "ebagx_mask_errors"(float*, const float*)

cdef enum:
    STRIP = 16        # bags
    PANEL = 64        # classes whose weights stay in the fastest cache
    CLASSES_AT_ONCE = 4


# The numbers of one batch at a layer of `in` inputs and `out` outputs, for `bags` bags at most.
cdef struct LayerBuffers:
    Rows inputs  # (bags, in)
    Rows strips  # (strips * in, 16): the same in strips
    Rows errors  # (strips * out, 16): the outputs, later their gradient
    Rows weights  # (out, in + 1): those of the layer; or of a batch's classes, which then are `out`


cdef inline float* strip_of(Rows rows, Py_ssize_t columns, Py_ssize_t strip) noexcept nogil:
    return <float*>rows.data + strip * columns * STRIP


cdef inline float* weights_of(Rows weights, Py_ssize_t row) noexcept nogil:
    return <float*>(weights.data + row * weights.row_bytes)


cdef inline void clear_floats(float* numbers, Py_ssize_t count) noexcept nogil:
    memset(numbers, 0, <size_t>count * sizeof(float))


cdef inline void to_strip(
    float* strip, const float* rows, Py_ssize_t columns, Py_ssize_t count
) noexcept nogil:
    # Copies rows of `count` bags to a strip, with zeros for the bags that it has beyond.
    cdef Py_ssize_t d, lane
    if count < STRIP:
        clear_floats(strip, columns * STRIP)
    for lane in range(count):
        for d in range(columns):
            strip[d * STRIP + lane] = rows[lane * columns + d]


cdef inline void from_strip(
    float* rows, const float* strip, Py_ssize_t columns, Py_ssize_t count
) noexcept nogil:
    cdef Py_ssize_t d, lane
    for lane in range(count):
        for d in range(columns):
            rows[lane * columns + d] = strip[d * STRIP + lane]


cdef void layer_forward(float* out, Rows weights, const float* strip) noexcept nogil:
    # Writes the outputs of one strip.
    cdef Py_ssize_t k = 0, row = weights.row_bytes // <Py_ssize_t>sizeof(float)
    cdef Py_ssize_t inputs = weights.dim - 1, outputs = weights.count
    clear_floats(out, outputs * STRIP)
    while k + 4 <= outputs:
        add_strip_products(&out[k * STRIP], weights_of(weights, k), row, 1, strip, inputs, 4)
        k += 4
    while k < outputs:
        add_strip_products(&out[k * STRIP], weights_of(weights, k), row, 1, strip, inputs, 1)
        k += 1
    for k in range(outputs):
        add_bias(&out[k * STRIP], weights_of(weights, k)[inputs])


cdef void layer_below(float* out, Rows weights, const float* errors) noexcept nogil:
    # Writes the gradient of the inputs of one strip, from those of the outputs.
    cdef Py_ssize_t d, k = 0, count, row = weights.row_bytes // <Py_ssize_t>sizeof(float)
    cdef Py_ssize_t inputs = weights.dim - 1, outputs = weights.count
    cdef const float* panel
    clear_floats(out, inputs * STRIP)
    while k < outputs:
        count = min(PANEL, outputs - k)
        panel = weights_of(weights, k)
        d = 0
        while d + 4 <= inputs:
            add_strip_products(&out[d * STRIP], panel + d, 1, row, &errors[k * STRIP], count, 4)
            d += 4
        while d < inputs:
            add_strip_products(&out[d * STRIP], panel + d, 1, row, &errors[k * STRIP], count, 1)
            d += 1
        k += count


cdef inline void columns_below(
    float* out, Py_ssize_t out_row, const float* errors, const float* values, Py_ssize_t row,
    Py_ssize_t count, Py_ssize_t bags, int width,
) noexcept nogil:
    # Adds what `count` outputs give to `width` columns of the gradient of the inputs.
    cdef Py_ssize_t b = 0
    while b + 4 <= bags:
        outer_products(
            &out[b * out_row], out_row, &errors[b], 1, STRIP, 0, values, row, count, True, 4, width
        )
        b += 4
    while b < bags:
        outer_products(
            &out[b * out_row], out_row, &errors[b], 1, STRIP, 0, values, row, count, True, 1, width
        )
        b += 1


cdef void first_layer_below(
    float* out, Rows weights, const float* errors, Py_ssize_t bags
) noexcept nogil:
    # Writes the gradient of the inputs of the first layer for the bags of a strip: rows, one after
    # the other.
    cdef Py_ssize_t k = 0, count, column, row = weights.row_bytes // <Py_ssize_t>sizeof(float)
    cdef Py_ssize_t inputs = weights.dim - 1, outputs = weights.count
    clear_floats(out, inputs * bags)
    while k < outputs:
        count = min(PANEL, outputs - k)
        column = 0
        while column + STRIP <= inputs:
            columns_below(
                &out[column], inputs, &errors[k * STRIP], weights_of(weights, k) + column, row,
                count, bags, STRIP,
            )
            column += STRIP
        if column < inputs:
            columns_below(
                &out[column], inputs, &errors[k * STRIP], weights_of(weights, k) + column, row,
                count, bags, <int>(inputs - column),
            )
        k += count


cdef inline void outer_rows(
    float* grad, Py_ssize_t columns, const float* errors, Py_ssize_t outputs, Rows inputs,
    Py_ssize_t bags, int rows,
) noexcept nogil:
    # Writes the gradient of `rows` rows of weights, without their biases. The last columns may be
    # computed twice.
    cdef const float* values = <const float*>inputs.data
    cdef Py_ssize_t column = 0, dim = inputs.dim, skip = (outputs - 1) * STRIP
    if dim < STRIP:
        outer_products(
            grad, columns, errors, STRIP, 1, skip, values, dim, bags, False, rows, <int>dim
        )
        return
    while column < dim:
        column = min(column, dim - STRIP)
        outer_products(
            grad + column, columns, errors, STRIP, 1, skip, values + column, dim, bags, False, rows,
            STRIP,
        )
        column += STRIP


cdef void layer_gradient(
    float* grad, const LayerBuffers* layer, Py_ssize_t outputs, Py_ssize_t first, Py_ssize_t count,
    Py_ssize_t bags,
) noexcept nogil:
    # Writes the gradient of `count` rows of weights, 4 at most, one after the other.
    cdef Py_ssize_t r, columns = layer.inputs.dim + 1, strip = outputs * STRIP
    cdef const float* errors = <const float*>layer.errors.data + first * STRIP
    cdef float[LANES] lanes
    cdef int lane
    if count == 4:
        outer_rows(grad, columns, errors, outputs, layer.inputs, bags, 4)
    else:
        for r in range(count):
            outer_rows(
                grad + r * columns, columns, errors + r * STRIP, outputs, layer.inputs, bags, 1
            )
    for r in range(count):
        for lane in range(LANES):
            lanes[lane] = 0
        add_strips(lanes, errors + r * STRIP, strip, (bags + STRIP - 1) // STRIP)
        grad[r * columns + columns - 1] = add_lanes(lanes)
