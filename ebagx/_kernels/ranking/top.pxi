# These kernels find the items with the largest scores for each user, best first.
#
#     score(u, i) = bias[i] + sum_d users[u, d] * items[i, d]      in double, in the order of d
#
# Without a bias, it is divided by the length of the item.
#
# The lower id comes first among equal scores. Items that a list excludes, and those whose
# score is -inf, are left out; a user with fewer than n others has the id -1 and the score -inf in
# the last places. No score is kept but those of the n best: memory does not grow as users x items.
#
# Each user has a heap of n places, the worst of them first, so most items cost one comparison.
# Items come in the order of their ids, as those that a list excludes do: one walk finds these.

cdef extern from "ranking/top_ops.h" nogil:
    enum:
        TILE_ITEMS "EBAGX_TILE_ITEMS"  # items whose scores are computed side by side
        TILE_USERS "EBAGX_TILE_USERS"    # users, likewise
    void score_tile "ebagx_score_tile"(
        double*, const double*, Py_ssize_t, const double*, const double*, Py_ssize_t, int
    )
    void fill_whole_panel "ebagx_fill_panel"(
        double*, const float*, Py_ssize_t row, Py_ssize_t dim
    )
    void inverse_lengths "ebagx_inverse_lengths"(double*, const double* panel, Py_ssize_t dim)
    void scale_tile "ebagx_scale_tile"(double* scores, const double* factors, int rows)
    bint any_above "ebagx_any_above"(const double*, double)

cdef enum:
    GROUP_USERS = 128  # users for whom a panel is filled once


cdef struct Lists:
    Rows ids       # (m, n) int64, -1 at first
    Rows scores    # (m, n) float64, -inf at first
    Rows cursors   # (m,) int64, the first m offsets at first: excluded items before it are passed
    Rows offsets   # (m + 1,)
    Rows excluded  # the ids that each user's list excludes, which ascend


cdef struct TopItemsCall:
    Lists lists
    Rows panels    # (units, 8 * D) float64
    Rows users     # (m, D) float64
    Rows items     # (I, D) float32
    Rows bias      # (I,) float32, or empty: scores are divided by the lengths of items
    bint long_excluded
    Py_ssize_t first_item
    Py_ssize_t stop_item


cdef struct TopScoresCall:
    Lists lists
    Rows scores    # (m, I) float64
    bint long_excluded


cdef inline bint is_worse(
    double score, int64_t item, double other_score, int64_t other
) noexcept nogil:
    return score < other_score or (score == other_score and item > other)


cdef void replace_worst(
    double* scores_n, int64_t* ids_n, Py_ssize_t count, double score, int64_t item
) noexcept nogil:
    # Puts an item in the place of the first of a heap.
    cdef Py_ssize_t place = 0, child = 1
    while child < count:
        if child + 1 < count and is_worse(
            scores_n[child + 1], ids_n[child + 1], scores_n[child], ids_n[child]
        ):
            child += 1
        if not is_worse(scores_n[child], ids_n[child], score, item):
            break
        scores_n[place], ids_n[place] = scores_n[child], ids_n[child]
        place = child
        child = 2 * place + 1
    scores_n[place], ids_n[place] = score, item


cdef void sort_list(const Lists* lists, Py_ssize_t user) noexcept nogil:
    # Makes a list of a heap, the best item first.
    cdef double* scores_n = <double*>row_address(lists.scores, user)
    cdef int64_t* ids_n = <int64_t*>row_address(lists.ids, user)
    cdef Py_ssize_t last
    cdef double worst_score
    cdef int64_t worst
    for last in range(lists.ids.dim - 1, 0, -1):
        worst_score, worst = scores_n[0], ids_n[0]
        replace_worst(scores_n, ids_n, last, scores_n[last], ids_n[last])
        scores_n[last], ids_n[last] = worst_score, worst


cdef bint is_excluded(
    const Lists* lists, bint long_excluded, Py_ssize_t user, int64_t item
) noexcept nogil:
    # Items of a user must come in ascending order.
    cdef Indices offsets = Indices(lists.offsets.data, long_excluded)
    cdef Indices excluded = Indices(lists.excluded.data, long_excluded)
    cdef int64_t* cursors = <int64_t*>lists.cursors.data
    cdef Py_ssize_t end = clamped(index_at(offsets, user + 1), lists.excluded.count)
    cdef Py_ssize_t place = clamped(<Py_ssize_t>cursors[user], end)
    while place < end and index_at(excluded, place) < item:
        place += 1
    cursors[user] = place
    return place < end and index_at(excluded, place) == item


cdef inline void offer(
    const Lists* lists, bint long_excluded, Py_ssize_t user, double score, int64_t item
) noexcept nogil:
    # Takes an item into a user's heap if it is better than the worst one there.
    cdef double* scores_n = <double*>row_address(lists.scores, user)
    if score > scores_n[0] and not is_excluded(lists, long_excluded, user, item):
        replace_worst(
            scores_n, <int64_t*>row_address(lists.ids, user), lists.ids.dim, score, item
        )


cdef inline double bias_of(const TopItemsCall* call, Py_ssize_t item) noexcept nogil:
    return 0 if call.bias.data == NULL else (<const float*>call.bias.data)[item]


cdef void fill_last_panel(
    const TopItemsCall* call, double* panel, double* bias, Py_ssize_t first
) noexcept nogil:
    # Copies fewer items than a panel has. The others get the score -inf, which no list takes.
    cdef Py_ssize_t lane, d, dim = call.items.dim
    cdef const float* item_d
    for lane in range(TILE_ITEMS):
        item_d = <const float*>row_address(call.items, first + lane)
        bias[lane] = -INFINITY
        if first + lane < call.items.count:
            bias[lane] = bias_of(call, first + lane)
        for d in range(dim):
            panel[TILE_ITEMS * d + lane] = item_d[d]


cdef inline void fill_panel(
    const TopItemsCall* call, double* panel, double* bias, Py_ssize_t first
) noexcept nogil:
    # Copies items, side by side.
    cdef Py_ssize_t lane
    if first + TILE_ITEMS > call.items.count:
        fill_last_panel(call, panel, bias, first)
        return
    for lane in range(TILE_ITEMS):
        bias[lane] = bias_of(call, first + lane)
    fill_whole_panel(
        panel, <const float*>row_address(call.items, first),
        call.items.row_bytes // <Py_ssize_t>sizeof(float), call.items.dim,
    )


cdef inline void rank_tile(
    const TopItemsCall* call, const double* panel, const double* bias, const double* factors,
    Py_ssize_t item, Py_ssize_t user, int rows
) noexcept nogil:
    # Ranks the items of a panel for some users.
    cdef double[TILE_USERS * TILE_ITEMS] scores
    cdef const double* worst
    cdef int u, lane
    score_tile(
        scores, <const double*>row_address(call.users, user),
        call.users.row_bytes // <Py_ssize_t>sizeof(double), panel, bias, call.users.dim, rows,
    )
    if call.bias.data == NULL:
        scale_tile(scores, factors, rows)
    for u in range(rows):
        worst = <const double*>row_address(call.lists.scores, user + u)
        if unlikely(any_above(&scores[TILE_ITEMS * u], worst[0])):
            for lane in range(TILE_ITEMS):
                offer(
                    &call.lists, call.long_excluded, user + u, scores[TILE_ITEMS * u + lane],
                    item + lane,
                )


cdef void rank_group(
    const TopItemsCall* call, double* panel, Py_ssize_t first, Py_ssize_t stop
) noexcept nogil:
    # Ranks all items for some users.
    cdef double[TILE_ITEMS] bias, factors
    cdef Py_ssize_t user, item = call.first_item
    while item < call.stop_item:
        fill_panel(call, panel, bias, item)
        if call.bias.data == NULL:
            inverse_lengths(factors, panel, call.items.dim)
        user = first
        while user + TILE_USERS <= stop:
            rank_tile(call, panel, bias, factors, item, user, TILE_USERS)
            user += TILE_USERS
        while user < stop:
            rank_tile(call, panel, bias, factors, item, user, 1)
            user += 1
        item += TILE_ITEMS
    for user in range(first, stop):
        sort_list(&call.lists, user)


cdef inline Py_ssize_t number_of_parts(const TopItemsCall* call) noexcept nogil:
    return max(call.lists.ids.count // max(call.users.count, 1), 1)


cdef inline void choose_part(TopItemsCall* call, Py_ssize_t part, Py_ssize_t parts) noexcept nogil:
    # Leaves the lists and the items of one part.
    cdef Py_ssize_t users = call.users.count
    cdef Py_ssize_t panels = (call.items.count + TILE_ITEMS - 1) // TILE_ITEMS
    call.lists.ids.data += part * users * call.lists.ids.row_bytes
    call.lists.scores.data += part * users * call.lists.scores.row_bytes
    call.lists.cursors.data += part * users * <Py_ssize_t>sizeof(int64_t)
    call.first_item = even_start(panels, part, parts) * TILE_ITEMS
    call.stop_item = min(even_start(panels, part + 1, parts) * TILE_ITEMS, call.items.count)


cdef Py_ssize_t top_items_unit(
    const TopItemsCall* given, Py_ssize_t unit, Py_ssize_t units
) noexcept nogil:
    # A unit takes some users or, if there are several parts, all users for the items of one.
    cdef TopItemsCall of_part = given[0]
    cdef TopItemsCall* call = &of_part
    cdef double* panel = <double*>row_address(call.panels, unit)
    cdef Py_ssize_t parts = number_of_parts(call), first, stop
    choose_part(call, unit if parts > 1 else 0, parts)
    first = 0 if parts > 1 else even_start(call.users.count, unit, units)
    stop = call.users.count if parts > 1 else even_start(call.users.count, unit + 1, units)
    while first < stop:
        rank_group(call, panel, first, min(first + GROUP_USERS, stop))
        first += GROUP_USERS
    return 0


def top_items(
    lists,             # INOUT ids (P * m, n) int64, scores (P * m, n) float64: see Lists
    excluded,          # INOUT cursors (P * m,) int64; offsets (m + 1,) and ids of excluded items
    panels,            # OUT (units, 8 * D) float64: scratch, whose rows are the units of work
    users_md,          # (m, D) float64
    items,             # vectors (I, D) float32, bias (I,) float32; empty: divide by their lengths
    int num_threads,
    /,
):
    """Find the n best items of each user, best first; users have the values of float32.

    With P > 1, the lists are those of all users for the first of P parts of the items, then for the
    next; there are P units.

    Cost: O(m I D), and O(log n) for each item that is among the n best so far.
    """
    cdef TopItemsCall call
    cdef Arrays arrays
    open_arrays(
        &arrays, <Rows*>&call, (*lists, *excluded, panels, users_md, *items),
        b"q2w d2w q1w i1 i1 d2w d2 f2 f1",
    )
    call.long_excluded = arrays.index == INT64
    with nogil:
        share_units(&call, &arrays, call.panels.count, num_threads)
    close_arrays(&arrays)


cdef Py_ssize_t top_scores_unit(
    const TopScoresCall* call, Py_ssize_t unit, Py_ssize_t units
) noexcept nogil:
    cdef Py_ssize_t user, item
    cdef const double* scores_i
    for user in range(
        even_start(call.scores.count, unit, units), even_start(call.scores.count, unit + 1, units)
    ):
        scores_i = <const double*>row_address(call.scores, user)
        for item in range(call.scores.dim):
            offer(&call.lists, call.long_excluded, user, scores_i[item], item)
        sort_list(&call.lists, user)
    return 0


def top_scores(
    lists,             # INOUT ids (m, n) int64, scores (m, n) float64: see Lists
    excluded,          # INOUT cursors (m,) int64; offsets (m + 1,) and ids of excluded items
    scores_mi,         # (m, I) float64, no NaN
    int num_threads,
    /,
):
    """Find the n best items of each user, best first, by scores that are given.

    Cost: one read of each score, and O(log n) for each that is among the n best so far.
    """
    cdef TopScoresCall call
    cdef Arrays arrays
    open_arrays(
        &arrays, <Rows*>&call, (*lists, *excluded, scores_mi), b"q2w d2w q1w i1 i1 d2"
    )
    call.long_excluded = arrays.index == INT64
    with nogil:
        share_units(
            &call, &arrays, unit_count(call.scores.count, num_threads), num_threads
        )
    close_arrays(&arrays)
