# Arrays of a call come from NumPy as addresses, by the buffer protocol.
#
# Cython's typed views would do the same, with a copy of each function for each combination of
# dtypes that Python can call: these copies were half of a module.
from cpython.buffer cimport (
    Py_buffer, PyBUF_FORMAT, PyBUF_STRIDES, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer,
)

cdef enum:
    MAX_ARRAYS = 9  # that one call takes

# Dtypes have these numbers. The first four are those of a table's cells, the first two those of
# sums.
cdef enum:
    FLOAT = 0
    DOUBLE = 1
    HALF = 2    # float16, as uint16
    BFLOAT = 3  # bfloat16, as int16
    INT32 = 4
    INT64 = 5
    UINT8 = 6
    UINT32 = 7
    UINT64 = 8


# One array is the rows of a table, which may lie further apart than they are long, or backwards; or
# it is the entries of a 1-D array, side by side.
cdef struct Rows:
    char* data            # NULL if the array is empty
    Py_ssize_t row_bytes
    Py_ssize_t count
    Py_ssize_t dim        # columns


# A call keeps here the dtypes of its arrays, and the buffers that it must give back. The arrays
# themselves are fields of the call's own struct.
cdef struct Arrays:
    int cell              # the dtype of the arrays that the layout calls c, or -1
    int real              # of those it calls r
    int index             # of those it calls i
    int count
    Py_buffer[MAX_ARRAYS] views


cdef inline char native_order() noexcept:
    # Returns the letter that stands for this machine's byte order before a type.
    cdef unsigned short one = 1
    return b"<" if (<char*>&one)[0] else b">"


cdef int type_of(const Py_buffer* view) noexcept:
    # Returns -1 if kernels know no such dtype.
    cdef const char* format = view.format
    cdef char code
    if format[0] == b"=" or format[0] == native_order():
        format += 1
    code = format[0]
    if code == b"f":
        return FLOAT
    if code == b"d":
        return DOUBLE
    if code == b"H":
        return HALF
    if code == b"h":
        return BFLOAT
    if code == b"i" or code == b"l" or code == b"q":
        return INT32 if view.itemsize == 4 else INT64
    if code == b"B":
        return UINT8
    if code == b"I" or code == b"L" or code == b"Q":
        return UINT32 if view.itemsize == 4 else UINT64
    return -1


cdef bint agrees(int* known, int type, int first, int last) noexcept:
    # Returns whether a dtype lies in a range and is that of the arrays before it.
    if known[0] < 0:
        known[0] = type
    return first <= type <= last and type == known[0]


cdef bint suits(Arrays* arrays, int letter, int type) noexcept:
    # Returns whether an array of this dtype may stand where the layout has this letter.
    if letter == b"c":
        return agrees(&arrays.cell, type, FLOAT, BFLOAT)
    if letter == b"r":
        return agrees(&arrays.real, type, FLOAT, DOUBLE)
    if letter == b"i":
        return agrees(&arrays.index, type, INT32, INT64)
    return (
        (letter == b"f" and type == FLOAT)
        or (letter == b"d" and type == DOUBLE)
        or (letter == b"l" and type == INT32)
        or (letter == b"q" and type == INT64)
        or (letter == b"n" and type == (INT64 if sizeof(Py_ssize_t) == 8 else INT32))
        or (letter == b"B" and type == UINT8)
        or (letter == b"L" and type == UINT32)
        or (letter == b"Q" and type == UINT64)
    )


cdef bint has_layout(const Py_buffer* view, int ndim) noexcept:
    # Returns whether each row of an array, or a 1-D array as a whole, is contiguous.
    cdef Py_ssize_t length = view.shape[ndim - 1] if view.ndim == ndim else -1
    return length >= 0 and (view.strides[ndim - 1] == view.itemsize or length < 2 or view.len == 0)


cdef Rows rows_of(const Py_buffer* view) noexcept:
    cdef Rows rows
    rows.data = <char*>view.buf if view.len else NULL
    rows.count = view.shape[0] if view.ndim else 0
    rows.row_bytes = view.strides[0] if view.ndim else 0
    rows.dim = view.shape[1] if view.ndim == 2 else 1
    return rows


cdef void close_arrays(Arrays* arrays) noexcept:
    while arrays.count:
        arrays.count -= 1
        PyBuffer_Release(&arrays.views[arrays.count])


cdef int open_array(
    Arrays* arrays, Rows* rows, object array, int letter, int ndim, bint written
) except -1:
    cdef Py_buffer* view = &arrays.views[arrays.count]
    PyObject_GetBuffer(
        array, view, PyBUF_STRIDES | PyBUF_FORMAT | (PyBUF_WRITABLE if written else 0)
    )
    rows[arrays.count] = rows_of(view)
    arrays.count += 1
    if not has_layout(view, ndim):
        raise ValueError(f"array {arrays.count} must be {ndim}-D with contiguous rows")
    if not suits(arrays, letter, type_of(view)):
        raise TypeError(f"array {arrays.count} has a dtype that does not suit the others")
    return 0


cdef int open_arrays(Arrays* arrays, Rows* rows, tuple given, const char* layout) except -1:
    """Open the arrays of a call; `close_arrays` must follow, unless this raises.

    `rows` is the address of the call's struct: its first fields are of type Rows, one for each of
    the arrays given and in their order.

    The layout has for each array a letter for its dtype, the number of its dimensions, "w" if it is
    written to, and a space. c stands for the dtype of cells, r for that of sums and i for that of
    indices, whichever they are; the other letters are those of the module struct.
    """
    cdef int letter, ndim
    cdef bint written
    arrays.cell = arrays.real = arrays.index = -1
    arrays.count = 0
    try:
        for array in given:
            # Another array would be written past the struct of the call, or past the views.
            if layout[0] == 0 or arrays.count == MAX_ARRAYS:
                raise ValueError(f"there must be {arrays.count} arrays, got {len(given)}")
            letter, ndim = layout[0], layout[1] - c"0"
            written = layout[2] == b"w"
            layout += 3 if written else 2
            layout += layout[0] == b" "
            open_array(arrays, rows, array, letter, ndim, written)
        if layout[0] != 0:
            raise ValueError(f"there must be more than {len(given)} arrays")
        if min(arrays.cell, arrays.real) >= 0:
            if (arrays.cell == DOUBLE) != (arrays.real == DOUBLE):
                raise TypeError("sums must be float64 just where cells are")
    except BaseException:
        close_arrays(arrays)
        raise
    return 0
