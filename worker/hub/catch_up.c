/*
 * catch_up: what was published while this worker's predecessor was dead, or stood still, comes out of the ring all at once, much faster than anybody
 * published it, and than any network carries it. Who reads it as it comes is no slow consumer: instead of cutting it off the worker leaves what
 * follows in the ring for a moment. See hub.h.
 *
 *   a record from before the worker took over ──▶ no room, but for cutting off ──▶ somebody of those takes something yet: -ENOSPC, again in a while
 *                                                                             └──▶ nobody does, or it has lasted too long: as ever
 */
#include "worker/hub/hub_internal.h"
#include "worker/hub/turn.h"

#include "common/base/clock.h"

#define CATCH_UP_NS UINT64_C(5000000000)      /* in all: messages of all channels wait in the ring */
#define CATCH_UP_STILL_DS 10u                 /* nobody waits for a socket that has taken nothing for so long */
#define CATCH_UP_AWAY_NS UINT64_C(1000000000) /* who polls, and has not come since the worker took over */

void rc_hub_took_over(struct rc_hub *hub)
{
    hub->took_over_ns = rc_clock_ns();
}

bool rc_hub_waited(struct rc_hub *hub)
{
    const bool waited = hub->waits;
    hub->waits = false;
    return waited;
}

static uint64_t catch_up_ns(const struct rc_hub *hub)
{
    return *hub->now_ns > hub->took_over_ns ? *hub->now_ns - hub->took_over_ns : 0;
}

bool rc_catch_up_late(const struct rc_hub *hub, const struct rc_envelope_view *view)
{
    return RC_UNLIKELY(view->head.time_ns < hub->took_over_ns) && view->head.time_ns != 0 &&
           catch_up_ns(hub) < CATCH_UP_NS;
}

/* Does the client take what there is for it, as fast as it may? */
static bool catch_up_takes(const struct rc_hub *hub, const struct rc_client *client)
{
    const struct rc_socket *socket = rc_truth_socket_of(hub->truth, client);
    if (rc_turn_mute(client)) {
        return false;
    }
    if (socket == NULL) {
        return catch_up_ns(hub) < CATCH_UP_AWAY_NS;
    }
    return !(socket->flags & RC_SOCKET_BLOCKED) || hub->io->now_ds - socket->blocked_ds < CATCH_UP_STILL_DS;
}

/* Waiting: counted, and the pass of the loop sleeps. */
static bool catch_up_wait(struct rc_hub *hub)
{
    hub->waits = true;
    rc_metric_add(hub->metrics, RC_METRIC_CATCH_UP_WAITS, 1);
    return true;
}

bool rc_catch_up_waits(struct rc_hub *hub, uint32_t group_index, uint64_t keep)
{
    const struct rc_truth *truth = hub->truth;
    const struct rc_channel *channel = rc_truth_channel(truth, rc_truth_group(truth, group_index)->channel);
    const enum rc_slow_policy policy = hub->config->namespaces[channel->namespace].slow_consumer;
    if (policy == RC_SLOW_LATEST || (policy == RC_SLOW_SKIP && channel->place != 0)) {
        return false; /* nobody loses anything by it */
    }
    struct rc_members *members = &hub->members[group_index];
    const uint32_t *items = rc_members_items(members);
    for (uint32_t i = 0; i < members->count; i++) {
        const struct rc_subscription *subscription = rc_truth_subscription(truth, items[i]);
        if ((subscription->flags & RC_SUBSCRIPTION_CURSOR) && subscription->cursor < keep &&
            catch_up_takes(hub, rc_truth_client(truth, subscription->client))) {
            return catch_up_wait(hub);
        }
    }
    return false;
}

bool rc_catch_up_waits_own(struct rc_hub *hub, uint32_t client_index, uint64_t bytes)
{
    const struct rc_client *client = rc_truth_client(hub->truth, client_index);
    if (client->direct_log == 0) {
        return false;
    }
    const struct rc_channel_log *log = rc_truth_log(hub->truth, client->direct_log);
    const uint64_t kept = log->head - log->base + (uint64_t)log->frames * sizeof(struct rc_frame);
    return kept + rc_channel_log_need(bytes) > hub->config->limits.channel_log_bytes && catch_up_takes(hub, client) &&
           catch_up_wait(hub);
}
