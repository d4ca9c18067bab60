/* adapter_ack: see adapter_ack.h. */
#include "relay/bridge/adapter_ack.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/log.h"

/* The asker of an answer: one byte with the namespace's bytes, the namespace, the request's id. */
#define ASKER_BYTES_MAX (1u + RC_NSP_MAX + RC_ADAPTER_REQUEST_ID_MAX)
_Static_assert(ASKER_BYTES_MAX <= RC_EMIT_ASKER_MAX && RC_NSP_MAX <= UINT8_MAX, "who asks fits");

void rc_adapter_ack_call(struct rc_adapter_bridge *adapter, struct rc_adapter_request *request, struct rc_span nsp,
                         struct rc_span message, const struct rc_call_tag *tag, struct rc_call_asked *asked)
{
    struct rc_adapter_record record;
    uint8_t asker[ASKER_BYTES_MAX];
    *asked = (struct rc_call_asked){0};
    rc_adapter_record(adapter, nsp, &request->broadcast, message, RC_EMIT_BEFORE_MAX, &record);
    if (record.type == 0) {
        return;
    }
    asker[0] = (uint8_t)nsp.count;
    memcpy(asker + 1, nsp.bytes, nsp.count);
    memcpy(asker + 1 + nsp.count, request->id_text.bytes, request->id_text.count);
    const struct rc_asking asking = {.tag = *tag,
                                     .timeout_ms = request->broadcast.timeout_ms,
                                     .asker = rc_span_of(asker, 1 + nsp.count + request->id_text.count)};
    rc_asking_call(&adapter->bridge->host, &record.targets, record.type, &record.view, &asking, asked);
}

static bool asker_read(struct rc_span asker, struct rc_span *nsp, struct rc_span *id)
{
    if (asker.count == 0 || asker.bytes[0] == 0 || asker.bytes[0] > RC_NSP_MAX || asker.count < 1u + asker.bytes[0]) {
        return false;
    }
    *nsp = rc_span_of(asker.bytes + 1, asker.bytes[0]);
    *id = rc_span_of(asker.bytes + 1 + nsp->count, asker.count - 1 - nsp->count);
    return true;
}

/* 0, or why it was not published. */
static int ack_publish(struct rc_adapter_bridge *adapter, const struct rc_adapter_answer *answer, struct rc_span nsp)
{
    char name[RC_REDIS_NAME_MAX];
    const size_t room = rc_adapter_answer_room(answer);
    uint8_t *buffer = malloc(room);
    if (buffer == NULL) {
        return -ENOMEM;
    }
    const struct rc_span bytes = rc_adapter_answer_write(answer, buffer, room);
    const struct rc_span channel = rc_adapter_channel(adapter, "-response#", nsp, name);
    /* Kept while Redis is away: who asked may wait for a minute. Only servers listen there: when all are gone, it counts as a failed
     * delivery. */
    const int rc = bytes.count == 0
                       ? -EMSGSIZE
                       : rc_redis_publish(adapter->bridge->link, channel, &bytes, 1, RC_REDIS_PUBLISH_TO_ONE);
    free(buffer);
    return rc < 0 ? rc : 0;
}

void rc_adapter_ack_answered(struct rc_adapter_bridge *adapter, const struct rc_envelope_view *view)
{
    struct rc_metrics *metrics = adapter->bridge->wire->metrics;
    struct rc_adapter_answer answer;
    struct rc_span asker;
    struct rc_span nsp;
    int rc = rc_asking_answer(view, &asker, &answer.args);
    if (rc == -ENOENT) {
        return;
    }
    rc = rc == 0 && asker_read(asker, &nsp, &answer.id) ? ack_publish(adapter, &answer, nsp) : -EBADMSG;
    if (rc < 0) {
        rc_metric_add(metrics, RC_METRIC_ADAPTER_ANSWERS_DROPPED, 1);
        rc_log_limited(RC_LOG_WARN, 1, "adapter_answer_dropped", "bytes=%u error=%d", view->head.data_bytes, -rc);
        return;
    }
    rc_metric_add(metrics, RC_METRIC_ADAPTER_ANSWERS, 1);
}
