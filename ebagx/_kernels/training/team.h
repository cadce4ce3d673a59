/* A team of threads shares the units of one phase after the other.

   `state` holds the number of the phase and the units of it that no thread has taken yet; `open`
   counts those that are not finished. The thread that finishes the last one prepares the next
   phase, while the others wait: a thread that is not running holds nobody up unless it has taken a
   unit. Waiting is a few hundred turns of a loop, then the processor is offered to other threads.

   If other processes need the processors, a thread that has a unit may stop for milliseconds, or
   two threads share a processor. Threads find that out where they wait. After a few losses, one of
   them does the rest alone, and the others sleep. */
#ifndef EBAGX_TEAM_H
#define EBAGX_TEAM_H

#include "common/atomics.h"

#define EBAGX_UNITS 0x7FFFFFFF            /* bits of the state that count units */
#define EBAGX_LONG_UNITS ((int64_t)1 << 31) /* the bit of phases whose units may take long */
#define EBAGX_PHASE_BITS 32
#define EBAGX_FINISHED (-1)
#define EBAGX_NOBODY (-1)
#define EBAGX_SPINS 200
#define EBAGX_LATE 5000     /* nanoseconds after which an offered processor comes back late */
#define EBAGX_STALL 1000000 /* nanoseconds of a wait for a thread that does not run */
#define EBAGX_STALL_LOSS 4
#define EBAGX_MOST_LOSSES 8

typedef struct {
    ebagx_atomic state; /* of the phase, or EBAGX_FINISHED */
    ebagx_atomic alone; /* the thread that does the rest, or EBAGX_NOBODY */
    char padding[112];  /* two cache lines apart, which are fetched as a pair */
    ebagx_atomic open;
    ebagx_atomic losses;
    char more_padding[112];
    int64_t phase; /* of the thread that prepares phases */
    int64_t formed; /* when */
} ebagx_team;

/* Begins a phase of `units` units; none ends the team's work. */
static inline void ebagx_begin_phase(ebagx_team *team, int64_t units, int are_long)
{
    if (units <= 0) {
        EBAGX_STORE(&team->state, (int64_t)EBAGX_FINISHED);
        return;
    }
    team->phase = (team->phase + 1) & EBAGX_UNITS;
    EBAGX_STORE(&team->open, units);
    EBAGX_STORE(
        &team->state,
        (team->phase << EBAGX_PHASE_BITS) | (are_long ? EBAGX_LONG_UNITS : 0) | units);
}

static inline void ebagx_form_team(ebagx_team *team)
{
    team->phase = 0;
    team->formed = ebagx_nanoseconds();
    EBAGX_STORE(&team->losses, (int64_t)0);
    EBAGX_STORE(&team->alone, (int64_t)EBAGX_NOBODY);
}

/* Notes whether a thread has come late: it had no processor, and the end of the work, where threads
   wait for each other, will cost as much. */
static inline void ebagx_join_team(ebagx_team *team)
{
    if (ebagx_nanoseconds() - team->formed > EBAGX_STALL)
        EBAGX_ADD(&team->losses, (int64_t)EBAGX_MOST_LOSSES);
}

/* Adds to what threads have lost; at a limit, this thread does the rest alone. */
static inline void ebagx_lose(ebagx_team *team, int64_t thread, int64_t loss)
{
    if (EBAGX_ADD(&team->losses, loss) >= EBAGX_MOST_LOSSES)
        EBAGX_REPLACE(&team->alone, (int64_t)EBAGX_NOBODY, thread);
}

/* Offers the processor to other threads, and returns the time, or 0 if a wait in this phase says
   nothing. If it comes back late, others needed it. */
static inline int64_t ebagx_yield(ebagx_team *team, int64_t thread, int64_t state)
{
    int64_t before = ebagx_nanoseconds(), now;
    EBAGX_YIELD();
    if (state & EBAGX_LONG_UNITS) return 0;
    now = ebagx_nanoseconds();
    if (now - before > EBAGX_LATE) ebagx_lose(team, thread, 1);
    return now;
}

/* Returns a unit that no other thread has, or -1 when all work is done. */
static inline int64_t ebagx_next_unit(ebagx_team *team, int64_t thread)
{
    int64_t began = 0;
    int spins = 0;
    for (;;) {
        int64_t state = EBAGX_LOAD(&team->state), alone = EBAGX_LOAD(&team->alone);
        if (state == EBAGX_FINISHED) return -1;
        if (alone != EBAGX_NOBODY && alone != thread) {
            EBAGX_SLEEP();
        } else if (state & EBAGX_UNITS) {
            if (EBAGX_REPLACE(&team->state, state, state - 1)) return (state & EBAGX_UNITS) - 1;
        } else if (++spins < EBAGX_SPINS) {
            EBAGX_PAUSE();
        } else {
            int64_t now = ebagx_yield(team, thread, state);
            began = began ? began : now;
            if (now - began > EBAGX_STALL) {
                ebagx_lose(team, thread, EBAGX_STALL_LOSS);
                began = now;
            }
        }
    }
}

/* Returns whether a unit that has been finished was the last one of its phase. */
static inline int ebagx_finish_unit(ebagx_team *team)
{
    return EBAGX_ADD(&team->open, (int64_t)-1) == 0;
}

/* Returns the first number from `first` on, cyclically, that no thread has claimed in this phase, or
   -1. Threads that begin at numbers of their own have the same data from phase to phase, in their
   caches: otherwise a batch of 256 histories took 1.3 times as long on two threads. */
static inline int64_t ebagx_claim(
    ebagx_atomic *claims, int64_t count, int64_t first, int64_t phase)
{
    int64_t i;
    for (i = 0; i < count; i++) {
        int64_t number = (first + i) % count, seen = EBAGX_LOAD(&claims[number]);
        if (seen != phase && EBAGX_REPLACE(&claims[number], seen, phase)) return number;
    }
    return -1;
}

/* Returns whether threads have lost more than they should. */
static inline int ebagx_is_busy(ebagx_team *team)
{
    return EBAGX_LOAD(&team->losses) >= EBAGX_MOST_LOSSES;
}

#endif
