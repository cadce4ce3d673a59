# What computes with rows in training: with forward.pxi, all that the level avx2 has.
from libc.math cimport INFINITY, fabs, pow
from libc.string cimport memset

include "scatter.pxi"
include "weights.pxi"
include "renorm.pxi"
include "update.pxi"
include "step.pxi"
