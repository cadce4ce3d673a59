# The level avx2 has these kernels, too: those of training that compute with rows.
from libc.math cimport fabs, fabsf, pow

include "backward/scatter.pxi"
include "backward/weights.pxi"
include "update/renorm.pxi"
include "update/update.pxi"
include "update/step.pxi"
include "update/combine.pxi"
include "training/lookups.pxi"
include "training/layers.pxi"
include "training/losses.pxi"
include "training/negatives.pxi"
include "training/weights.pxi"
include "training/call.pxi"
include "training/forward.pxi"
include "training/factorization.pxi"
include "training/train.pxi"
include "training/random.pxi"
include "training/pair_call.pxi"
include "training/pair_softmax.pxi"
include "training/pair_forward.pxi"
include "training/pair_lookups.pxi"
include "training/pairs.pxi"
include "training/team.pxi"

ctypedef fused training_dtype_call_t:
    ScatterCall
    WeightsGradientCall
    RenormCall
    AddRowsCall
    StepCall
    RowSquaresCall

ctypedef fused training_index_call_t:
    ClearRowsCall
