/*
 * consumers: streams of an application ([[consumer]]) whose entries become messages: at least once, in order, by one instance at a time.
 *
 *   FOLLOWS ──the lock is ours──▶ LEFT: what a former reader had taken and not finished ──none is left──▶ READS: what is new
 *      ▲                            ▲                                                                       │
 *      └── the lock is another's,   └──────────── Redis did not take all messages of a batch ◀──────────────┘
 *          or Redis is away
 *
 * The lock {prefix}ws:consumer:{stream} holds the reader's name and expires RC_CONSUMER_LOCK_MS after it was renewed last; every instance asks for
 * it once in RC_CONSUMER_RENEW_MS. All readers are one consumer of the group, so that what a dead one had taken is the next one's. A batch is read
 * when the one before it is done: its messages are with Redis, and its entries acknowledged.
 *
 * An entry whose channel has a history that all instances share is published once, whoever reads it how often: Redis remembers with the
 * history which entry was the newest, and takes it and its message at once (shared.h). Others are published again when a reader dies before it
 * could acknowledge them. Ids must grow, also when a stream was deleted.
 *
 * Owned by remote; one thread. Bounded: RC_CONSUMER_BATCH entries of each stream. Bytes from Redis are checked.
 */
#ifndef RC_RELAY_CLUSTER_CONSUMERS_H
#define RC_RELAY_CLUSTER_CONSUMERS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/config/config.h"
#include "relay/bridge/application.h"
#include "relay/bridge/bridge.h"
#include "relay/cluster/shared_script.h"
#include "relay/timer.h"

#define RC_CONSUMER_BATCH 64u
#define RC_CONSUMER_ID_MAX 42u /* two numbers of 20 digits */
#define RC_CONSUMER_TICK_MS 20u
#define RC_CONSUMER_LOCK_MS 5000u
#define RC_CONSUMER_RENEW_MS 1000u
#define RC_CONSUMER_AGAIN_MS 250u

enum rc_consumer_state {
    RC_CONSUMER_FOLLOWS,
    RC_CONSUMER_LEFT,
    RC_CONSUMER_READS,
};

enum rc_consumed {
    RC_CONSUMED,       /* it is published */
    RC_CONSUMED_LATER, /* rc_consumers_ended is called with its sequence */
    RC_CONSUMED_AGAIN, /* it cannot be now */
    RC_CONSUMED_NEVER, /* it is larger than what waits for Redis may be: it cannot be published at any time */
};

struct rc_consumer_entry {
    char id[RC_CONSUMER_ID_MAX];
    uint8_t id_bytes;
    bool waits;  /* true exactly while Redis has not said whether it took the message */
    bool failed; /* it is not to be acknowledged */
    uint64_t sequence;
    uint64_t channel; /* hash */
};

struct rc_consumers;

struct rc_consumer {
    struct rc_consumers *all;
    struct rc_config_consumer config; /* a copy: names outlive a reload */
    struct rc_config_bridge bridge;   /* the same, as texts of a bridge */
    struct rc_application_bridge texts;
    struct rc_template key;
    struct rc_template data;
    char field[RC_CHANNEL_NAME_MAX + 3]; /* "s:{stream}" */
    enum rc_consumer_state state;
    bool asking;       /* true exactly while a question is not answered */
    bool had;          /* the group was there */
    bool renewing;     /* true exactly while the lock was asked for */
    uint64_t until_ms; /* the lock is ours; own clock */
    uint64_t renew_ms; /* when it is asked for next */
    uint64_t asked_ms; /* when it was last */
    uint64_t next_ms;  /* not read before */
    uint64_t lag;
    uint32_t count; /* entries */
    uint32_t waiting;
    struct rc_consumer_entry entries[RC_CONSUMER_BATCH];
};

struct rc_consumers_ops {
    /* Publishes a message of this host, whose sequence *sequence then is. */
    enum rc_consumed (*publish)(void *context, const struct rc_envelope_view *view,
                                const struct rc_shared_source *source, uint64_t *sequence);
    void *context; /* borrowed */
};

struct rc_consumers {
    const struct rc_bridge *bridge; /* borrowed */
    struct rc_application *names;   /* borrowed: what channels' names may be */
    const char *instance_id;        /* borrowed */
    uint32_t boot;
    struct rc_consumers_ops ops;
    struct rc_timer timer;
    struct rc_scratch json; /* owner */
    struct rc_scratch data; /* owner */
    struct rc_scratch text; /* owner */
    uint32_t count;
    struct rc_consumer consumers[RC_CONFIG_CONSUMERS_MAX];
};

/* Begins to ask for the locks. */
void rc_consumers_open(struct rc_consumers *consumers, const struct rc_bridge *bridge, struct rc_application *names,
                       const struct rc_config *config, const char *instance_id, uint32_t boot,
                       const struct rc_consumers_ops *ops);
/* After the link was closed. */
void rc_consumers_close(struct rc_consumers *consumers);
/* The broker stops: others may read at once. */
void rc_consumers_leave(struct rc_consumers *consumers);
/* What was published RC_CONSUMED_LATER. */
void rc_consumers_ended(struct rc_consumers *consumers, uint64_t sequence, bool taken);

/* An entry's fields and values in turn as a JSON object: a value that is JSON is that, any other text a string. 0; -EBADMSG: one is no UTF-8;
 * -EMSGSIZE. */
int rc_consumer_json(const struct rc_span *values, uint32_t count, uint8_t *out, size_t room, size_t *bytes);

#endif
