/* What instances tell each other about messages that they dropped: what is believed, and what is refused and why. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "relay/bridge/gap_wire.h"

static struct rc_gap_message gap;
static const char *why;

static int got(const char *text)
{
    return rc_gap_message_read(&gap, rc_span_text(text), &why);
}

static const char *names(void)
{
    static char text[256];
    struct rc_json_cursor cursor;
    struct rc_span name;
    char scratch[RC_CHANNEL_NAME_MAX];
    size_t used = 0;
    cr_assert_eq(rc_gap_message_begin(&cursor, &gap), 0);
    while (rc_gap_message_next(&cursor, scratch, &name) == 1) {
        used += (size_t)snprintf(text + used, sizeof(text) - used, "%.*s|", (int)name.count, (const char *)name.bytes);
    }
    return text;
}

Test(gap_wire, channels_and_all)
{
    cr_assert_eq(
        got("{\"seq\":456,\"from\":\"web-1.b_c\",\"x\":{},\"boot\":123,\"channels\":[\"a\\u0062\",\"*\",\"user:1\"]}"),
        0);
    cr_assert_eq(gap.from_bytes, 9);
    cr_assert_eq(memcmp(gap.from, "web-1.b_c", 9), 0);
    cr_assert_eq(gap.boot, 123);
    cr_assert_eq(gap.seq, 456);
    cr_assert_not(gap.all);
    cr_assert_str_eq(names(), "ab|*|user:1|");
    cr_assert_eq(got("{\"from\":\"w\",\"boot\":0,\"seq\":1,\"all\":true}"), 0);
    cr_assert(gap.all);
}

Test(gap_wire, what_is_something_else_is_refused_with_its_reason)
{
    static const char *const bad[][2] = {
        {"", "not a JSON object"},
        {"[]", "not a JSON object"},
        {"{\"from\":\"w\",\"boot\":1,\"seq\":1,\"all\":true", "not a JSON object"},
        {"{\"from\":\"w\",\"boot\":1,\"seq\":1,\"all\":true}x", "not a JSON object"},
        {"{\"boot\":1,\"seq\":1,\"all\":true}", "from, boot and seq do not say who tells it"},
        {"{\"from\":1,\"boot\":1,\"seq\":1,\"all\":true}", "from, boot and seq do not say who tells it"},
        {"{\"from\":\"\",\"boot\":1,\"seq\":1,\"all\":true}", "from, boot and seq do not say who tells it"},
        {"{\"from\":\"a b\",\"boot\":1,\"seq\":1,\"all\":true}", "from, boot and seq do not say who tells it"},
        {"{\"from\":\"w\",\"seq\":1,\"all\":true}", "from, boot and seq do not say who tells it"},
        {"{\"from\":\"w\",\"boot\":4294967296,\"seq\":1,\"all\":true}", "from, boot and seq do not say who tells it"},
        {"{\"from\":\"w\",\"boot\":\"1\",\"seq\":1,\"all\":true}", "from, boot and seq do not say who tells it"},
        {"{\"from\":\"w\",\"boot\":1,\"seq\":0,\"all\":true}", "from, boot and seq do not say who tells it"},
        {"{\"from\":\"w\",\"boot\":1,\"seq\":-1,\"all\":true}", "from, boot and seq do not say who tells it"},
        {"{\"from\":\"w\",\"boot\":1,\"seq\":1.5,\"all\":true}", "from, boot and seq do not say who tells it"},
        {"{\"from\":\"w\",\"boot\":1,\"seq\":1}", "one of channels and all must be there"},
        {"{\"from\":\"w\",\"boot\":1,\"seq\":1,\"all\":false}", "one of channels and all must be there"},
        {"{\"from\":\"w\",\"boot\":1,\"seq\":1,\"all\":1}", "one of channels and all must be there"},
        {"{\"from\":\"w\",\"boot\":1,\"seq\":1,\"all\":true,\"channels\":[\"a\"]}",
         "one of channels and all must be there"},
        {"{\"from\":\"w\",\"boot\":1,\"seq\":1,\"channels\":\"a\"}", "channels is no list of names"},
        {"{\"from\":\"w\",\"boot\":1,\"seq\":1,\"channels\":[]}", "channels is no list of names"},
        {"{\"from\":\"w\",\"boot\":1,\"seq\":1,\"channels\":[\"a\",1]}", "channels is no list of names"},
        {"{\"from\":\"w\",\"boot\":1,\"seq\":1,\"channels\":[\"\"]}", "channels is no list of names"},
        {"{\"from\":\"w\",\"boot\":1,\"seq\":1,\"channels\":[\"a\\n\"]}", "channels is no list of names"},
        {"{\"from\":\"w\",\"boot\":1,\"seq\":1,\"channels\":{\"a\":1}}", "channels is no list of names"},
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        cr_expect_lt(got(bad[i][0]), 0, "%s", bad[i][0]);
        cr_expect_str_eq(why, bad[i][1], "%s", bad[i][0]);
    }
}

Test(gap_wire, written_and_read_again_also_the_longest)
{
    static char longest[RC_CHANNEL_NAME_MAX];
    struct rc_span list[RC_GAP_CHANNELS_MAX + 1];
    size_t bytes;
    memset(longest, '"', sizeof(longest));
    for (uint32_t i = 0; i < RC_GAP_CHANNELS_MAX + 1; i++) {
        list[i] = rc_span_of(longest, sizeof(longest));
    }
    for (uint32_t count = 0; count <= RC_GAP_CHANNELS_MAX + 1; count += count == 1 ? RC_GAP_CHANNELS_MAX - 1 : 1) {
        char *text = rc_gap_message_write("instance", UINT32_MAX, UINT64_MAX, list, count, count % 2 == 0, &bytes);
        const int result = rc_gap_message_read(&gap, rc_span_of(text, bytes), &why);
        cr_assert_eq(result == 0, count <= RC_GAP_CHANNELS_MAX, "%u", count);
        if (result == 0) {
            struct rc_json_cursor cursor;
            struct rc_span name;
            char scratch[RC_CHANNEL_NAME_MAX];
            uint32_t seen = 0;
            cr_assert_eq(gap.all, count == 0);
            cr_assert_eq(gap.placed, count == 0);
            cr_assert_eq(gap.boot, UINT32_MAX);
            cr_assert_eq(gap.seq, UINT64_MAX);
            cr_assert(gap.all || rc_gap_message_begin(&cursor, &gap) == 0);
            while (!gap.all && rc_gap_message_next(&cursor, scratch, &name) == 1) {
                cr_assert(rc_span_equal(name, list[0]));
                seen++;
            }
            cr_assert_eq(seen, count);
        }
        free(text);
    }
}
