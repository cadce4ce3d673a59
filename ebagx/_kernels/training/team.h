/* A team of threads shares the units of one phase after the other.

   `state` holds the number of the phase and the units of it that no thread has taken yet; `open`
   counts those that are not finished. The thread that finishes the last one prepares the next
   phase, while the others wait: a thread that is not running holds nobody up unless it has taken a
   unit. Waiting is a few hundred turns of a loop, then the processor is offered to other threads. */
#ifndef EBAGX_TEAM_H
#define EBAGX_TEAM_H

#include <stdint.h>

#if defined(_MSC_VER)
#include <intrin.h>
#include <windows.h>
typedef volatile __int64 ebagx_atomic;
#define EBAGX_LOAD(place) _InterlockedCompareExchange64((place), 0, 0)
#define EBAGX_STORE(place, value) _InterlockedExchange64((place), (value))
#define EBAGX_TAKE(place, seen) \
    (_InterlockedCompareExchange64((place), (seen) - 1, (seen)) == (seen))
#define EBAGX_LOWER(place) (_InterlockedDecrement64(place))
#define EBAGX_YIELD() SwitchToThread()
#define EBAGX_PAUSE() YieldProcessor()
#else
#if defined(_WIN32)
#include <windows.h>
#define EBAGX_YIELD() SwitchToThread()
#else
#include <sched.h>
#define EBAGX_YIELD() sched_yield()
#endif
typedef int64_t ebagx_atomic;
#define EBAGX_LOAD(place) __atomic_load_n((place), __ATOMIC_ACQUIRE)
#define EBAGX_STORE(place, value) __atomic_store_n((place), (value), __ATOMIC_RELEASE)
#define EBAGX_TAKE(place, seen) ebagx_take((place), (seen))
#define EBAGX_LOWER(place) __atomic_sub_fetch((place), 1, __ATOMIC_ACQ_REL)
#if defined(__x86_64__) || defined(__i386__)
#define EBAGX_PAUSE() __builtin_ia32_pause()
#else
#define EBAGX_PAUSE() ((void)0)
#endif
static inline int ebagx_take(ebagx_atomic *place, int64_t seen)
{
    return __atomic_compare_exchange_n(
        place, &seen, seen - 1, 0, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED);
}
#endif

#define EBAGX_UNIT_BITS 32
#define EBAGX_FINISHED (-1)
#define EBAGX_SPINS 400

typedef struct {
    ebagx_atomic state; /* phase << 32 | units that are not taken, or EBAGX_FINISHED */
    char padding[120];  /* two cache lines apart, which are fetched as a pair */
    ebagx_atomic open;
    char more_padding[120];
    int64_t phase; /* of the thread that prepares phases */
} ebagx_team;

/* Begins a phase of `units` units, at least one; none ends the team's work. */
static inline void ebagx_begin_phase(ebagx_team *team, int64_t units)
{
    if (units <= 0) {
        EBAGX_STORE(&team->state, (int64_t)EBAGX_FINISHED);
        return;
    }
    team->phase = (team->phase + 1) & 0x3FFFFFFF;
    EBAGX_STORE(&team->open, units);
    EBAGX_STORE(&team->state, (team->phase << EBAGX_UNIT_BITS) | units);
}

/* Returns a unit that no other thread has, or -1 when all work is done. */
static inline int64_t ebagx_next_unit(ebagx_team *team)
{
    int spins = 0;
    for (;;) {
        int64_t seen = EBAGX_LOAD(&team->state);
        if (seen == EBAGX_FINISHED) return -1;
        if (seen & 0xFFFFFFFF) {
            if (EBAGX_TAKE(&team->state, seen)) return (seen & 0xFFFFFFFF) - 1;
        } else if (++spins < EBAGX_SPINS) {
            EBAGX_PAUSE();
        } else {
            EBAGX_YIELD();
        }
    }
}

/* Returns whether a unit that has been finished was the last one of its phase. */
static inline int ebagx_finish_unit(ebagx_team *team)
{
    return EBAGX_LOWER(&team->open) == 0;
}

#endif
