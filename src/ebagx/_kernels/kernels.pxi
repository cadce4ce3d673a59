from cython.parallel cimport prange
from libc.math cimport INFINITY, fabs, pow, sqrt
from libc.stdint cimport int16_t, int32_t, int64_t, uint16_t, uint32_t, uint64_t

include "row_ops.pxi"
include "work.pxi"
include "check.pxi"
include "pool.pxi"
include "extreme.pxi"
include "transpose.pxi"
include "number.pxi"
include "scatter.pxi"
include "weights.pxi"
include "renorm.pxi"
include "update.pxi"
include "step.pxi"
