/*
 * presence: who is online and who is in a channel, across the cluster.
 *
 *   ws:presence:users              hash: user id → ids of the instances that have connections of it, separated by commas
 *   ws:presence:channel:{channel}  hash: client id → user id ("" = anonymous); namespaces with presence = true
 *   ws:presence:members:{channel}  hash: user id ("" = all anonymous together) → "instance:clients" of each instance where the user is
 *                                  in the channel, separated by commas: HLEN counts users in O(1). Behind a line's end what else is known of
 *                                  it there (JSON)
 *   ws:presence (publish)          {"event":…,"userId":…,"timestamp":…} of a user's first and last connection
 *
 * One hash holds all users, so that one script on one key decides which connection was the first or the last of the cluster and
 * publishes in the same step: an event is announced once, or, when Redis was away, as soon as it is back. HLEN counts in O(1).
 * Every instance hears ws:presence and delivers it on presence.events_channel.
 *
 * A user is online on this instance while a worker wants its channel `user:{id}`; going offline waits presence.offline_delay.
 * Owned by remote; one thread. What is in Redis is kept right by entries.
 */
#ifndef RC_RELAY_CLUSTER_PRESENCE_H
#define RC_RELAY_CLUSTER_PRESENCE_H

#include "common/config/config.h"
#include "common/base/hashmap.h"
#include "relay/bridge/bridge.h"
#include "relay/cluster/entries.h"

#define RC_PRESENCE_USERS "ws:presence:users"
#define RC_PRESENCE_CHANNEL "ws:presence:channel:"
#define RC_PRESENCE_MEMBERS "ws:presence:members:"

struct rc_presence_leaving;
struct rc_presence_counted;

struct rc_presence_ops {
    /* A count of this instance is in Redis: what it changed for the cluster (enum rc_member_change), and how many clients the user has in the channel. May be
     * NULL. */
    void (*counted)(void *context, struct rc_span channel, struct rc_span user, uint32_t changes, uint32_t clients);
    void *context; /* borrowed */
};

struct rc_presence {
    const struct rc_bridge *bridge; /* borrowed */
    struct rc_entries *entries;     /* borrowed */
    const char *instance_id;        /* borrowed */
    uint32_t boot_nonce;
    const struct rc_config *config; /* borrowed: in force */
    bool users;                     /* presence.users */
    uint64_t user_count;
    struct rc_redis_subscription events;
    struct rc_hashmap leaving_names;     /* owner: user → place in leaving */
    struct rc_presence_leaving *leaving; /* owner: users whose last connection ended, oldest first */
    uint32_t leaving_max;
    uint32_t leaving_used; /* places used */
    uint32_t leaving_free;
    uint32_t leaving_first;
    uint32_t leaving_last;
    struct rc_timer timer;
    struct rc_presence_ops ops;          /* set by the owner */
    struct rc_presence_counted *counted; /* owner: commands that are out */
};

/* 0 or -ENOMEM. */
int rc_presence_open(struct rc_presence *presence, const struct rc_bridge *bridge, struct rc_entries *entries,
                     const struct rc_config *config, const char *instance_id, uint32_t boot_nonce);
void rc_presence_close(struct rc_presence *presence);
void rc_presence_configure(struct rc_presence *presence, const struct rc_config *config);

/* The first worker wants the channel, or the last one does not any more. */
void rc_presence_interest(struct rc_presence *presence, struct rc_span channel, bool wanted);
/* A client of this host subscribed or unsubscribed; `user` may be empty. */
void rc_presence_member(struct rc_presence *presence, struct rc_span channel, const struct rc_client_ref *ref,
                        struct rc_span user, bool subscribed);
/* For the roster: so many clients of the user are in the channel on this host. */
void rc_presence_count(struct rc_presence *presence, struct rc_span channel, struct rc_span user, struct rc_span info,
                       uint32_t clients);

/* A message for the user found no connection here: a failed delivery if there is none in the cluster either (presence.users). */
void rc_presence_missed(struct rc_presence *presence, struct rc_span user);

/* For entries: the command of an entry whose letter is u, p or m. */
int rc_presence_write(struct rc_presence *presence, const struct rc_entry *entry, bool add, rc_redis_replied *replied,
                      void *context);
/* For cleanup: rc_cleanup_ops.user. */
int rc_presence_clean_user(struct rc_presence *presence, struct rc_span user, const char *instance,
                           rc_redis_replied *replied, void *context);

#endif
