/*
 * subscription_sets: who is subscribed to what, in Redis, for backends.
 *
 *   cluster.subscription_sets = "clients"    set subs:{channel}            members {instance}:{client id}
 *                               "instances"  set subs-instances:{channel}  members {instance}
 *
 * What stands after the colon is the namespace's `subscription_set`, a template of {channel} and {name}. Everybody's channel `*` has no
 * set. Written by entries (entries.h), which restores them after a loss. Owned by remote; one thread.
 */
#ifndef RC_RELAY_CLUSTER_SETS_H
#define RC_RELAY_CLUSTER_SETS_H

#include "common/config/config.h"
#include "common/text/template.h"
#include "relay/cluster/entries.h"
#include "relay/route/interest.h"

struct rc_subscription_sets {
    struct rc_entries *entries;     /* borrowed */
    const struct rc_config *config; /* borrowed: in force */
    const char *instance_id;        /* borrowed */
    uint32_t boot_nonce;
    enum rc_subscription_sets_mode mode;
    struct rc_template templates[RC_CONFIG_NAMESPACES_MAX]; /* by namespace; without parts: no set */
};

void rc_subscription_sets_open(struct rc_subscription_sets *sets, struct rc_entries *entries,
                               const struct rc_config *config, const char *instance_id, uint32_t boot_nonce);
/* After a reload, before the former configuration is given back. Sets whose names have changed get the new ones: those of instances here
 * (`wanted`: the channels that this host wants), those of clients when the workers tell who is where, as they do after every reload. */
void rc_subscription_sets_configure(struct rc_subscription_sets *sets, const struct rc_config *config,
                                    const struct rc_interest *wanted);

/* The first worker wants the channel, or the last one does not any more. */
void rc_subscription_sets_interest(struct rc_subscription_sets *sets, struct rc_span channel, bool wanted);
/* A client of this host subscribed or unsubscribed. */
void rc_subscription_sets_member(struct rc_subscription_sets *sets, struct rc_span channel,
                                 const struct rc_client_ref *ref, bool subscribed);

/* For entries: the command of an entry whose letter is c or i. */
int rc_subscription_sets_write(struct rc_subscription_sets *sets, const struct rc_entry *entry, bool add,
                               rc_redis_replied *replied, void *context);

/* "csubs:…" or "isubs-instances:…" of a channel into `out`; its bytes, 0 when it has no set. */
uint32_t rc_subscription_sets_name(const struct rc_subscription_sets *sets, struct rc_span channel,
                                   char out[RC_ENTRY_NAME_MAX]);

#endif
