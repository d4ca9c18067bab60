/* pubsub_fixed: see pubsub_fixed.h. */
#include "relay/redis/pubsub_fixed.h"

#include <errno.h>
#include <string.h>

#include "common/base/clock.h"
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

static void fixed_due(void *context, uint64_t now_ms)
{
    (void)now_ms;
    rc_redis_fixed_ask_missing(context);
}

/* Nothing comes of what was asked: it is asked once more. */
static void fixed_again(struct rc_redis_pubsub *pubsub)
{
    if (!pubsub->again.set) {
        rc_timer_set(pubsub->wire->timers, &pubsub->again, rc_clock_ms() + RC_REDIS_REFUSED_MS, fixed_due, pubsub);
    }
}

/* (Un)subscribes one at a node. */
static void fixed_ask_at(struct rc_redis_pubsub *pubsub, uint16_t node, const struct rc_redis_subscription *one,
                         bool subscribe)
{
    char name[FIXED_NAME_MAX];
    char command[FIXED_NAME_MAX + 64];
    if (node >= RC_REDIS_NODES_MAX || pubsub->nodes[node].conn == NULL) {
        return;
    }
    const char *verb = subscribe ? "SUBSCRIBE" : "UNSUBSCRIBE";
    const char *pattern_verb = subscribe ? "PSUBSCRIBE" : "PUNSUBSCRIBE";
    const struct rc_span argv[2] = {rc_span_text(one->pattern ? pattern_verb : verb), fixed_name(pubsub, one, name)};
    const size_t bytes = rc_redis_format_bytes(2, argv);
    rc_redis_format(command, 2, argv);
    const int rc = rc_redis_conn_send_quiet(pubsub->nodes[node].conn, command, bytes);
    if (!subscribe || rc == -ENOTCONN) {
        return; /* the next connection is asked anew */
    }
    if (rc != 0) {
        fixed_again(pubsub);
    } else if (one->everywhere && node != pubsub->home) {
        pubsub->nodes[node].marks++;
    }
}

static void fixed_ask(struct rc_redis_pubsub *pubsub, const struct rc_redis_subscription *one, bool subscribe)
{
    fixed_ask_at(pubsub, pubsub->home, one, subscribe);
}

static bool fixed_there(const struct rc_redis_subscription *one, uint16_t node)
{
    return (one->there[node / 64] >> (node % 64) & 1) != 0;
}

void rc_redis_fixed_ask_everywhere(struct rc_redis_pubsub *pubsub, uint16_t node)
{
    for (const struct rc_redis_subscription *one = pubsub->fixed; one != NULL; one = one->next) {
        if (one->everywhere && !fixed_there(one, node)) {
            fixed_ask_at(pubsub, node, one, true);
        }
    }
}

bool rc_redis_fixed_refused_at(struct rc_redis_pubsub *pubsub, uint16_t node)
{
    if (node == pubsub->home || pubsub->nodes[node].marks == 0) {
        return false;
    }
    pubsub->nodes[node].marks--;
    fixed_again(pubsub);
    return true;
}

void rc_redis_fixed_lost(struct rc_redis_pubsub *pubsub, uint16_t node)
{
    for (struct rc_redis_subscription *one = pubsub->fixed; one != NULL; one = one->next) {
        one->there[node / 64] &= ~(UINT64_C(1) << (node % 64));
    }
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
    uint32_t marks = 0;
    for (const struct rc_redis_subscription *one = pubsub->fixed; one != NULL; one = one->next) {
        if (subscribe || !one->everywhere) {
            fixed_ask(pubsub, one, subscribe);
        } else {
            marks += !one->confirmed && !one->refused; /* its answer comes when home is elsewhere */
        }
    }
    if (pubsub->home < RC_REDIS_NODES_MAX) {
        pubsub->nodes[pubsub->home].marks = marks;
    }
}

void rc_redis_fixed_ask_missing(struct rc_redis_pubsub *pubsub)
{
    for (const struct rc_redis_subscription *one = pubsub->fixed; one != NULL; one = one->next) {
        if (!one->confirmed) {
            fixed_ask(pubsub, one, true);
        }
    }
    for (uint16_t i = 0; i < pubsub->node_end; i++) {
        if (i != pubsub->home && pubsub->nodes[i].marks == 0) {
            rc_redis_fixed_ask_everywhere(pubsub, i);
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
    subscription->confirmed = subscription->refused = false;
    memset(subscription->there, 0, sizeof(subscription->there));
    subscription->missed = pubsub->succeeding;
    *end = subscription;
    fixed_ask(pubsub, subscription, true);
    for (uint16_t i = 0; subscription->everywhere && i < pubsub->node_end; i++) {
        if (i != pubsub->home) {
            fixed_ask_at(pubsub, i, subscription, true);
        }
    }
}

bool rc_redis_fixed_all(const struct rc_redis_pubsub *pubsub)
{
    const struct rc_redis_subscription *one = pubsub->fixed;
    while (one != NULL && one->confirmed) {
        one = one->next;
    }
    return one == NULL;
}

static struct rc_redis_subscription *fixed_unanswered(const struct rc_redis_pubsub *pubsub)
{
    struct rc_redis_subscription *one = pubsub->fixed;
    while (one != NULL && (one->confirmed || one->refused)) {
        one = one->next;
    }
    return one;
}

bool rc_redis_fixed_answered(const struct rc_redis_pubsub *pubsub)
{
    return fixed_unanswered(pubsub) == NULL;
}

bool rc_redis_fixed_confirm(struct rc_redis_pubsub *pubsub, struct rc_redis_subscription *one, uint16_t node)
{
    const bool mark = one->everywhere && node != pubsub->home;
    const bool awaited = !mark || pubsub->nodes[node].marks > 0;
    if (node == pubsub->home) {
        pubsub->missed_all |= one->missed && one->refused;
        one->confirmed = true;
        one->missed = one->refused = false;
    }
    pubsub->nodes[node].marks -= mark && awaited;
    one->there[node / 64] |= UINT64_C(1) << (node % 64);
    return awaited;
}

void rc_redis_fixed_refuse(struct rc_redis_pubsub *pubsub)
{
    struct rc_redis_subscription *one = fixed_unanswered(pubsub);
    if (one != NULL) {
        one->refused = true;
    }
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
        one->missed |= one->confirmed;
        one->confirmed = one->refused = false;
    }
}
