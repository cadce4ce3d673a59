# Plain calls on quantised tables: what forward/plain.pxi does, on rows of codes.


def pool_plain_codes(
    out_bd,            # OUT (B, D) float
    ends_b,            # OUT (B + 1,), of the dtype of indices: closed offsets; None if B < 64
    codes_rb,          # (N, bytes) uint8
    indices,           # (n,), or (B, L)
    offsets_b,         # (B,), or (B + 1,) if they are closed; None for 2-D indices
    weights,           # in the shape of indices, or None: every weight is 1
    int bits,
    Py_ssize_t codes_at,
    Py_ssize_t constants_at,
    bint is_half,
    bint is_exact,
    int mode,
    bint is_closed,
    int num_threads,
    /,
):
    """Check the bags of a caller and pool them, as `pool_codes` does.

    Return whether that was possible, as `pool_plain` does. The layout is that of `pool_codes`.
    """
    cdef PlainCall given
    cdef PoolCodesCall call
    cdef Arrays arrays
    try:
        if not open_call(
            &given, &arrays, b"f2w B2", out_bd, ends_b, codes_rb, indices, offsets_b, weights,
            is_closed,
        ):
            return False
        call.table = Codes(given.table, codes_at, constants_at, bits, is_half, is_exact)
        call.codes, call.mode, call.is_long = given.table, mode, arrays.index == INT64
        return pool_opened(&given, &call, &arrays, num_threads)
    finally:
        close_arrays(&arrays)
