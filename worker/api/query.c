/* api_query: what the relay is asked: who is in a channel, where a user is, which instances there are. See api.h. */
#include "worker/api/api.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/records/channel_name.h"
#include "common/base/clock.h"
#include "common/shm/worker_use.h"
#include "common/text/decimal.h"

/* --- asking ---------------------------------------------------------------------------------------------------------- */

/* `which` is behind the question's head; NULL = none. */
static int query_relay(struct rc_api_call *call, enum rc_query_kind kind, struct rc_span channel,
                       const struct rc_query_history *which, struct rc_api_fault *fault)
{
    struct rc_clients *clients = call->api->clients;
    if (!call->asking && rc_api_ask(call, fault) < 0) {
        return -EINVAL;
    }
    const struct rc_call_tag tag = rc_api_tag(call, 0);
    const struct rc_query_head head = {.kind = (uint8_t)kind, .limit = (uint16_t)call->limit};
    uint8_t data[sizeof(head) + sizeof(*which)];
    memcpy(data, &head, sizeof(head));
    if (which != NULL) {
        memcpy(data + sizeof(head), which, sizeof(*which));
    }
    struct rc_envelope_view view = {.head = {.time_ns = clients->io->now_ns,
                                             .flags = RC_ENVELOPE_API,
                                             .data_bytes = which != NULL ? sizeof(data) : sizeof(head),
                                             .channel_bytes = (uint8_t)channel.count,
                                             .request_id_bytes = sizeof(tag)},
                                    .channel = (const char *)channel.bytes,
                                    .request_id = (const uint8_t *)&tag,
                                    .data = data};
    if (rc_api_pass_on(call, RC_UP_QUERY, &view, fault) < 0) {
        return -EINVAL;
    }
    call->question = kind;
    call->state = RC_API_WAITING;
    return 0;
}

int rc_api_ask_members(struct rc_api_call *call, struct rc_span channel, struct rc_api_fault *fault)
{
    return query_relay(call, RC_QUERY_CHANNEL, channel, NULL, fault);
}

int rc_api_ask_retained(struct rc_api_call *call, struct rc_span channel, struct rc_api_fault *fault)
{
    return query_relay(call, RC_QUERY_RETAINED, channel, NULL, fault);
}

static int ask_user(struct rc_api_call *call, struct rc_span user, struct rc_api_fault *fault)
{
    char name[RC_CHANNEL_NAME_MAX];
    const size_t head = RC_USER_CHANNEL_HEAD_BYTES;
    const struct rc_span channel = rc_span_of(name, head + user.count);
    memcpy(name, RC_USER_CHANNEL_HEAD, head);
    memcpy(name + head, user.bytes, user.count);
    if (rc_channel_name_check(name, channel.count, sizeof(name)) < 0) {
        return rc_api_fault(fault, 400, "user has characters that are not allowed");
    }
    return query_relay(call, RC_QUERY_USER, channel, NULL, fault);
}

int rc_api_presence(struct rc_api_call *call, struct rc_api_fault *fault)
{
    const struct rc_config *config = call->api->clients->config;
    char channel[RC_CHANNEL_NAME_MAX];
    char user[RC_CHANNEL_NAME_MAX - RC_USER_CHANNEL_HEAD_BYTES];
    struct rc_span name;
    struct rc_span id;
    if (rc_api_query_text(call, "channel", channel, sizeof(channel), &name, fault) < 0 ||
        rc_api_query_text(call, "user", user, sizeof(user), &id, fault) < 0 ||
        rc_api_query_limit(call, RC_QUERY_LIMIT_DEFAULT, RC_QUERY_LIMIT_MAX, fault) < 0) {
        return -EINVAL;
    }
    if (name.count > 0 && id.count > 0) {
        return rc_api_fault(fault, 400, "one of channel and user, not both");
    }
    if (id.count > 0) {
        return ask_user(call, id, fault);
    }
    if (name.count == 0) {
        return query_relay(call, RC_QUERY_USERS, name, NULL, fault);
    }
    if (rc_channel_name_check(channel, name.count, config->limits.max_channel_name) < 0) {
        return rc_api_fault(fault, 400, "the channel's name is too long or has characters that are not allowed");
    }
    if (!rc_config_namespace_of(config, channel, name.count)->presence) {
        return rc_api_fault(fault, 501, "presence is off for this channel's namespace");
    }
    return query_relay(call, RC_QUERY_CHANNEL, name, NULL, fault);
}

int rc_api_instances(struct rc_api_call *call, struct rc_api_fault *fault)
{
    return query_relay(call, RC_QUERY_INSTANCES, (struct rc_span){0}, NULL, fault);
}

int rc_api_history(struct rc_api_call *call, struct rc_api_fault *fault)
{
    const struct rc_config *config = call->api->clients->config;
    struct rc_query_history which = {0};
    char channel[RC_CHANNEL_NAME_MAX];
    char since[RC_DECIMAL_BYTES_MAX];
    struct rc_span name;
    struct rc_json_value number = {.type = RC_JSON_NUMBER};
    if (rc_api_query_text(call, "channel", channel, sizeof(channel), &name, fault) < 0 ||
        rc_api_query_text(call, "since", since, sizeof(since), &number.raw, fault) < 0 ||
        rc_api_query_limit(call, RC_QUERY_LIMIT_DEFAULT, RC_QUERY_LIMIT_MAX, fault) < 0) {
        return -EINVAL;
    }
    if (name.count == 0 || rc_channel_name_check(channel, name.count, config->limits.max_channel_name) < 0) {
        return rc_api_fault(fault, 400, "channel is missing, too long, or has characters that are not allowed");
    }
    if (rc_config_namespace_of(config, channel, name.count)->history == 0 || config->limits.history_memory_bytes == 0) {
        return rc_api_fault(fault, 501, "history is off for this channel's namespace");
    }
    if (call->exchange->request->method == RC_HTTP_DELETE) {
        return query_relay(call, RC_QUERY_FORGET, name, NULL, fault);
    }
    if (number.raw.count > 0) {
        which.flags = RC_QUERY_SINCE;
        if (rc_json_uint64(&number, &which.since) < 0 || which.since > RC_OFFSET_MAX) {
            return rc_api_fault(fault, 400, "since must be a whole number");
        }
    }
    return query_relay(call, RC_QUERY_HISTORY, name, &which, fault);
}

/* --- answering ------------------------------------------------------------------------------------------------------- */

static void put_history(struct rc_api_call *call, const struct rc_envelope_view *view)
{
    struct rc_api_fault fault;
    struct rc_text text = {0};
    uint8_t *members;
    size_t bytes;
    if (!rc_client_history_text(view, &members, &bytes)) {
        rc_api_fault(&fault, 503, "the history cannot be read now: try again");
        rc_api_fail(call, &fault);
        return;
    }
    rc_text_put(&text, "{\"channel\":");
    rc_text_put_json(&text, rc_span_of(view->channel, view->head.channel_bytes));
    rc_text_put(&text, "%.*s}\n", (int)bytes, (const char *)members);
    free(members);
    rc_api_finish(call, &text);
}

static void put_forgotten(struct rc_api_call *call, const struct rc_envelope_view *view)
{
    struct rc_query_kept kept;
    struct rc_api_fault fault;
    struct rc_text text = {0};
    if (view->head.code != 0 || view->head.data_bytes < sizeof(kept)) {
        rc_api_fault(&fault, 503, "the history cannot be deleted now: try again");
        rc_api_fail(call, &fault);
        return;
    }
    memcpy(&kept, view->data, sizeof(kept));
    rc_text_put(&text, "{\"channel\":");
    rc_text_put_json(&text, rc_span_of(view->channel, view->head.channel_bytes));
    rc_text_put(&text, ",\"epoch\":\"%llx\",\"offset\":%llu,\"deleted\":%u}\n", (unsigned long long)kept.epoch,
                (unsigned long long)kept.last, kept.count);
    rc_api_finish(call, &text);
}

static void put_ids(struct rc_text *text, struct rc_span ids)
{
    struct rc_span id;
    for (const char *before = ""; rc_query_instance_of(&ids, &id); before = ",") {
        rc_text_put(text, "%s", before);
        rc_text_put_json(text, id);
    }
}

static void put_channel(struct rc_text *text, struct rc_span name, const struct rc_query_answer *answer,
                        struct rc_span entries)
{
    struct rc_query_entry entry;
    rc_text_put(text, "{\"channel\":");
    rc_text_put_json(text, name);
    rc_text_put(text, ",\"clients\":%llu,\"users\":%llu,\"members\":[", (unsigned long long)answer->clients,
                (unsigned long long)answer->users);
    for (const char *before = ""; rc_query_entry_next(&entries, &entry); before = ",") {
        rc_text_put(text, "%s{\"user\":", before);
        if (entry.user.count > 0) {
            rc_text_put_json(text, entry.user);
        } else {
            rc_text_put(text, "null");
        }
        rc_text_put(text, ",\"clients\":%u,\"instances\":[", entry.clients);
        put_ids(text, entry.instances);
        rc_text_put(text, "]}");
    }
    rc_text_put(text, "],\"more\":%s", (answer->flags & RC_QUERY_MORE) != 0 ? "true" : "false");
}

static void put_user(struct rc_text *text, struct rc_span name, struct rc_span entries)
{
    struct rc_query_entry entry;
    const bool online = rc_query_entry_next(&entries, &entry);
    rc_text_put(text, "{\"user\":");
    rc_text_put_json(text,
                     rc_span_of(name.bytes + RC_USER_CHANNEL_HEAD_BYTES, name.count - RC_USER_CHANNEL_HEAD_BYTES));
    rc_text_put(text, ",\"online\":%s,\"instances\":[", online ? "true" : "false");
    if (online) {
        put_ids(text, entry.instances);
    }
    rc_text_put(text, "]");
}

static void put_number_or_null(struct rc_text *text, const char *name, uint64_t number, bool known)
{
    if (known) {
        rc_text_put(text, ",\"%s\":%llu", name, (unsigned long long)number);
    } else {
        rc_text_put(text, ",\"%s\":null", name);
    }
}

/* The first one is this instance. */
static void put_instances(struct rc_text *text, const struct rc_api *api, const struct rc_query_answer *answer,
                          struct rc_span entries)
{
    const struct rc_control *control = api->clients->control;
    const uint64_t wall_ms = rc_clock_wall_ms();
    struct rc_query_instance one;
    rc_text_put(text, "{\"instances\":[");
    for (bool self = true; rc_query_instance_next(&entries, &one); self = false) {
        const bool known = one.started_ms != 0 && one.started_ms <= wall_ms;
        rc_text_put(text, "%s{\"instance\":", self ? "" : ",");
        rc_text_put_json(text, one.id);
        rc_text_put(text, ",\"self\":%s,\"connections\":%llu", self ? "true" : "false",
                    (unsigned long long)one.clients);
        put_number_or_null(text, "started", one.started_ms, one.started_ms != 0);
        /* Of itself it knows, whatever the clock was when it started. */
        put_number_or_null(text, "uptime_s",
                           self ? (rc_clock_ms() - control->boot_ms) / 1000 : (wall_ms - one.started_ms) / 1000,
                           self || known);
        if (self) {
            rc_text_put(text, ",\"workers\":%u,\"local_only\":%s}",
                        rc_workers_used(control->core, control->worker_count),
                        (answer->flags & RC_QUERY_LOCAL) != 0 ? "true" : "false");
        } else {
            rc_text_put(text, ",\"heard_ms\":%llu}", (unsigned long long)one.heard_ms);
        }
    }
    rc_text_put(text, "],\"more\":%s", (answer->flags & RC_QUERY_MORE) != 0 ? "true" : "false");
}

void rc_api_queried(struct rc_api_call *call, enum rc_record_type type, const struct rc_envelope_view *view)
{
    struct rc_query_answer answer;
    struct rc_api_fault fault;
    struct rc_text text = {0};
    const struct rc_span name = rc_span_of(view->channel, view->head.channel_bytes);
    if (type != RC_DOWN_QUERY) {
        return;
    }
    if (call->question == RC_QUERY_HISTORY) {
        put_history(call, view);
        return;
    }
    if (call->question == RC_QUERY_FORGET) {
        put_forgotten(call, view);
        return;
    }
    if (view->head.code != 0 || view->head.data_bytes < sizeof(answer) ||
        (call->question == RC_QUERY_USER && name.count <= RC_USER_CHANNEL_HEAD_BYTES)) {
        rc_api_fault(&fault, 503, "too many such questions at once: try again");
        rc_api_fail(call, &fault);
        return;
    }
    memcpy(&answer, view->data, sizeof(answer));
    const struct rc_span entries = rc_span_of(view->data + sizeof(answer), view->head.data_bytes - sizeof(answer));
    switch (call->question) {
    case RC_QUERY_CHANNEL:
        put_channel(&text, name, &answer, entries);
        break;
    case RC_QUERY_USER:
        put_user(&text, name, entries);
        break;
    case RC_QUERY_USERS:
        rc_text_put(&text, "{\"users\":%llu", (unsigned long long)answer.users);
        break;
    case RC_QUERY_INSTANCES:
        put_instances(&text, call->api, &answer, entries);
        break;
    case RC_QUERY_VALUE:
    case RC_QUERY_KEYS:
    case RC_QUERY_SESSION:
    case RC_QUERY_MISSED:
    case RC_QUERY_LINK:
    case RC_QUERY_RETAINED:
    case RC_QUERY_HISTORY:
    case RC_QUERY_FORGET:
    case RC_QUERY_MARKS:
    case RC_QUERY_SET:
        break; /* not asked here */
    }
    rc_text_put(&text, (answer.flags & RC_QUERY_LOCAL) != 0 ? ",\"scope\":\"local\"}\n" : "}\n");
    rc_api_finish(call, &text);
}
