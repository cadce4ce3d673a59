"""Compiled kernels: one source (the .pxi files), built once per instruction-set level.

A level's .pyx file lists what it has: all in the baseline, in others what wider vectors speed up.
The rest is looked up in the levels below.

Rules of this folder. A kernel gets arrays by position: outputs first, `num_threads` last. The
function that Python calls opens them (``arrays.pxi``: a wrong dtype or layout is an exception) and
names their types to the functions below it, which are compiled for each of these. They may not
allocate, raise or import, and run without the GIL. They check nothing that ``ebagx._core.bags`` has
checked, but they read every offset and index once per use and clamp it, so that an array that
another thread changes during a call gives wrong numbers and never a wild address.

Axis letters at the end of array names: b bag, k lookup (one entry of one bag), r table row,
u touched row (unique), d dimension. float16 travels as uint16, bfloat16 as int16.

Every kernel has a twin of the same name and arguments in ``reference.py``: read that first.
"""
