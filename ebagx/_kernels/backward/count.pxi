# Transposition of bags by counting, where the table has no more rows than the call has lookups.
#
# The results are those of the sort in ``transpose.pxi``. Each lookup is read twice, once to count
# the lookups of its row, and once to place its payload: the number of its bag.

cdef enum:
    COUNTING  # the lookups of each row, by unit
    LISTING   # the rows, and where the lookups of each row and unit go
    PLACING   # the payloads


cdef struct CountCall:
    Rows rows
    Rows row_offsets
    Rows payloads
    Rows counts
    Rows indices
    Rows offsets
    int phase


cdef inline Py_ssize_t counted_row(
    const CountCall* call, const index_t* indices_k, Py_ssize_t k
) noexcept nogil:
    cdef size_t row = <size_t>indices_k[k]
    return <Py_ssize_t>row if row < <size_t>call.counts.dim else 0


cdef void count_rows(
    const CountCall* call, index_t index, int32_t* counts_r, Py_ssize_t start, Py_ssize_t stop
) noexcept nogil:
    cdef const index_t* indices_k = <const index_t*>call.indices.data
    cdef Py_ssize_t k
    memset(counts_r, 0, <size_t>call.counts.dim * sizeof(int32_t))
    for k in range(start, stop):
        counts_r[counted_row(call, indices_k, k)] += 1


cdef Py_ssize_t list_rows(const CountCall* call, index_t index) noexcept nogil:
    # Returns the number of distinct rows. Counts become places: by row, then by unit.
    cdef index_t* rows_u = <index_t*>call.rows.data
    cdef index_t* row_offsets_u = <index_t*>call.row_offsets.data
    cdef int32_t* counts = <int32_t*>call.counts.data
    cdef Py_ssize_t num_rows = call.counts.dim, r, unit, u = 0
    cdef int32_t count, start, total = 0
    row_offsets_u[0] = 0
    # Each row is stored, then kept or overwritten: there is no branch to mispredict.
    for r in range(num_rows):
        start = total
        for unit in range(call.counts.count):
            count = counts[unit * num_rows + r]
            counts[unit * num_rows + r] = total
            total += count
        rows_u[u] = <index_t>r
        row_offsets_u[u + 1] = <index_t>total
        u += total != start
    return u


cdef void place_payloads(
    const CountCall* call, index_t index, int32_t* places_r, Py_ssize_t start, Py_ssize_t stop
) noexcept nogil:
    cdef index_t* payloads_k = <index_t*>call.payloads.data
    cdef const index_t* indices_k = <const index_t*>call.indices.data
    cdef const index_t* offsets_b = <const index_t*>call.offsets.data
    cdef Py_ssize_t n = call.indices.count, num_bags = call.offsets.count - 1, k, r
    cdef Py_ssize_t b = bag_of_lookup(offsets_b, num_bags, start), end = offsets_b[b + 1]
    for k in range(start, stop):
        while k >= end and b < num_bags - 1:
            b += 1
            end = offsets_b[b + 1]
        r = counted_row(call, indices_k, k)
        if places_r[r] < n:  # another thread may change the indices after they were counted
            payloads_k[places_r[r]] = <index_t>b
            places_r[r] += 1


cdef Py_ssize_t count_unit(
    const CountCall* call, index_t index, Py_ssize_t unit, Py_ssize_t units
) noexcept nogil:
    cdef int32_t* counts_r = <int32_t*>(call.counts.data + unit * call.counts.row_bytes)
    cdef Py_ssize_t n = call.indices.count
    cdef Py_ssize_t start = even_start(n, unit, units), stop = even_start(n, unit + 1, units)
    if call.phase == LISTING:
        return list_rows(call, index)
    if call.phase == COUNTING:
        count_rows(call, index, counts_r, start, stop)
    elif start < stop:
        place_payloads(call, index, counts_r, start, stop)
    return 0


def count_lookups(
    rows_u,            # OUT (n,), of which the first U entries count
    row_offsets_u,     # OUT (n + 1,), of which the first U + 1 entries count
    payloads_k,        # OUT (n,)
    counts,            # SCRATCH (num_threads, num_rows), int32; 0 < num_rows <= n < 2 ** 31
    indices_k,         # (n,)
    offsets_b,         # (B + 1,)
    int num_threads,
    /,
):
    """Return the number of distinct rows; write them, where their lookups start, and their bags.

    Cost: n + num_rows * num_threads, and 2 n that threads share.
    """
    cdef CountCall call
    cdef Arrays arrays
    cdef Py_ssize_t num_rows
    open_arrays(
        &arrays, <Rows*>&call, (rows_u, row_offsets_u, payloads_k, counts, indices_k, offsets_b),
        b"i1w i1w i1w l2w i1 i1",
    )
    with nogil:
        call.phase = COUNTING
        share_units(&call, &arrays, num_threads, num_threads)
        call.phase = LISTING
        num_rows = run_unit(&call, &arrays, 0, 1)
        call.phase = PLACING
        share_units(&call, &arrays, num_threads, num_threads)
    close_arrays(&arrays)
    return num_rows
