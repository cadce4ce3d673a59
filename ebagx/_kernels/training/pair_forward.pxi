# The phases REFRESH and FORWARD of training on pairs: vectors, draws, losses, and the gradients of
# pooled vectors.

cdef extern from "training/pair_ops.h" nogil:
    void leave_out "ebagx_leave_out"(
        float*, const float*, const float*, float, float, Py_ssize_t
    )
    void scaled_row "ebagx_scaled_row"(float*, const float*, float, Py_ssize_t)
    void add_scaled "ebagx_add_scaled"(float*, const float*, float, Py_ssize_t)
    void divide_row "ebagx_divide_row"(float*, float, Py_ssize_t)
    void add_row "ebagx_add_row"(float*, const float*, Py_ssize_t)

cdef extern from "training/strip_ops.h" nogil:
    # log(1 + exp(score)); score becomes its derivative
    float softplus "ebagx_false_label"(float* score)

cdef double LEAST_REST = 1e-12  # part of a norm that is nothing but rounding errors


cdef void pool_whole_bag(
    float* out_d, const Rows* table, const UserBags* bags, bint is_long, Py_ssize_t given
) noexcept nogil:
    # Adds up the weighted rows of one bag. Items' bags are the first fields of such a struct, too.
    cdef Py_ssize_t b = clamped(given, bags.offsets.count - 2), n = bags.indices.count
    cdef const float* weights_k = <const float*>bags.weights.data
    cdef Lookups bag = lookups_of_bag(Indices(bags.offsets.data, is_long), b, n)
    pool_bag(
        out_d, table, Indices(bags.indices.data, is_long), weights_k, &bag, SUM, 0, table.dim
    )


cdef inline void pool_item(float* out_d, const PairCall* call, Py_ssize_t item) noexcept nogil:
    pool_whole_bag(
        out_d, &call.items_side.trained.arrays.weights, <const UserBags*>&call.item_bags,
        call.long_items, item,
    )


cdef inline void copy_item(float* out_d, const PairCall* call, Py_ssize_t item) noexcept nogil:
    # Writes the vector and the bias of an item.
    cdef Rows table = call.items_side.trained.arrays.weights
    if has_item_bags(call):
        pool_item(out_d, call, item)
    else:
        memcpy(out_d, row_address(table, item), <size_t>table.dim * sizeof(float))


cdef void refresh_unit(const PairCall* call, Py_ssize_t first) noexcept nogil:
    # Writes some vectors of the catalogue.
    cdef Py_ssize_t item
    for item in range(first, min(first + UNIT_ROWS, call.items.catalogue.count)):
        copy_item(<float*>row_address(call.items.catalogue, item), call, item)


cdef inline const float* item_vector(
    const PairCall* call, Py_ssize_t item, Py_ssize_t place
) noexcept nogil:
    # Returns the vector and the bias of an item, for which the batch has a place.
    cdef float* pooled
    if not has_item_bags(call):
        return <const float*>row_address(call.items_side.trained.arrays.weights, item)
    pooled = <float*>row_address(call.items.pooled, place)
    pool_item(pooled, call, item)
    return pooled


cdef inline float score_of(
    const float* vector, const float* item, Py_ssize_t dim
) noexcept nogil:
    return dot(vector, item, dim) + item[dim]


cdef inline float divisor_without(
    const PairCall* call, Py_ssize_t user, float weight
) noexcept nogil:
    # Returns the norm of a user's bag without a lookup of this weight; 0 if nothing is left.
    cdef Indices offsets = Indices(call.user_bags.offsets.data, call.long_users)
    cdef Py_ssize_t count = index_at(offsets, user + 1) - index_at(offsets, user)
    cdef double total, rest, own = weight
    if count <= 1:
        return 0
    if call.norm == NO_NORM:
        return 1
    total = (<const double*>row_address(call.user_bags.totals, user))[0]
    rest = total - (own if call.norm == NORM_L1 else own * own)
    if not rest > total * LEAST_REST:
        return 0
    return <float>(rest if call.norm == NORM_L1 else sqrt(rest))


cdef inline float make_user_vector(
    float* out_d, const PairCall* call, Py_ssize_t entry, Py_ssize_t user, const float* pooled
) noexcept nogil:
    # Writes the vector of a pair's user, and returns by which norm it has been divided.
    cdef Py_ssize_t dim = call.buffers.pooled.dim
    cdef const float* row
    cdef float weight, divisor
    out_d[dim] = 1
    if call.user_bags.totals.data == NULL:
        memcpy(out_d, pooled, <size_t>dim * sizeof(float))
        return 1
    weight = float_at(call.data.values, entry)
    divisor = divisor_without(call, user, weight)
    if divisor == 0:
        clear_floats(out_d, dim)
        return 0
    row = <const float*>row_address(
        call.users_side.trained.arrays.weights, item_of_entry(call, entry)
    )
    leave_out(out_d, pooled, row, weight, divisor, dim)
    return divisor


cdef inline bint is_item_of_user(
    const PairCall* call, Py_ssize_t user, Py_ssize_t item
) noexcept nogil:
    cdef Indices offsets = Indices(call.data.offsets.data, call.long_data)
    cdef Py_ssize_t n = call.data.items.count
    return is_positive(
        Indices(call.data.items.data, call.long_data), clamped(index_at(offsets, user), n),
        clamped(index_at(offsets, user + 1), n), item,
    )


cdef inline Py_ssize_t drawn_item(
    const PairCall* call, Rows searched, int64_t number
) noexcept nogil:
    # WARP draws items, the other losses draw stored entries: so items are drawn by popularity.
    cdef uint64_t high = random_bits(call.seed, <uint64_t>number) >> 32
    cdef Rows candidates = call.sampling.candidates
    if call.loss != WARP:
        return item_of_entry(
            call, <Py_ssize_t>((high * <uint64_t>call.data.items.count) >> 32)
        )
    if candidates.data == NULL:
        return <Py_ssize_t>((high * <uint64_t>searched.count) >> 32)
    return (<const int32_t*>candidates.data)[(high * <uint64_t>candidates.count) >> 32]


cdef Py_ssize_t find_negative(
    const PairCall* call, Py_ssize_t b, Py_ssize_t user, const float* vector, float own,
    Py_ssize_t* attempts,
) noexcept nogil:
    # Returns an item that the user has not, or -1 after as many draws as there are ranks. WARP
    # takes the first one whose score is above that of the own item less 1.
    cdef Py_ssize_t most = call.sampling.ranks.count, dim = call.buffers.pooled.dim, attempt, item
    cdef int64_t number = (call.first_number + call.first_pair + b) * most
    cdef Rows searched = call.items_side.trained.arrays.weights
    cdef Py_ssize_t following
    if has_item_bags(call):
        searched = call.items.catalogue
    following = drawn_item(call, searched, number)
    for attempt in range(most):
        item = following
        if attempt + 1 < most:
            following = drawn_item(call, searched, number + attempt + 1)
            if call.loss == WARP:
                prefetch_row(searched, following, searched.dim * <Py_ssize_t>sizeof(float))
        attempts[0] = attempt
        if call.loss == WARP:
            if not score_of(
                vector, <const float*>row_address(searched, item), dim
            ) > own - <float>1:
                continue
        if not is_item_of_user(call, user, item):
            return item
    return -1


cdef inline float differentiate_pair(
    float* coefficients, const PairCall* call, float own, float other, bint is_found,
    Py_ssize_t attempts, float strength,
) noexcept nogil:
    # Returns the loss, and writes its derivatives by the scores of the own item and the other.
    cdef float factor, loss
    coefficients[0] = coefficients[1] = 0
    if call.loss == LOGISTIC:
        own = -own
        loss = softplus(&own)
        coefficients[0] = strength * -own
        if is_found:
            loss = loss + softplus(&other)
            coefficients[1] = strength * other
        return strength * loss
    if not is_found:
        return 0
    if call.loss == WARP:
        factor = strength * float_at(call.sampling.ranks, attempts)
        loss = (<float>1 - own) + other
        if not loss > 0:
            return 0
        loss = factor * loss
    else:
        other = other - own
        loss = strength * softplus(&other)
        factor = strength * other
    coefficients[0], coefficients[1] = -factor, factor
    return loss


cdef inline void write_pair_gradient(
    const PairCall* call, Py_ssize_t b, const float* own, const float* other, float divisor
) noexcept nogil:
    # Writes the gradient of the user's pooled vector.
    cdef const float* coefficients = <const float*>row_address(call.buffers.coefficients, b)
    cdef float* grad_d = <float*>row_address(call.buffers.gradients, b)
    cdef Py_ssize_t dim = call.buffers.gradients.dim
    scaled_row(grad_d, own, coefficients[0], dim)
    if coefficients[1] != 0:
        add_scaled(grad_d, other, coefficients[1], dim)
    if divisor != 1:
        divide_row(grad_d, divisor, dim)


cdef inline bint is_active(const PairCall* call, Py_ssize_t b) noexcept nogil:
    # Returns whether a pair changes anything.
    cdef const float* coefficients = <const float*>row_address(call.buffers.coefficients, b)
    return coefficients[0] != 0 or coefficients[1] != 0


cdef inline bint moves_user(const PairCall* call, Py_ssize_t b) noexcept nogil:
    # Returns whether a pair has a gradient of its user's bag.
    return is_active(call, b) and float_at(call.buffers.divisors, b) > 0


cdef inline float compare_with_one(
    const PairCall* call, Py_ssize_t b, Py_ssize_t user, const float* own_row, float own,
    float strength,
) noexcept nogil:
    # Returns the loss against one item that is drawn for the pair, and writes what follows from it.
    cdef const float* vector = <const float*>row_address(call.buffers.vectors, b)
    cdef Py_ssize_t dim = call.buffers.pooled.dim, attempts = 0, negative
    cdef const float* other_row = own_row
    cdef float divisor = float_at(call.buffers.divisors, b), loss
    negative = find_negative(call, b, user, vector, own, &attempts)
    (<int32_t*>row_address(call.buffers.negatives, b))[0] = <int32_t>negative
    if negative >= 0:
        other_row = item_vector(call, negative, 2 * b + 1)
    loss = differentiate_pair(
        <float*>row_address(call.buffers.coefficients, b), call, own,
        score_of(vector, other_row, dim), negative >= 0, attempts, strength,
    )
    if moves_user(call, b):
        write_pair_gradient(call, b, own_row, other_row, divisor)
    return loss


cdef inline void place_user(
    const PairCall* call, Py_ssize_t b, Py_ssize_t r, Py_ssize_t user
) noexcept nogil:
    # Writes the vector of a pair's user, and by which norm it has been divided.
    cdef const float* pooled = <const float*>row_address(call.buffers.pooled, r)
    (<float*>call.buffers.divisors.data)[b] = make_user_vector(
        <float*>row_address(call.buffers.vectors, b), call, entry_at(call, b), user, pooled
    )


cdef inline void pair_forward(
    const PairCall* call, Py_ssize_t b, Py_ssize_t user
) noexcept nogil:
    # Compares a pair, whose vector is there, with one item.
    cdef Py_ssize_t entry = entry_at(call, b)
    cdef const float* own_row = item_vector(call, item_of_entry(call, entry), 2 * b)
    cdef float own = score_of(
        <const float*>row_address(call.buffers.vectors, b), own_row, call.buffers.pooled.dim
    )
    (<double*>call.buffers.losses.data)[call.first_pair + b] = compare_with_one(
        call, b, user, own_row, own, float_at(call.data.strengths, entry)
    )


cdef void sum_run(
    const PairCall* call, Py_ssize_t r, Py_ssize_t start, Py_ssize_t stop
) noexcept nogil:
    # Adds up the gradients of a run's pairs, behind those of all pairs.
    cdef float* sum_d = <float*>row_address(call.buffers.gradients, call.num_pairs + r)
    cdef Py_ssize_t b, dim = call.buffers.gradients.dim
    cdef bint is_first = True
    for b in range(start, stop):
        if not moves_user(call, b):
            continue
        if is_first:
            memcpy(sum_d, row_address(call.buffers.gradients, b), <size_t>dim * sizeof(float))
        else:
            add_row(sum_d, <const float*>row_address(call.buffers.gradients, b), dim)
        is_first = False


cdef void split_bag(const PairCall* call, Py_ssize_t r, Py_ssize_t user) noexcept nogil:
    # Writes where the lookups of each part of the rows start in a user's bag, whose indices ascend,
    # and where the last ones end.
    cdef Indices indices = Indices(call.user_bags.indices.data, call.long_users)
    cdef Indices offsets = Indices(call.user_bags.offsets.data, call.long_users)
    cdef const int64_t* bounds = <const int64_t*>call.users_side.arrays.bounds.data
    cdef int64_t* splits = <int64_t*>row_address(call.user_bags.splits, r)
    cdef Lookups bag = lookups_of_bag(offsets, user, call.user_bags.indices.count)
    cdef Py_ssize_t k = bag.start, part, last = call.users_side.arrays.following.count - 1
    for part in range(last):
        splits[part] = k
        while k < bag.end and index_at(indices, k) < bounds[part + 1]:
            k += 1
    splits[last], splits[last + 1] = k, bag.end


cdef void forward_runs(const PairCall* call, Py_ssize_t first) noexcept nogil:
    # Pools the users of some runs, then computes their pairs.
    cdef const int64_t* runs = run_starts(call)
    cdef Py_ssize_t stop = min(first + call.unit_runs, call.num_runs), r, b, user
    for r in range(first, stop):
        user = user_of_entry(call, entry_at(call, runs[r]))
        pool_whole_bag(
            <float*>row_address(call.buffers.pooled, r),
            &call.users_side.trained.arrays.weights, &call.user_bags, call.long_users, user,
        )
        split_bag(call, r, user)
        if call.loss == SAMPLED_SOFTMAX:
            shift_logits(call, r, user)
        for b in range(runs[r], runs[r + 1]):
            place_user(call, b, r, user)
            if call.loss != SAMPLED_SOFTMAX:
                pair_forward(call, b, user)
    if call.loss == SAMPLED_SOFTMAX:
        compare_with_drawn(call, first, stop)
    for r in range(first, stop):
        sum_run(call, r, runs[r], runs[r + 1])
