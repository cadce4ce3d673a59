# What moves integers, or single numbers: wider vectors gain nothing.
include "padding.pxi"
include "transpose.pxi"
include "number.pxi"
include "extreme_gradient.pxi"
