include "pooling.pxi"
