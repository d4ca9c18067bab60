/*
 * api_memory: GET /api/memory: who holds the memory of this instance, by what it is held for. See api.h.
 *
 * Out of the reports of all processes, the kernel's figures and the configuration: nobody is asked. What is held for connections that
 * have nothing to read or to say is not counted one by one: it is so many times what docs/operations.md says.
 */
#include "worker/api/api.h"

#include <inttypes.h>

#include "common/base/check.h"
#include "common/base/procfs.h"
#include "common/metrics/instance.h"
#include "worker/store/truth.h"

enum holder_source { WORKERS = 1, RELAY = 2 };

/* Most bytes that a holder may have, all processes together; 0: no bound of its own. */
typedef uint64_t holder_most(const struct rc_control *control, const struct rc_config *config);

static uint64_t most_logs(const struct rc_control *control, const struct rc_config *config)
{
    return control->worker_count * config->limits.worker_log_bytes;
}

static uint64_t most_history(const struct rc_control *control, const struct rc_config *config)
{
    (void)control;
    return config->limits.history_memory_bytes;
}

static uint64_t most_recovery(const struct rc_control *control, const struct rc_config *config)
{
    (void)control;
    return config->socketio.recovery_memory_bytes;
}

static uint64_t most_outbox(const struct rc_control *control, const struct rc_config *config)
{
    (void)control;
    return config->redis.outbox_bytes;
}

/* What is held, by the gauge that counts it. `each`: the gauge counts things of so many bytes, 0: it counts bytes. */
static const struct holder {
    const char *what;
    enum holder_source source;
    enum rc_metric_id id;
    uint32_t each;
    holder_most *most;
    const char *why;
    const char *look;
} holders[] = {
    {"unread_messages", WORKERS, RC_METRIC_LOG_BYTES, 0, most_logs,
     "messages of channels that clients have not read yet", "clients --behind 1"},
    {"unread_replies", WORKERS, RC_METRIC_REPLY_BYTES, 0, NULL,
     "answers, direct and private messages that clients have not read yet", "clients --behind 1"},
    {"unfinished_input", WORKERS, RC_METRIC_INPUT_BYTES, 0, NULL, "what clients have sent and is not carried out yet",
     "clients"},
    {"held_by_interval", WORKERS, RC_METRIC_HELD_BYTES, 0, NULL, "messages that wait for their min_interval",
     "channels --sort rate"},
    {"api_requests", WORKERS, RC_METRIC_API_BYTES, 0, NULL, "bodies of API calls in progress", "top"},
    {"history", RELAY, RC_METRIC_HISTORY_BYTES, 0, most_history, "messages of channels whose namespace has a history",
     "channels --sort memory"},
    {"retained", RELAY, RC_METRIC_RETAINED_BYTES, 0, most_history, "retained values", "channels --sort memory"},
    {"recovery_sessions", RELAY, RC_METRIC_RECOVERY_SESSION_BYTES, 0, most_recovery,
     "sessions of Socket.IO clients that may come back", "clients --protocol socketio"},
    {"recovery_messages", RELAY, RC_METRIC_RECOVERY_LOG_BYTES, 0, most_recovery,
     "messages for Socket.IO clients that may come back", "channels --sort rate"},
    {"relay_overflow", RELAY, RC_METRIC_OVERFLOW_BYTES, 0, NULL, "messages for workers that are behind", "top"},
    {"redis_outbox", RELAY, RC_METRIC_REDIS_OUTBOX_BYTES, 0, most_outbox,
     "messages that wait for Redis or for its answer", "status"},
    {"clients", WORKERS, RC_METRIC_CONNECTIONS, sizeof(struct rc_client), NULL,
     "connected clients, without what the kernel has for their sockets", "clients --by user"},
    {"subscriptions", WORKERS, RC_METRIC_SUBSCRIPTIONS, sizeof(struct rc_subscription), NULL, "subscriptions",
     "channels --sort subscribers"},
    {"channels", WORKERS, RC_METRIC_CHANNELS, sizeof(struct rc_channel), NULL,
     "channels that have a subscriber, without their names", "channels --sort subscribers"},
};

static uint64_t holder_value(const struct rc_control *control, const struct holder *holder)
{
    uint64_t value = 0;
    for (uint32_t i = 0; (holder->source & WORKERS) != 0 && i < control->worker_count; i++) {
        value += rc_report_value(control->workers[i], holder->id);
    }
    return value + ((holder->source & RELAY) != 0 ? rc_report_value(&control->relay->report, holder->id) : 0);
}

static void put_holder(struct rc_text *text, const struct rc_control *control, const struct rc_config *config,
                       const struct holder *holder)
{
    const uint64_t value = holder_value(control, holder);
    rc_text_put(text, "{\"what\":\"%s\",\"bytes\":%" PRIu64 ",\"count\":", holder->what,
                holder->each == 0 ? value : value * holder->each);
    if (holder->each != 0) {
        rc_text_put(text, "%" PRIu64, value);
    } else {
        rc_text_put(text, "null");
    }
    rc_text_put(text, ",\"bytes_max\":");
    if (holder->most != NULL) {
        rc_text_put(text, "%" PRIu64, holder->most(control, config));
    } else {
        rc_text_put(text, "null");
    }
    rc_text_put(text, ",\"why\":\"%s\",\"look\":\"ringcast %s\"}", holder->why, holder->look);
}

static void put_sizes(struct rc_text *text, const struct rc_control *control, uint32_t index)
{
    const struct rc_procfs_sizes sizes = rc_procfs_sizes(rc_instance_pid(control, index));
    rc_text_put(text, "{\"process\":\"%s\"", rc_instance_process_name(index));
    if (index >= 2) {
        rc_text_put(text, ",\"worker\":%u", index - 2);
    }
    rc_text_put(text, ",\"resident_bytes\":%" PRIu64 ",\"private_bytes\":%" PRIu64 "}", sizes.resident_bytes,
                sizes.anonymous_bytes);
}

int rc_api_memory(struct rc_api_call *call, struct rc_api_fault *fault)
{
    const struct rc_control *control = call->api->clients->control;
    const struct rc_config *config = call->api->clients->config;
    const struct rc_procfs_room room = rc_procfs_room("");
    struct rc_text text = {0};
    (void)fault;
    rc_text_put(&text, "{\"instance\":");
    rc_text_put_json(&text, rc_span_text(control->instance_id));
    rc_text_put(&text, ",\"used_bytes\":%" PRIu64 ",\"limit_bytes\":%" PRIu64 ",\"holders\":[", room.used_bytes,
                room.limit_bytes);
    for (size_t i = 0; i < RC_ARRAY_COUNT(holders); i++) {
        rc_text_put(&text, i == 0 ? "" : ",");
        put_holder(&text, control, config, &holders[i]);
    }
    rc_text_put(&text, "],\"processes\":[");
    for (uint32_t i = 0; i < rc_instance_process_count(control); i++) {
        rc_text_put(&text, i == 0 ? "" : ",");
        put_sizes(&text, control, i);
    }
    rc_text_put(&text, "]}\n");
    rc_api_finish(call, &text);
    return 0;
}
