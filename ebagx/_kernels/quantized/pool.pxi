# Quantised tables: the kernels pool and unpack rows of codes of 8, 4 or 2 bits.
#
#     value      v[r, d] = float(float(scale[r] * code[r, d]) + bias[r])
#     forward    out[b] = sum_k w[k] * v[i[k]] / q[b], to the bit what `pool` makes of the values
#
# Scale and bias lie in the row: in an array of their own they would cost a second access to memory
# for each lookup, 1.5 to 3.5 times the time on data from memory. Rows may lie at any address.
#
# These are no more branches of `pool`: a block of codes has no address for each column. Divisors,
# units and long bags are those of forward/pool.pxi. There is no gradient: codes are not trained.
# The code is not compiled for both widths of indices: it was twice as large, and no faster.

cdef extern from "quantized/codes.h" nogil:
    enum:
        CHUNK "EBAGX_CHUNK"
        CODE_VECTORS "EBAGX_CODE_VECTORS"
        COMPUTED_BITS "EBAGX_COMPUTED_BITS"
        CODE_COLUMNS "EBAGX_CODE_COLUMNS"
        HAS_FUSED "EBAGX_HAS_FUSED"
        HAS_LITERAL_CHUNKS "EBAGX_HAS_LITERAL_CHUNKS"
        HAS_LITERAL_HALF "EBAGX_HAS_LITERAL_HALF"
    ctypedef struct Span "ebagx_span":
        pass
    ctypedef struct Line "ebagx_line":
        pass
    Span span_of "ebagx_span_of"(int size, int chunks)
    Line line_at "ebagx_line_at"(
        const char* constants, bint is_half, float weight, int bits, bint is_weighted,
        bint is_exact,
    )
    void put_codes "ebagx_put_codes"(
        float*, const uint8_t*, Span, Line, int bits, int chunks, bint is_weighted, bint is_exact,
        bint adds
    )
    void sort_columns "ebagx_sort_columns"(
        float*, const float*, Span, int bits, int chunks
    )
    void divide "ebagx_divide"(float*, const float*, float divisor, int count)


# The layout of the rows of a table.
cdef struct Codes:
    Rows rows
    Py_ssize_t codes_at      # where in a row the codes of the first column are
    Py_ssize_t constants_at  # where scale and bias are, one after the other
    int bits
    bint is_half             # scale and bias are float16, else float
    bint is_exact            # rounding once gives the same values: `are_exact` says when


cdef struct PoolCodesCall:
    Rows out
    Rows codes
    Rows indices
    Rows offsets
    Rows weights
    Codes table
    int mode
    bint is_long  # indices and offsets are int64, else int32
    Cut cut


cdef struct UnpackCall:
    Rows out
    Rows codes
    Rows indices
    Codes table
    bint is_long


cdef inline const uint8_t* codes_of(const Codes* table, const char* row) noexcept nogil:
    return <const uint8_t*>row + table.codes_at


cdef inline void prefetch_codes(
    const Codes* table, Py_ssize_t row, Py_ssize_t first, int count
) noexcept nogil:
    cdef size_t address = address_as_number(table.rows, row)
    prefetch_lines(address + <size_t>(table.codes_at + first), count)
    prefetch(address + <size_t>table.constants_at)


cdef inline bint walk(
    float* pooled_d, const Codes* table, Indices indices_k, const float* weights_k,
    const Lookups* part, Py_ssize_t first, int size, int bits, int chunks, bint is_weighted,
    bint is_exact, bint is_half,
) noexcept nogil:
    # Adds up code bytes [first, first + size) of some rows, at least one; `pooled_d` has columns
    # for all chunks. Returns whether an index is outside the table.
    cdef float[CODE_COLUMNS] sum_d
    cdef Span span = span_of(size, chunks)
    cdef Py_ssize_t row, k = part.start, last = part.last
    cdef bint outside = False
    cdef const char* line
    cdef int d
    for d in range(8 // bits * chunks * CHUNK):
        sum_d[d] = 0
    while True:
        prefetch_codes(table, index_at(indices_k, min(k + AHEAD, last)), first, chunks * CHUNK)
        row = index_at(indices_k, k)
        if unlikely(<size_t>row >= <size_t>table.rows.count):
            row, outside = 0, True
        line = <const char*>address_as_number(table.rows, row)
        put_codes(
            sum_d, codes_of(table, line) + first, span,
            line_at(
                line + table.constants_at, is_half, weights_k[k] if is_weighted else 1, bits,
                is_weighted, is_exact,
            ),
            bits, chunks, is_weighted, is_exact, True,
        )
        k += 1
        if k >= part.end:
            break
    sort_columns(pooled_d, sum_d, span, bits, chunks)
    return outside


cdef inline bint walk_exactly(
    float* pooled_d, const Codes* table, Indices indices_k, const float* weights_k,
    const Lookups* part, Py_ssize_t first, int size, int bits, int chunks, bint is_weighted,
) noexcept nogil:
    cdef bint is_half = table.is_half
    if not HAS_LITERAL_HALF:
        return walk(
            pooled_d, table, indices_k, weights_k, part, first, size, bits, chunks, is_weighted,
            True, is_half,
        )
    if is_half:
        return walk(
            pooled_d, table, indices_k, weights_k, part, first, size, bits, chunks, is_weighted,
            True, True,
        )
    return walk(
        pooled_d, table, indices_k, weights_k, part, first, size, bits, chunks, is_weighted, True,
        False,
    )


cdef inline bint walk_by_flags(
    float* pooled_d, const Codes* table, Indices indices_k, const float* weights_k,
    const Lookups* part, Py_ssize_t first, int size, int bits, int chunks,
) noexcept nogil:
    # Values that are looked up are computed once a row, in one way.
    cdef bint is_exact = not HAS_FUSED or table.is_exact or bits < COMPUTED_BITS
    if weights_k == NULL and is_exact:
        return walk_exactly(
            pooled_d, table, indices_k, weights_k, part, first, size, bits, chunks, False
        )
    if weights_k == NULL:
        return walk(
            pooled_d, table, indices_k, weights_k, part, first, size, bits, chunks, False, False,
            table.is_half,
        )
    if is_exact:
        return walk_exactly(
            pooled_d, table, indices_k, weights_k, part, first, size, bits, chunks, True
        )
    return walk(
        pooled_d, table, indices_k, weights_k, part, first, size, bits, chunks, True, False,
        table.is_half,
    )


cdef inline bint walk_any_chunks(
    float* pooled_d, const Codes* table, Indices indices_k, const float* weights_k,
    const Lookups* part, Py_ssize_t first, int size, int chunks,
) noexcept nogil:
    if table.bits == 8:
        return walk_by_flags(pooled_d, table, indices_k, weights_k, part, first, size, 8, chunks)
    if table.bits == 4:
        return walk_by_flags(pooled_d, table, indices_k, weights_k, part, first, size, 4, chunks)
    return walk_by_flags(pooled_d, table, indices_k, weights_k, part, first, size, 2, chunks)


cdef bint walk_block(
    float* pooled_d, const Codes* table, Indices indices_k, const float* weights_k,
    const Lookups* part, Py_ssize_t first, int size,
) noexcept nogil:
    # Literal numbers of bits and chunks make loops that keep their sums in registers.
    cdef int chunks = (size + CHUNK - 1) // CHUNK
    if not HAS_LITERAL_CHUNKS:
        return walk_any_chunks(
            pooled_d, table, indices_k, weights_k, part, first, size, chunks
        )
    if table.bits == 8:
        if chunks == 1:
            return walk_by_flags(pooled_d, table, indices_k, weights_k, part, first, size, 8, 1)
        if chunks == 2:
            return walk_by_flags(pooled_d, table, indices_k, weights_k, part, first, size, 8, 2)
        if chunks == 3:
            return walk_by_flags(pooled_d, table, indices_k, weights_k, part, first, size, 8, 3)
        if chunks == 4:
            return walk_by_flags(pooled_d, table, indices_k, weights_k, part, first, size, 8, 4)
        if chunks == 5:
            return walk_by_flags(pooled_d, table, indices_k, weights_k, part, first, size, 8, 5)
        if chunks == 6:
            return walk_by_flags(pooled_d, table, indices_k, weights_k, part, first, size, 8, 6)
        if chunks == 7:
            return walk_by_flags(pooled_d, table, indices_k, weights_k, part, first, size, 8, 7)
        return walk_by_flags(pooled_d, table, indices_k, weights_k, part, first, size, 8, 8)
    if table.bits == 4:
        if chunks == 1:
            return walk_by_flags(pooled_d, table, indices_k, weights_k, part, first, size, 4, 1)
        if chunks == 2:
            return walk_by_flags(pooled_d, table, indices_k, weights_k, part, first, size, 4, 2)
        if chunks == 3:
            return walk_by_flags(pooled_d, table, indices_k, weights_k, part, first, size, 4, 3)
        return walk_by_flags(pooled_d, table, indices_k, weights_k, part, first, size, 4, 4)
    if chunks == 1:
        return walk_by_flags(pooled_d, table, indices_k, weights_k, part, first, size, 2, 1)
    return walk_by_flags(pooled_d, table, indices_k, weights_k, part, first, size, 2, 2)


cdef inline bint pool_block_of_codes(
    float* out_d, const Codes* table, Indices indices_k, const float* weights_k,
    const Lookups* bag, float divisor, Py_ssize_t first, int size, int width,
) noexcept nogil:
    # Pools code bytes [first, first + size) of a bag, of which `width` columns count; a long bag is
    # added up in parts, as `pool` does.
    cdef float[CODE_COLUMNS] pooled_d
    cdef double[CODE_COLUMNS] total_d
    cdef Lookups part = Lookups(bag.start, min(bag.start + LONG_BAG, bag.end), bag.last)
    cdef bint outside = False
    cdef float* sum_d = pooled_d
    cdef int d
    if part.end == bag.end:
        if width * table.bits % (8 * CHUNK) == 0:  # whole chunks go to their place at once
            sum_d = out_d
        outside = walk_block(sum_d, table, indices_k, weights_k, &part, first, size)
        if sum_d == pooled_d or divisor != 1:
            divide(out_d, sum_d, divisor, width)
        return outside
    for d in range(width):
        total_d[d] = 0
    while part.start < bag.end:
        outside |= walk_block(pooled_d, table, indices_k, weights_k, &part, first, size)
        for d in range(width):
            total_d[d] += pooled_d[d]
        part.start, part.end = part.end, min(part.end + LONG_BAG, bag.end)
    for d in range(width):
        out_d[d] = <float>(total_d[d] / divisor)
    return outside


cdef inline bint pool_bag_of_codes(
    const PoolCodesCall* call, Indices indices_k, Py_ssize_t b, const Lookups* bag,
    Py_ssize_t first, Py_ssize_t last,
) noexcept nogil:
    # Pools columns [first, last) of one bag; `first` is that of a code byte. Returns whether an
    # index that was read is outside the table.
    cdef const Codes* table = &call.table
    cdef const float* weights_k = <const float*>call.weights.data
    cdef float* out_d = <float*>row_address(call.out, b)
    cdef float divisor = divisor_of_bag(weights_k, bag, call.mode, <float>0)
    cdef Py_ssize_t column = first
    cdef int width, shift = 0 if table.bits == 8 else (1 if table.bits == 4 else 2)
    cdef bint outside = False
    if divisor == 0:
        memset(&out_d[first], 0, <size_t>(last - first) * sizeof(float))
        return any_outside_of(indices_k, bag, table.rows.count)
    while column < last:
        width = <int>min(last - column, <Py_ssize_t>CODE_COLUMNS)
        outside |= pool_block_of_codes(
            &out_d[column], table, indices_k, weights_k, bag, divisor, column >> shift,
            (width + (1 << shift) - 1) >> shift, width,
        )
        column += width
    return outside


cdef Py_ssize_t pool_codes_unit(
    const PoolCodesCall* call, Py_ssize_t unit, Py_ssize_t units
) noexcept nogil:
    cdef Indices indices_k = Indices(call.indices.data, call.is_long)
    cdef Indices offsets_b = Indices(call.offsets.data, call.is_long)
    cdef Py_ssize_t b, k, first, stop, n = call.indices.count, dim = call.out.dim, found = 0
    cdef Lookups bag
    if call.cut.giant >= 0:
        bag = lookups_of_bag(offsets_b, call.cut.giant, n)
        return FOUND_OUTSIDE * pool_bag_of_codes(
            call, indices_k, call.cut.giant, &bag, column_start(dim, unit, units),
            column_start(dim, unit + 1, units),
        )
    first = unit_start(offsets_b, call.out.count, unit, units)
    stop = unit_start(offsets_b, call.out.count, unit + 1, units)
    if first < stop:  # no lookup is ahead of the first ones
        bag = lookups_of_bag(offsets_b, first, n)
        for k in range(bag.start, min(bag.start + AHEAD, n)):
            prefetch_row(call.codes, index_at(indices_k, k), call.codes.dim)
    for b in range(first, stop):
        bag = lookups_of_bag(offsets_b, b, n)
        if bag.end - bag.start > call.cut.most:
            found |= FOUND_GIANT
        else:
            found |= FOUND_OUTSIDE * pool_bag_of_codes(call, indices_k, b, &bag, 0, dim)
    return found


def pool_codes(
    out_bd,            # OUT (B, D) float
    codes_rb,          # (N, bytes) uint8
    indices_k,         # (n,)
    offsets_b,         # (B + 1,)
    weights_k,         # (n,) float, or empty: every weight is 1
    int bits,          # of a code: 8, 4 or 2
    Py_ssize_t codes_at,
    Py_ssize_t constants_at,
    bint is_half,
    bint is_exact,
    int mode,
    int num_threads,
    /,
):
    """Pool the rows of codes of each bag, as `pool` does with their values.

    In a row, the code of the first column is at byte `codes_at`; scale and bias are at byte
    `constants_at`, in float16 if `is_half`, else in float. With `is_exact`, `are_exact` must hold
    for all of them (packed.py).

    Return whether every index is in [0, num_rows); row 0 stands for the others. Cost: one read of
    each looked-up row.
    """
    cdef PoolCodesCall call
    cdef Arrays arrays
    cdef Py_ssize_t found = 0
    open_arrays(
        &arrays, <Rows*>&call, (out_bd, codes_rb, indices_k, offsets_b, weights_k),
        b"f2w B2 i1 i1 f1",
    )
    call.table = Codes(call.codes, codes_at, constants_at, bits, is_half, is_exact)
    call.mode, call.is_long = mode, arrays.index == INT64
    with nogil:
        if call.out.data != NULL:
            found = share_bags(&call, &arrays, num_threads)
    close_arrays(&arrays)
    return not found & FOUND_OUTSIDE


cdef inline void unpack_block(
    float* value_d, const Codes* table, const char* line, Py_ssize_t first, int size, int bits,
    int chunks,
) noexcept nogil:
    cdef float[CODE_COLUMNS] vectors_d
    cdef Span span = span_of(size, chunks)
    put_codes(
        vectors_d, codes_of(table, line) + first, span,
        line_at(line + table.constants_at, table.is_half, 1, bits, False, False), bits, chunks,
        False, False, False,
    )
    sort_columns(value_d, vectors_d, span, bits, chunks)


cdef inline void unpack_row(
    float* out_d, const Codes* table, const char* line, Py_ssize_t dim, int bits
) noexcept nogil:
    # Whole blocks have chunks of a literal number; the rest goes chunk by chunk.
    cdef float[CODE_COLUMNS] value_d
    cdef Py_ssize_t column = 0, places = 8 // bits, width
    while column < dim:
        if dim - column >= CODE_COLUMNS:
            width = CODE_COLUMNS
            unpack_block(
                value_d, table, line, column // places, CODE_COLUMNS // <int>places, bits,
                CODE_COLUMNS // <int>places // CHUNK,
            )
        else:
            width = min(dim - column, CHUNK * places)
            unpack_block(
                value_d, table, line, column // places,
                <int>((width + places - 1) // places), bits, 1,
            )
        memcpy(&out_d[column], value_d, <size_t>width * sizeof(float))
        column += width


cdef Py_ssize_t unpack_unit(
    const UnpackCall* call, Py_ssize_t unit, Py_ssize_t units
) noexcept nogil:
    cdef Indices indices_k = Indices(call.indices.data, call.is_long)
    cdef Py_ssize_t first = even_start(call.indices.count, unit, units)
    cdef Py_ssize_t k, stop = even_start(call.indices.count, unit + 1, units)
    cdef Py_ssize_t last = call.indices.count - 1, dim = call.out.dim
    cdef const char* line
    cdef float* out_d
    for k in range(first, stop):
        prefetch_row(call.codes, index_at(indices_k, min(k + AHEAD, last)), call.codes.dim)
        line = row_address(call.codes, index_at(indices_k, k))
        out_d = <float*>row_address(call.out, k)
        if call.table.bits == 8:
            unpack_row(out_d, &call.table, line, dim, 8)
        elif call.table.bits == 4:
            unpack_row(out_d, &call.table, line, dim, 4)
        else:
            unpack_row(out_d, &call.table, line, dim, 2)
    return 0


def unpack_codes(
    out_kd,            # OUT (n, D) float
    codes_rb,          # (N, bytes) uint8
    indices_k,         # (n,)
    int bits,
    Py_ssize_t codes_at,
    Py_ssize_t constants_at,
    bint is_half,
    bint is_exact,
    int num_threads,
    /,
):
    """Write the values of some rows of codes; the layout is that of `pool_codes`.

    Row 0 stands for rows outside the table, which must not be empty. Cost: one read of each row.
    """
    cdef UnpackCall call
    cdef Arrays arrays
    open_arrays(&arrays, <Rows*>&call, (out_kd, codes_rb, indices_k), b"f2w B2 i1")
    call.table = Codes(call.codes, codes_at, constants_at, bits, is_half, is_exact)
    call.is_long = arrays.index == INT64
    with nogil:
        if call.out.data != NULL:
            share_units(&call, &arrays, unit_count(call.out.count, num_threads), num_threads)
    close_arrays(&arrays)
