# The lookups of one part of a table's rows in a batch of pairs, sorted by row.
#
#     d_user[r]  = sum over the lookups w of r in users' bags: w * (sum of the gradients of the
#                  user's pairs), less w * (gradient of the pair) if r is the pair's own item,
#                  which its bag has lost
#     d_item[r]  = sum over the lookups w of r in items' bags: w * coefficient * vector of the user,
#                  or such a sum over the pairs of the batch
#
# The lookups of a user's bag in a part are neighbours, as its indices ascend; of single lookups and
# items' bags, each part takes those of its rows. Numbers of rows go on rising from batch to batch,
# as in lookups.pxi.

cdef inline PartLookups lookups_of_part(
    const Side* side, Py_ssize_t part, Py_ssize_t thread
) noexcept nogil:
    # Returns the arrays of a thread, without lookups.
    cdef SideArrays arrays = side.arrays
    cdef const int64_t* bounds = <const int64_t*>arrays.bounds.data
    cdef PartLookups lookups
    lookups.indices = <int64_t*>row_address(arrays.indices, thread)
    lookups.places = <int32_t*>row_address(arrays.places, thread)
    lookups.weights = <float*>row_address(arrays.weights, thread)
    lookups.numbers = <int32_t*>row_address(arrays.numbers, thread)
    lookups.rows = <int64_t*>row_address(arrays.rows, thread)
    lookups.row_ends = <int64_t*>row_address(arrays.row_ends, thread)
    lookups.sorted = <int32_t*>row_address(arrays.sorted, thread)
    lookups.scales = <float*>row_address(arrays.scales, thread)
    lookups.room = arrays.places.dim
    lookups.first_row, lookups.stop_row = bounds[part], bounds[part + 1]
    lookups.count = lookups.touched = 0
    return lookups


cdef inline void append_lookup(
    PartLookups* lookups, Py_ssize_t row, Py_ssize_t place, float weight
) noexcept nogil:
    # Takes a lookup if its row is one of the part's.
    cdef Py_ssize_t k = lookups.count
    if row < lookups.first_row or row >= lookups.stop_row or k >= lookups.room:
        return
    lookups.indices[k] = row
    lookups.places[k] = <int32_t>place
    lookups.weights[k] = weight
    lookups.count = k + 1


cdef inline void append_neighbours(
    PartLookups* lookups, const index_t* given_k, const float* weights_k, Py_ssize_t count,
    Py_ssize_t place,
) noexcept nogil:
    # Copies lookups whose rows are the part's. If they are not, a thread of Python has changed
    # them, and no other row may be written.
    cdef Py_ssize_t first = lookups.first_row, stop = lookups.stop_row, row, k
    cdef int64_t* indices_k = &lookups.indices[lookups.count]
    cdef int32_t* places_k = &lookups.places[lookups.count]
    for k in range(count):
        row = given_k[k]
        indices_k[k] = row if row >= first and row < stop else first
        places_k[k] = <int32_t>place
    memcpy(
        &lookups.weights[lookups.count], weights_k, <size_t>max(count, 0) * sizeof(float)
    )
    lookups.count += max(count, 0)


cdef inline void append_split(
    PartLookups* lookups, const PairCall* call, Py_ssize_t r, Py_ssize_t part, Py_ssize_t place
) noexcept nogil:
    # Appends the part of a run's bag.
    cdef const int64_t* splits = <const int64_t*>row_address(call.user_bags.splits, r)
    cdef Py_ssize_t k = splits[part]
    cdef Py_ssize_t count = min(splits[part + 1] - k, lookups.room - lookups.count)
    cdef const float* weights_k = &(<const float*>call.user_bags.weights.data)[k]
    if lookups.first_row >= lookups.stop_row:
        return
    if call.long_users:
        append_neighbours(
            lookups, &(<const int64_t*>call.user_bags.indices.data)[k], weights_k, count, place
        )
    else:
        append_neighbours(
            lookups, &(<const int32_t*>call.user_bags.indices.data)[k], weights_k, count, place
        )


cdef void list_user_lookups(
    PartLookups* lookups, const PairCall* call, Py_ssize_t part
) noexcept nogil:
    cdef const int64_t* runs = run_starts(call)
    cdef Py_ssize_t r, b, entry
    cdef bint is_listed
    for r in range(call.num_runs):
        is_listed = False
        for b in range(runs[r], runs[r + 1]):
            if not moves_user(call, b):
                continue
            if not is_listed:
                append_split(lookups, call, r, part, call.num_pairs + r)
                is_listed = True
            if call.user_bags.totals.data == NULL:
                break
            entry = entry_at(call, b)
            append_lookup(
                lookups, item_of_entry(call, entry), b, -float_at(call.data.values, entry)
            )


cdef void list_item(
    PartLookups* lookups, const PairCall* call, Py_ssize_t item, Py_ssize_t b, float coefficient
) noexcept nogil:
    # Appends the lookups of an item's bag, with weights times a coefficient.
    cdef Indices indices = Indices(call.item_bags.indices.data, call.long_items)
    cdef Lookups bag
    cdef Py_ssize_t k
    if coefficient == 0:
        return
    if not has_item_bags(call):
        append_lookup(lookups, item, b, coefficient)
        return
    bag = lookups_of_bag(
        Indices(call.item_bags.offsets.data, call.long_items),
        clamped(item, call.item_bags.offsets.count - 2), call.item_bags.indices.count,
    )
    for k in range(bag.start, bag.end):
        append_lookup(
            lookups, index_at(indices, k), b, float_at(call.item_bags.weights, k) * coefficient
        )


cdef void list_item_lookups(PartLookups* lookups, const PairCall* call) noexcept nogil:
    cdef const float* coefficients
    cdef Py_ssize_t b, k
    for b in range(call.num_pairs):
        coefficients = <const float*>row_address(call.buffers.coefficients, b)
        list_item(lookups, call, item_of_entry(call, entry_at(call, b)), b, coefficients[0])
        if call.loss != SAMPLED_SOFTMAX:
            list_item(
                lookups, call, (<const int32_t*>row_address(call.buffers.negatives, b))[0], b,
                coefficients[1],
            )
    for k in range(call.sampling.drawn.dim if call.loss == SAMPLED_SOFTMAX else 0):
        list_item(lookups, call, drawn_items(call)[k], call.num_pairs + k, 1)


cdef void number_rows_of_part(
    PartLookups* lookups, int32_t* slots_r, int64_t* following, int64_t* lengths_u
) noexcept nogil:
    # Writes which of the part's rows each lookup is of, and how many lookups each row has.
    cdef const int64_t* indices_k = lookups.indices
    cdef int32_t* numbers_k = lookups.numbers
    cdef int64_t* rows_u = lookups.rows
    cdef int32_t first, next, number, is_new
    cdef Py_ssize_t k
    if following[0] + lookups.count > 0x7FFFFFFF:
        memset(
            &slots_r[lookups.first_row], 0,
            <size_t>(lookups.stop_row - lookups.first_row) * sizeof(int32_t),
        )
        following[0] = 1
    first = next = <int32_t>following[0]
    for k in range(lookups.count):
        number = slots_r[indices_k[k]]
        # Each row is stored, then kept or overwritten: there is no branch to mispredict.
        is_new = -<int32_t>(number < first)
        number ^= (number ^ next) & is_new
        rows_u[next - first] = indices_k[k]
        slots_r[indices_k[k]] = number
        number -= first
        numbers_k[k] = number
        lengths_u[number] = (lengths_u[number] & ~<int64_t>is_new) + 1
        next -= is_new
    lookups.touched = next - first
    following[0] = next


cdef void sort_part(PartLookups* lookups, const Side* side, Py_ssize_t part) noexcept nogil:
    # Lists the touched rows of a part, and sorts its lookups by them.
    cdef int64_t* starts_u = &lookups.row_ends[1]
    cdef const int32_t* numbers_k = lookups.numbers
    cdef int64_t length, total = 0
    cdef Py_ssize_t u, k, place
    number_rows_of_part(
        lookups, <int32_t*>side.arrays.slots.data,
        &(<int64_t*>side.arrays.following.data)[part], starts_u,
    )
    for u in range(lookups.touched):
        length = starts_u[u]
        starts_u[u] = total
        total += length
    starts_u[-1] = 0
    for k in range(lookups.count):
        place = starts_u[numbers_k[k]]
        starts_u[numbers_k[k]] = place + 1
        lookups.sorted[place] = lookups.places[k]
        lookups.scales[place] = lookups.weights[k]
