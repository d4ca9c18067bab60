/* asking: see asking.h. */
#include "worker/engine/asking.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/log.h"
#include "common/records/channel_name.h"
#include "common/records/emit.h"
#include "worker/engine/acks.h"

/* How an asker is laid out: this, the namespace, the backend's name, the token. */
struct asker_head {
    uint8_t nsp_bytes;
    uint8_t backend_bytes;
    uint8_t token_bytes;
};
_Static_assert(sizeof(struct asker_head) + RC_NSP_MAX + 64 + 255 <= RC_EMIT_ASKER_MAX, "an asker fits");

static struct rc_span asker_write(const struct rc_asking *asking, uint8_t out[RC_EMIT_ASKER_MAX])
{
    const struct asker_head head = {.nsp_bytes = (uint8_t)asking->nsp.count,
                                    .backend_bytes = (uint8_t)asking->backend.count,
                                    .token_bytes = (uint8_t)asking->token.count};
    const struct rc_span parts[] = {asking->nsp, asking->backend, asking->token};
    size_t bytes = sizeof(head);
    memcpy(out, &head, sizeof(head));
    for (size_t i = 0; i < RC_ARRAY_COUNT(parts); i++) {
        memcpy(out + bytes, parts[i].bytes, parts[i].count);
        bytes += parts[i].count;
    }
    return rc_span_of(out, bytes);
}

/* It came out of the truth, or of another process: false when it is none. */
bool rc_asking_read(struct rc_span asker, struct rc_span *nsp, struct rc_span *backend, struct rc_span *token)
{
    struct asker_head head;
    if (asker.count < sizeof(head)) {
        return false;
    }
    memcpy(&head, asker.bytes, sizeof(head));
    if (asker.count != sizeof(head) + head.nsp_bytes + head.backend_bytes + head.token_bytes || head.nsp_bytes == 0) {
        return false;
    }
    *nsp = rc_span_of(asker.bytes + sizeof(head), head.nsp_bytes);
    *backend = rc_span_of(nsp->bytes + nsp->count, head.backend_bytes);
    *token = rc_span_of(backend->bytes + backend->count, head.token_bytes);
    return true;
}

/* The socket of the client in the namespace, as a room of one. */
static struct rc_span asking_self(struct rc_engines *engines, const struct rc_asking *asking,
                                  char names[RC_CHANNEL_NAME_MAX + 2])
{
    char sid[RC_SID_BYTES];
    rc_engine_nsp_sid(engines, asking->client, asking->nsp, sid);
    const size_t bytes = rc_channel_of_room(names, RC_CHANNEL_NAME_MAX, asking->nsp, rc_span_of(sid, sizeof(sid)));
    names[bytes] = names[bytes + 1] = '\0';
    return rc_span_of(names, bytes == 0 ? 0 : bytes + 2);
}

bool rc_asking_emit(struct rc_engines *engines, const struct rc_asking *asking)
{
    struct rc_clients *clients = engines->clients;
    char everybody[RC_CHANNEL_NAME_MAX];
    char self[RC_CHANNEL_NAME_MAX + 2];
    uint8_t asker_bytes[RC_EMIT_ASKER_MAX];
    const struct rc_span asker = asker_write(asking, asker_bytes);
    const struct rc_call_tag tag = {0}; /* nobody waits for how many they are */
    struct rc_client_ref other = {0};
    const struct rc_emit_head head = {
        .timeout_ms = asking->timeout_ms,
        .asker_bytes = (uint16_t)asker.count,
        .flags = (uint16_t)(RC_EMIT_HOOK | (asking->is_volatile ? (uint32_t)RC_EMIT_VOLATILE : 0u))};
    uint8_t *bytes = malloc(RC_EMIT_BEFORE_MAX + asking->args.count);
    const struct rc_span names = asking->to_client ? asking_self(engines, asking, self) : asking->names;
    if (bytes == NULL || names.count == 0) {
        rc_metric_add(clients->metrics, RC_METRIC_MEMORY_REFUSALS, bytes == NULL);
        free(bytes);
        return true;
    }
    memcpy(bytes + RC_EMIT_BEFORE_MAX, asking->args.bytes, asking->args.count);
    uint8_t *data = rc_emit_put(bytes + RC_EMIT_BEFORE_MAX, &head, asker);
    if (asking->others && asking->client != 0) {
        other = rc_client_ref(clients, asking->client);
        other.random = rc_truth_sid_token(clients->truth, asking->client, asking->nsp);
    }
    struct rc_envelope_view view = {
        .head = {.time_ns = clients->io->now_ns,
                 .origin = {.worker = (uint16_t)clients->worker},
                 .flags = RC_ENVELOPE_API,
                 .data_bytes = (uint32_t)(bytes + RC_EMIT_BEFORE_MAX + asking->args.count - data),
                 .exclude_text_bytes = (uint32_t)names.count,
                 .exclude_count = other.random != 0,
                 .channel_bytes =
                     (uint8_t)rc_channel_of_room(everybody, sizeof(everybody), asking->nsp, (struct rc_span){0}),
                 .event_bytes = (uint8_t)asking->event.count,
                 .request_id_bytes = sizeof(tag)},
        .channel = everybody,
        .request_id = (const uint8_t *)&tag,
        .event = (const char *)asking->event.bytes,
        .excludes = (const uint8_t *)&other,
        .exclude_text = (const char *)names.bytes,
        .data = data};
    int rc = 0;
    if (asking->to_client) {
        const size_t head_bytes = sizeof(struct rc_call_head);
        (void)rc_acks_emit(engines, &view, rc_span_of(data + head_bytes, view.head.data_bytes - head_bytes));
    } else {
        rc = rc_uplink_queued(clients->uplink) ? -EAGAIN : rc_uplink_write(clients->uplink, RC_UP_CALL, &view);
    }
    free(bytes);
    if (rc < 0 && rc != -EAGAIN) {
        rc_metric_add(clients->metrics, RC_METRIC_FAILED_DELIVERIES, 1);
        rc_log_limited(RC_LOG_WARN, 1, "emit_dropped", "bytes=%u reason=\"it does not fit the server's rings\"",
                       view.head.data_bytes);
    }
    return rc != -EAGAIN;
}
