# Plain calls: one kernel checks the arguments that most callers give, and pools their bags.
#
# On the usual path Python checks each argument, one kernel validates the offsets, and another one
# pools. For one bag of ten lookups, this takes ten times as long as the additions; for a thousand
# bags, a twentieth. Nothing raises here: arguments that are not plain, and those that are wrong,
# are left to the usual path.
from cpython.buffer cimport PyBuffer_IsContiguous

cdef extern from "Python.h":
    bint PyMemoryView_Check(object)

cdef enum:
    # So many additions take about two microseconds. For less, it does not pay to let other threads
    # of Python run: to get the GIL back can take 5 milliseconds.
    WORK_WITH_GIL = 20000
    # The closed offsets of so many bags lie on the stack: another array takes a tenth of the call.
    MAX_FEW = 63


# Calls that have a plain way.
ctypedef fused plain_bag_call_t:
    PoolCall
    PoolCodesCall


# The arrays of a caller. Offsets have no array if all bags have the same length.
cdef struct PlainCall:
    Rows out
    Rows table
    Rows indices
    Rows weights
    Rows offsets
    Rows ends               # closed offsets, which the call writes
    bint has_long_offsets   # int64, else int32
    Py_ssize_t length       # of each bag, without offsets
    Py_ssize_t num_lookups
    int64_t[MAX_FEW + 1] few


cdef inline Py_ssize_t end_of_bag(const PlainCall* call, Py_ssize_t b) noexcept nogil:
    if call.offsets.data == NULL:
        return (b + 1) * call.length
    if b + 1 == call.offsets.count:  # there are only starts of bags
        return call.num_lookups
    return index_at(Indices(call.offsets.data, call.has_long_offsets), b + 1)


cdef int open_plain(Arrays* arrays, object array, type plain) noexcept:
    # Returns the dtype of a contiguous array in ordinary memory, or -1.
    cdef Py_buffer* view = &arrays.views[arrays.count]
    cdef int dtype
    try:
        if type(array) is not plain:
            return -1
        base = None if PyMemoryView_Check(array) else array.base
        if base is not None and (type(base) is not plain or base.base is not None):
            return -1  # it may be in a memory map, whose file must be checked
        PyObject_GetBuffer(array, view, PyBUF_STRIDES | PyBUF_FORMAT)
    except Exception:  # buffers do not have all dtypes
        return -1
    arrays.count += 1
    dtype = type_of(view)
    if dtype < 0 or <size_t>view.buf % <size_t>view.itemsize:
        return -1
    return dtype if PyBuffer_IsContiguous(view, b"C") else -1


cdef bint open_offsets(
    PlainCall* call, Arrays* arrays, object offsets, bint is_closed, type plain
) noexcept:
    # Returns whether there is an offset for each bag, and the first one is 0.
    cdef const Py_buffer* view = &arrays.views[arrays.count]
    cdef int dtype = open_plain(arrays, offsets, plain)
    if dtype != INT32 and dtype != INT64:
        return False
    call.offsets, call.has_long_offsets = rows_of(view), dtype == INT64
    return (
        view.ndim == 1
        and call.offsets.count == call.out.count + is_closed
        and index_at(Indices(call.offsets.data, call.has_long_offsets), 0) == 0
    )


cdef bint open_bags(
    PlainCall* call, Arrays* arrays, object indices, object offsets, object weights, bint is_closed,
    type plain,
) noexcept:
    cdef const Py_buffer* view = &arrays.views[arrays.count]
    cdef const Py_buffer* other
    arrays.index = open_plain(arrays, indices, plain)
    if arrays.index != INT32 and arrays.index != INT64:
        return False
    call.indices = rows_of(view)
    call.num_lookups = view.len // view.itemsize
    call.length = call.indices.dim
    if weights is not None:
        other = &arrays.views[arrays.count]
        if open_plain(arrays, weights, plain) != arrays.real:
            return False
        call.weights = rows_of(other)
        if other.ndim != view.ndim or call.weights.count != call.indices.count:
            return False
        if call.weights.dim != call.indices.dim:
            return False
    if offsets is None:
        return view.ndim == 2 and call.indices.count == call.out.count
    return view.ndim == 1 and open_offsets(call, arrays, offsets, is_closed, plain)


cdef bint open_ends(PlainCall* call, Arrays* arrays, object ends) except -1:
    # Returns whether there is room for the start of each bag and the end of the last one.
    cdef Py_buffer* view = &arrays.views[arrays.count]
    if ends is None:
        call.ends.data = <char*>call.few
        return call.out.count <= MAX_FEW
    PyObject_GetBuffer(ends, view, PyBUF_STRIDES | PyBUF_FORMAT | PyBUF_WRITABLE)
    arrays.count += 1
    call.ends = rows_of(view)
    return type_of(view) == arrays.index and call.ends.count == call.out.count + 1


cdef bint open_call(
    PlainCall* call, Arrays* arrays, const char* layout, object out, object ends, object table,
    object indices, object offsets, object weights, bint is_closed,
) except -1:
    # Returns whether the kernel can take the arrays; `close_arrays` must follow. `layout` is that
    # of output and table, as in `open_arrays`.
    call.weights.data = call.offsets.data = NULL
    call.offsets.count = 0
    open_arrays(arrays, <Rows*>call, (out, table), layout)
    arrays.real = DOUBLE if arrays.cell == DOUBLE else FLOAT
    return (
        call.out.data != NULL
        and call.table.data != NULL
        and open_bags(call, arrays, indices, offsets, weights, is_closed, type(out))
        and open_ends(call, arrays, ends)
    )


cdef bint fill_ends(const PlainCall* call, Indices ends) noexcept nogil:
    # Writes where bags start and the last one ends; returns whether they are in order, up to n.
    cdef Py_ssize_t b, start = 0, end
    set_index(ends, 0, 0)
    for b in range(call.out.count):
        end = end_of_bag(call, b)
        if not start <= end <= call.num_lookups:
            return False
        set_index(ends, b + 1, end)
        start = end
    return start == call.num_lookups


cdef Py_ssize_t pool_checked(
    const PlainCall* given, plain_bag_call_t* call, const Arrays* arrays, int num_threads
) noexcept nogil:
    # Pools if the offsets are in order; returns FOUND_OUTSIDE if they or an index are wrong.
    call.out, call.offsets, call.weights = given.out, given.ends, given.weights
    call.indices, call.indices.count = given.indices, given.num_lookups
    if not fill_ends(given, Indices(call.offsets.data, arrays.index == INT64)):
        return FOUND_OUTSIDE
    return share_bags(call, arrays, num_threads) & FOUND_OUTSIDE


cdef bint pool_opened(
    const PlainCall* given, plain_bag_call_t* call, const Arrays* arrays, int num_threads
):
    # Returns whether the bags were right, and have been pooled.
    cdef Py_ssize_t found
    if given.num_lookups * given.out.dim <= WORK_WITH_GIL:
        return not pool_checked(given, call, arrays, 1)
    with nogil:
        found = pool_checked(given, call, arrays, num_threads)
    return not found


def pool_plain(
    out_bd,            # OUT (B, D)
    ends_b,            # OUT (B + 1,), of the dtype of indices: closed offsets; None if B < 64
    table_rd,          # (N, D)
    indices,           # (n,), or (B, L)
    offsets_b,         # (B,), or (B + 1,) if they are closed; None for 2-D indices
    weights,           # in the shape of indices, or None: every weight is 1
    int mode,
    bint is_closed,
    int num_threads,
    /,
):
    """Check the bags of a caller and pool them, as `pool` does.

    Return whether that was possible: indices, offsets and weights are contiguous ndarrays in
    ordinary memory (or memoryviews, if the output is one), of dtypes that kernels take, offsets run
    from 0 to n without decreasing, and indices are in [0, N). If not, the outputs may have any
    values.

    Cost: that of `pool`, and a copy of the offsets.
    """
    cdef PlainCall given
    cdef PoolCall call
    cdef Arrays arrays
    try:
        if not open_call(
            &given, &arrays, b"c2w c2", out_bd, ends_b, table_rd, indices, offsets_b, weights,
            is_closed,
        ) or given.out.dim != given.table.dim:
            return False
        call.table, call.mode = given.table, mode
        return pool_opened(&given, &call, &arrays, num_threads)
    finally:
        close_arrays(&arrays)
