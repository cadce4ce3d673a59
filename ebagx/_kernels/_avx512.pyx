include "with_avx512.pxi"
