/* seen: see seen.h. */
#include "relay/bridge/seen.h"

#include <stdlib.h>
#include <string.h>

static bool is_source(const struct rc_seen_source *source, struct rc_span id, uint32_t boot)
{
    return source->boot == boot && source->id_bytes == id.count && memcmp(source->id, id.bytes, id.count) == 0;
}

static struct rc_seen_source *new_source(struct rc_seen *seen)
{
    if (seen->count < RC_SEEN_SOURCES_MAX) {
        struct rc_seen_source *source = malloc(sizeof(*source));
        if (source != NULL) {
            seen->last = seen->count;
            seen->sources[seen->count++] = source;
        }
        return source;
    }
    uint32_t oldest = 0;
    for (uint32_t i = 1; i < seen->count; i++) {
        oldest = seen->sources[i]->used < seen->sources[oldest]->used ? i : oldest;
    }
    seen->last = oldest;
    return seen->sources[oldest];
}

static struct rc_seen_source *seen_find(struct rc_seen *seen, struct rc_span id, uint32_t boot, uint64_t sequence)
{
    if (seen->last < seen->count && is_source(seen->sources[seen->last], id, boot)) {
        return seen->sources[seen->last];
    }
    for (uint32_t i = 0; i < seen->count; i++) {
        if (is_source(seen->sources[i], id, boot)) {
            seen->last = i;
            return seen->sources[i];
        }
    }
    struct rc_seen_source *source = new_source(seen);
    if (source != NULL) {
        *source = (struct rc_seen_source){.id_bytes = (uint32_t)id.count, .boot = boot, .highest = sequence - 1};
        memcpy(source->id, id.bytes, id.count);
    }
    return source;
}

static void seen_advance(struct rc_seen_source *source, uint64_t sequence)
{
    if (sequence - source->highest >= RC_SEEN_WINDOW) {
        memset(source->bits, 0, sizeof(source->bits));
    } else {
        /* Counted down, not up to `sequence`: that may be the largest number there is. */
        for (uint64_t left = sequence - source->highest; left > 0; left--) {
            const uint64_t i = sequence - left + 1;
            source->bits[i % RC_SEEN_WINDOW / 64] &= ~(UINT64_C(1) << (i % 64));
        }
    }
    source->highest = sequence;
}

bool rc_seen_first(struct rc_seen *seen, struct rc_span id, uint32_t boot, uint64_t sequence)
{
    if (sequence == 0 || id.count > RC_INSTANCE_ID_MAX) {
        return true;
    }
    struct rc_seen_source *source = seen_find(seen, id, boot, sequence);
    if (source == NULL) {
        return true;
    }
    source->used = ++seen->calls;
    if (sequence > source->highest) {
        seen_advance(source, sequence);
    } else if (source->highest - sequence >= RC_SEEN_WINDOW) {
        return true;
    }
    uint64_t *word = &source->bits[sequence % RC_SEEN_WINDOW / 64];
    const uint64_t bit = UINT64_C(1) << (sequence % 64);
    const bool first = (*word & bit) == 0;
    *word |= bit;
    return first;
}

void rc_seen_free(struct rc_seen *seen)
{
    for (uint32_t i = 0; i < seen->count; i++) {
        free(seen->sources[i]);
    }
    seen->count = 0;
}
