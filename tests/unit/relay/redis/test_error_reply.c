/* What error replies mean: by their whole first word. */
#include <criterion/criterion.h>
#include <string.h>

#include "relay/redis/error_reply.h"

static enum rc_redis_error of(const char *text)
{
    char copy[128];
    (void)strcpy(copy, text);
    const redisReply reply = {.type = REDIS_REPLY_ERROR, .str = copy, .len = strlen(copy)};
    return rc_redis_error_of(&reply);
}

Test(relay_redis_error_reply, the_first_word_decides)
{
    cr_assert_eq(of("BUSY Redis is busy running a script."), RC_REDIS_ERROR_NOT_NOW);
    cr_assert_eq(of("BUSYGROUP Consumer Group name already exists"), RC_REDIS_ERROR_FINAL);
    cr_assert_eq(of("BUSYKEY Target key name already exists."), RC_REDIS_ERROR_FINAL);
    cr_assert_eq(of("OOM"), RC_REDIS_ERROR_NOT_NOW);
    cr_assert_eq(of("LOADING Redis is loading the dataset in memory"), RC_REDIS_ERROR_DATASET);
    cr_assert_eq(of("MISCONF Redis is configured to save"), RC_REDIS_ERROR_UNSAVED);
    cr_assert_eq(of("CLUSTERDOWN Hash slot not served"), RC_REDIS_ERROR_DOWN);
    cr_assert_eq(of("MOVED 1 a:1"), RC_REDIS_ERROR_MOVED);
    cr_assert_eq(of("ASKING"), RC_REDIS_ERROR_FINAL);
    cr_assert_eq(of("READONLY You can't write against a read only replica."), RC_REDIS_ERROR_ROLE);
    cr_assert_eq(of("NOAUTH Authentication required."), RC_REDIS_ERROR_LOGIN);
    cr_assert_eq(of("WRONGPASS invalid"), RC_REDIS_ERROR_PASSWORD);
    cr_assert_eq(of("NOPERM this user has no permissions"), RC_REDIS_ERROR_FINAL);
    cr_assert_eq(of(""), RC_REDIS_ERROR_FINAL);
    const redisReply fine = {.type = REDIS_REPLY_INTEGER};
    cr_assert_eq(rc_redis_error_of(&fine), RC_REDIS_ERROR_NONE);
}

Test(relay_redis_error_reply, what_may_be_sent_again)
{
    cr_assert(rc_redis_error_passes(of("BUSY x")));
    cr_assert(rc_redis_error_passes(of("MISCONF x")));
    cr_assert(rc_redis_error_passes(of("READONLY x")), "elsewhere");
    cr_assert_not(rc_redis_error_passes(of("NOPERM x")));
    cr_assert_not(rc_redis_error_passes(RC_REDIS_ERROR_NONE));
    cr_assert(rc_redis_error_ends(of("READONLY x")));
    cr_assert(rc_redis_error_ends(of("NOAUTH x")));
    cr_assert_not(rc_redis_error_ends(of("BUSY x")));
}

Test(relay_redis_error_reply, what_is_quoted_of_a_command_is_taken_off)
{
    static const struct {
        const char *text;
        const char *shown;
    } of_servers[] = {
        {"ERR unknown command `HELLO`, with args beginning with: `3`, `AUTH`, `default`, `secret`, ",
         "ERR unknown command `HELLO`"},
        {"ERR unknown command 'SSUBSCRIBE', with args beginning with: 'user:42' ", "ERR unknown command 'SSUBSCRIBE'"},
        {"NOAUTH Authentication required.", "NOAUTH Authentication required."},
    };
    for (size_t i = 0; i < sizeof(of_servers) / sizeof(of_servers[0]); i++) {
        char copy[128];
        (void)strcpy(copy, of_servers[i].text);
        redisReply reply = {.type = REDIS_REPLY_ERROR, .str = copy, .len = strlen(copy)};
        rc_redis_error_shorten(&reply);
        cr_expect_str_eq(reply.str, of_servers[i].shown);
        cr_expect_eq(reply.len, strlen(of_servers[i].shown));
    }
    char text[] = "a, with args";
    redisReply other = {.type = REDIS_REPLY_STRING, .str = text, .len = sizeof(text) - 1};
    rc_redis_error_shorten(&other);
    cr_expect_str_eq(other.str, "a, with args", "only errors");
}

Test(relay_redis_error_reply, what_stays_refused_is_asked_for_ever_more_seldom_and_what_passes_is_not)
{
    static char refused[] = "NOPERM this user has no permissions to access one of the keys used as arguments";
    static char script[] =
        "ERR Error running script: WRONGTYPE Operation against a key holding the wrong kind of value";
    static char moved[] = "MOVED 1 127.0.0.1:7000";
    static const uint64_t waits[] = {250, 500, 1000, 2000, 4000, 8000, 10000, 10000};
    const redisReply no = {.type = REDIS_REPLY_ERROR, .str = refused};
    const redisReply wrong = {.type = REDIS_REPLY_ERROR, .str = script};
    const redisReply passes = {.type = REDIS_REPLY_ERROR, .str = moved};
    const redisReply odd = {.type = REDIS_REPLY_INTEGER};
    uint32_t refusals = 0;
    for (size_t i = 0; i < sizeof(waits) / sizeof(waits[0]); i++) {
        cr_expect_eq(rc_redis_error_again_ms(i % 2 == 0 ? &no : &odd, &refusals), waits[i]);
        cr_expect_eq(rc_redis_error_again_ms(&passes, &refusals), 250);
    }
    cr_expect(strstr(rc_redis_error_remedy(&no), "right") != NULL);
    cr_expect(strstr(rc_redis_error_remedy(&wrong), "prefix") != NULL);
    cr_expect(strstr(rc_redis_error_remedy(&odd), "Redis") != NULL);
}
