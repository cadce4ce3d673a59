# What computes with rows in training: with forward.pxi, all that the level avx2 has.
from libc.math cimport INFINITY, fabs, pow
from libc.string cimport memset

include "backward/scatter.pxi"
include "backward/weights.pxi"
include "update/renorm.pxi"
include "update/update.pxi"
include "update/step.pxi"
