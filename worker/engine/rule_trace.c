/* rule_trace: see rule_trace.h. */
#include "worker/engine/rule_trace.h"

#include <stdio.h>

#include "worker/hub/trace.h"

static const char *const guards[] = {
    [RC_GUARD_RATE] = "rate",     [RC_GUARD_WHO] = "who",           [RC_GUARD_SCHEMA] = "schema",
    [RC_GUARD_INSIDE] = "inside", [RC_GUARD_IDENTIFY] = "identify",
};

static uint32_t row_number(const struct rc_rule_run *run)
{
    return (uint32_t)(run->row - run->clients->config->events) + 1;
}

static void run_tell(const struct rc_rule_run *run, enum rc_trace_stage stage, int code, const char *why)
{
    rc_hub_trace_client(run->clients->hub, run->client, stage, (struct rc_span){0}, run->event,
                        (uint32_t)run->its.json.count, (uint16_t)code, why);
}

/* " emits 2": what a row has of a kind, as its keys are called. */
static size_t put_count(char *text, size_t at, size_t room, const char *word, uint32_t count)
{
    const int bytes =
        count == 0 ? 0
                   : snprintf(text + at, room - at, count == 1 ? "%s%s" : "%s%s %u", at == 0 ? "" : ", ", word, count);
    return bytes < 0 || (size_t)bytes >= room - at ? at : at + (size_t)bytes;
}

void rc_rule_trace_row(const struct rc_rule_run *run)
{
    const struct rc_config *config = run->clients->config;
    const struct rc_config_event *row = run->row;
    char does[80] = "";
    char why[RC_TRACED_TEXT_MAX];
    size_t at = 0;
    if (row == NULL) {
        (void)snprintf(why, sizeof(why), "no [[event]] row takes it: socketio.unknown_event = \"%.80s\"",
                       config->socketio.unknown_event.text);
        run_tell(run, RC_TRACE_RULE, 0, why);
        return;
    }
    at = put_count(does, at, sizeof(does), "leave", row->leave_count);
    at = put_count(does, at, sizeof(does), "set", row->set_count);
    at = put_count(does, at, sizeof(does), "join", row->join_count);
    at = put_count(does, at, sizeof(does), "retain", row->retain_count);
    at = put_count(does, at, sizeof(does), "ack", row->ack_count);
    at = put_count(does, at, sizeof(does), "emit", row->emit_count);
    at = put_count(does, at, sizeof(does), "close", row->close_count);
    at = put_count(does, at, sizeof(does), "ask", row->ask.text[0] != '\0');
    (void)snprintf(why, sizeof(why), "row %u, on \"%.48s\": %s", row_number(run), row->on.text,
                   at == 0 ? "nothing" : does);
    run_tell(run, RC_TRACE_RULE, 0, why);
}

void rc_rule_trace_refused(const struct rc_rule_run *run)
{
    char why[RC_TRACED_TEXT_MAX];
    if (run->row == NULL) {
        (void)snprintf(why, sizeof(why), "event: %s", run->why);
    } else {
        (void)snprintf(why, sizeof(why), "row %u%s%s: %s", row_number(run), run->guard < RC_GUARDS ? ", " : "",
                       run->guard < RC_GUARDS ? guards[run->guard] : "", run->why);
    }
    run_tell(run, RC_TRACE_REFUSED, run->code, why);
}

void rc_rule_trace_asked(struct rc_clients *clients, uint32_t client, struct rc_span event, struct rc_span backend,
                         struct rc_span id)
{
    char why[RC_TRACED_TEXT_MAX];
    (void)snprintf(why, sizeof(why), "backend \"%.*s\", call %.*s", (int)backend.count, (const char *)backend.bytes,
                   (int)id.count, (const char *)id.bytes);
    rc_hub_trace_client(clients->hub, client, RC_TRACE_ASKED, (struct rc_span){0}, event, 0, 0, why);
}

void rc_rule_trace_answered(struct rc_clients *clients, uint32_t client, struct rc_span event, struct rc_span backend,
                            uint32_t status, uint32_t bytes)
{
    char why[RC_TRACED_TEXT_MAX];
    (void)snprintf(why, sizeof(why),
                   status == 0 ? "backend \"%.*s\" could not be asked, or has not answered in time"
                               : "backend \"%.*s\"",
                   (int)backend.count, (const char *)backend.bytes);
    rc_hub_trace_client(clients->hub, client, RC_TRACE_ANSWERED, (struct rc_span){0}, event, bytes, (uint16_t)status,
                        why);
}
