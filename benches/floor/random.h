/* Ids: xoshiro256++ of Blackman and Vigna, seeded by the operating system. */
#pragma once

#include "base.h"
#include <sys/random.h>

static uint64_t random_state[4];

static void seed_random(void) {
    if (getrandom(random_state, sizeof random_state, 0) != sizeof random_state)
        Py_FatalError("floor: no random bytes");
}

static inline uint64_t rotate_left(uint64_t x, int by) {
    return x << by | x >> (64 - by);
}

/* Never zero: an id of zeros means that there is none. */
static inline uint64_t random_id(void) {
    uint64_t *s = random_state, result;
    do {
        result = rotate_left(s[0] + s[3], 23) + s[0];
        uint64_t t = s[1] << 17;
        s[2] ^= s[0];
        s[3] ^= s[1];
        s[1] ^= s[2];
        s[0] ^= s[3];
        s[2] ^= t;
        s[3] = rotate_left(s[3], 45);
    } while (unlikely(result == 0));
    return result;
}
