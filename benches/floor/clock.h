/* Time. A tick of the time-stamp counter is read in less than half the time of clock_gettime; an
   anchor, a reading of both at one moment, turns it into nanoseconds since 1970. A local trace keeps
   the anchor that it began with, so that inside it no clock is ever set. */
#pragma once

#include "base.h"
#include <time.h>
#include <unistd.h>

typedef struct {
    uint64_t ticks, ns;
} Anchor;

static Anchor newest_anchor;
/* Nanoseconds a tick, with 32 bits behind the point. */
static uint64_t ns_per_tick;
static uint64_t ticks_per_second;

static inline uint64_t ticks(void) {
    return __rdtsc();
}

static uint64_t realtime_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static rare void take_anchor(void) {
    newest_anchor = (Anchor){ticks(), realtime_ns()};
}

static void calibrate_clock(void) {
    take_anchor();
    Anchor before = newest_anchor;
    usleep(20000);
    take_anchor();
    uint64_t ns = newest_anchor.ns - before.ns, passed = newest_anchor.ticks - before.ticks;
    ns_per_tick = (uint64_t)(((__uint128_t)ns << 32) / passed);
    ticks_per_second = (uint64_t)(((__uint128_t)1000000000u << 32) / ns_per_tick);
}

/* The anchor for a trace that begins now; no older than a second, as the system's clock drifts. */
static inline Anchor current_anchor(uint64_t now) {
    if (unlikely(now - newest_anchor.ticks > ticks_per_second)) take_anchor();
    return newest_anchor;
}

static inline uint64_t to_ns(const Anchor *anchor, uint64_t at) {
    int64_t since = (int64_t)(at - anchor->ticks);
    return anchor->ns + (uint64_t)(int64_t)(((__int128)since * (__int128)ns_per_tick) >> 32);
}
