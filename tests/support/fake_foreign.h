/*
 * fake_foreign: in place of the link, for tests of what subscribes to other servers' channels: keeps what was asked for, as text.
 *
 * Included once by a test file; what it defines stands in for relay/redis/link.c.
 */
#ifndef RC_TESTS_SUPPORT_FAKE_FOREIGN_H
#define RC_TESTS_SUPPORT_FAKE_FOREIGN_H

#include <stdio.h>
#include <string.h>

#include "relay/redis/link.h"

static char foreign_asked[4096]; /* "+name -name …" */

static void foreign_ask(char sign, struct rc_span name)
{
    const size_t used = strlen(foreign_asked);
    (void)snprintf(foreign_asked + used, sizeof(foreign_asked) - used, "%c%.*s ", sign, (int)name.count,
                   (const char *)name.bytes);
}

void rc_redis_foreign_want(struct rc_redis_link *link, struct rc_span name)
{
    (void)link;
    foreign_ask('+', name);
}

void rc_redis_foreign_unwant(struct rc_redis_link *link, struct rc_span name)
{
    (void)link;
    foreign_ask('-', name);
}

/* What is asked for is confirmed at once. */
bool rc_redis_foreign_heard(const struct rc_redis_link *link, struct rc_span name)
{
    (void)link;
    bool heard = false;
    for (const char *at = foreign_asked, *end; (end = strchr(at, ' ')) != NULL; at = end + 1) {
        const struct rc_span one = rc_span_of(at + 1, (size_t)(end - at) - 1);
        heard = rc_span_equal(one, name) ? *at == '+' : heard;
    }
    return heard;
}

#endif
