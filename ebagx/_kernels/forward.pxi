# What a forward pass runs: all that the level avx512 has.
from cython.parallel cimport prange
from libc.math cimport sqrt
from libc.stdint cimport int16_t, int32_t, int64_t, uint16_t, uint32_t, uint64_t

include "arrays.pxi"
include "row_ops.pxi"
include "work.pxi"
include "check.pxi"
include "pool.pxi"
include "extreme.pxi"
