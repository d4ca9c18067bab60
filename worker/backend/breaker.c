/* breaker: see breaker.h. */
#include "worker/backend/breaker.h"

#define BREAKER_SHARE_OF 4u /* times `failures_max`: as many calls are looked at together */

void rc_breaker_open(struct rc_breaker *breaker, uint32_t failures_max, uint64_t within_ms)
{
    *breaker = (struct rc_breaker){.failures_max = failures_max, .within_ms = within_ms};
}

bool rc_breaker_allows(struct rc_breaker *breaker, uint64_t now_ms, bool *probe)
{
    *probe = false;
    if (breaker->state == RC_BREAKER_CLOSED) {
        return true;
    }
    if (now_ms < breaker->probe_ms) {
        return false;
    }
    breaker->state = RC_BREAKER_HALF;
    breaker->probe_ms = now_ms + RC_BREAKER_PROBE_MS; /* should this one never end */
    *probe = true;
    return true;
}

static bool breaker_trip(struct rc_breaker *breaker, uint64_t now_ms)
{
    const bool changed = breaker->state == RC_BREAKER_CLOSED;
    breaker->state = RC_BREAKER_OPEN;
    breaker->probe_ms = now_ms + RC_BREAKER_PROBE_MS;
    return changed;
}

bool rc_breaker_note(struct rc_breaker *breaker, uint64_t now_ms, bool failed, bool probe)
{
    if (breaker->failures_max == 0) {
        return false;
    }
    if (breaker->state != RC_BREAKER_CLOSED) {
        if (!failed) { /* also one that was asked before: it answers again */
            rc_breaker_open(breaker, breaker->failures_max, breaker->within_ms);
            breaker->since_ms = now_ms;
            return true;
        }
        return probe && breaker_trip(breaker, now_ms);
    }
    if (now_ms - breaker->since_ms >= breaker->within_ms) {
        breaker->since_ms = now_ms;
        breaker->calls = breaker->failed = 0;
    }
    breaker->calls++;
    breaker->failed += failed;
    breaker->in_a_row = failed ? breaker->in_a_row + 1 : 0;
    const bool share =
        breaker->calls >= BREAKER_SHARE_OF * breaker->failures_max && 2 * breaker->failed >= breaker->calls;
    return (breaker->in_a_row >= breaker->failures_max || share) && breaker_trip(breaker, now_ms);
}
