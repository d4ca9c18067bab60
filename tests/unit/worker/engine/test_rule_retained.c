/* What {retained:ROOM} is as JSON, for values as the relay has them. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "common/records/args.h"
#include "common/shm/history.h"
#include "worker/engine/rule_retained.h"

static uint8_t values[4096];
static size_t used;

static void put(const char *key, const void *data, size_t bytes, uint8_t flags)
{
    struct rc_history_entry entry = {.flags = flags, .key_bytes = (uint8_t)strlen(key), .data_bytes = (uint32_t)bytes};
    memset(values + used, 0, rc_history_entry_bytes(&entry));
    memcpy(values + used, &entry, sizeof(entry));
    memcpy(values + used + sizeof(entry), key, entry.key_bytes);
    memcpy(values + used + sizeof(entry) + entry.key_bytes, data, bytes);
    used += rc_history_entry_bytes(&entry);
}

static void put_args(const char *key, const char *json, const struct rc_span *attachments, uint32_t count)
{
    uint8_t args[256];
    const struct rc_span text = rc_span_text(json);
    uint32_t sizes[4];
    for (uint32_t i = 0; i < count; i++) {
        sizes[i] = (uint32_t)attachments[i].count;
    }
    rc_args_write(args, text, attachments, count);
    put(key, args, rc_args_bytes(text.count, count, sizes), RC_HISTORY_ARGS);
}

static void is(const char *expected)
{
    struct rc_rule_question question = {0};
    cr_assert(rc_rule_retained_answer(&question, rc_span_of(values, used), 4096));
    cr_assert(rc_span_equal(rc_span_of(question.json, question.bytes), rc_span_text(expected)), "%.*s instead of %s",
              (int)question.bytes, (const char *)question.json, expected);
    free(question.json);
    used = 0;
}

Test(rule_retained, a_value_is_itself)
{
    is("null");
    put("", " {\"a\":1.50} ", 12, 0);
    is("{\"a\":1.50}");
    put("", "\0\1", 2, RC_HISTORY_BINARY);
    is("null");
    put("", "no json", 7, 0);
    is("null");
}

Test(rule_retained, one_argument_is_itself_and_several_are_a_list)
{
    const struct rc_span attachment = RC_SPAN("x");
    put_args("", "[\"one\"]", NULL, 0);
    is("\"one\"");
    put_args("", "[1,[2]]", NULL, 0);
    is("[1,[2]]");
    put_args("", "[]", NULL, 0);
    is("null");
    put_args("", "[{\"_placeholder\":true,\"num\":0}]", &attachment, 1);
    is("null");
}

Test(rule_retained, with_keys_it_is_an_object_unless_there_is_one_without)
{
    put("a\"", "1", 1, 0);
    put("b", "[2]", 3, 0);
    is("{\"a\\\"\":1,\"b\":[2]}");
    put("a", "1", 1, 0);
    put("", "3", 1, 0);
    is("3");
}

Test(rule_retained, what_is_cut_or_too_large_is_not_believed)
{
    struct rc_rule_question question = {0};
    put("", "12345678", 8, 0);
    for (size_t cut = 0; cut < used; cut++) {
        cr_assert(rc_rule_retained_answer(&question, rc_span_of(values, cut), 4096));
        cr_assert(rc_span_equal(rc_span_of(question.json, question.bytes), RC_SPAN("null")));
    }
    cr_assert_not(rc_rule_retained_answer(&question, rc_span_of(values, used), 7));
    free(question.json);
    used = 0;
}
