/*
 * seen: which messages of other instances were received already.
 *
 * An instance sends messages again that Redis had not answered when the connection was lost. For each sender (instance and boot)
 * the last RC_SEEN_WINDOW sequences are a bitmap; what is older counts as new. Bounded: RC_SEEN_SOURCES_MAX senders, the one not
 * heard of for longest is forgotten. Owned by wire, one thread. Allocates once per sender.
 */
#ifndef RC_RELAY_BRIDGE_SEEN_H
#define RC_RELAY_BRIDGE_SEEN_H

#include <stdbool.h>
#include <stdint.h>

#include "common/config/config.h"
#include "common/base/span.h"

#define RC_SEEN_WINDOW 65536u /* sequences; a power of two */
#define RC_SEEN_SOURCES_MAX 256u

struct rc_seen_source {
    char id[RC_INSTANCE_ID_MAX];
    uint32_t id_bytes;
    uint32_t boot;
    uint64_t used; /* when it was last heard of, in calls */
    uint64_t highest;
    uint64_t bits[RC_SEEN_WINDOW / 64];
};

struct rc_seen {
    struct rc_seen_source *sources[RC_SEEN_SOURCES_MAX]; /* owner */
    uint32_t count;
    uint32_t last; /* the one found last: messages come in runs */
    uint64_t calls;
};

/* True when this is the first time. Also true when there is no memory to remember it. */
bool rc_seen_first(struct rc_seen *seen, struct rc_span id, uint32_t boot, uint64_t sequence);
void rc_seen_free(struct rc_seen *seen);

#endif
