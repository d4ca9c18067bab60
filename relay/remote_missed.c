/* remote_missed: see remote_missed.h. */
#include "relay/remote_missed.h"

#include <stdlib.h>

#define MISSED_NAMED_MAX 4096u /* channels of which it is told one by one that something was missed */

/* Channels that are told one by one that something was missed. */
struct missing {
    const struct rc_remote_missed *remote;
    struct rc_span *names; /* as the interest table has them; MISSED_NAMED_MAX, and one more: too many */
    uint32_t count;
};

static void missing_one(void *context, struct rc_span name)
{
    struct missing *missing = context;
    if (missing->count <= MISSED_NAMED_MAX && !rc_channel_is_presence(name) &&
        !rc_shared_covers(missing->remote->shared, name)) { /* else it is repaired */
        missing->names[missing->count++] = name;
    }
}

/* Of all channels: those whose history is shared are repaired, so that it is told of the others, and of "*" for broadcasts and direct messages. Where
 * these are too many it is told of all at once. */
static void missed_all(const struct rc_remote_missed *remote)
{
    struct missing missing = {.remote = remote};
    missing.names = remote->shared->open ? calloc(MISSED_NAMED_MAX + 1, sizeof(*missing.names)) : NULL;
    if (missing.names != NULL) {
        rc_interest_walk(&remote->router->fanout.interest, missing_one, &missing);
    }
    if (missing.names == NULL || missing.count > MISSED_NAMED_MAX) {
        rc_router_gap(remote->router, NULL, 0);
    } else {
        for (uint32_t i = 0; i < missing.count; i++) {
            rc_router_gap(remote->router, (const char *)missing.names[i].bytes, (uint32_t)missing.names[i].count);
        }
        rc_router_gap(remote->router, "*", 1);
    }
    free(missing.names);
}

/* The same where Redis never had what was lost: nobody can repair it. Where Redis had it, and perhaps has not any more, streams say so: nobody looks at one as
 * long as nothing comes behind what is missing. */
static void missed_elsewhere(const struct rc_remote_missed *remote, enum rc_missed how)
{
    if (how == RC_MISSED_LOST) {
        rc_router_gap(remote->router, NULL, 0);
        return;
    }
    missed_all(remote);
    rc_shared_look(remote->shared);
}

void rc_remote_missed(const struct rc_remote_missed *remote, struct rc_span name, enum rc_missed how)
{
    if (name.count == 0) {
        rc_cluster_retained_missed(remote->retained);
    }
    if (name.count == 0 && how == RC_MISSED_HERE) {
        missed_all(remote);
    } else if (name.count == 0) {
        missed_elsewhere(remote, how);
    } else if (rc_channel_is_presence(name)) {
        rc_presence_events_heard(remote->presence_events, name);
    } else if (how == RC_MISSED_LOST || !rc_shared_covers(remote->shared, name)) {
        rc_router_gap(remote->router, (const char *)name.bytes, (uint32_t)name.count);
    }
}
