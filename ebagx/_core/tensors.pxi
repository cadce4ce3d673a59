# Tensors of other libraries as memory, by the functions in C that DLPack defines for this.
#
# NumPy's arrays in the memory of PyTorch's tensors took a third of a call with one bag of ten.

from cpython.buffer cimport Py_buffer
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

cdef extern from "Python.h":
    void* PyCapsule_GetPointer(object, const char*) except NULL
    object PyMemoryView_FromBuffer(const Py_buffer*)

# DLPack's numbers.
cdef enum:
    ITS_VERSION = 1
    ON_CPU = 1
    SIGNED = 0
    FLOATING = 2
    BFLOATING = 4


cdef struct Tensor:  # DLTensor
    char* data
    int32_t device
    int32_t device_number
    int32_t ndim
    uint8_t kind
    uint8_t bits
    uint16_t lanes
    int64_t* shape
    int64_t* strides
    uint64_t byte_offset


cdef struct Exchange:  # DLPackExchangeAPI
    uint32_t version
    uint32_t minor_version
    void* older
    void* allocate
    void* give
    void* take
    int (*look)(void* object, Tensor* out) except -1
    void* stream


cdef const char* format_of(int kind, int bits) noexcept:
    # Returns the letter of a dtype that kernels take, 16-bit floats as integers; or NULL.
    if kind == BFLOATING:
        return b"h"
    if kind == FLOATING and bits == 16:
        return b"H"
    if kind == FLOATING and bits == 32:
        return b"f"
    if kind == FLOATING and bits == 64:
        return b"d"
    if kind == SIGNED and bits == 32:
        return b"i"
    if kind == SIGNED and bits == 64:
        return b"q"
    return NULL


cdef bint fill_view(Py_buffer* view, Py_ssize_t* lengths, const Tensor* tensor) noexcept:
    # Returns whether the tensor has memory that kernels take. `lengths` has room for four numbers.
    cdef int axis
    if tensor.device != ON_CPU or not 1 <= tensor.ndim <= 2 or tensor.data == NULL:
        return False
    view.format = <char*>format_of(tensor.kind, tensor.bits)
    view.buf, view.internal = tensor.data + tensor.byte_offset, NULL
    view.ndim, view.readonly = tensor.ndim, False
    view.shape, view.strides, view.suboffsets = lengths, lengths + 2, NULL
    view.len = view.itemsize = tensor.bits // 8
    for axis in range(tensor.ndim - 1, -1, -1):
        lengths[axis], lengths[2 + axis] = tensor.shape[axis], view.len
        if tensor.strides[axis] * view.itemsize != view.len and tensor.shape[axis] != 1:
            return False
        view.len *= tensor.shape[axis]
    return view.format != NULL and tensor.lanes == 1 and view.len > 0


cdef object memory_of(object tensor, const Exchange* functions):
    # Returns a memoryview, or None.
    cdef Tensor found
    cdef Py_buffer view
    cdef Py_ssize_t[4] lengths
    try:
        if tensor.is_neg():  # in memory, a part of a complex number has the other sign
            return None
        functions.look(<void*>tensor, &found)
    except Exception:  # a sparse tensor, say
        return None
    return PyMemoryView_FromBuffer(&view) if fill_view(&view, lengths, &found) else None


def tensor_memories(tensors, types, exchange, /):
    """Return a memoryview of each tensor, and None for None; or None if one has no such memory.

    The memoryviews must not be used longer than the tensors. `exchange` is what `types` have as
    ``__dlpack_c_exchange_api__``. Tensors of these types have such memory if they are on the CPU
    and not empty, with one or two axes in C order, and a dtype that kernels take. Numbers of 16
    bits are seen as integers. Cost: .2 microseconds a tensor.
    """
    cdef const Exchange* functions = <const Exchange*>PyCapsule_GetPointer(
        exchange, b"dlpack_exchange_api"
    )
    cdef list memories = []
    if functions.version != ITS_VERSION or functions.look == NULL:
        return None
    for tensor in tensors:
        memory = None
        if tensor is not None:
            memory = memory_of(tensor, functions) if type(tensor) in types else None
            if memory is None:
                return None
        memories.append(memory)
    return memories
