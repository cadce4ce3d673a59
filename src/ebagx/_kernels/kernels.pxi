from libc.math cimport INFINITY, fabs, pow

include "pooling.pxi"
include "transpose.pxi"
include "number.pxi"
include "scatter.pxi"
include "weights.pxi"
include "renorm.pxi"
include "update.pxi"
include "step.pxi"
