# What moves integers, or single numbers: wider vectors gain nothing.
include "forward/padding.pxi"
include "backward/transpose.pxi"
include "backward/number.pxi"
include "backward/extreme_gradient.pxi"
