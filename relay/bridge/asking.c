/* asking: see asking.h. */
#include "relay/bridge/asking.h"

#include <errno.h>
#include <string.h>

#include "common/base/check.h"

void rc_asking_call(const struct rc_bridge_host *host, const struct rc_targets *targets, enum rc_record_type type,
                    const struct rc_envelope_view *view, const struct rc_asking *asking, struct rc_call_asked *asked)
{
    const struct rc_emit_head emit = {.timeout_ms = asking->timeout_ms,
                                      .asker_bytes = (uint16_t)asking->asker.count,
                                      .flags = (view->head.flags & RC_ENVELOPE_VOLATILE) ? RC_EMIT_VOLATILE : 0};
    struct rc_envelope_view call = *view;
    RC_ASSERT(asking->asker.count <= RC_EMIT_ASKER_MAX);
    call.data = rc_emit_put((uint8_t *)(uintptr_t)view->data, &emit, asking->asker);
    call.head.data_bytes += (uint32_t)(view->data - call.data);
    call.head.flags = 0;
    call.channel = targets->everybody;
    call.head.channel_bytes = (uint8_t)(targets->nsp.count + 1);
    call.exclude_text = targets->select.text;
    call.head.exclude_text_bytes = targets->select.bytes;
    call.request_id = (const uint8_t *)&asking->tag;
    call.head.request_id_bytes = sizeof(asking->tag);
    if (type != RC_DOWN_DIRECT) {
        call.head.target = (struct rc_client_ref){.random = 0};
    }
    *asked = (struct rc_call_asked){0};
    (void)host->call(host->context, &call, asked);
}

static bool reply_head(const struct rc_envelope_view *view, struct rc_reply_head *head)
{
    if (view->head.data_bytes < sizeof(*head)) {
        return false;
    }
    memcpy(head, view->data, sizeof(*head));
    return true;
}

bool rc_asking_is_answer(const struct rc_envelope_view *view)
{
    struct rc_reply_head head;
    return reply_head(view, &head) && (head.flags & RC_REPLY_CLIENT) != 0;
}

int rc_asking_answer(const struct rc_envelope_view *view, struct rc_span *asker, struct rc_args_view *args)
{
    struct rc_reply_head head;
    struct rc_answer_head answer;
    if (reply_head(view, &head) && head.count == 0) {
        return -ENOENT;
    }
    return rc_answer_read(rc_span_of(view->data, view->head.data_bytes), &answer, asker, args);
}
