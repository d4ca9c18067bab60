/*
 * heat: how much goes through a channel now: messages and bytes of their data in the last ten seconds or so.
 *
 * One entry for each channel of a worker, written when a message goes into the channel's logs: once a message, whatever number of
 * subscribers it has. Sums fade with time when they are written or read, so that no timer and no window is needed. Private memory of
 * the hub: a successor's begin at zero and are true again after ten seconds. Nothing can fail.
 */
#ifndef RC_WORKER_HUB_HEAT_H
#define RC_WORKER_HUB_HEAT_H

#include <stdint.h>

#define RC_HEAT_FADE_DS 100u /* what is this old, in 1/10 s, counts a third (1/e) */

struct rc_heat {
    float messages; /* fading sums, as of `at_ds` */
    float bytes;
    uint32_t at_ds; /* 1/10 s */
};

/* The sums as of `now_ds`. */
static inline void rc_heat_fade(struct rc_heat *heat, uint32_t now_ds)
{
    if (heat->at_ds != now_ds) {
        /* e^-x by the first terms of 1/e^x: right to one in a million at each tenth of a second, and never negative. */
        const float x = (float)(now_ds - heat->at_ds) / (float)RC_HEAT_FADE_DS;
        const float left = x > 20.0F ? 0.0F : 1.0F / (1.0F + x + x * x / 2.0F + x * x * x / 6.0F);
        heat->messages *= left;
        heat->bytes *= left;
        heat->at_ds = now_ds;
    }
}

/* A message of so many bytes. */
static inline void rc_heat_add(struct rc_heat *heat, uint32_t now_ds, uint32_t bytes)
{
    rc_heat_fade(heat, now_ds);
    heat->messages += 1.0F;
    heat->bytes += (float)bytes;
}

/* What a fading sum is a second. */
static inline double rc_heat_rate(float sum)
{
    return (double)sum * 10.0 / RC_HEAT_FADE_DS;
}

#endif
