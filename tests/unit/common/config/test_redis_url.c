/* redis.url: every form, credentials, bounds, and what is wrong with others. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "common/config/redis_url.h"

static struct rc_redis_url url;
static struct rc_err err;

static void good(const char *text)
{
    cr_assert_eq(rc_redis_url_parse(&url, text, &err), 0, "%s: %s", text, err.text);
}

static void bad(const char *text, const char *reason)
{
    cr_expect_eq(rc_redis_url_parse(&url, text, &err), -EINVAL, "%s", text);
    cr_expect_neq(strstr(err.text, reason), NULL, "%s: %s", text, err.text);
}

Test(redis_url, single_server_with_defaults)
{
    good("redis://localhost");
    cr_assert_eq(url.kind, RC_REDIS_SINGLE);
    cr_assert_eq(url.tls, false);
    cr_assert_eq(url.host_count, 1);
    cr_assert_str_eq(url.hosts[0].host, "localhost");
    cr_assert_eq(url.hosts[0].port, 6379);
    cr_assert_str_eq(url.user, "");
    cr_assert_str_eq(url.password, "");
    cr_assert_eq(url.database, 0);
}

Test(redis_url, everything_at_once)
{
    good("rediss://us%65r:p%40ss:w%2Frd@[::1]:7000/12");
    cr_assert_eq(url.tls, true);
    cr_assert_str_eq(url.user, "user");
    cr_assert_str_eq(url.password, "p@ss:w/rd");
    cr_assert_str_eq(url.hosts[0].host, "::1");
    cr_assert_eq(url.hosts[0].port, 7000);
    cr_assert_eq(url.database, 12);
    good("valkey://:secret@h:1");
    cr_assert_str_eq(url.user, "");
    cr_assert_str_eq(url.password, "secret");
    good("valkeys://h");
    cr_assert_eq(url.tls, true);
}

Test(redis_url, unix_socket)
{
    good("unix:///run/redis.sock");
    cr_assert_eq(url.kind, RC_REDIS_UNIX);
    cr_assert_str_eq(url.path, "/run/redis.sock");
    good("unix://:pw@/a%20b?db=3");
    cr_assert_str_eq(url.path, "/a b");
    cr_assert_str_eq(url.password, "pw");
    cr_assert_eq(url.database, 3);
    bad("unix://run/redis.sock", "absolute");
    bad("unix:///a?x=1", "?db=");
}

Test(redis_url, sentinels_and_clusters)
{
    good("redis+sentinel://:pw@h1,h2:1,[::2]/my%20master/4");
    cr_assert_eq(url.kind, RC_REDIS_SENTINEL);
    cr_assert_eq(url.host_count, 3);
    cr_assert_eq(url.hosts[0].port, 26379);
    cr_assert_eq(url.hosts[1].port, 1);
    cr_assert_str_eq(url.hosts[2].host, "::2");
    cr_assert_str_eq(url.master, "my master");
    cr_assert_eq(url.database, 4);
    good("rediss+cluster://h1:7000,h2");
    cr_assert_eq(url.kind, RC_REDIS_CLUSTER);
    cr_assert_eq(url.tls, true);
    cr_assert_eq(url.hosts[1].port, 6379);
    bad("redis+sentinel://h1", "master");
    bad("redis+sentinel://h1/", "master");
    bad("redis+cluster://h1/3", "database 0");
    good("redis+cluster://h1/0");
}

Test(redis_url, what_is_wrong_is_said_without_the_password)
{
    bad("", "expected a URL");
    bad("http://h", "expected a URL");
    bad("redis://", "host");
    bad("redis://a,b", "several hosts");
    bad("redis://h:0", "host");
    bad("redis://h:65536", "host");
    bad("redis://h:x", "host");
    bad("redis://h/x", "database");
    bad("redis://h/-1", "database");
    bad("redis://[::1", "host");
    bad("redis://[::1]x", "host");
    bad("redis://:%zz@h", "percent");
    bad("redis://:%00@h", "percent");
    bad("redis://:sec/ret@h", "host");
    cr_assert_eq(strstr(err.text, "sec"), NULL);
    char long_host[400] = "redis://";
    memset(long_host + 8, 'h', 300);
    long_host[308] = '\0';
    bad(long_host, "host");
    bad("redis+cluster://1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17", "at most");
}
