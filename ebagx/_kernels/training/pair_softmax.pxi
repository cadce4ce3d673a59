# The loss "softmax" of training on pairs: all pairs of a batch are compared with the same K items,
# which were drawn for the batch.
#
#     logit       s_p - log(K q_p) of the pair's item, s_n - log(K q_n) of the items drawn that the
#                 user has not; q is the probability of an item in a draw
#     loss        strength * (log(sum of exp(logits)) - logit of p)
#
# The gradient of a drawn item is a sum over the pairs of the batch. It is written behind the
# vectors of the pairs, and the item has one lookup, which refers to it: a lookup for each pair
# would be K times as many to sort.

cdef extern from "training/pair_ops.h" nogil:
    # own and others become the loss's derivatives
    float pair_softmax "ebagx_pair_softmax"(float* own, float* others, float, Py_ssize_t)

cdef enum:
    TILE_ROWS = 4  # of pairs or drawn items, whose sums stay in registers


cdef inline Py_ssize_t floats_apart(Rows rows) noexcept nogil:
    return rows.row_bytes // <Py_ssize_t>sizeof(float)


cdef inline const int32_t* drawn_items(const PairCall* call) noexcept nogil:
    # Returns the items drawn for the batch, which ascend.
    return <const int32_t*>row_address(call.sampling.drawn, call.batch)


cdef void find_drawn_places(const PairCall* call, Py_ssize_t batch, bint are_drawn) noexcept nogil:
    # Notes for each item drawn for a batch where it comes first, counted from 1; or clears that.
    cdef const int32_t* drawn_k = <const int32_t*>row_address(call.sampling.drawn, batch)
    cdef Py_ssize_t k
    for k in range(call.sampling.drawn.dim - 1, -1, -1):
        (<int32_t*>row_address(call.items.places, drawn_k[k]))[0] = <int32_t>(
            k + 1 if are_drawn else 0
        )


cdef void find_repeats(const PairCall* call) noexcept nogil:
    # Lists the items drawn for the batch that are the same as the ones before them. To look for
    # them for each user took 9 % of the time of training.
    cdef const int32_t* drawn_k = drawn_items(call)
    cdef int32_t* repeats = <int32_t*>call.items.repeats.data
    cdef Py_ssize_t k
    repeats[0] = 0
    for k in range(1, call.sampling.drawn.dim):
        if drawn_k[k] == drawn_k[k - 1]:
            repeats[0] += 1
            repeats[repeats[0]] = <int32_t>k


cdef void shift_logits(const PairCall* call, Py_ssize_t r, Py_ssize_t user) noexcept nogil:
    # Writes what a run's scores lose: log(K q), or all if the user has the item. A walk through
    # the user's items and those drawn, which both ascend, took as long as the scores. There is no
    # branch for items that are not drawn: these have place 0, before those of the drawn ones.
    cdef Indices items = Indices(call.data.items.data, call.long_data)
    cdef Indices offsets = Indices(call.data.offsets.data, call.long_data)
    cdef const int32_t* repeats = <const int32_t*>call.items.repeats.data
    cdef float* shifts_k = <float*>row_address(call.items.shifts, r)
    cdef Py_ssize_t n = call.data.items.count, count = call.items.shifts.dim, j
    memcpy(
        shifts_k, row_address(call.items.shifts, call.batch_size), <size_t>count * sizeof(float)
    )
    for j in range(
        clamped(index_at(offsets, user), n), clamped(index_at(offsets, user + 1), n)
    ):
        shifts_k[(<const int32_t*>row_address(call.items.places, index_at(items, j)))[0]] = INFINITY
    for j in range(1, repeats[0] + 1):
        shifts_k[1 + repeats[j]] = shifts_k[repeats[j]]


cdef void refresh_drawn(const PairCall* call, Py_ssize_t strip) noexcept nogil:
    # Writes the vectors of 16 drawn items, and a panel that has them side by side.
    cdef Rows catalogue = call.items.catalogue
    cdef Py_ssize_t first = strip * STRIP, lane, d, item
    cdef float* panel = <float*>row_address(call.items.panels, strip * catalogue.dim)
    cdef float* shifts_k = <float*>row_address(call.items.shifts, call.batch_size)
    cdef const float* vector
    clear_floats(panel, catalogue.dim * STRIP)
    for lane in range(min(STRIP, catalogue.count - first)):
        item = drawn_items(call)[first + lane]
        shifts_k[1 + first + lane] = (<const float*>row_address(call.sampling.shifts, item))[0]
        copy_item(<float*>row_address(catalogue, first + lane), call, item)
        vector = <const float*>row_address(catalogue, first + lane)
        for d in range(catalogue.dim):
            panel[d * STRIP + lane] = vector[d]


cdef inline void score_tile_of_drawn(
    const PairCall* call, Py_ssize_t first, const Py_ssize_t* runs, Py_ssize_t strip, int rows
) noexcept nogil:
    # Writes the logits of 16 drawn items for some pairs. The last number of a pair's vector is 1,
    # which adds the bias of the item.
    cdef float[TILE_ROWS * STRIP] logits
    cdef const float* shifts_k
    cdef Rows vectors = call.buffers.vectors
    cdef Py_ssize_t k = strip * STRIP, count = min(STRIP, call.items.catalogue.count - k)
    cdef Py_ssize_t dim = call.items.catalogue.dim
    cdef int r, lane
    clear_floats(logits, TILE_ROWS * STRIP)
    for r in range(rows):
        shifts_k = <const float*>row_address(call.items.shifts, runs[r])
        for lane in range(count):
            logits[r * STRIP + lane] = -shifts_k[1 + k + lane]
    add_strip_products(
        logits, <const float*>row_address(vectors, first), floats_apart(vectors), 1,
        <const float*>row_address(call.items.panels, strip * dim), dim, rows,
    )
    for r in range(rows):
        memcpy(
            <float*>row_address(call.buffers.coefficients, first + r) + 1 + k,
            &logits[r * STRIP], <size_t>count * sizeof(float),
        )


cdef inline void sum_tile(
    Rows sums, Py_ssize_t first, const float* factors, Py_ssize_t row, Py_ssize_t step, Rows values,
    Py_ssize_t count, bint goes_on, int rows,
) noexcept nogil:
    # sums[first + r] = sum_i factors[r * row + i * step] * values[i], from 0 or from what is there
    cdef float* out = <float*>row_address(sums, first)
    cdef Py_ssize_t d = 0, apart = floats_apart(values)
    while d + STRIP <= sums.dim:
        outer_products(
            out + d, floats_apart(sums), factors, row, step, 0, <const float*>values.data + d,
            apart, count, goes_on, rows, STRIP,
        )
        d += STRIP
    if d < sums.dim:
        outer_products(
            out + d, floats_apart(sums), factors, row, step, 0, <const float*>values.data + d,
            apart, count, goes_on, rows, <int>(sums.dim - d),
        )


cdef inline void differentiate_softmax(const PairCall* call, Py_ssize_t b) noexcept nogil:
    # Writes the loss of a pair, its derivatives by scores, and what its own item gives the user.
    cdef float* coefficients = <float*>row_address(call.buffers.coefficients, b)
    cdef Py_ssize_t entry = entry_at(call, b), item = item_of_entry(call, entry)
    cdef Py_ssize_t dim = call.buffers.pooled.dim
    cdef const float* own_row = item_vector(call, item, 2 * b)
    coefficients[0] = score_of(<const float*>row_address(call.buffers.vectors, b), own_row, dim)
    coefficients[0] -= (<const float*>row_address(call.sampling.shifts, item))[0]
    (<double*>call.buffers.losses.data)[call.first_pair + b] = pair_softmax(
        coefficients, coefficients + 1, float_at(call.data.strengths, entry),
        call.sampling.drawn.dim,
    )
    scaled_row(<float*>row_address(call.buffers.gradients, b), own_row, coefficients[0], dim)


cdef inline void compare_tile(
    const PairCall* call, Py_ssize_t first, const Py_ssize_t* runs, int rows
) noexcept nogil:
    # Compares some pairs with the items drawn: losses, and gradients of the pooled vectors.
    cdef Py_ssize_t strip, b
    cdef float divisor
    for strip in range(units_of(call.items.catalogue.count, STRIP)):
        score_tile_of_drawn(call, first, runs, strip, rows)
    for b in range(first, first + rows):
        differentiate_softmax(call, b)
    sum_tile(
        call.buffers.gradients, first,
        <const float*>row_address(call.buffers.coefficients, first) + 1,
        floats_apart(call.buffers.coefficients), 1, call.items.catalogue,
        call.sampling.drawn.dim, True, rows,
    )
    for b in range(first, first + rows):
        divisor = float_at(call.buffers.divisors, b)
        if divisor != 1 and divisor > 0:
            divide_row(
                <float*>row_address(call.buffers.gradients, b), divisor, call.buffers.gradients.dim
            )


cdef void compare_with_drawn(
    const PairCall* call, Py_ssize_t first, Py_ssize_t stop
) noexcept nogil:
    # Compares the pairs of the runs from `first` on, whose vectors are there, with the items drawn.
    cdef const int64_t* runs_r = run_starts(call)
    cdef Py_ssize_t[TILE_ROWS] runs
    cdef Py_ssize_t b = runs_r[first], run = first
    cdef int rows = 0, last
    while b + rows < runs_r[stop]:
        while runs_r[run + 1] <= b + rows:
            run += 1
        runs[rows] = run
        rows += 1
        if rows == TILE_ROWS:
            compare_tile(call, b, runs, TILE_ROWS)
            b += TILE_ROWS
            rows = 0
    for last in range(rows):
        compare_tile(call, b + last, &runs[last], 1)


cdef inline void sum_drawn_tile(const PairCall* call, Py_ssize_t k, int rows) noexcept nogil:
    # Adds up the gradients of the vectors of some drawn items.
    cdef Rows sums = call.buffers.vectors, coefficients = call.buffers.coefficients
    sums.dim = call.buffers.pooled.dim
    sum_tile(
        sums, call.num_pairs + k, <const float*>coefficients.data + 1 + k, 1,
        floats_apart(coefficients), call.buffers.vectors, call.num_pairs, False, rows,
    )


cdef void sum_drawn_unit(const PairCall* call, Py_ssize_t first) noexcept nogil:
    # Adds up the gradients of some drawn items, behind the vectors of all pairs. That of a bias is
    # the sum of the derivatives, which lie side by side for 16 items.
    cdef Py_ssize_t stop = min(first + STRIP, call.sampling.drawn.dim), k = first, b
    cdef float[STRIP] sums
    clear_floats(sums, STRIP)
    for b in range(call.num_pairs):
        add_row(
            sums, <const float*>row_address(call.buffers.coefficients, b) + 1 + first, stop - first
        )
    for k in range(first, stop):
        (<float*>row_address(call.buffers.vectors, call.num_pairs + k))[call.buffers.pooled.dim] = (
            sums[k - first]
        )
    k = first
    while k + TILE_ROWS <= stop:
        sum_drawn_tile(call, k, TILE_ROWS)
        k += TILE_ROWS
    while k < stop:
        sum_drawn_tile(call, k, 1)
        k += 1
