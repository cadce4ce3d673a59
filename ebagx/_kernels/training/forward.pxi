# The phases GATHER and FORWARD of training: from the lookups of a strip of bags to its losses, and
# to the gradients of its pooled vectors and of its scores.

cdef inline Lookups lookups_in_batch(const TrainCall* call, Py_ssize_t b) noexcept nogil:
    # Returns the lookups of bag `b` of the batch; those up to the last may be prefetched.
    cdef Py_ssize_t groups = call.bags.groups
    cdef const int64_t* ends = &(<const int64_t*>call.plan.ends.data)[call.first_bag * groups]
    cdef Lookups bag
    bag.start, bag.end = ends[b], ends[b + 1]
    bag.last = min(call.block.indices.count - 1, ends[call.num_bags * groups] - 1)
    return bag


cdef void pool_strip(const TrainCall* call, Py_ssize_t first, Py_ssize_t count) noexcept nogil:
    # Pools the bags of `count` examples from `first` on: the inputs of the first layer.
    cdef const Rows* table = &call.trained[call.num_layers].arrays.weights
    cdef float* out = <float*>call.layers[0].inputs.data
    cdef Lookups bag
    cdef Py_ssize_t b
    for b in range(first * call.bags.groups, (first + count) * call.bags.groups):
        bag = lookups_in_batch(call, b)
        pool_bag(
            &out[b * table.dim], table, Indices(call.block.indices.data, True),
            <const float*>call.block.weights.data, &bag, SUM, 0, table.dim,
        )


cdef void labels_of_strip(
    const TrainCall* call, StripBags* bags, Py_ssize_t first
) noexcept nogil:
    cdef Indices offsets = Indices(call.targets.offsets.data, call.long_targets)
    cdef const int64_t* starts_b
    cdef Py_ssize_t lane
    if uses_some_classes(call):
        bags.labels = Indices(row_address(call.chosen.places, call.batch), False)
        bags.num_labels = call.chosen.places.dim
        starts_b = <const int64_t*>row_address(call.chosen.starts, call.batch)
        for lane in range(bags.count):
            bags.starts[lane], bags.ends[lane] = starts_b[first + lane], starts_b[first + lane + 1]
        return
    bags.labels = Indices(call.targets.classes.data, call.long_targets)
    bags.num_labels = call.targets.classes.count
    if offsets.data == NULL:
        return
    for lane in range(bags.count):
        bags.starts[lane] = clamped(index_at(offsets, bags.examples[lane]), bags.num_labels)
        bags.ends[lane] = clamped(index_at(offsets, bags.examples[lane] + 1), bags.num_labels)


cdef void bags_of_strip(
    const TrainCall* call, StripBags* bags, Py_ssize_t first, Py_ssize_t count
) noexcept nogil:
    cdef Py_ssize_t place = call.first_batch * call.batch_size + call.first_bag + first, lane
    cdef float part = 1 / <float>call.num_bags
    bags.count = count
    for lane in range(STRIP):
        bags.scales[lane] = 0
    for lane in range(count):
        bags.examples[lane] = example_at(&call.bags, place + lane)
        bags.scales[lane] = part
        if call.targets.weights.data != NULL:
            bags.scales[lane] = (
                (<const float*>row_address(call.targets.weights, bags.examples[lane]))[0] * part
            )
    labels_of_strip(call, bags, first)


cdef inline const float* factors_of_strip(
    const TrainCall* call, const StripBags* bags, Py_ssize_t thread
) noexcept nogil:
    # Returns the weights of the classes for the bags of a strip, or NULL if all are 1.
    cdef float* factors
    if not uses_some_classes(call):
        return NULL
    factors = <float*>row_address(call.chosen.factors, thread)
    weigh_classes(
        factors, &call.negatives, &call.chosen, call.batch,
        call.layers[call.num_layers - 1].weights.count, bags,
    )
    return factors


cdef void differentiate_strip(
    const TrainCall* call, Py_ssize_t strip, Py_ssize_t first, Py_ssize_t count,
    Py_ssize_t thread,
) noexcept nogil:
    # Writes the gradient of pooled vectors, and what the gradients of layers are made of.
    cdef int depth, last = call.num_layers - 1
    cdef Py_ssize_t k, units, dim
    cdef double* losses_b = <double*>call.buffers.losses.data
    cdef const LayerBuffers* layer
    cdef const LayerBuffers* above
    cdef float* outputs
    cdef float* inputs
    cdef StripBags bags
    for depth in range(call.num_layers):
        layer = &call.layers[depth]
        inputs = strip_of(layer.strips, layer.inputs.dim, strip)
        units = layer.weights.count
        outputs = strip_of(layer.errors, units, strip)
        if depth == 0:
            to_strip(inputs, <float*>row_address(layer.inputs, first), layer.inputs.dim, count)
        layer_forward(outputs, layer.weights, inputs)
        if depth < last:
            above = &call.layers[depth + 1]
            for k in range(units):
                rectify(&outputs[k * STRIP])
            memcpy(
                strip_of(above.strips, units, strip), outputs,
                <size_t>(units * STRIP) * sizeof(float),
            )
            from_strip(<float*>row_address(above.inputs, first), outputs, units, count)
    bags_of_strip(call, &bags, first, count)
    k = call.first_batch * call.batch_size + call.first_bag + first
    strip_loss(
        &losses_b[k], outputs, &call.targets, &bags, factors_of_strip(call, &bags, thread),
        call.loss, call.epsilon, units,
    )
    for depth in range(last, 0, -1):
        layer = &call.layers[depth]
        dim = layer.inputs.dim
        outputs = strip_of(call.layers[depth - 1].errors, dim, strip)
        layer_below(
            outputs, layer.weights, strip_of(layer.errors, layer.weights.count, strip),
        )
        inputs = strip_of(layer.strips, dim, strip)
        for k in range(dim):
            mask_errors(&outputs[k * STRIP], &inputs[k * STRIP])
    layer = &call.layers[0]
    first_layer_below(
        <float*>row_address(call.buffers.grad, first), layer.weights,
        strip_of(layer.errors, layer.weights.count, strip), count,
    )


cdef void gather_unit(const TrainCall* call, Py_ssize_t first) noexcept nogil:
    cdef int depth = call.num_layers - 1
    copy_chosen_rows(
        &call.chosen, call.trained[depth].arrays.weights, call.batch, first,
        min(first + UNIT_ROWS, call.layers[depth].weights.count),
    )


cdef void forward_unit(
    const TrainCall* call, Py_ssize_t strip, Py_ssize_t thread
) noexcept nogil:
    cdef Py_ssize_t first = strip * STRIP
    cdef Py_ssize_t count = min(call.num_bags - first, STRIP)
    if call.factors > 0:
        factorize_strip(call, first, count)
    else:
        pool_strip(call, first, count)
        differentiate_strip(call, strip, first, count, thread)
