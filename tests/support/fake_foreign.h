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

static char asked[4096]; /* "+name -name …" */

static void ask(char sign, struct rc_span name)
{
    const size_t used = strlen(asked);
    (void)snprintf(asked + used, sizeof(asked) - used, "%c%.*s ", sign, (int)name.count, (const char *)name.bytes);
}

void rc_redis_foreign_want(struct rc_redis_link *link, struct rc_span name)
{
    (void)link;
    ask('+', name);
}

void rc_redis_foreign_unwant(struct rc_redis_link *link, struct rc_span name)
{
    (void)link;
    ask('-', name);
}

#endif
