/* Replies read where they lie: which, how much of the bytes they are, and what is left to hiredis. */
#include <criterion/criterion.h>
#include <string.h>

#include "relay/redis/resp.h"

static struct rc_resp resp;
static size_t used;

static enum rc_resp_result take(const char *text)
{
    return rc_resp_take(&resp, rc_span_text(text), false, &used);
}

Test(redis_resp, an_integer)
{
    cr_assert_eq(take(":1205\r\n:7\r\n"), RC_RESP_TAKEN);
    cr_assert_eq(used, 7);
    cr_assert_eq(resp.whole.type, REDIS_REPLY_INTEGER);
    cr_assert_eq(resp.whole.integer, 1205);
    cr_assert_eq(take(":0\r\n"), RC_RESP_TAKEN);
    cr_assert_eq(resp.whole.integer, 0);
}

Test(redis_resp, a_message_lies_where_it_was_read)
{
    static const char text[] = ">3\r\n$7\r\nmessage\r\n$4\r\nc\r\nd\r\n$0\r\n\r\n:1\r\n";
    cr_assert_eq(take(text), RC_RESP_TAKEN);
    cr_assert_eq(used, strlen(text) - 4);
    cr_assert_eq(resp.whole.type, REDIS_REPLY_PUSH);
    cr_assert_eq(resp.whole.elements, 3);
    cr_assert(rc_redis_reply_is(resp.whole.element[0], "message"));
    cr_assert_eq(resp.whole.element[1]->str, text + 21);
    cr_assert_eq(resp.whole.element[1]->len, 4);
    cr_assert_eq(resp.whole.element[2]->len, 0);
}

Test(redis_resp, every_beginning_of_a_reply_is_short)
{
    static const char text[] = ">3\r\n$9\r\nsubscribe\r\n$2\r\nab\r\n:12\r\n";
    for (size_t bytes = 0; bytes < strlen(text); bytes++) {
        cr_assert_eq(rc_resp_take(&resp, rc_span_of(text, bytes), false, &used), RC_RESP_SHORT, "%zu bytes", bytes);
    }
    cr_assert_eq(take(text), RC_RESP_TAKEN);
    cr_assert_eq(resp.whole.element[2]->integer, 12);
}

Test(redis_resp, arrays_only_where_they_are_messages)
{
    static const char text[] = "*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$2\r\nhi\r\n";
    cr_assert_eq(take(text), RC_RESP_OTHER);
    cr_assert_eq(rc_resp_take(&resp, rc_span_text(text), true, &used), RC_RESP_TAKEN);
    cr_assert_eq(resp.whole.type, REDIS_REPLY_ARRAY);
    cr_assert_eq(used, strlen(text));
}

Test(redis_resp, everything_else_is_left_to_hiredis)
{
    static const char *const others[] = {
        "+OK\r\n",
        "-ERR x\r\n",
        "$2\r\nhi\r\n",
        ":-1\r\n",
        ":\r\n",
        ":01\r\n",
        ":1x\r\n",
        ":1\rx",
        ":1234567890123456789\r\n", /* may not fit */
        ">0\r\n",
        ">5\r\n:1\r\n:2\r\n:3\r\n:4\r\n:5\r\n",
        ">1\r\n$-1\r\n",
        ">1\r\n$2\r\nabc\r\n",
        ">1\r\n*1\r\n:1\r\n",
        ">1\r\n+OK\r\n",
        "%1\r\n",
        "x",
    };
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        cr_assert_eq(take(others[i]), RC_RESP_OTHER, "%s", others[i]);
    }
}
