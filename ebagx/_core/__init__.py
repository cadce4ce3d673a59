"""The core turns arguments into kernel calls. It imports only the kernels.

=========  =====================================================================
bags       `Bags`: the one internal form of input; forms/ makes it from each form
table      `Table`: the rows of an embedding table, and how they lie in memory
quantized  tables of codes of 8, 4 or 2 bits
gather     rows in other layouts, copied for the kernels
passes     the forward pass, and max_norm
plain      the forward pass of plain arrays, which one kernel checks and pools
backward   the gradients of touched rows and of weights
dense      sums of gradients in an array of the table's size
row_sum    sums of gradients as touched rows and their values
top        the best items of users, by vectors or scores
transpose  from the lookups of each bag to those of each row
pieces     cuts of long work, between which Ctrl-C takes effect
arguments  checks of numbers, names and flags, and their error messages
checks     the same of arrays
dtypes     one row for each dtype
modes      one row for each pooling mode
layout     contiguous rows, overlaps, copies
memory     aligned arrays, copies without pages of zeros, scratch memory, files that became shorter
maps       advice to the system on memory maps: pages of a batch are read in parallel
identity   `Binding`: a table known by its memory
levels     the kernels of one instruction-set level, or their twins
threads    the number of threads of a call
config     version and `show_config`
cpu        CPUID, OpenMP, addresses and pages (compiled)
arrow      the structs of the Arrow C data interface (compiled)
integers   Python's integers, copied from lists to arrays (compiled)
=========  =====================================================================

Every call has three steps: check the arguments (nothing has changed when a check raises), make
`Bags` and a `Table`, and run kernels on both.
"""
