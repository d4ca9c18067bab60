/*
 * memberships: tells the relay which client is subscribed to what, where somebody wants to know: namespaces with presence = true,
 * and with Redis the subscription sets of clients (cluster.subscription_sets = "clients"). Otherwise nothing is told.
 *
 *   hub ── joined, left ──▶ up ring, or the queue when that is full ──flush──▶ up ring ──▶ relay
 *
 * The queue is bounded; when it overflows it is dropped, and everything is told again (RC_UP_MEMBERS_BEGIN … END), as to a new relay:
 * what the relay knows is right in the end whatever was in between. Owned by main(), one thread.
 */
#ifndef RC_WORKER_UPLINK_MEMBERSHIPS_H
#define RC_WORKER_UPLINK_MEMBERSHIPS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/config/config.h"
#include "worker/store/truth.h"
#include "worker/uplink/uplink.h"

#define RC_MEMBERSHIPS_QUEUE_MAX (4u << 20) /* bytes */

struct rc_memberships {
    struct rc_uplink *uplink;       /* borrowed */
    const struct rc_truth *truth;   /* borrowed */
    const uint32_t *clients_high;   /* borrowed: the highest that may be in use */
    uint32_t worker;                /* own index */
    const struct rc_config *config; /* borrowed: in force */
    uint8_t *queue;                 /* owner */
    uint32_t queue_capacity;
    uint32_t queue_bytes;      /* end of what is queued */
    uint32_t queue_read;       /* its beginning */
    uint32_t relay_generation; /* that was told everything, or is being told */
    bool telling;              /* true exactly between BEGIN and END */
    bool again;                /* everything is to be told once more */
    uint32_t next_client;
    uint32_t next_subscription; /* of next_client: so many were told */
};

void rc_memberships_open(struct rc_memberships *members, struct rc_uplink *uplink, const struct rc_truth *truth,
                         const uint32_t *clients_high, uint32_t worker, const struct rc_config *config);
void rc_memberships_close(struct rc_memberships *members);
/* A new configuration is in force: other namespaces may be of interest. */
void rc_memberships_reconfigure(struct rc_memberships *members, const struct rc_config *config);

/* Hub handler: the connection subscribed to the channel, or does not any more. Its random must still be that of the client. */
void rc_memberships_changed(struct rc_memberships *members, uint32_t client, uint32_t channel, bool joined);
/* Tells what waits, as far as there is room; before rc_uplink_flush, every turn. */
bool rc_memberships_told(const struct rc_memberships *members);
void rc_memberships_flush(struct rc_memberships *members);

#endif
