/* Events that clients of other instances are to answer, as bytes: what goes out is what comes in there, and nothing else is believed. */
#include "relay/bridge/emit_wire.h"

#include <criterion/criterion.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"

static struct rc_emit_message read_back;

static const uint8_t sizes_of_two[] = {2, 0, 0, 0, 0, 0, 0, 0}; /* of this host: two bytes and none */

static struct rc_emit_message sample(void)
{
    return (struct rc_emit_message){.is_volatile = true,
                                    .timeout_ms = 70000,
                                    .from = RC_SPAN("node-1"),
                                    .nsp = RC_SPAN("/admin"),
                                    .event = RC_SPAN("ask"),
                                    .asker = RC_SPAN("who"),
                                    .names = rc_span_of("/admin#red\0\0/admin#mute\0", 24),
                                    .args = {.json = RC_SPAN("[1,{\"_placeholder\":true,\"num\":0}]"),
                                             .attachment_count = 2,
                                             .sizes = rc_span_of(sizes_of_two, sizeof(sizes_of_two)),
                                             .attachments = RC_SPAN("ab")}};
}

static uint8_t *written(const struct rc_emit_message *message, size_t *bytes)
{
    *bytes = rc_emit_message_bytes(message);
    uint8_t *out = malloc(*bytes);
    cr_assert_not_null(out);
    rc_emit_message_write(message, out);
    return out;
}

Test(emit_wire, what_is_written_is_read_and_nothing_that_is_cut)
{
    const struct rc_emit_message message = sample();
    size_t bytes;
    uint8_t *text = written(&message, &bytes);
    cr_assert_eq(rc_emit_message_read(&read_back, rc_span_of(text, bytes)), 0);
    cr_assert(read_back.is_volatile && read_back.timeout_ms == 70000);
    cr_assert(rc_span_equal(read_back.from, message.from) && rc_span_equal(read_back.nsp, message.nsp));
    cr_assert(rc_span_equal(read_back.event, message.event) && rc_span_equal(read_back.asker, message.asker));
    cr_assert(rc_span_equal(read_back.names, message.names));
    struct rc_args_view args;
    uint8_t laid[256];
    const size_t laid_bytes = rc_emit_message_args_bytes(&read_back);
    cr_assert_leq(laid_bytes, sizeof(laid));
    rc_emit_message_args(&read_back, laid);
    cr_assert_eq(rc_args_read(rc_span_of(laid, laid_bytes), &args), 0);
    cr_assert(rc_span_equal(args.json, message.args.json) && args.attachment_count == 2);
    cr_assert(rc_span_equal(rc_args_attachment(&args, 0), RC_SPAN("ab")));
    cr_assert_eq(rc_args_attachment(&args, 1).count, 0);
    for (size_t cut = 0; cut < bytes; cut++) { /* in memory of its own: nothing behind it is read */
        uint8_t *part = malloc(cut + (cut == 0));
        cr_assert_not_null(part);
        memcpy(part, text, cut);
        cr_assert_lt(rc_emit_message_read(&read_back, rc_span_of(part, cut)), 0, "%zu bytes", cut);
        free(part);
    }
    free(text);
}

static void refused(const struct rc_emit_message *message, const char *why)
{
    size_t bytes;
    uint8_t *text = written(message, &bytes);
    cr_assert_lt(rc_emit_message_read(&read_back, rc_span_of(text, bytes)), 0, "%s", why);
    free(text);
}

Test(emit_wire, what_makes_no_sense_is_refused)
{
    static const struct {
        const char *why;
        size_t at; /* of struct rc_emit_message */
        struct rc_span wrong;
    } cases[] = {
        {"no instance", offsetof(struct rc_emit_message, from), {(const uint8_t *)"a b", 3}},
        {"no instance", offsetof(struct rc_emit_message, from), {NULL, 0}},
        {"no namespace", offsetof(struct rc_emit_message, nsp), {(const uint8_t *)"admin", 5}},
        {"no namespace", offsetof(struct rc_emit_message, nsp), {(const uint8_t *)"/a\n", 3}},
        {"no event", offsetof(struct rc_emit_message, event), {NULL, 0}},
        {"no text", offsetof(struct rc_emit_message, event), {(const uint8_t *)"\xff", 1}},
        {"no end", offsetof(struct rc_emit_message, names), {(const uint8_t *)"red", 3}},
        {"no JSON", offsetof(struct rc_emit_message, args.json), {(const uint8_t *)"[1", 2}},
        {"no array", offsetof(struct rc_emit_message, args.json), {(const uint8_t *)"1", 1}},
        {"no text", offsetof(struct rc_emit_message, args.json), {(const uint8_t *)"[\"\xff\"]", 5}},
    };
    for (size_t i = 0; i < RC_ARRAY_COUNT(cases); i++) {
        struct rc_emit_message message = sample();
        memcpy((uint8_t *)&message + cases[i].at, &cases[i].wrong, sizeof(cases[i].wrong));
        refused(&message, cases[i].why);
    }
    const struct rc_emit_message message = sample();
    size_t bytes;
    uint8_t *text = written(&message, &bytes);
    text[0] = 2;
    cr_assert_lt(rc_emit_message_read(&read_back, rc_span_of(text, bytes)), 0, "a version to come");
    text[0] = 1;
    text[1] = 2;
    cr_assert_lt(rc_emit_message_read(&read_back, rc_span_of(text, bytes)), 0, "a flag to come");
    free(text);
}
