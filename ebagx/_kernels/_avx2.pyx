include "forward.pxi"
include "rows.pxi"
