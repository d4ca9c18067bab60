/*
 * resume: a turn that a killed worker was in the middle of, and what was in its batch. See hub.h.
 *
 * What was served stays so; whoever was not gets a place of its own where it stood, and is served in the next turn like anybody who is behind.
 * Done again, should this process be killed in it, all of it comes to the same.
 */
#include "worker/hub/hub_internal.h"
#include "worker/hub/turn.h"

/* Who has no cursor has been served up to the turn's end of the log, if this says so. */
static bool resume_was_served(const struct rc_hub *hub, uint32_t group, uint32_t client, uint32_t place)
{
    return group == hub->kept->critical ? place >= hub->kept->unserved
                                        : rc_truth_client(hub->truth, client)->turn == hub->kept->turn;
}

static void resume_members(struct rc_hub *hub, uint32_t group_index, const struct rc_channel_log *log)
{
    const struct rc_truth *truth = hub->truth;
    struct rc_members *members = &hub->members[group_index];
    for (uint32_t i = 0; i < members->count; i++) {
        const uint32_t index = rc_members_items(members)[i];
        const struct rc_subscription *its = rc_truth_subscription(truth, index);
        if (!(its->flags & RC_SUBSCRIPTION_CURSOR) && !resume_was_served(hub, group_index, its->client, i)) {
            rc_hub_set_cursor(hub, index, log->served);
        }
    }
}

/* Members of "*" are all clients of the group's encoding that hear it. */
static void resume_everybody(struct rc_hub *hub, uint32_t group_index, const struct rc_channel_log *log)
{
    const struct rc_truth *truth = hub->truth;
    const uint8_t encoding = rc_truth_group(truth, group_index)->encoding;
    for (uint32_t i = 1; i <= hub->clients_high; i++) {
        const struct rc_client *client = rc_truth_client(truth, i);
        if (client->random != 0 && (client->flags & RC_CLIENT_EVERYBODY) && client->encoding == encoding &&
            client->everybody == 0 && !resume_was_served(hub, group_index, i, i - 1) &&
            rc_hub_everybody_behind(hub, i, log->served) < 0) {
            rc_hub_break(hub, i);
        }
    }
}

static void resume_group(struct rc_hub *hub, uint32_t group_index)
{
    const struct rc_group *group = rc_truth_group(hub->truth, group_index);
    struct rc_channel_log *log = group->log == 0 ? NULL : rc_truth_log(hub->truth, group->log);
    if (log == NULL || log->turn != hub->kept->turn || log->target < log->served) {
        return;
    }
    if (log->target > log->served) {
        if (group->channel == hub->everybody) {
            resume_everybody(hub, group_index, log);
        } else {
            resume_members(hub, group_index, log);
        }
        RC_STORE_ORDER(); /* everybody who is not there has a place of its own */
        log->served = log->target;
    }
    RC_STORE_ORDER();
    log->turn = 0;
}

/* Whoever has something is looked at: what the turn had taken out of its lists is in none now. */
static void resume_touch(struct rc_hub *hub)
{
    const struct rc_truth *truth = hub->truth;
    for (uint32_t i = 1; i <= hub->clients_high; i++) {
        struct rc_client *client = rc_truth_client(truth, i);
        if (client->random == 0) {
            continue;
        }
        if (client->direct_log != 0 && client->cut != RC_CUT_DIRECT &&
            rc_truth_log(truth, client->direct_log)->base == rc_truth_log(truth, client->direct_log)->head) {
            rc_hub_log_free(hub, &client->direct_log);
        }
        if ((client->output | client->direct_log) != 0 || client->cursor_count > 0) {
            rc_hub_touch(hub, i);
        }
        if (client->in_history) {
            rc_replay_due(hub, i);
        }
    }
    for (uint32_t i = 0; i < truth->socket_count; i++) {
        if (truth->sockets[i].output != 0 && rc_turn_socket_lives(&truth->sockets[i])) {
            rc_hub_touch_socket(hub, i);
        }
    }
}

/* Somebody was just joining a channel, or leaving it: groups that have no members, channels whom nobody is in, and what the relay is to know of them. */
static void resume_channels(struct rc_hub *hub)
{
    const struct rc_truth *truth = hub->truth;
    for (uint32_t c = 1; c < truth->channels.high; c++) {
        const struct rc_channel *channel = rc_truth_channel(truth, c);
        if (channel->name == 0 || c == hub->everybody || (channel->flags & RC_CHANNEL_HERE)) {
            continue;
        }
        uint32_t next;
        for (uint32_t g = channel->groups; g != 0; g = next) {
            next = rc_truth_group(truth, g)->next;
            rc_hub_group_release(hub, g);
        }
        if (channel->subscriber_count == 0 && channel->throttles != 0) {
            rc_hub_throttle_drop(hub, c);
        }
        rc_hub_update_interest(hub, c);
        if (!(channel->flags & RC_CHANNEL_ASKED)) {
            rc_hub_release(hub, c);
        }
    }
}

void rc_hub_resume(struct rc_hub *hub)
{
    struct rc_truth_hub *kept = hub->kept;
    if (kept->in_turn != 0) {
        for (uint32_t i = 1; i < hub->truth->groups.high; i++) {
            const struct rc_group *group = rc_truth_group(hub->truth, i);
            if (group->channel != 0 && group->channel < hub->truth->channels.high &&
                rc_truth_channel(hub->truth, group->channel)->groups != 0) {
                resume_group(hub, i);
            }
        }
        RC_STORE_ORDER();
        kept->critical = 0;
        kept->in_turn = 0;
    }
    rc_turn_got(hub); /* if it is there still, its answer was whole */
    resume_channels(hub);
    resume_touch(hub);
}
