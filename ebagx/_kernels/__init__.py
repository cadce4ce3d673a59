"""Compiled kernels: one source (the .pxi files), built once per instruction-set level.

Every kernel has a twin of the same name and arguments in ``reference.py``, those of training in
``training_reference.py`` (with ``lookups_reference.py``) and ``pairs_reference.py`` (with
``pair_losses_reference.py``), those of random draws in ``draw_reference.py``, those of quantised
tables in ``quantized_reference.py``, those of rankings in ``top_reference.py``, that of combined
rows in ``combine_reference.py``: read these first.

Axis letters at the end of array names: b bag, k lookup (one entry of one bag), r table row,
u touched row (unique), d dimension. float16 travels as uint16, bfloat16 as int16.

Rules
-----
* A kernel gets arrays by position: outputs first, `num_threads` last. A wrong dtype or layout is an
  exception (``common/arrays.pxi``), before anything is read.
* Behind the function that Python calls, code may not allocate, raise or import, and runs without
  the GIL.
* Kernels check nothing that ``ebagx._core.bags`` has checked, and only `pool_plain` and
  `pool_plain_codes` check what a caller gives. They read every offset and index once
  per use and clamp it, so an array that another thread changes during a call gives wrong numbers
  and never a wild address.
* Bits depend neither on the level nor on the number of threads. Threads share bags, rows or columns
  (OpenMP 2.0, for MSVC); one thread adds all of one sum, in one order.

Kernels
-------
forward
    * `indices_valid`, `offsets_valid`, `close_offsets` check bags (``check.pxi``)
    * `select_lookups` copies bags without padding and invalid lookups, and fills empty bags
      (``select.pxi``)
    * `pool` adds and divides: sum, mean, sqrtn (``pool.pxi``)
    * `pool_many` does this for many tables in one call (``many.pxi``)
    * `pool_plain` checks the arguments of a caller, too (``plain.pxi``)
    * `extreme` takes the maximum or minimum (``extreme.pxi``)
backward
    * `sort_lookups`, `group_rows`, `transpose_lookups` find the lookups of each row
      (``transpose.pxi``); `pool` on these is the gradient; `transpose_few` does this in one call
    * `count_lookups` does what the first two do, for tables of few rows (``count.pxi``)
    * `scatter` adds a gradient to a dense table (``scatter.pxi``)
    * `extreme_gradient` is the gradient of `extreme` (``extreme_gradient.pxi``)
    * `weights_gradient` is that of the weights (``weights.pxi``)
update
    * `renorm` scales rows down to max_norm (``renorm.pxi``)
    * `add_rows`, `clear_rows` change rows of a dense gradient (``update.pxi``)
    * `step_rows` takes an optimizer's step, `row_squares` adds up squares (``step.pxi``)
    * `combine_rows` combines rows that several machines have trained (``combine.pxi``)
training
    * `train_batches` takes the steps of many mini-batches (``train.pxi``, ``forward.pxi``); its
      parts are lookups in row order (``lookups.pxi``), layers, losses, the classes of a batch
      (``negatives.pxi``), factors in place of layers (``factorization.pxi``), steps of rows
      (``weights.pxi``), and a team of threads (``team.h``)
    * `train_pairs` takes the steps of many batches of users and items (``pairs.pxi``); its parts
      are arrays (``pair_call.pxi``), vectors, draws and losses (``pair_forward.pxi``), items drawn
      for a batch (``pair_softmax.pxi``), and lookups in row order (``pair_lookups.pxi``); both
      share a team's phases (``team.pxi``)
    * `draw_classes` draws classes or items at random, `make_alias` prepares it (``draw.pxi``)

quantized
    * `pool_codes` pools rows of codes with a scale and a bias, `unpack_codes` writes their values
      (``pool.pxi``); `pool_plain_codes` checks the arguments of a caller, too (``plain.pxi``)
ranking
    * `top_items` finds the best items of users by their vectors, `top_scores` by scores
      (``top.pxi``)

``common/`` has what they share: arrays, loops over one row, units of work, ladders of types. The
level avx512 has the kernels of ``with_avx512.pxi``, avx2 also those of ``with_avx2.pxi``, and the
baseline all. A level without a kernel uses that of the level below.

Decisions
---------
1. Sums of one block of columns stay in registers, in a walk over the whole bag: adding to the
   output row costs 1.5 to 2 times as much on cached data. Block widths are literals, which inlining
   makes constant trip counts. 32 bags are pooled in one block before any is in the next, so that
   look-aheads stay in their block: a tenth faster for 300 columns, and there is less between bags.
2. Blocks may overlap: for 100 columns, 64 and the last 48. A scalar tail of 4 columns costs 30 %.
3. Each lookup prefetches the row 16 lookups ahead: twice as fast on data from memory.
4. No branch depends on data in `extreme`: mispredicted ones are 5 to 10 times slower. Its indices
   are not compiled for both widths: a twentieth slower, a level a seventh smaller.
5. The gradient of pooling is pooling over the transposed bags, so it is parallel, without atomics,
   and has the same bits each time. A radix sort with 2048 counters transposes them: nothing has the
   size of the table.
6. Bags are cut into four units a thread, by lookups. One unit is a plain call: a team of one thread
   costs OpenMP a microsecond. A bag larger than a thread's share is cut by columns, from 4096
   lookups on.
7. float16 is converted by the hardware where a level has it: 8 times faster.
8. `select_lookups`, transposition and `extreme_gradient` move integers or single numbers: no level
   but the baseline has them, as wider vectors gain nothing.
9. Arrays come by the buffer protocol, not as typed views: those copy each function for each
   combination of dtypes that Python can call, half of a module.
10. A call is a struct of named arrays, and its type selects the kernel in ladders that stand once
    (``common/ladders.pxi``). Threads come before types: one parallel region a kernel, not one for
    each of its types. That made the modules of levels 15 to 18 % smaller and the wheel 4 %.
11. Training is one loop over batches, as the Python between the kernels of a small batch took half
    of its time. Numbers of 16 bags lie side by side, so that sums over columns and classes have one
    order at every vector width. The products of layers, exp and log are the kernel's own: those of
    BLAS and of C libraries have other bits on other machines. With 20,000 labels it is 2.6 times as
    fast as BLAS and NumPy's passes over the scores.
12. Threads of a team take units of work from a common counter, and go on when all units are
    finished: not when all threads have come, some of which may not be running. A team that loses
    time because processors are busy leaves the rest to one thread.
13. Python's checks and the way through three kernels took nine tenths of a call with one bag of
    ten: 6.5 microseconds, of which `pool_plain` leaves 2. It keeps the GIL for the first two
    microseconds of additions.
14. All other calls have one place where threads begin (``share_units``), and report how much time
    they have won or lost (``common/region.h``). OpenMP waits for every thread: beside one busy
    process, a sort and a gradient of 0.7 ms took 3 to 120 ms, now 1.2 ms.
15. Rows that a step changes are prefetched for writing: passes of two threads are up to a fifth
    faster. To share out columns, so that rows need not move between caches, made a table of 50
    columns a half slower: each thread then walks through all lookups.
16. Training divides weights by the norm of their bag while it copies a batch, so that data are used
    in place. Norms are added up beside the numbering of rows, where an addition waits for nothing.
17. Rows of codes have kernels of their own: a block of them has no address for each column, and the
    kernels of float rows get no branch. Their operations are intrinsics. Values
    of 4 or 2 bits are looked up in a register, as there are 16 or 4 in a row.
    A scale of 16 bits makes products with codes exact, so that a fused operation has the bits of
    two.
18. With many classes a batch uses the same few for all its bags: their rows are copied side by
    side, and then computed as a small layer. To draw for each bag instead would need a walk over
    rows for each, and 16 bags could not share a row's load. With 356 of 2,583 classes a pass takes
    a sixth of the time.
19. A random draw is a function of the seed and the draw's number, by SplitMix64: so steps may be
    taken in calls of any length, and threads share draws. Walker's table spares a search.
20. The scores of `top_items` are added in double, where products of floats are exact, and in one
    order: so they may be fused, and depend on no block. No score is stored but those of the best:
    1,682 items of 943 users take 5.4 ms on one thread, where a product of matrices in float by BLAS
    and NumPy's ``argpartition`` take 10.5.
21. Training on pairs pools each user of a batch once, and takes the own item out for each pair:
    so a history is read once for all its items. A batch goes by user, as pairs are sorted within
    it. With WARP, 32 columns and one thread, 3.6 million positives of MovieLens-100K take a second,
    2.2 million with features of both sides: draws are rated by vectors that are pooled once in
    several batches, not for each draw.
22. Items drawn for a batch of pairs lie side by side, 16 of them, as a copy: four pairs share a
    load, in the scores and in both gradients. A dot product for each pair and item made a pass with
    256 items twice as long.
23. Threads that rank for few users share the items: each part has lists of its own, which Python
    merges. One user of 200,000 items takes 2.2 ms on two threads in place of 3.1.

Adding a kernel
---------------
1. Write its twin in ``reference.py``, in the order in which the kernel will add.
2. In a .pxi file, write a struct of its arrays and numbers, the work on one unit of a call, and the
   function that Python calls.
3. Name the struct and the unit in ``common/ladders.pxi``; list the file and the struct in
   ``with_avx512.pxi``, ``with_avx2.pxi`` or ``baseline_only.pxi``.
4. Add it to the .pyi files and to ``ebagx/_core/levels.py``, and test it against its twin.
"""
