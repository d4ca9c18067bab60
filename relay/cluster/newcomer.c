/* newcomer: see newcomer.h. */
#include "relay/cluster/newcomer.h"

#include <string.h>

#include "common/config/pusher.h"

static bool newcomers_found(void *context, struct rc_span channel, uint32_t clients);

void rc_newcomers_open(struct rc_newcomers *newcomers, const struct rc_control *control, struct rc_router *router,
                       struct rc_roster *roster, struct rc_redis_link *link, struct rc_timers *timers)
{
    const struct rc_recounts_ops ops = {.found = newcomers_found, .context = newcomers};
    *newcomers = (struct rc_newcomers){.control = control, .router = router, .roster = roster};
    rc_recounts_open(&newcomers->recounts, link, timers, &ops);
}

void rc_newcomers_close(struct rc_newcomers *newcomers)
{
    rc_recounts_close(&newcomers->recounts);
}

static bool is_wanted(const struct rc_newcomers *newcomers, struct rc_span channel)
{
    const struct rc_control *control = newcomers->control;
    return rc_pusher_roster(rc_control_config(control, rc_control_config_generation(control)), channel);
}

/* One that starts has an empty ring, and may yet go without having read it. */
static bool worker_reads(const struct rc_control *control, uint32_t worker)
{
    switch (atomic_load_explicit(&control->workers[worker]->process.state, memory_order_relaxed)) {
    case RC_PROCESS_READY:
    case RC_PROCESS_PARKED: /* its successor reads on */
        return true;
    default:
        return false;
    }
}

/* To one worker, the next one when that is not there: what is told of a channel keeps its order while they live. False: none has taken it, since their
 * rings are full. */
static bool newcomers_tell(struct rc_newcomers *newcomers, struct rc_span channel, struct rc_span user,
                           struct rc_span info, const struct rc_client_ref *ref, uint32_t changes, uint32_t clients)
{
    const struct rc_member_told told = {.changes = changes, .clients = clients, .user_bytes = (uint32_t)user.count};
    uint8_t data[sizeof(told) + UINT8_MAX + RC_MEMBER_INFO_MAX];
    const uint32_t workers = newcomers->control->worker_count;
    const uint64_t hash = rc_channel_hash((const char *)channel.bytes, channel.count);
    size_t bytes = sizeof(told);
    if (changes == 0 || user.count > UINT8_MAX || info.count > RC_MEMBER_INFO_MAX) {
        return true; /* there is nothing to take */
    }
    memcpy(data, &told, sizeof(told));
    if (user.count > 0) {
        memcpy(data + bytes, user.bytes, user.count);
        bytes += user.count;
    }
    if (info.count > 0) {
        memcpy(data + bytes, info.bytes, info.count);
        bytes += info.count;
    }
    const struct rc_envelope_view view = {.head = {.origin = *ref,
                                                   .channel_hash = hash,
                                                   .channel_bytes = (uint8_t)channel.count,
                                                   .data_bytes = (uint32_t)bytes},
                                          .channel = (const char *)channel.bytes,
                                          .data = data};
    for (uint32_t i = 0; i < 2 * workers; i++) { /* those who read, then any */
        const uint32_t worker = (uint32_t)((hash % workers + i) % workers);
        if (worker_reads(newcomers->control, worker) == (i < workers) &&
            rc_router_send(newcomers->router, worker, RC_DOWN_MEMBER, &view) == 0) {
            return true;
        }
    }
    return false;
}

static bool newcomers_found(void *context, struct rc_span channel, uint32_t clients)
{
    struct rc_newcomers *newcomers = context;
    const struct rc_client_ref nobody = {0};
    return !is_wanted(newcomers, channel) || newcomers_tell(newcomers, channel, (struct rc_span){0},
                                                            (struct rc_span){0}, &nobody, RC_MEMBER_COUNTED, clients);
}

/* What is told of many at once are numbers; who comes and goes is told for itself. */
static void newcomers_recount(struct rc_newcomers *newcomers, struct rc_span channel, struct rc_span user,
                              uint32_t clients, bool taken)
{
    if (user.count == 0) {
        rc_recounts_told(&newcomers->recounts, channel, taken ? clients : RC_RECOUNT_UNTOLD);
    }
}

void rc_newcomers_changed(struct rc_newcomers *newcomers, const struct rc_roster_change *change)
{
    struct rc_client_ref ref;
    struct rc_span info;
    uint32_t changes = RC_MEMBER_COUNTED;
    if (change->quiet || !is_wanted(newcomers, change->channel)) {
        return;
    }
    changes |= change->before == 0 ? RC_MEMBER_ADDED : change->clients == 0 ? RC_MEMBER_REMOVED : 0u;
    changes |= change->channel_before == 0 ? RC_MEMBER_OCCUPIED : change->channel_clients == 0 ? RC_MEMBER_VACATED : 0u;
    (void)newcomers_tell(newcomers, change->channel, change->user, change->info, &change->ref, changes,
                         change->user.count == 0 ? change->clients : change->channel_clients);
    (void)rc_roster_announce(newcomers->roster, change->channel, &change->user, &ref, &info);
    (void)rc_roster_announce(newcomers->roster, change->channel, NULL, &ref, &info);
}

void rc_newcomers_counted(struct rc_newcomers *newcomers, struct rc_span channel, struct rc_span user, uint32_t changes,
                          uint32_t clients)
{
    struct rc_client_ref ref;
    struct rc_client_ref nobody;
    struct rc_span info;
    struct rc_span nothing;
    if (!is_wanted(newcomers, channel)) {
        return;
    }
    /* Redis may have lost its data, or a former relay of this host told: others know. */
    if (rc_roster_announce(newcomers->roster, channel, &user, &ref, &info)) {
        changes &= ~(uint32_t)RC_MEMBER_ADDED;
    }
    if (rc_roster_announce(newcomers->roster, channel, NULL, &nobody, &nothing)) {
        changes &= ~(uint32_t)RC_MEMBER_OCCUPIED;
    }
    const bool taken = newcomers_tell(newcomers, channel, user, info, &ref, changes | RC_MEMBER_COUNTED, clients);
    newcomers_recount(newcomers, channel, user, clients, taken);
}

void rc_newcomers_cleaned(struct rc_newcomers *newcomers, struct rc_span channel, struct rc_span user, uint32_t changes,
                          uint32_t clients)
{
    const struct rc_client_ref nobody = {0};
    if (is_wanted(newcomers, channel)) {
        const bool taken = newcomers_tell(newcomers, channel, user, (struct rc_span){0}, &nobody, changes, clients);
        newcomers_recount(newcomers, channel, user, clients, taken);
    }
}
