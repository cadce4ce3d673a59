include "with_avx512.pxi"
include "with_avx2.pxi"
include "baseline_only.pxi"
