# These kernels move integers or single numbers: wider vectors gain nothing.
include "forward/select.pxi"
include "backward/transpose.pxi"
include "backward/count.pxi"
include "backward/extreme_gradient.pxi"
include "training/draw.pxi"

ctypedef fused baseline_dtype_call_t:
    SelectCall
    TransposeCall
    TransposeFewCall
    ExtremeGradientCall

ctypedef fused baseline_index_call_t:
    SortCall
    GroupCall
    CountCall
