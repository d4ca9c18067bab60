/* hub: the whole: made, given other settings, given back; and its clients, coming and going. See hub.h. */
#include "worker/hub/hub_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>

#include "common/base/check.h"

static void hub_find_critical(struct rc_hub *hub)
{
    hub->has_critical = false;
    for (uint32_t i = 0; i < hub->config->namespace_count; i++) {
        hub->has_critical |= hub->config->namespaces[i].priority == RC_PRIORITY_CRITICAL;
    }
}

static void hub_make_everybody(struct rc_hub *hub)
{
    hub->everybody = rc_hub_channel(hub, RC_SPAN("*"));
    RC_ASSERT(hub->everybody != 0);
    for (uint8_t encoding = 0; encoding < RC_ENCODING_COUNT; encoding++) {
        hub->everybody_groups[encoding] = rc_hub_group(hub, hub->everybody, encoding);
        RC_ASSERT(hub->everybody_groups[encoding] != 0);
    }
}

int rc_hub_open(struct rc_hub *hub, struct rc_truth *truth, struct rc_io *io, struct rc_metrics *metrics,
                const struct rc_hub_handlers *handlers, const struct rc_control *control,
                const struct rc_config *config, uint32_t worker, struct rc_err *err)
{
    *hub = (struct rc_hub){.truth = truth,
                           .kept = &truth->layout->hub,
                           .io = io,
                           .config = config,
                           .metrics = metrics,
                           .handlers = *handlers,
                           .worker = worker,
                           .now_ns = &io->now_ns,
                           .history = &control->history,
                           .instance_id = control->instance_id,
                           .boot_nonce = control->boot_nonce};
    if (getrandom(hub->random_state, sizeof(hub->random_state), 0) != sizeof(hub->random_state)) {
        return rc_err_set(err, -EIO, "getrandom failed: %s", strerror(errno));
    }
    hub->random_state[0] |= 1;
    const struct rc_deflate_settings deflate = {.level = (uint8_t)config->compression.level,
                                                .memory_level = (uint8_t)config->compression.memory_level};
    if (rc_compressor_open(&hub->compressor, &deflate, metrics) < 0) {
        return rc_err_set(err, -EINVAL, "compression.level or compression.memory_level is out of range");
    }
    hub->compressor.threshold_bytes = config->compression.threshold_bytes;
    rc_sid_instance(hub->instance, control->instance_id);
    rc_offset_origin(hub->offsets, control->instance_id, control->boot_nonce);
    hub->recovers = config->socketio.recovery_ms > 0;
    hub->unnamed = rc_span_text(config->socketio.message_event.text);
    if (rc_hashmap_init(&hub->names, 64, truth->channels.count_max) < 0 ||
        rc_hashmap_init(&hub->throttles, 64, truth->throttles.count_max) < 0 ||
        rc_hashmap_init(&hub->aliases, 1, RC_HASHMAP_COUNT_MAX) < 0) {
        return rc_err_set(err, -ENOMEM, "no memory for the channel table");
    }
    if (rc_delta_open(hub) < 0) {
        return rc_err_set(err, -ENOMEM, "no memory for deltas");
    }
    hub->members_bytes = (uint64_t)truth->groups.count_max * sizeof(*hub->members);
    hub->members =
        mmap(NULL, hub->members_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (hub->members == MAP_FAILED) {
        hub->members = NULL;
        return rc_err_set(err, -ENOMEM, "no address space for the member lists of %u channels",
                          truth->groups.count_max);
    }
    hub->waiting = calloc(truth->clients.count_max, sizeof(*hub->waiting)); /* untouched pages while nobody waits */
    hub->replays = calloc(truth->clients.count_max, sizeof(*hub->replays));
    hub->heats =
        calloc(truth->channels.count_max, sizeof(*hub->heats)); /* likewise, of channels that were never used */
    hub->closings = calloc(truth->clients.count_max, sizeof(*hub->closings));
    if (hub->heats == NULL || hub->closings == NULL) {
        return rc_err_set(err, -ENOMEM, "no memory for the rates of %u channels", truth->channels.count_max);
    }
    if (hub->waiting == NULL || hub->replays == NULL) {
        return rc_err_set(err, -ENOMEM, "no memory for what %u clients wait for", truth->clients.count_max);
    }
    hub_find_critical(hub);
    if (!truth->adopted) { /* else rc_hub_rebuild finds it */
        hub_make_everybody(hub);
    }
    return 0;
}

void rc_hub_close(struct rc_hub *hub)
{
    for (uint32_t group = 1; hub->members != NULL && group < hub->truth->groups.high; group++) {
        if (hub->members[group].capacity > 0) {
            free(hub->members[group].items);
        }
    }
    if (hub->members != NULL) {
        munmap(hub->members, hub->members_bytes);
    }
    rc_hashmap_free(&hub->names);
    rc_hashmap_free(&hub->throttles);
    rc_delta_close(hub);
    rc_hashmap_free(&hub->aliases);
    free(hub->dirty_groups.items);
    free(hub->turn_groups.items);
    free(hub->dirty_clients.items);
    free(hub->turn_clients.items);
    free(hub->dirty_sockets.items);
    free(hub->turn_sockets.items);
    free(hub->sources);
    free(hub->waiting);
    free(hub->replays);
    free(hub->heats);
    free(hub->closings);
    free(hub->entry);
    rc_history_keys_close(&hub->keys);
    free(hub->replays_due.items);
    rc_compressor_close(&hub->compressor);
    free(hub->dirty_critical.items);
    free(hub->turn_critical.items);
    free(hub->ready.items);
    free(hub->selected.items);
    free(hub->ending.items);
    free(hub->owing_groups.items);
    free(hub->conflate_keys);
    free(hub->conflate_kept);
}

void rc_hub_reconfigure(struct rc_hub *hub, const struct rc_config *config)
{
    hub->config = config;
    hub->compressor.threshold_bytes = config->compression.threshold_bytes;
    hub->unnamed = rc_span_text(config->socketio.message_event.text);
    hub_find_critical(hub);
    uint32_t cursor = 0;
    uint32_t index;
    while ((index = rc_hashmap_each(&hub->names, &cursor)) != RC_HASHMAP_NONE) {
        struct rc_channel *channel = rc_truth_channel(hub->truth, index);
        rc_metric_subscribed(hub->metrics, channel->namespace, -(int64_t)channel->subscriber_count);
        channel->namespace = rc_hub_namespace(hub, rc_hub_name(hub, channel));
        rc_metric_subscribed(hub->metrics, channel->namespace, channel->subscriber_count);
        if (!rc_place_wanted(hub, channel)) {
            rc_place_drop(hub, channel);
            rc_recover_wake(hub, index); /* there is nothing to wait for any more */
        }
    }
    rc_hub_throttle_sort(hub);
}

void rc_hub_opened(struct rc_hub *hub, uint32_t client_index)
{
    if (client_index > hub->clients_high) {
        hub->clients_high = client_index;
    }
}

void rc_hub_ended(struct rc_hub *hub, uint32_t client_index)
{
    rc_hub_unsubscribe_all(hub, client_index);
    rc_hub_wait_end(hub, client_index);
    rc_hub_everybody_leave(hub, client_index);
    rc_hub_output_release(hub, client_index);
    while (hub->clients_high > 0 && rc_truth_client(hub->truth, hub->clients_high)->random == 0) {
        hub->clients_high--;
    }
}

/* xorshift128+: spread, not secrecy; client ids take theirs from getrandom. */
uint64_t rc_hub_random(struct rc_hub *hub)
{
    uint64_t a = hub->random_state[0];
    const uint64_t b = hub->random_state[1];
    hub->random_state[0] = b;
    a ^= a << 23;
    hub->random_state[1] = a ^ b ^ (a >> 17) ^ (b >> 26);
    return hub->random_state[1] + b;
}
