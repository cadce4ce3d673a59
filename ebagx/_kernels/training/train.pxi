# Training: one call takes steps for many mini-batches of bags, on one thread or several.
#
#     weights     w[k] / norm, the norm of the bag: none, sum |w| or sqrt(sum w^2)
#     pooled      x[b] = sum_k w[k] * table[i[k]]        over the lookups k of bag b
#     scores      of the last of one or more layers (layers.pxi), with ReLU between them
#     loss        and its gradient (losses.pxi), times the weight of the bag / bags of the batch
#     gradients   of all layers, and of the touched rows: sum_k w[k] * d_x[b(k)] in occurrence order
#     steps       of all rows of layers and of the touched rows of the table (weights.pxi)
#
# A batch has phases, which threads share by units (team.h). A unit reads what earlier phases have
# written, and no number depends on the thread that computes it: so bits do not depend on the
# number of threads.
#
#     PREPARE     for a block of batches: a unit sorts the lookups of one batch (lookups.pxi), and
#                 lists its classes if the head has too many (negatives.pxi)
#     GATHER      a unit copies the head's rows of some of these classes
#     FORWARD     a unit pools 16 bags, and writes the gradient of their pooled vectors:
#                 `differentiate_strip` is the one place that knows layers and losses
#     GRADIENT    only if a gradient is clipped by its norm: a unit writes some of its rows
#     UPDATE      a unit takes steps for some rows of the table or of a layer

cdef extern from "training/strip_ops.h" nogil:
    void sum_gradients "ebagx_sum_gradients"(
        float*, const float*, Py_ssize_t, const int32_t*, const float*, Py_ssize_t, Py_ssize_t
    )

cdef bint begin_block(TrainCall* call) noexcept nogil:
    # Takes as many batches as the arrays of a block have room for, and writes where the lookups of
    # their bags end. Returns whether there is one.
    cdef Indices offsets = Indices(call.bags.offsets.data, call.long_bags)
    cdef int64_t* starts = <int64_t*>call.plan.starts.data
    cdef int64_t* ends = <int64_t*>call.plan.ends.data
    cdef Py_ssize_t room = call.block.indices.count, count, first, b, end = 0, stop
    call.first_batch += call.num_batches
    call.num_batches = call.batch = 0
    ends[0] = 0
    while call.num_batches < call.plan.counts.count:
        first = (call.first_batch + call.num_batches) * call.batch_size
        count = bags_of_batch(call, call.first_batch + call.num_batches)
        if count <= 0:
            break
        b = call.num_batches * call.batch_size
        stop = measure_batch(
            &call.bags, offsets, &starts[b], &ends[b + 1], first, count, end
        )
        if stop > room:
            if call.num_batches > 0:
                break
            for b in range(count):  # the lookups are more than the caller has counted
                ends[b + 1] = min(ends[b + 1], room)
            stop = min(stop, room)
        end = stop
        call.num_batches += 1
    return call.num_batches > 0


cdef void prepare_unit(const TrainCall* call, Py_ssize_t batch, Py_ssize_t thread) noexcept nogil:
    cdef Py_ssize_t first = batch * call.batch_size
    cdef int64_t* counts = <int64_t*>call.plan.counts.data
    counts[batch] = transpose_batch(
        &call.bags, &call.block, call.long_bags, <int32_t*>row_address(call.plan.slots, thread),
        call.plan.slots.dim, <int64_t*>row_address(call.plan.firsts, thread),
        &(<const int64_t*>call.plan.starts.data)[first],
        &(<const int64_t*>call.plan.ends.data)[first],
        bags_of_batch(call, call.first_batch + batch), batch,
    )
    if uses_some_classes(call):
        choose_classes(
            &call.negatives, &call.chosen, &call.bags, &call.targets, call.long_targets, thread,
            call.first_batch * call.batch_size + first,
            bags_of_batch(call, call.first_batch + batch), call.first_batch + batch, batch,
        )


cdef inline Py_ssize_t touched_of_batch(const TrainCall* call) noexcept nogil:
    return (<const int64_t*>call.plan.counts.data)[call.batch]


cdef inline void use_gradient(
    Trained* trained, Py_ssize_t u, Py_ssize_t row, float* grad_d, bint keeps
) noexcept nogil:
    # Clips a row of a gradient, and keeps it or takes the row's step.
    clip_row(grad_d, trained, trained.arrays.weights.dim)
    if keeps:
        keep_row(trained, u, grad_d)
    else:
        step_trained(trained, row, grad_d)


cdef inline void step_kept_row(
    const Trained* trained, Py_ssize_t u, Py_ssize_t row
) noexcept nogil:
    # Takes the step of a row whose gradient has been kept.
    cdef float* grad_d = <float*>row_address(trained.arrays.whole, u)
    if trained.factor != 1:
        multiply_row(grad_d, trained.factor, trained.arrays.weights.dim)
    step_trained(trained, row, grad_d)


cdef inline Py_ssize_t row_of_unit(
    const TrainCall* call, int depth, Py_ssize_t k
) noexcept nogil:
    # Returns the row of a layer's weights that the k-th output of this batch has.
    if depth == call.num_layers - 1 and uses_some_classes(call):
        return chosen_class(&call.chosen, call.batch, k)
    return k


cdef void layer_unit(
    TrainCall* call, int depth, Py_ssize_t first, float* work
) noexcept nogil:
    cdef Trained* trained = &call.trained[depth]
    cdef const LayerBuffers* layer = &call.layers[depth]
    cdef Py_ssize_t outputs = layer.weights.count, columns = layer.weights.dim
    cdef Py_ssize_t stop = min(first + UNIT_CLASSES, outputs), k = first, r, count
    if call.phase == UPDATE and trained.norm != INFINITY:
        for k in range(first, stop):
            step_kept_row(trained, k, row_of_unit(call, depth, k))
        return
    while k < stop:
        count = min(CLASSES_AT_ONCE, stop - k)
        layer_gradient(work, layer, outputs, k, count, call.num_bags)
        for r in range(count):
            use_gradient(
                trained, k + r, row_of_unit(call, depth, k + r), &work[r * columns],
                call.phase == GRADIENT,
            )
        k += count


cdef void table_unit(TrainCall* call, Py_ssize_t first, float* work) noexcept nogil:
    cdef Trained* trained = &call.trained[call.num_layers]
    cdef const int64_t* ends = &(<const int64_t*>call.plan.ends.data)[call.first_bag]
    cdef Py_ssize_t start = ends[0], count = touched_of_batch(call), u, dim = call.buffers.grad.dim
    cdef const int64_t* rows_u = &(<const int64_t*>call.block.rows.data)[start]
    cdef const int64_t* row_ends = &(<const int64_t*>call.block.row_ends.data)[start + call.batch]
    cdef const int32_t* bags_k = <const int32_t*>call.block.bags.data
    cdef const float* scales_k = <const float*>call.block.scales.data
    cdef Py_ssize_t stop = min(first + UNIT_ROWS, count), k
    if call.phase == UPDATE and trained.norm != INFINITY:
        for u in range(first, stop):
            prefetch_trained(trained, rows_u[min(u + AHEAD // 2, count - 1)])
            step_kept_row(trained, u, rows_u[u])
        return
    for u in range(first, stop):
        prefetch_trained(trained, rows_u[min(u + AHEAD // 2, count - 1)])
        k = row_ends[u]
        sum_gradients(
            work, <const float*>call.buffers.grad.data, dim, &bags_k[k], &scales_k[k],
            row_ends[u + 1] - k, dim,
        )
        use_gradient(trained, u, rows_u[u], work, call.phase == GRADIENT)


cdef inline Py_ssize_t units_of(Py_ssize_t count, Py_ssize_t size) noexcept nogil:
    return (count + size - 1) // size


cdef Py_ssize_t update_units(const TrainCall* call) noexcept nogil:
    cdef Py_ssize_t units = units_of(touched_of_batch(call), UNIT_ROWS)
    cdef int depth
    for depth in range(call.num_layers):
        units += units_of(call.layers[depth].weights.count, UNIT_CLASSES)
    return units


cdef void update_unit(TrainCall* call, Py_ssize_t unit, float* work) noexcept nogil:
    # The units are those of the table, then those of each layer. Weights without a limit of their
    # norm have nothing to do in the phase GRADIENT.
    cdef Py_ssize_t units = units_of(touched_of_batch(call), UNIT_ROWS)
    cdef int depth = 0
    if unit < units:
        if call.phase == UPDATE or call.trained[call.num_layers].norm != INFINITY:
            table_unit(call, unit * UNIT_ROWS, work)
        return
    unit -= units
    units = units_of(call.layers[depth].weights.count, UNIT_CLASSES)
    while unit >= units:
        unit -= units
        depth += 1
        units = units_of(call.layers[depth].weights.count, UNIT_CLASSES)
    if call.phase == UPDATE or call.trained[depth].norm != INFINITY:
        layer_unit(call, depth, unit * UNIT_CLASSES, work)


cdef void run_train_unit(TrainCall* call, Py_ssize_t unit, Py_ssize_t thread) noexcept nogil:
    if call.phase == PREPARE:
        prepare_unit(call, unit, thread)
    elif call.phase == GATHER:
        gather_unit(call, unit * UNIT_ROWS)
    elif call.phase == FORWARD:
        forward_unit(call, unit, thread)
    else:
        update_unit(call, unit, <float*>row_address(call.buffers.work, thread))


cdef void begin_batch(TrainCall* call) noexcept nogil:
    cdef int depth
    call.first_bag = call.batch * call.batch_size
    call.num_bags = bags_of_batch(call, call.first_batch + call.batch)
    call.keeps_gradients = False
    for depth in range(call.num_layers + 1):
        begin_step(&call.trained[depth], call.first_batch + call.batch)
        call.keeps_gradients |= call.trained[depth].norm != INFINITY
    for depth in range(call.num_layers):
        call.layers[depth].weights = call.trained[depth].arrays.weights
    if uses_some_classes(call):
        depth = call.num_layers - 1
        call.layers[depth].weights = call.chosen.head
        call.layers[depth].weights.count = (<const int64_t*>call.chosen.counts.data)[call.batch]


cdef void limit_norms(TrainCall* call) noexcept nogil:
    cdef int depth
    for depth in range(call.num_layers):
        if call.trained[depth].norm != INFINITY:
            limit_norm(&call.trained[depth], call.layers[depth].weights.count)
    if call.trained[call.num_layers].norm != INFINITY:
        limit_norm(&call.trained[call.num_layers], touched_of_batch(call))


cdef Py_ssize_t begin_next_phase(TrainCall* call) noexcept nogil:
    # Sets up the phase that follows, and returns its number of units; 0 after the last batch.
    if call.phase == UPDATE:
        call.batch += 1
    if call.phase == BEGIN or (call.phase == UPDATE and call.batch == call.num_batches):
        if not begin_block(call):
            return 0
        call.phase = PREPARE
        return call.num_batches
    if call.phase == PREPARE or call.phase == UPDATE:
        begin_batch(call)
        call.phase = GATHER
        if uses_some_classes(call):
            return units_of(call.layers[call.num_layers - 1].weights.count, UNIT_ROWS)
    if call.phase == GATHER:
        call.phase = FORWARD
        return units_of(call.num_bags, STRIP)
    if call.phase == FORWARD and call.keeps_gradients:
        call.phase = GRADIENT
        return update_units(call)
    if call.phase == GRADIENT:
        limit_norms(call)
    call.phase = UPDATE
    return update_units(call)


cdef enum:
    MAX_GROUPS = 7 + 1 + 2 * MAX_LAYERS


cdef int open_group(
    Arrays* groups, int* count, Rows* rows, tuple given, const char* layout
) except -1:
    # Opens one group of a call's arrays.
    open_arrays(&groups[count[0]], rows, given, layout)
    count[0] += 1
    return 0


cdef int open_trained(Arrays* groups, int* count, Trained* trained, tuple given) except -1:
    open_group(
        groups, count, <Rows*>&trained.arrays, given, b"f2w f2w f2w d1w d2 d1 f2w d1w"
    )
    return 0


def train_batches(
    buffers,           # OUT losses (n,) float64, grad (B, D), work (threads, 4 * C)
    bags,              # indices, offsets, weights, order (n,) intp of the bags to train on
    targets,           # offsets and classes, numbers, weights: see Targets
    block,             # OUT see BlockLookups
    plan,              # INOUT slots, firsts, OUT starts, ends, counts: see BlockPlan
    negatives,         # drawn, weights, INOUT slots, firsts: see Negatives
    chosen,            # OUT see ChosenClasses
    layers,            # INOUT for each layer a tuple as `table` has it, and its LayerBuffers
    table,             # INOUT weights, states, plan of steps and options: see TrainedArrays
    Py_ssize_t batch_size,
    int norm,
    int loss,
    float epsilon,
    int num_threads,
    /,
):
    """Take a step for each batch of bags, and write the loss of each bag before its step.

    Return whether other processes needed the processors, so that one thread is faster. Cost: as
    `pool` and `step_rows` for each batch, and three products with each layer.
    """
    cdef TrainCall call
    cdef Arrays[MAX_GROUPS] groups
    cdef int count = 0
    cdef bint is_busy = False
    memset(&call, 0, sizeof(TrainCall))
    if not 0 < len(layers) <= MAX_LAYERS:
        raise ValueError(f"there must be 1 to {MAX_LAYERS} layers, got {len(layers)}")
    try:
        open_group(groups, &count, <Rows*>&call.buffers, buffers, b"d1w f2w f2w")
        open_group(groups, &count, <Rows*>&call.bags, bags, b"i1 i1 f1 n1")
        call.long_bags = groups[count - 1].index == INT64
        open_group(groups, &count, <Rows*>&call.targets, targets, b"i1 i1 f2 f1")
        call.long_targets = groups[count - 1].index == INT64
        open_group(groups, &count, <Rows*>&call.block, block, b"q1w f1w l1w q1w q1w l1w f1w")
        open_group(groups, &count, <Rows*>&call.plan, plan, b"l2w q1w q1w q1w q1w")
        open_group(groups, &count, <Rows*>&call.negatives, negatives, b"l2 f1 l2w q1w")
        open_group(groups, &count, <Rows*>&call.chosen, chosen, b"l2w q1w l2w q2w f2w f2w")
        for given, of_layer in layers:
            open_trained(groups, &count, &call.trained[call.num_layers], given)
            open_group(
                groups, &count, <Rows*>&call.layers[call.num_layers], of_layer, b"f2w f2w f2w"
            )
            call.num_layers += 1
        open_trained(groups, &count, &call.trained[call.num_layers], table)
        call.bags.norm = norm
        call.batch_size, call.loss, call.epsilon = batch_size, loss, epsilon
        with nogil:
            is_busy = share_phases(&call, num_threads)
    finally:
        while count:
            count -= 1
            close_arrays(&groups[count])
    return is_busy
