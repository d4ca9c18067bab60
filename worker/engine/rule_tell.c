/* rule_tell: see rule_tell.h. */
#include "worker/engine/rule_tell.h"

#include <stdio.h>

#include "common/base/check.h"
#include "common/config/event_rules.h"
#include "worker/engine/rule_eval.h"
#include "worker/engine/rule_send.h"

#define ERROR_BYTES 5120u /* of {"code":…,"message":…}: texts of RC_EVENT_WANTED_MAX bytes, escaped */

/* {"code":…,"message":…}, as the row has it told. */
static struct rc_span error_write(const struct rc_rule_run *run, char out[ERROR_BYTES])
{
    const struct rc_config *config = run->clients->config;
    const struct rc_event_guards *guards = run->row == NULL ? NULL : &run->row->guards;
    char code[16];
    uint8_t escaped[RC_JSON_STRING_BYTES_MAX(sizeof(run->values.err.text))];
    struct rc_span code_json = rc_span_of(code, (size_t)snprintf(code, sizeof(code), "%d", run->code));
    struct rc_span why = rc_span_of(escaped, rc_json_string_encode(escaped, sizeof(escaped), rc_span_text(run->why)));
    if (guards != NULL && guards->code.bytes > 0) {
        code_json = rc_event_text(config, guards->code.at, guards->code.bytes);
    }
    if (guards != NULL && run->guard < RC_GUARDS && guards->texts[run->guard].bytes > 0) {
        why = rc_event_text(config, guards->texts[run->guard].at, guards->texts[run->guard].bytes);
    }
    const int count = snprintf(out, ERROR_BYTES, "{\"code\":%.*s,\"message\":%.*s}", (int)code_json.count,
                               (const char *)code_json.bytes, (int)why.count, (const char *)why.bytes);
    RC_ASSERT(count > 0 && (size_t)count < ERROR_BYTES);
    return rc_span_of(out, (size_t)count);
}

/* In place of the acknowledgement that was asked for. */
static void tell_ack(struct rc_rule_run *run, struct rc_span error)
{
    const struct rc_event_template *template = run->row == NULL ? NULL : &run->row->guards.ack;
    char everybody[RC_CHANNEL_NAME_MAX];
    char text[ERROR_BYTES + sizeof("{\"error\":}")];
    struct rc_span args;
    struct rc_event event = {.type = RC_EVENT_ACK, .channel = rc_rule_everybody(run, everybody), .id = run->id};
    if (template != NULL && template->piece_count > 0) {
        run->values.input.documents[rc_rule_document(RC_EVENT_SOURCE_ERROR)] = error;
        if (rc_rule_eval_args(run, template, &args) == 0) {
            event.data = args;
            event.data_kind = RC_DATA_ARGS;
            rc_rule_send_reply(run, &event);
            return;
        }
    }
    const int count = snprintf(text, sizeof(text), "{\"error\":%.*s}", (int)error.count, (const char *)error.bytes);
    event.data = rc_span_of(text, (size_t)count);
    rc_rule_send_reply(run, &event);
}

void rc_rule_tell(struct rc_rule_run *run)
{
    char error[ERROR_BYTES];
    char everybody[RC_CHANNEL_NAME_MAX];
    uint8_t name[RC_EVENT_NAME_MAX];
    struct rc_span event = rc_span_text(run->clients->config->socketio.error_event.text);
    const struct rc_span json = error_write(run, error);
    rc_metric_add(run->clients->metrics, RC_METRIC_REQUEST_ERRORS, 1);
    if (run->id.count > 0) {
        tell_ack(run, json);
        return;
    }
    if (run->row != NULL && run->row->guards.event.bytes > 0) {
        const struct rc_event_text *its = &run->row->guards.event;
        const struct rc_json_value value = {
            .raw = rc_event_text(run->clients->config, its->at, its->bytes), .type = RC_JSON_STRING, .escaped = true};
        const int rc = rc_json_string_decode(&value, name, sizeof(name), &event);
        RC_ASSERT(rc == 0); /* it was looked at when the file was read */
    }
    rc_rule_send_reply(
        run, &(struct rc_event){
                 .type = RC_EVENT_DIRECT, .channel = rc_rule_everybody(run, everybody), .event = event, .data = json});
}
