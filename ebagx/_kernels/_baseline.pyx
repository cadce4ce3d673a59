include "forward.pxi"
include "rows.pxi"
include "lookups.pxi"
