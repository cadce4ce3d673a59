# Training on pairs of a user and an item: one call takes steps for many batches of pairs.
#
#     user        x = (sum_k w[k] * P[i[k]] - w[p] * P[p]) / norm of what is left, for a pair whose
#                 own item p is in the user's bag; or the plain sum of a bag that keeps it
#     item        (y, bias) = sum_k w[k] * Q[i[k]]
#     score       s = x * y + bias
#     warp        draw items until one that the user has not has s_n > s_p - 1, at draw k:
#                 loss = strength * rank[k] * (1 - s_p + s_n), else 0
#     bpr         loss = strength * log(1 + exp(s_n - s_p)), n drawn by popularity
#     logistic    loss = strength * (log(1 + exp(-s_p)) + log(1 + exp(s_n)))
#     softmax     loss = strength * -log(softmax of s_p among items drawn) (pair_softmax.pxi)
#     gradients   of the touched rows of both tables (pair_lookups.pxi), added up over the batch
#     steps       of those rows (weights.pxi)
#
# A batch has phases, which threads share by units (team.pxi). All numbers of a batch are computed
# from the tables as they were before it: so no number depends on the number of threads.
#
#     REFRESH     in some batches, if items have features: a unit pools the vectors of some items,
#                 among which the next batches search; with softmax in each batch, of those drawn
#     FORWARD     a unit takes the pairs of some users (pair_forward.pxi)
#     DRAWN       only with softmax: a unit adds up the gradients of some items drawn
#     ROWS        a unit sorts the lookups of one part of a table's rows (pair_lookups.pxi), and
#                 takes the steps of these rows
#     UPDATE      only if a gradient is clipped by its norm: ROWS has one unit for that table, which
#                 keeps the gradient, and here a unit takes the steps of some rows
#
# The parts of the rows are as large as the lookups in them. One thread that sorted all lookups of a
# table, 18,000 in a batch of 256 histories of films, took a third of the time of a batch.

cdef enum:
    UNIT_RUNS = 16       # users of one unit, at most
    UNITS_OF_THREAD = 3  # at least, where users suffice


cdef inline bint is_late(const PairCall* call) noexcept nogil:
    return call.batch > 0 and call.deadline > 0 and nanoseconds() > call.deadline


cdef bint begin_pair_batch(PairCall* call) noexcept nogil:
    # Finds the runs of the next batch. Returns whether there is one.
    cdef int64_t* runs = run_starts(call)
    cdef Py_ssize_t b, user, last = -1
    call.first_pair = call.batch * call.batch_size
    call.num_pairs = min(call.data.order.count - call.first_pair, call.batch_size)
    call.num_runs = 0
    if call.loss == SAMPLED_SOFTMAX and call.batch > 0:
        find_drawn_places(call, call.batch - 1, False)
    if call.num_pairs <= 0 or is_late(call):
        return False
    if call.loss == SAMPLED_SOFTMAX:
        find_drawn_places(call, call.batch, True)
        find_repeats(call)
    for b in range(call.num_pairs):
        user = user_of_entry(call, entry_at(call, b))
        if user != last:
            runs[call.num_runs] = b
            call.num_runs += 1
            last = user
    runs[call.num_runs] = call.num_pairs
    begin_step(&call.users_side.trained, call.batch)
    begin_step(&call.items_side.trained, call.batch)
    call.unit_runs = UNIT_RUNS
    if call.num_threads > 1:
        call.unit_runs = clamped(
            call.num_runs // (UNITS_OF_THREAD * call.num_threads) - 1, UNIT_RUNS - 1
        ) + 1
    call.keeps_gradients = (
        call.users_side.trained.norm != INFINITY or call.items_side.trained.norm != INFINITY
    )
    return True


cdef inline Py_ssize_t parts_of(const Side* side) noexcept nogil:
    return side.arrays.following.count


cdef void step_part(Side* side, const PartLookups* lookups, float* work) noexcept nogil:
    # Adds up the gradients of a part's rows, and takes their steps or keeps the gradients.
    cdef Trained* trained = &side.trained
    cdef Py_ssize_t u, k, dim = side.vectors.dim, last = lookups.touched - 1
    for u in range(lookups.touched):
        prefetch_trained(trained, lookups.rows[min(u + AHEAD // 2, last)])
        k = lookups.row_ends[u]
        sum_gradients(
            work, <const float*>side.vectors.data, dim, &lookups.sorted[k], &lookups.scales[k],
            lookups.row_ends[u + 1] - k, dim,
        )
        use_gradient(trained, u, lookups.rows[u], work, trained.norm != INFINITY)


cdef inline int64_t claimed_part(
    const PairCall* call, Side* side, Py_ssize_t thread
) noexcept nogil:
    # Returns a part that no thread has in this batch, or -1. Each thread prefers its own.
    cdef Py_ssize_t parts = parts_of(side)
    return claim(
        <int64_t*>side.arrays.claims.data, parts, thread * parts // call.num_threads,
        call.batch + 1,
    )


cdef void rows_unit(PairCall* call, Py_ssize_t thread) noexcept nogil:
    # Takes a part of the users' rows, which may have more lookups, or else one of the items'.
    cdef Side* side = &call.users_side
    cdef Py_ssize_t part = claimed_part(call, side, thread)
    cdef bint of_items = part < 0
    cdef PartLookups lookups
    if of_items:
        side = &call.items_side
        part = claimed_part(call, side, thread)
    lookups = lookups_of_part(side, part, thread)
    if of_items:
        list_item_lookups(&lookups, call)
    else:
        list_user_lookups(&lookups, call, part)
    sort_part(&lookups, side, part)
    step_part(side, &lookups, <float*>row_address(call.buffers.work, thread))
    if side.trained.norm != INFINITY:
        side.kept = lookups


cdef void update_pair_unit(PairCall* call, Py_ssize_t unit) noexcept nogil:
    # The units are those of the users' table, then those of the items'.
    cdef Py_ssize_t units = units_of(call.users_side.kept.touched, UNIT_ROWS), u
    cdef Side* side = &call.users_side
    if unit >= units:
        side = &call.items_side
        unit -= units
    for u in range(unit * UNIT_ROWS, min((unit + 1) * UNIT_ROWS, side.kept.touched)):
        prefetch_trained(&side.trained, side.kept.rows[min(u + AHEAD // 2, side.kept.touched - 1)])
        step_kept_row(&side.trained, u, side.kept.rows[u])


cdef void run_pair_unit(PairCall* call, Py_ssize_t unit, Py_ssize_t thread) noexcept nogil:
    if call.phase == PAIR_REFRESH and call.loss == SAMPLED_SOFTMAX:
        refresh_drawn(call, unit)
    elif call.phase == PAIR_REFRESH:
        refresh_unit(call, unit * UNIT_ROWS)
    elif call.phase == PAIR_FORWARD:
        forward_runs(call, unit * call.unit_runs)
    elif call.phase == PAIR_DRAWN:
        sum_drawn_unit(call, unit * STRIP)
    elif call.phase == PAIR_ROWS:
        rows_unit(call, thread)
    else:
        update_pair_unit(call, unit)


cdef inline Py_ssize_t update_units_of_pairs(const PairCall* call) noexcept nogil:
    # A batch that changes nothing has a unit, too: a phase without units would be the last one.
    return max(
        units_of(call.users_side.kept.touched, UNIT_ROWS)
        + units_of(call.items_side.kept.touched, UNIT_ROWS),
        1,
    )


cdef void limit_side(Side* side) noexcept nogil:
    if side.trained.norm != INFINITY:
        limit_norm(&side.trained, side.kept.touched)


cdef inline bint is_refreshed(const PairCall* call) noexcept nogil:
    return (
        has_item_bags(call)
        and (call.batches_before + call.batch) % call.batches_per_refresh == 0
    )


cdef Py_ssize_t begin_next_pair_phase(PairCall* call) noexcept nogil:
    # Sets up the phase that follows, and returns its number of units; 0 after the last batch.
    if call.phase == PAIR_ROWS and call.keeps_gradients:
        limit_side(&call.users_side)
        limit_side(&call.items_side)
        call.phase = PAIR_UPDATE
        return update_units_of_pairs(call)
    if call.phase == PAIR_ROWS or call.phase == PAIR_UPDATE:
        call.batch += 1
        call.phase = PAIR_BEGIN
    if call.phase == PAIR_BEGIN:
        if not begin_pair_batch(call):
            return 0
        call.phase = PAIR_REFRESH
        if call.loss == SAMPLED_SOFTMAX:
            return units_of(call.items.catalogue.count, STRIP)
        if is_refreshed(call):
            return units_of(call.items.catalogue.count, UNIT_ROWS)
    if call.phase == PAIR_REFRESH:
        call.phase = PAIR_FORWARD
        return units_of(call.num_runs, call.unit_runs)
    if call.phase == PAIR_FORWARD and call.loss == SAMPLED_SOFTMAX:
        call.phase = PAIR_DRAWN
        return units_of(call.sampling.drawn.dim, STRIP)
    call.phase = PAIR_ROWS
    return parts_of(&call.users_side) + parts_of(&call.items_side)


cdef void begin_side(Side* side, Rows vectors) noexcept nogil:
    cdef Py_ssize_t part
    memset(side.arrays.slots.data, 0, <size_t>side.arrays.slots.count * sizeof(int32_t))
    for part in range(parts_of(side)):
        (<int64_t*>side.arrays.following.data)[part] = 1
        (<int64_t*>side.arrays.claims.data)[part] = 0
    side.vectors = vectors


cdef enum:
    PAIR_GROUPS = 13


cdef int open_pairs(
    PairCall* call, Arrays* groups, int* count, tuple buffers, taken, tuple positives,
    tuple user_bags, tuple item_bags, tuple items, tuple sampling,
) except -1:
    open_group(
        groups, count, <Rows*>&call.buffers, buffers, b"d1w f2w f2w f2w f2w l2w f1w q1w f2w"
    )
    open_group(groups, count, &call.taken, (taken,), b"q1w")
    open_group(groups, count, <Rows*>&call.data, positives, b"n1 i1 i1 i1 f1 f1")
    call.long_data = groups[count[0] - 1].index == INT64
    open_group(groups, count, <Rows*>&call.user_bags, user_bags, b"i1 i1 f1 d1 q2w")
    call.long_users = groups[count[0] - 1].index == INT64
    open_group(groups, count, <Rows*>&call.item_bags, item_bags, b"i1 i1 f1")
    call.long_items = groups[count[0] - 1].index == INT64
    open_group(groups, count, <Rows*>&call.items, items, b"f2w f2w f2w f2w l1w l1w")
    open_group(groups, count, <Rows*>&call.sampling, sampling, b"f1 l1 l2 f1")
    return 0


cdef int open_side(
    Side* side, Arrays* groups, int* count, tuple lookups, tuple parts, tuple table
) except -1:
    open_group(
        groups, count, <Rows*>&side.arrays, lookups, b"q2w l2w f2w l2w q2w q2w l2w f2w"
    )
    open_group(groups, count, &side.arrays.slots, parts, b"l1w q1 q1w q1w")
    open_trained(groups, count, &side.trained, table)
    return 0


def train_pairs(
    buffers,           # OUT losses (n,) float64, and others: see PairBuffers
    taken,             # OUT (1,) int64: the number of batches
    positives,      # order (n,) intp of the entries to train on, and others: see Positives
    user_bags,         # see UserBags
    item_bags,         # see ItemBags
    items,             # INOUT see ItemVectors
    sampling,          # see PairSampling
    user_lookups,      # OUT arrays of threads: see SideArrays
    user_parts,        # INOUT slots, bounds and others: see SideArrays
    item_lookups,      # OUT
    item_parts,        # INOUT
    user_table,        # INOUT weights, states, plan of steps and options: see TrainedArrays
    item_table,        # INOUT the same; the last column of the weights is the bias
    Py_ssize_t batch_size,
    int norm,
    int loss,
    uint64_t seed,
    int64_t first_number,    # of the draws of the first pair
    Py_ssize_t first_batch,  # number in the pass
    Py_ssize_t batches_per_refresh,
    int64_t most_nanoseconds,  # after which no other batch begins; 0: any time
    int num_threads,
    /,
):
    """Take a step for each batch of pairs, and write the loss of each pair before its step.

    If there is not the time for all batches, these are the first ones.

    Return whether other processes needed the processors, so that one thread is faster. Cost: the
    bag of each user of a batch, a dot product for each draw, and steps of the touched rows.
    """
    cdef PairCall call
    cdef Arrays[PAIR_GROUPS] groups
    cdef int count = 0
    cdef bint is_busy = False
    memset(&call, 0, sizeof(PairCall))
    try:
        open_pairs(
            &call, groups, &count, buffers, taken, positives, user_bags, item_bags, items,
            sampling,
        )
        open_side(&call.users_side, groups, &count, user_lookups, user_parts, user_table)
        open_side(&call.items_side, groups, &count, item_lookups, item_parts, item_table)
        begin_side(&call.users_side, call.buffers.gradients)
        begin_side(&call.items_side, call.buffers.vectors)
        call.norm, call.loss, call.seed, call.first_number = norm, loss, seed, first_number
        call.batch_size, call.batches_before = batch_size, first_batch
        call.num_threads = max(num_threads, 1)
        call.batches_per_refresh = batches_per_refresh
        if most_nanoseconds > 0:
            call.deadline = nanoseconds() + most_nanoseconds
        with nogil:
            is_busy = share_phases(&call, num_threads)
        (<int64_t*>call.taken.data)[0] = call.batch
    finally:
        while count:
            count -= 1
            close_arrays(&groups[count])
    return is_busy
