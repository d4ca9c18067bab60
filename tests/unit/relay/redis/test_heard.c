/* What of a push is a message, whatever a server pushes. */
#include "relay/redis/heard.h"

#include <stdio.h>
#include <string.h>

#include <criterion/criterion.h>

/* What `text` (RESP) is read as: "by|channel|body", or "-". Static memory. */
static const char *heard_in(const char *text)
{
    static char out[256];
    struct rc_redis_heard heard;
    void *reply = NULL;
    redisReader *reader = redisReaderCreate();
    cr_assert_eq(redisReaderFeed(reader, text, strlen(text)), REDIS_OK);
    cr_assert_eq(redisReaderGetReply(reader, &reply), REDIS_OK);
    cr_assert_not_null(reply);
    if (rc_redis_heard_of(&heard, reply)) {
        (void)snprintf(out, sizeof(out), "%s%.*s|%.*s|%.*s", heard.pattern ? "p:" : "", (int)heard.by.count,
                       heard.by.count > 0 ? (const char *)heard.by.bytes : "", (int)heard.channel.count,
                       heard.channel.count > 0 ? (const char *)heard.channel.bytes : "", (int)heard.body.count,
                       heard.body.count > 0 ? (const char *)heard.body.bytes : "");
    } else {
        (void)strcpy(out, "-");
    }
    freeReplyObject(reply);
    redisReaderFree(reader);
    return out;
}

Test(relay_redis_heard, messages_of_channels_shards_and_patterns)
{
    cr_assert_str_eq(heard_in(">3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$2\r\nhi\r\n"), "|c|hi");
    cr_assert_str_eq(heard_in(">3\r\n$8\r\nsmessage\r\n$1\r\nc\r\n$0\r\n\r\n"), "|c|");
    cr_assert_str_eq(heard_in("*4\r\n$8\r\npmessage\r\n$2\r\nc*\r\n$2\r\nc1\r\n$2\r\nhi\r\n"), "p:c*|c1|hi");
}

Test(relay_redis_heard, anything_else_is_none)
{
    cr_assert_str_eq(heard_in(">3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n"), "-");
    cr_assert_str_eq(heard_in(">3\r\n$8\r\npmessage\r\n$2\r\nc*\r\n$2\r\nc1\r\n"), "-");
    cr_assert_str_eq(heard_in(">2\r\n$7\r\nmessage\r\n$1\r\nc\r\n"), "-");
    cr_assert_str_eq(heard_in(">0\r\n"), "-");
    cr_assert_str_eq(heard_in(">3\r\n:1\r\n:2\r\n:3\r\n"), "-");
    cr_assert_str_eq(heard_in(">3\r\n$7\r\nmessage\r\n*0\r\n:1\r\n"), "||", "no strings");
}
