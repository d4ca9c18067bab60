/* hub_rig_check: whether a rig's numbers are right. See hub_rig.h. */
#include <stdio.h>

#include "common/base/check.h"
#include "tests/support/hub_rig.h"
#include "worker/store/truth_check.h"

/* A log and its exclusions: bytes of heap blocks. */
static uint64_t rig_log_bytes(const struct hub_rig *rig, const struct rc_channel_log *log)
{
    const struct rc_heap *heap = &rig->truth.heap;
    RC_ASSERT(log->block == 0 || log->block_bytes == rc_heap_block_bytes(heap, log->block));
    RC_ASSERT(log->origin <= log->base && log->base <= log->head && log->served <= log->head);
    RC_ASSERT(log->frames == 0 || rc_channel_log_frame_position(log, heap, 0) == log->origin);
    return rc_channel_log_bytes(log, heap);
}

static void rig_check_groups(const struct hub_rig *rig, uint64_t *log_bytes, uint32_t *logs, uint64_t *names_bytes)
{
    const struct rc_truth *truth = &rig->truth;
    for (uint32_t c = 1; c < truth->channels.high; c++) {
        const struct rc_channel *channel = rc_truth_channel(truth, c);
        if (channel->name == 0) {
            continue;
        }
        *names_bytes += rc_heap_block_bytes(&truth->heap, channel->name);
        uint32_t subscribers = 0;
        for (uint32_t g = channel->groups; g != 0; g = rc_truth_group(truth, g)->next) {
            const struct rc_group *group = rc_truth_group(truth, g);
            struct rc_members *members = &rig->hub.members[g];
            uint32_t behind = 0;
            RC_ASSERT(group->channel == c);
            for (uint32_t i = 0; i < members->count; i++) {
                const struct rc_subscription *its = rc_truth_subscription(truth, rc_members_items(members)[i]);
                RC_ASSERT(its->group == g && its->member == i);
                if (its->flags & RC_SUBSCRIPTION_CURSOR) {
                    behind++;
                    if (its->replay != 0) {
                        RC_ASSERT(its->cursor == RC_CURSOR_IN_HISTORY);
                        RC_ASSERT(rc_truth_replay(truth, its->replay)->subscription == rc_members_items(members)[i]);
                        continue;
                    }
                    RC_ASSERT(group->log != 0);
                    const struct rc_channel_log *log = rc_truth_log(truth, group->log);
                    RC_ASSERT(its->cursor >= log->base && its->cursor <= log->head);
                }
            }
            RC_ASSERT(behind == group->behind);
            subscribers += c == rig->hub.everybody ? 0 : members->count;
            if (group->log != 0) {
                const struct rc_channel_log *log = rc_truth_log(truth, group->log);
                RC_ASSERT(behind > 0 || log->head != log->served);
                *log_bytes += rig_log_bytes(rig, log);
                ++*logs;
            }
        }
        RC_ASSERT(subscribers == channel->subscriber_count);
    }
}

/* Every throttle is in its channel's list and in its namespace's queue, in order; the bytes held. */
static uint64_t rig_check_throttles(const struct hub_rig *rig)
{
    const struct rc_truth *truth = &rig->truth;
    uint64_t held_bytes = 0;
    uint32_t queued = 0;
    uint32_t listed = 0;
    for (uint32_t i = 0; i < RC_CONFIG_NAMESPACES_MAX; i++) {
        uint64_t opened_ms = 0;
        uint32_t previous = 0;
        for (uint32_t t = rig->hub.throttled[i].first; t != 0; t = rc_truth_throttle(truth, t)->next) {
            const struct rc_throttle *throttle = rc_truth_throttle(truth, t);
            RC_ASSERT(throttle->previous == previous && throttle->opened_ms >= opened_ms);
            RC_ASSERT(rc_truth_channel(truth, throttle->channel)->namespace == i);
            opened_ms = throttle->opened_ms;
            previous = t;
            held_bytes += throttle->held == 0 ? 0 : rc_heap_block_bytes(&truth->heap, throttle->held);
            queued++;
        }
        RC_ASSERT(rig->hub.throttled[i].last == previous);
    }
    for (uint32_t c = 1; c < truth->channels.high; c++) {
        const struct rc_channel *channel = rc_truth_channel(truth, c);
        uint32_t count = 0;
        for (uint32_t t = channel->name == 0 ? 0 : channel->throttles; t != 0;
             t = rc_truth_throttle(truth, t)->next_of_channel) {
            RC_ASSERT(rc_truth_throttle(truth, t)->channel == c && channel->subscriber_count > 0);
            count++;
        }
        RC_ASSERT(channel->name == 0 || count == channel->throttle_count);
        listed += count;
    }
    RC_ASSERT(queued == truth->throttles.used && listed == queued && rig->hub.throttles.count == queued);
    RC_ASSERT(held_bytes == rig->hub.held_bytes);
    return held_bytes;
}

static uint64_t rig_output_bytes(const struct hub_rig *rig, uint32_t index)
{
    const struct rc_heap *heap = &rig->truth.heap;
    if (index == 0) {
        return 0;
    }
    const struct rc_output *output = rc_truth_output(&rig->truth, index);
    RC_ASSERT(output->replies_sent <= output->replies_bytes && output->replies_frames <= output->replies_bytes);
    return (output->cut_block == 0 ? 0 : rc_heap_block_bytes(heap, output->cut_block)) +
           (output->replies == 0 ? 0 : rc_heap_block_bytes(heap, output->replies));
}

void hub_rig_check(const struct hub_rig *rig)
{
    const struct rc_truth *truth = &rig->truth;
    uint64_t log_bytes = 0;
    uint64_t output_bytes = 0;
    uint64_t names_bytes = 0;
    uint32_t logs = 0;
    uint32_t outputs = 0;
    uint32_t subscriptions = 0;
    uint32_t clients = 0;
    struct rc_err err = {0};
    RC_ASSERT(rig->io.packet_count == 0 && !rig->hub.in_turn);
    const int rc = rc_truth_check_own(truth, &err);
    if (rc != 0) {
        fprintf(stderr, "rig: %s\n", err.text);
    }
    RC_ASSERT(rc == 0);
    rig_check_groups(rig, &log_bytes, &logs, &names_bytes);
    for (uint32_t i = 0; i < rig->slots; i++) {
        const struct rc_socket *socket = &truth->sockets[i];
        /* LINGER with a client: its frames were broken, and its close frame has not left yet. */
        RC_ASSERT(socket->client != 0 ? socket->state == RC_SOCKET_CARRYING || socket->state == RC_SOCKET_LINGER
                                      : socket->state != RC_SOCKET_CARRYING);
        RC_ASSERT(socket->client == 0 || rc_truth_client(truth, socket->client)->socket == i);
        output_bytes += rig_output_bytes(rig, socket->output);
        outputs += socket->output != 0;
    }
    for (uint32_t i = 1; i < truth->clients.high; i++) {
        const struct rc_client *client = rc_truth_client(truth, i);
        if (client->state == RC_CLIENT_FREE) {
            RC_ASSERT(client->random == 0 && client->subscriptions == 0 && client->everybody == 0 &&
                      client->output == 0 && client->direct_log == 0);
            continue;
        }
        clients++;
        RC_ASSERT(client->socket == RC_SOCKET_NONE || truth->sockets[client->socket].client == i);
        uint32_t cursors = 0;
        uint32_t count = 0;
        for (uint32_t s = client->subscriptions; s != 0; s = rc_truth_subscription(truth, s)->next) {
            RC_ASSERT(rc_truth_subscription(truth, s)->client == i);
            cursors += (rc_truth_subscription(truth, s)->flags & RC_SUBSCRIPTION_CURSOR) != 0;
            count++;
        }
        RC_ASSERT(count == client->subscription_count);
        if (client->everybody != 0) {
            RC_ASSERT(rc_truth_subscription(truth, client->everybody)->flags & RC_SUBSCRIPTION_CURSOR);
            cursors++;
            count++;
        }
        subscriptions += count;
        RC_ASSERT(cursors == client->cursor_count);
        if (client->direct_log != 0) {
            const struct rc_channel_log *log = rc_truth_log(truth, client->direct_log);
            log_bytes += rig_log_bytes(rig, log);
            logs++;
        }
        output_bytes += rig_output_bytes(rig, client->output);
        outputs += client->output != 0;
    }
    RC_ASSERT(log_bytes == rig->hub.log_bytes && output_bytes == rig->hub.output_bytes);
    RC_ASSERT(clients == truth->clients.used && logs == truth->logs.used && outputs == truth->outputs.used &&
              subscriptions == truth->subscriptions.used);
    RC_ASSERT(names_bytes + output_bytes + log_bytes + rig->hub.input_bytes + rig_check_throttles(rig) ==
              truth->heap.used);
}
