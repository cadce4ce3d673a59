# The phase SORT of training on pairs: the lookups of each table in a batch, sorted by row.
#
#     d_user[r]  = sum over the lookups w of r in users' bags: w * (sum of the gradients of the
#                  user's pairs), less w * (gradient of the pair) if r is the pair's own item,
#                  which its bag has lost
#     d_item[r]  = sum over the lookups w of r in items' bags: w * coefficient * vector of the user,
#                  or such a sum over the pairs of the batch
#
# Numbers of rows go on rising from batch to batch, as in lookups.pxi.

cdef inline void append_lookup(
    Side* side, Py_ssize_t row, Py_ssize_t place, float weight
) noexcept nogil:
    # Row 0 stands for rows outside the table.
    cdef Py_ssize_t k = side.count
    if k >= side.arrays.places.count:
        return
    if <size_t>row >= <size_t>side.arrays.slots.count:
        row = 0
    (<int64_t*>side.arrays.indices.data)[k] = row
    (<int32_t*>side.arrays.places.data)[k] = <int32_t>place
    (<float*>side.arrays.weights.data)[k] = weight
    side.count = k + 1


cdef void append_bag(
    Side* side, const UserBags* bags, bint is_long, Py_ssize_t given, Py_ssize_t place, float scale
) noexcept nogil:
    # Appends the lookups of a bag, with weights times a scale.
    cdef Indices indices = Indices(bags.indices.data, is_long)
    cdef Indices offsets = Indices(bags.offsets.data, is_long)
    cdef Py_ssize_t b = clamped(given, bags.offsets.count - 2), n = bags.indices.count, k
    for k in range(clamped(index_at(offsets, b), n), clamped(index_at(offsets, b + 1), n)):
        append_lookup(side, index_at(indices, k), place, float_at(bags.weights, k) * scale)


cdef void list_user_lookups(PairCall* call) noexcept nogil:
    cdef const int64_t* runs = run_starts(call)
    cdef Side* side = &call.users_side
    cdef Py_ssize_t r, b, entry
    cdef bint is_listed
    side.count = 0
    for r in range(call.num_runs):
        is_listed = False
        for b in range(runs[r], runs[r + 1]):
            if not moves_user(call, b):
                continue
            entry = entry_at(call, b)
            if not is_listed:
                append_bag(
                    side, &call.user_bags, call.long_users, user_of_entry(call, entry),
                    call.num_pairs + r, 1,
                )
                is_listed = True
            if call.user_bags.totals.data == NULL:
                break
            append_lookup(
                side, item_of_entry(call, entry), b, -float_at(call.data.values, entry)
            )


cdef inline void list_item(
    PairCall* call, Py_ssize_t item, Py_ssize_t b, float coefficient
) noexcept nogil:
    if coefficient == 0:
        return
    if has_item_bags(call):
        append_bag(
            &call.items_side, <const UserBags*>&call.item_bags, call.long_items, item, b,
            coefficient,
        )
    else:
        append_lookup(&call.items_side, item, b, coefficient)


cdef void list_item_lookups(PairCall* call) noexcept nogil:
    cdef const float* coefficients
    cdef Py_ssize_t b, k
    call.items_side.count = 0
    for b in range(call.num_pairs):
        coefficients = <const float*>row_address(call.buffers.coefficients, b)
        list_item(call, item_of_entry(call, entry_at(call, b)), b, coefficients[0])
        if call.loss != SAMPLED_SOFTMAX:
            list_item(
                call, (<const int32_t*>row_address(call.buffers.negatives, b))[0], b,
                coefficients[1],
            )
    for k in range(call.sampling.drawn.dim if call.loss == SAMPLED_SOFTMAX else 0):
        list_item(call, drawn_items(call)[k], call.num_pairs + k, 1)


cdef void number_rows_of_side(Side* side, int64_t* lengths_u) noexcept nogil:
    # Writes which of the batch's rows each lookup is of, and how many lookups each row has.
    cdef const int64_t* indices_k = <const int64_t*>side.arrays.indices.data
    cdef int32_t* numbers_k = <int32_t*>side.arrays.numbers.data
    cdef int32_t* slots_r = <int32_t*>side.arrays.slots.data
    cdef int64_t* rows_u = <int64_t*>side.arrays.rows.data
    cdef int32_t first, following, number, is_new
    cdef Py_ssize_t k
    if side.following + side.count > 0x7FFFFFFF:
        memset(slots_r, 0, <size_t>side.arrays.slots.count * sizeof(int32_t))
        side.following = 1
    first = following = <int32_t>side.following
    for k in range(side.count):
        number = slots_r[indices_k[k]]
        # Each row is stored, then kept or overwritten: there is no branch to mispredict.
        is_new = -<int32_t>(number < first)
        number ^= (number ^ following) & is_new
        rows_u[following - first] = indices_k[k]
        slots_r[indices_k[k]] = number
        number -= first
        numbers_k[k] = number
        lengths_u[number] = (lengths_u[number] & ~<int64_t>is_new) + 1
        following -= is_new
    side.touched = following - first
    side.following = following


cdef void sort_side(Side* side) noexcept nogil:
    # Lists the touched rows of a batch, and sorts its lookups by them.
    cdef int64_t* starts_u = &(<int64_t*>side.arrays.row_ends.data)[1]
    cdef const int32_t* numbers_k = <const int32_t*>side.arrays.numbers.data
    cdef int64_t length, total = 0
    cdef Py_ssize_t u, k, place
    number_rows_of_side(side, starts_u)
    for u in range(side.touched):
        length = starts_u[u]
        starts_u[u] = total
        total += length
    starts_u[-1] = 0
    for k in range(side.count):
        place = starts_u[numbers_k[k]]
        starts_u[numbers_k[k]] = place + 1
        (<int32_t*>side.arrays.sorted.data)[place] = (<const int32_t*>side.arrays.places.data)[k]
        (<float*>side.arrays.scales.data)[place] = (<const float*>side.arrays.weights.data)[k]


cdef void sort_unit(PairCall* call, Py_ssize_t unit) noexcept nogil:
    if unit == 0:
        list_user_lookups(call)
        sort_side(&call.users_side)
    else:
        list_item_lookups(call)
        sort_side(&call.items_side)
