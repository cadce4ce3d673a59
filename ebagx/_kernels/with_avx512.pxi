# The level avx512 has these kernels: those of the forward pass.
from libc.math cimport INFINITY, sqrt
from libc.stdint cimport int16_t, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

include "common/arrays.pxi"
include "common/row_ops.pxi"
include "common/work.pxi"
include "forward/check.pxi"
include "forward/pool.pxi"
include "forward/extreme.pxi"
include "forward/many.pxi"
include "quantized/pool.pxi"
include "forward/plain.pxi"
include "quantized/plain.pxi"
include "ranking/top.pxi"

ctypedef fused forward_dtype_call_t:
    PoolCall
    ExtremeCall

ctypedef fused forward_index_call_t:
    IndicesValidCall
    OffsetsValidCall
    CloseOffsetsCall

ctypedef fused forward_plain_call_t:
    JobsCall
    TopItemsCall
    TopScoresCall
    PoolCodesCall
    UnpackCall

ctypedef fused bag_call_t:
    PoolCall
    ExtremeCall
    PoolCodesCall
