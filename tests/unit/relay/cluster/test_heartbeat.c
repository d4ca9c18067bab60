/* Heartbeats as instances write them, whoever wrote the instance. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "relay/cluster/heartbeat.h"

static int read_text(const char *text, uint64_t *timestamp_ms, uint64_t *count)
{
    return rc_heartbeat_read(rc_span_text(text), timestamp_ms, count);
}

Test(heartbeat, timestamp_and_count)
{
    uint64_t timestamp_ms = 0;
    uint64_t count = 0;
    cr_assert_eq(read_text("{\"timestamp\":1767225600000,\"clientCount\":42}", &timestamp_ms, &count), 0);
    cr_assert_eq(timestamp_ms, 1767225600000u);
    cr_assert_eq(count, 42);
    cr_assert_eq(read_text(" { \"x\" : [] , \"timestamp\" : 1 } ", &timestamp_ms, &count), 0);
    cr_assert_eq(count, 0);
    cr_assert_eq(read_text("{\"timestamp\":1,\"clientCount\":-1}", &timestamp_ms, &count), 0);
    cr_assert_eq(count, 0);
    cr_assert_eq(read_text("{\"timestamp\":1,\"clientCount\":\"7\"}", &timestamp_ms, &count), 0);
    cr_assert_eq(count, 0);
}

Test(heartbeat, everything_else_is_refused)
{
    uint64_t timestamp_ms;
    uint64_t count;
    cr_assert_eq(read_text("{}", &timestamp_ms, &count), -EINVAL);
    cr_assert_eq(read_text("{\"timestamp\":\"1\"}", &timestamp_ms, &count), -EINVAL);
    cr_assert_eq(read_text("{\"timestamp\":1.5}", &timestamp_ms, &count), -EINVAL);
    cr_assert_eq(read_text("{\"timestamp\":99999999999999999999}", &timestamp_ms, &count), -EINVAL);
    cr_assert_eq(read_text("[]", &timestamp_ms, &count), -EBADMSG);
    cr_assert_eq(read_text("", &timestamp_ms, &count), -EBADMSG);
    cr_assert_eq(read_text("{\"timestamp\":1,\"x\":\"\xff\"}", &timestamp_ms, &count), -EILSEQ);
}

Test(heartbeat, every_cut_is_refused)
{
    static const char whole[] = "{\"timestamp\":1767225600000,\"clientCount\":42}";
    for (size_t bytes = 0; bytes < sizeof(whole) - 1; bytes++) {
        char *copy = strndup(whole, bytes);
        uint64_t timestamp_ms;
        uint64_t count;
        cr_assert_lt(read_text(copy, &timestamp_ms, &count), 0, "%zu bytes", bytes);
        free(copy);
    }
}

Test(heartbeat, instance_of_a_channel)
{
    cr_assert(rc_span_equal(rc_heartbeat_instance(RC_SPAN("ws:instance:a-1:heartbeat")), RC_SPAN("a-1")));
    cr_assert(rc_span_equal(rc_heartbeat_instance(RC_SPAN("ws:instance:a:b:heartbeat")), RC_SPAN("a:b")));
    static const char *const other[] = {"ws:instance::heartbeat", "ws:instance:heartbeat", "ws:instance:a:claim", "",
                                        "x"};
    for (size_t i = 0; i < sizeof(other) / sizeof(other[0]); i++) {
        cr_assert_eq(rc_heartbeat_instance(rc_span_text(other[i])).count, 0, "%s", other[i]);
    }
}
