/* pubsub_fixed: see pubsub_fixed.h. */
#include "relay/redis/pubsub_fixed.h"

#include <string.h>

#include "relay/redis/conn.h"

#define FIXED_NAME_MAX (2 * RC_REDIS_NAME_MAX)

/* As Redis knows it: the prefix before it, in a pattern with its special characters escaped. Empty when it is too long. */
static struct rc_span fixed_name(const struct rc_redis_pubsub *pubsub, const struct rc_redis_subscription *one,
                                 char out[FIXED_NAME_MAX])
{
    size_t bytes = 0;
    for (uint32_t i = 0; i < pubsub->prefix_bytes; i++) {
        if (one->pattern && strchr("*?[]\\", pubsub->prefix[i]) != NULL) {
            out[bytes++] = '\\';
        }
        out[bytes++] = pubsub->prefix[i];
    }
    const size_t rest = strlen(one->name);
    if (bytes + rest > FIXED_NAME_MAX) {
        return (struct rc_span){0};
    }
    memcpy(out + bytes, one->name, rest);
    return rc_span_of(out, bytes + rest);
}

/* (Un)subscribes one at home. */
static void fixed_ask(struct rc_redis_pubsub *pubsub, const struct rc_redis_subscription *one, bool subscribe)
{
    char name[FIXED_NAME_MAX];
    char command[FIXED_NAME_MAX + 64];
    if (pubsub->home >= RC_REDIS_NODES_MAX || pubsub->nodes[pubsub->home].conn == NULL) {
        return;
    }
    const char *verb = subscribe ? "SUBSCRIBE" : "UNSUBSCRIBE";
    const char *pattern_verb = subscribe ? "PSUBSCRIBE" : "PUNSUBSCRIBE";
    const struct rc_span argv[2] = {rc_span_text(one->pattern ? pattern_verb : verb), fixed_name(pubsub, one, name)};
    const size_t bytes = rc_redis_format_bytes(2, argv);
    rc_redis_format(command, 2, argv);
    (void)rc_redis_conn_send_quiet(pubsub->nodes[pubsub->home].conn, command, bytes);
}

struct rc_redis_subscription *rc_redis_fixed_find(struct rc_redis_pubsub *pubsub, bool pattern,
                                                  struct rc_span redis_name)
{
    char name[FIXED_NAME_MAX];
    for (struct rc_redis_subscription *one = pubsub->fixed; one != NULL; one = one->next) {
        if (one->pattern == pattern && rc_span_equal(fixed_name(pubsub, one, name), redis_name)) {
            return one;
        }
    }
    return NULL;
}

void rc_redis_fixed_ask_all(struct rc_redis_pubsub *pubsub, bool subscribe)
{
    for (const struct rc_redis_subscription *one = pubsub->fixed; one != NULL; one = one->next) {
        fixed_ask(pubsub, one, subscribe);
    }
}

void rc_redis_fixed_ask_missing(struct rc_redis_pubsub *pubsub)
{
    for (const struct rc_redis_subscription *one = pubsub->fixed; one != NULL; one = one->next) {
        if (!one->confirmed) {
            fixed_ask(pubsub, one, true);
        }
    }
}

void rc_redis_fixed_add(struct rc_redis_pubsub *pubsub, struct rc_redis_subscription *subscription)
{
    struct rc_redis_subscription **end = &pubsub->fixed;
    while (*end != NULL) {
        end = &(*end)->next;
    }
    subscription->next = NULL;
    subscription->confirmed = false;
    *end = subscription;
    fixed_ask(pubsub, subscription, true);
}

bool rc_redis_fixed_all(const struct rc_redis_pubsub *pubsub)
{
    const struct rc_redis_subscription *one = pubsub->fixed;
    while (one != NULL && one->confirmed) {
        one = one->next;
    }
    return one == NULL;
}

uint32_t rc_redis_fixed_confirmed(const struct rc_redis_pubsub *pubsub)
{
    uint32_t count = 0;
    for (const struct rc_redis_subscription *one = pubsub->fixed; one != NULL; one = one->next) {
        count += one->confirmed;
    }
    return count;
}

void rc_redis_fixed_forget(struct rc_redis_pubsub *pubsub)
{
    for (struct rc_redis_subscription *one = pubsub->fixed; one != NULL; one = one->next) {
        pubsub->missed_all |= one->confirmed;
        one->confirmed = false;
    }
}
