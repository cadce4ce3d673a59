/* A region: the threads of one call take its units from a counter, and note their times.

   If other processes need the processors, a thread may not run for milliseconds, and the region ends
   only when it has: OpenMP waits for all threads. So each region adds to totals the time that its
   units take on one thread, and how much less time it took: `ebagx/_core/threads.py` reads them
   before it gives several threads to a call. All this costs a region 0.1 microseconds. */
#ifndef EBAGX_REGION_H
#define EBAGX_REGION_H

#include "common/atomics.h"

/* A thread that stops within a unit is away for longer than this: 1 to 4 milliseconds. */
#define EBAGX_LONG_REGION 500000
/* What threads have won makes up for so many nanoseconds lost later: a quiet machine, too, stops a
   thread now and then. */
#define EBAGX_MOST_WON 20000000

typedef struct {
    ebagx_atomic next;  /* the first unit that no thread has taken */
    ebagx_atomic found; /* flags of all units */
    ebagx_atomic work;  /* nanoseconds that threads were at work */
    ebagx_atomic unit;  /* nanoseconds of a unit, of the fastest thread */
    int64_t units;
    int64_t began; /* when, in nanoseconds */
} ebagx_region;

typedef struct {
    ebagx_atomic won;   /* nanoseconds that threads have saved; negative: lost */
    ebagx_atomic alone; /* nanoseconds that one thread would have taken */
} ebagx_region_times;

/* Returns whether threads have lost more than they have won since the totals were last read. */
static inline int ebagx_are_losing(ebagx_region_times *times)
{
    return times && EBAGX_LOAD(&times->won) < 0;
}

static inline void ebagx_begin_region(ebagx_region *region, int64_t units)
{
    EBAGX_STORE(&region->next, (int64_t)0);
    EBAGX_STORE(&region->found, (int64_t)0);
    EBAGX_STORE(&region->work, (int64_t)0);
    EBAGX_STORE(&region->unit, INT64_MAX);
    region->units = units;
    region->began = ebagx_nanoseconds();
}

/* Returns a unit that no other thread has; `units` or more when there is none. */
static inline int64_t ebagx_take_unit(ebagx_region *region)
{
    return EBAGX_ADD(&region->next, (int64_t)1) - 1;
}

/* Notes the work of a thread that has found no more units. */
static inline void ebagx_leave_region(
    ebagx_region *region, int64_t units, int64_t nanoseconds, int64_t found)
{
    int64_t seen;
    if (units == 0) return;
    EBAGX_ADD(&region->work, nanoseconds);
    do {
        seen = EBAGX_LOAD(&region->unit);
    } while (nanoseconds / units < seen
             && !EBAGX_REPLACE(&region->unit, seen, nanoseconds / units));
    do {
        seen = EBAGX_LOAD(&region->found);
    } while ((seen | found) != seen && !EBAGX_REPLACE(&region->found, seen, seen | found));
}

/* Adds the times of a region to totals, and returns the flags of its units.

   One thread would take the sum of the threads' times. In a long region these may hold times in
   which a thread did not run; then all units count as those of the fastest thread, unless they
   have found something that makes them differ. */
static inline int64_t ebagx_end_region(ebagx_region *region, ebagx_region_times *times)
{
    int64_t taken = ebagx_nanoseconds() - region->began, found = EBAGX_LOAD(&region->found);
    int64_t alone = EBAGX_LOAD(&region->work);
    if (taken > EBAGX_LONG_REGION && !found) alone = region->units * EBAGX_LOAD(&region->unit);
    if (times) {
        EBAGX_ADD(&times->alone, alone);
        if (EBAGX_ADD(&times->won, alone - taken) > EBAGX_MOST_WON)
            EBAGX_STORE(&times->won, (int64_t)EBAGX_MOST_WON);
    }
    return found;
}

#endif
