/*
 * event_rules: a template and what a client sends, both of any bytes. What the compiler takes must be filled in or refused; what comes
 * out is a room's name, an event's name and JSON, within their bounds, with attachments that exist.
 *
 *   first byte: attachments | template | NUL | arguments (JSON) | NUL | auth (JSON)
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/config/config.h"
#include "common/config/event_build.h"
#include "common/config/event_rules.h"
#include "common/records/channel_name.h"
#include "worker/gate/rule_values.h"

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t bytes);

static struct rc_config config;
static struct rc_event_build build;

/* The text before the next NUL, in memory of its exact size. */
static struct rc_span part_take(const uint8_t **at, const uint8_t *end)
{
    const size_t bytes = strnlen((const char *)*at, (size_t)(end - *at));
    uint8_t *const copy = malloc(bytes + 1);
    RC_ASSERT(copy != NULL);
    memcpy(copy, *at, bytes);
    *at += *at + bytes < end ? bytes + 1 : bytes;
    return rc_span_of(copy, bytes);
}

/* Compiles what the template allows: a room, an event, and messages with it in a list, in an object and beside text. */
static bool row_compile(const char *text, size_t bytes)
{
    struct rc_config_event row = {.from = RC_EVENT_FROM_CLIENT};
    struct rc_err err;
    memcpy(row.on.text, "on", 3);
    memcpy(row.nsp.text, "/", 2);
    rc_event_build_begin(&build, &config, &row);
    /* a template may be no room, and no event, and still be a message */
    if (rc_event_build_room(&build, RC_RULE_JOIN, text, bytes, &err) == 0) {
        (void)rc_event_build_rooms(&build, RC_RULE_JOIN, &err);
    }
    build.room_count = 0;
    rc_event_emit_begin(&build);
    (void)rc_event_emit_event(&build, text, bytes, &err);
    rc_event_value_begin(&build);
    const bool message =
        rc_event_value_open(&build, '[', &err) == 0 && rc_event_value_text(&build, text, bytes, &err) == 0 &&
        rc_event_value_open(&build, '{', &err) == 0 && rc_event_value_key(&build, text, bytes, &err) == 0 &&
        rc_event_value_text(&build, text, bytes, &err) == 0 && rc_event_value_close(&build, &err) == 0 &&
        rc_event_value_constant(&build, "1.5", 3, &err) == 0 && rc_event_value_close(&build, &err) == 0;
    if (!message || rc_event_emit_args(&build, &err) != 0 || rc_event_emit_end(&build, &err) != 0) {
        return false;
    }
    return rc_event_build_end(&build, &err) == 0;
}

static void args_check(struct rc_rule_values *values, const struct rc_event_template *template, size_t room)
{
    static struct rc_rule_args args;
    uint8_t *const out = malloc(room > 0 ? room : 1);
    RC_ASSERT(out != NULL);
    if (rc_rule_args(values, template, out, room, &args) == 0) {
        struct rc_json_value value;
        const int rc = rc_json_scan(args.json, 0, &value, NULL);
        RC_ASSERT(args.json.count <= room);
        RC_ASSERT(rc == -EOVERFLOW /* deeper than it was */ || (rc == 0 && value.type == RC_JSON_ARRAY));
        for (uint32_t i = 0; i < args.attachment_count; i++) {
            RC_ASSERT(args.attachments[i] < values->input.attachment_count);
        }
    } else {
        RC_ASSERT(values->err.text[0] != '\0');
    }
    free(out);
}

static void operation_check(struct rc_rule_values *values, const struct rc_event_operation *operation)
{
    const struct rc_event_template *const rooms = rc_event_rooms(&config, operation);
    char name[RC_CHANNEL_NAME_MAX];
    size_t bytes = 0;
    struct rc_span event;
    for (uint32_t i = 0; i < operation->room_count; i++) {
        if (rc_rule_room(values, &rooms[i], name, &bytes) == 0) {
            RC_ASSERT(rc_channel_name_check(name, bytes, RC_CHANNEL_NAME_MAX) == 0);
            RC_ASSERT(!(bytes == 1 && name[0] == '*'));
        }
    }
    if (operation->event.piece_count > 0 && rc_rule_event(values, &operation->event, name, &event) == 0) {
        RC_ASSERT(event.count >= 1 && event.count <= RC_EVENT_NAME_MAX);
    }
    if (operation->args.piece_count > 0) {
        args_check(values, &operation->args, 65536);
        args_check(values, &operation->args, 24);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t bytes)
{
    if (bytes == 0) {
        return 0;
    }
    const uint8_t *at = input + 1;
    const struct rc_span template = part_take(&at, input + bytes);
    const struct rc_span args = part_take(&at, input + bytes);
    const struct rc_span auth = part_take(&at, input + bytes);
    config.event_count = 0;
    memset(&config.event_rules.buckets, 0, sizeof(config.event_rules.buckets));
    config.event_rules.arena_bytes = 0;
    if (rc_json_utf8_valid(template) && row_compile((const char *)template.bytes, template.count)) {
        struct rc_rule_values values;
        const struct rc_rule_input given = {.args = args,
                                            .attachment_count = input[0] % 16u,
                                            .documents = {auth},
                                            .sid = RC_SPAN("abcdefghijklmnopqrst"),
                                            .nsp = RC_SPAN("/"),
                                            .event = RC_SPAN("on")};
        rc_rule_values_begin(&values, &config, &given);
        for (uint32_t i = 0; i < config.events[0].operation_count; i++) {
            operation_check(&values, &rc_event_operations(&config, &config.events[0])[i]);
        }
    }
    free((void *)(uintptr_t) template.bytes);
    free((void *)(uintptr_t)args.bytes);
    free((void *)(uintptr_t)auth.bytes);
    return 0;
}
