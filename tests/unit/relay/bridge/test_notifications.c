/* websocket:notifications as backends write it, and everything that only looks like it. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "relay/bridge/notifications.h"

static int read_text(struct rc_notification *out, const char *text)
{
    const char *why = NULL;
    const int result = rc_notification_read(out, rc_span_text(text), &why);
    cr_assert(result != -EINVAL || why != NULL);
    return result;
}

static void expect(const char *text, const char *channel, const char *data)
{
    struct rc_notification got;
    const int result = read_text(&got, text);
    cr_assert_eq(result, 0, "%s gave %d", text, result);
    cr_assert(rc_span_equal(rc_span_of(got.channel, got.channel_bytes), rc_span_text(channel)), "%s went to %.*s", text,
              (int)got.channel_bytes, got.channel);
    cr_assert(rc_span_equal(got.data, rc_span_text(data)), "%s carried %.*s", text, (int)got.data.count,
              got.data.bytes);
    cr_assert_eq(got.broadcast, strcmp(channel, "*") == 0);
}

static void refuse(int result, const char *text)
{
    struct rc_notification got;
    const int is = read_text(&got, text);
    cr_assert_eq(is, result, "%s gave %d, not %d", text, is, result);
}

Test(notifications, user_and_broadcast)
{
    expect("{\"userId\":\"u-1\",\"data\":{\"a\":[1, 2]},\"timestamp\":1}", "user:u-1", "{\"a\":[1, 2]}");
    expect("{\"type\":\"broadcast\",\"data\":\"x\",\"timestamp\":1}", "*", "\"x\"");
    expect(" { \"data\" : null , \"userId\" : \"\\u00e9:x\" } ", "user:\xc3\xa9:x", "null");
}

Test(notifications, type_wins_over_user)
{
    expect("{\"userId\":\"1\",\"type\":\"broadcast\",\"data\":1}", "*", "1");
    expect("{\"type\":\"broadcast\",\"userId\":{},\"data\":1}", "*", "1");
    expect("{\"userId\":\"1\",\"type\":\"notification\",\"data\":1}", "user:1", "1");
    expect("{\"userId\":\"1\",\"type\":7,\"data\":1}", "user:1", "1");
    refuse(-EINVAL, "{\"type\":\"notification\",\"data\":1}");
}

Test(notifications, number_means_its_digits)
{
    expect("{\"userId\":42,\"data\":1}", "user:42", "1");
    expect("{\"userId\":-7,\"data\":1}", "user:-7", "1");
    expect("{\"userId\":-0,\"data\":1}", "user:0", "1");
    expect("{\"userId\":12345678901234567890,\"data\":1}", "user:12345678901234567890", "1");
    refuse(-EINVAL, "{\"userId\":1.5,\"data\":1}");
    refuse(-EINVAL, "{\"userId\":1e3,\"data\":1}");
}

Test(notifications, last_of_equal_members_counts)
{
    expect("{\"userId\":\"a\",\"data\":1,\"userId\":\"b\",\"data\":2}", "user:b", "2");
    expect("{\"type\":\"broadcast\",\"type\":\"x\",\"userId\":\"b\",\"data\":2}", "user:b", "2");
}

Test(notifications, everything_else_is_refused)
{
    refuse(-EINVAL, "{}");
    refuse(-EINVAL, "{\"userId\":\"a\"}");
    refuse(-EINVAL, "{\"userId\":\"\",\"data\":1}");
    refuse(-EINVAL, "{\"userId\":null,\"data\":1}");
    refuse(-EINVAL, "{\"userId\":true,\"data\":1}");
    refuse(-EINVAL, "{\"userId\":[\"a\"],\"data\":1}");
    refuse(-EINVAL, "{\"userId\":\"a\\nb\",\"data\":1}");
    refuse(-EINVAL, "{\"userId\":\"\\ud800\",\"data\":1}");
    refuse(-EBADMSG, "");
    refuse(-EBADMSG, "[]");
    refuse(-EBADMSG, "\"x\"");
    refuse(-EBADMSG, "{\"userId\":\"a\",\"data\":1}x");
    refuse(-EBADMSG, "{\"userId\":\"a\",\"data\":}");
    refuse(-EILSEQ, "{\"userId\":\"a\",\"data\":\"\xff\"}");
}

Test(notifications, longest_user_id)
{
    char text[600];
    char id[252];
    memset(id, 'u', sizeof(id));
    (void)snprintf(text, sizeof(text), "{\"userId\":\"%.250s\",\"data\":1}", id);
    struct rc_notification got;
    cr_assert_eq(read_text(&got, text), 0);
    cr_assert_eq(got.channel_bytes, RC_CHANNEL_NAME_MAX);
    (void)snprintf(text, sizeof(text), "{\"userId\":\"%.251s\",\"data\":1}", id);
    refuse(-EINVAL, text);
    memset(id, '9', sizeof(id));
    (void)snprintf(text, sizeof(text), "{\"userId\":%.251s,\"data\":1}", id);
    refuse(-EINVAL, text);
}

Test(notifications, every_cut_is_refused)
{
    static const char whole[] = "{\"userId\":\"u-1\",\"data\":{\"a\":[1,\"\\u00e9\"]},\"timestamp\":17}";
    for (size_t bytes = 0; bytes < sizeof(whole) - 1; bytes++) {
        char *copy = strndup(whole, bytes); /* an exact block: reading past it is an error of the address sanitizer */
        struct rc_notification got;
        cr_assert_lt(read_text(&got, copy), 0, "%zu bytes", bytes);
        free(copy);
    }
}
