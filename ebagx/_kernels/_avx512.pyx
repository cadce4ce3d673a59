include "with_avx512.pxi"

ctypedef fused dtype_call_t:
    forward_dtype_call_t
ctypedef fused index_call_t:
    forward_index_call_t
ctypedef fused plain_call_t:
    forward_plain_call_t

include "common/ladders.pxi"
