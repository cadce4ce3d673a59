include "with_avx512.pxi"
include "with_avx2.pxi"

ctypedef fused dtype_call_t:
    forward_dtype_call_t
    training_dtype_call_t
ctypedef fused index_call_t:
    forward_index_call_t
    training_index_call_t
ctypedef fused plain_call_t:
    forward_plain_call_t
    CombineCall

include "common/ladders.pxi"
