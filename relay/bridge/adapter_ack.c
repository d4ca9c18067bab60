/* adapter_ack: see adapter_ack.h. */
#include "relay/bridge/adapter_ack.h"

#include <errno.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/log.h"
#include "relay/bridge/adapter_answer.h"

/* The asker of an answer: a byte each with the bytes of namespace and uid, the namespace, the server's uid, the request's id. */
#define ASKER_BYTES_MAX (2u + RC_NSP_MAX + RC_ADAPTER_ASKER_MAX + RC_ADAPTER_REQUEST_ID_MAX + 2)
_Static_assert(ASKER_BYTES_MAX <= RC_EMIT_ASKER_MAX && RC_NSP_MAX <= UINT8_MAX && RC_ADAPTER_ASKER_MAX <= UINT8_MAX,
               "who asks fits");

static size_t asker_put(uint8_t *out, size_t at, struct rc_span text)
{
    RC_ASSERT(text.count <= ASKER_BYTES_MAX - at);
    if (text.count > 0) { /* the bytes of a zero count may be NULL */
        memcpy(out + at, text.bytes, text.count);
    }
    return at + text.count;
}

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
    asker[1] = (uint8_t)request->uid.count;
    size_t bytes = asker_put(asker, 2, nsp);
    bytes = asker_put(asker, bytes, request->uid);
    bytes = asker_put(asker, bytes, request->id_text);
    const struct rc_asking asking = {
        .tag = *tag, .timeout_ms = request->broadcast.timeout_ms, .asker = rc_span_of(asker, bytes)};
    rc_asking_call(&adapter->bridge->host, &record.targets, record.type, &record.view, &asking, asked);
}

static bool asker_read(struct rc_span text, struct rc_adapter_asker *asker)
{
    struct rc_span counts;
    if (!rc_bytes_take(&text, 2, &counts) || counts.bytes[0] == 0 || counts.bytes[0] > RC_NSP_MAX ||
        counts.bytes[1] > RC_ADAPTER_ASKER_MAX || !rc_bytes_take(&text, counts.bytes[0], &asker->nsp) ||
        !rc_bytes_take(&text, counts.bytes[1], &asker->uid)) {
        return false;
    }
    asker->id = text;
    return true;
}

void rc_adapter_ack_answered(struct rc_adapter_bridge *adapter, const struct rc_envelope_view *view)
{
    struct rc_metrics *metrics = adapter->bridge->wire->metrics;
    struct rc_adapter_asker asker;
    struct rc_args_view args;
    struct rc_span text;
    int rc = rc_asking_answer(view, &text, &args);
    if (rc == -ENOENT) {
        return;
    }
    rc = rc == 0 && asker_read(text, &asker) ? rc_adapter_acknowledge(adapter, &asker, &args) : -EBADMSG;
    if (rc < 0) {
        rc_metric_add(metrics, RC_METRIC_ADAPTER_ANSWERS_DROPPED, 1);
        rc_log_limited(RC_LOG_WARN, 1, "adapter_answer_dropped", "bytes=%u error=%d", view->head.data_bytes, -rc);
        return;
    }
    rc_metric_add(metrics, RC_METRIC_ADAPTER_ANSWERS, 1);
}
