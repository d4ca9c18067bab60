/* Bodies of server SDKs of the Pusher Channels protocol. */
#include "worker/api/pusher_body.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "common/config/pusher.h"

static struct rc_config_pusher_app app;
static struct rc_pusher_post post;
static char why[RC_PUSHER_WHY_MAX];

static void begin(void)
{
    app = (struct rc_config_pusher_app){.max_event_channels = 3, .max_batch = 2, .max_event_bytes = 16};
    (void)snprintf(app.id.text, sizeof(app.id.text), "7");
}

static void end(void)
{
    rc_pusher_post_free(&post);
}

TestSuite(pusher_body, .init = begin, .fini = end);

static uint16_t read_text(const char *text, bool batch)
{
    rc_pusher_post_free(&post);
    return rc_pusher_post_read(&post, rc_span_text(text), batch, &app, why);
}

static void must_be(struct rc_span span, const char *text)
{
    cr_assert(rc_span_equal(span, rc_span_text(text)), "%.*s is not %s", (int)span.count, (const char *)span.bytes,
              text);
}

Test(pusher_body, an_event_for_several_channels)
{
    cr_assert_eq(read_text("{\"name\":\"e\",\"channels\":[\"a\",\"cache-b\",\"#server-to-user-42\"],\"data\":\"{}\","
                           "\"socket_id\":\"1.2\",\"info\":\"user_count,subscription_count\"}",
                           false),
                 0, "%s", why);
    cr_assert_eq(post.count, 3);
    must_be(post.events[0].channel, "pusher-7:a");
    must_be(post.events[1].channel, "pusher-7:cache-b");
    must_be(post.events[2].channel, "user:pusher-7/42");
    for (uint32_t i = 0; i < 3; i++) {
        must_be(post.events[i].event, "e");
        must_be(post.events[i].data, "\"{}\"");
        must_be(post.events[i].socket_id, "[\"1.2\"]");
        cr_assert_eq(post.events[i].info, RC_PUSHER_INFO_USERS | RC_PUSHER_INFO_SUBSCRIPTIONS);
    }
    cr_assert_eq(post.events[1].kind, RC_PUSHER_CACHE);
    app.channels = RC_PUSHER_CHANNELS_PLAIN;
    cr_assert_eq(read_text("{\"name\":\"e\",\"channel\":\"a\",\"data\":[1]}", false), 0);
    must_be(post.events[0].channel, "a");
    must_be(post.events[0].data, "[1]");
}

Test(pusher_body, a_batch)
{
    cr_assert_eq(read_text("{\"batch\":[{\"name\":\"e\",\"channel\":\"a\",\"data\":\"1\"},{\"name\":\"f\",\"channel\":"
                           "\"b\",\"data\":\"2\",\"socket_id\":null}]}",
                           true),
                 0, "%s", why);
    cr_assert_eq(post.count, 2);
    must_be(post.events[1].channel, "pusher-7:b");
    must_be(post.events[1].event, "f");
    cr_assert_eq(post.events[1].socket_id.count, 0);
}

Test(pusher_body, bounds)
{
    cr_assert_eq(read_text("{\"name\":\"e\",\"channel\":\"a\",\"data\":\"0123456789abcdef\"}", false), 0);
    cr_assert_eq(read_text("{\"name\":\"e\",\"channel\":\"a\",\"data\":\"0123456789abcdefg\"}", false), 413);
    cr_assert_eq(
        read_text("{\"name\":\"e\",\"channel\":\"a\",\"data\":\"\\\"\\\"\\\"\\\"\\\"\\\"\\\"\\\"\\\"\\\"\"}", false), 0,
        "as many bytes as it has once decoded");
    cr_assert_eq(read_text("{\"name\":\"e\",\"channels\":[\"a\",\"b\",\"c\",\"d\"],\"data\":1}", false), 400);
    cr_assert_eq(read_text("{\"batch\":[{},{},{}]}", true), 400);
}

Test(pusher_body, what_makes_no_sense)
{
    static const char *const bad[] = {
        "",
        "[]",
        "{}",
        "{\"name\":\"e\",\"channel\":\"a\"}",
        "{\"name\":\"e\",\"data\":1}",
        "{\"name\":1,\"channel\":\"a\",\"data\":1}",
        "{\"name\":\"\",\"channel\":\"a\",\"data\":1}",
        "{\"name\":\"e\",\"channels\":{},\"data\":1}",
        "{\"name\":\"e\",\"channels\":[],\"data\":1}",
        "{\"name\":\"e\",\"channels\":[\"a\",1],\"data\":1}",
        "{\"name\":\"e\",\"channel\":\"a:b\",\"data\":1}",
        "{\"name\":\"e\",\"channel\":\"#server-to-user-a\\u0001\",\"data\":1}",
        "{\"name\":\"e\",\"channel\":\"a\",\"data\":1,\"socket_id\":\"x\"}",
        "{\"name\":\"e\",\"channel\":\"a\",\"data\":1,\"socket_id\":1}",
        "{\"name\":\"e\",\"channel\":\"a\",\"data\":1,\"info\":\"x\"}",
        "{\"name\":\"e\",\"channel\":\"a\",\"data\":1}x",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        why[0] = '\0';
        cr_assert_eq(read_text(bad[i], false), 400, "%s", bad[i]);
        cr_assert_neq(why[0], '\0');
    }
    static const char *const batches[] = {"{}", "{\"batch\":1}", "{\"batch\":[]}", "{\"batch\":[1]}",
                                          "{\"batch\":[{}]}"};
    for (size_t i = 0; i < sizeof(batches) / sizeof(batches[0]); i++) {
        cr_assert_eq(read_text(batches[i], true), 400, "%s", batches[i]);
    }
    cr_assert_eq(read_text("{\"batch\":[{\"name\":\"e\",\"data\":1}]}", true), 400);
    cr_assert_str_eq(why, "channel is missing");
}
