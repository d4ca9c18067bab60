/*
 * adapter_state: what the bridge to Socket.IO servers with an adapter is made of, and what their adapters differ in, for the files that share
 * it: adapter, adapter_name, adapter_interest, adapter_answer.
 *
 * Everybody else includes adapter.h.
 */
#ifndef RC_RELAY_BRIDGE_ADAPTER_STATE_H
#define RC_RELAY_BRIDGE_ADAPTER_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/hashmap.h"
#include "common/config/values.h"
#include "common/records/sid.h"
#include "relay/bridge/adapter_request.h"
#include "relay/bridge/emission.h"
#include "relay/redis/stream.h"

#define RC_ADAPTER_UID_BYTES (1 + RC_SID_INSTANCE_BYTES)
#define RC_ADAPTER_MARKS_MAX 2u

/* A namespace of which some channel is wanted. */
struct rc_adapter_nsp {
    char *name; /* owner; NULL = free */
    uint32_t name_bytes;
    union {
        uint32_t channels;  /* that are wanted */
        uint32_t next_free; /* while it is free: place + 1 of the next; 0 = end */
    };
};

/* A server asked something. `message` is what was read, for what is logged of it. */
typedef void rc_adapter_requested(void *context, struct rc_span nsp, struct rc_adapter_request *request,
                                  struct rc_span message);

/* A server answers what this instance asked it, or another server what that one asked. */
typedef void rc_adapter_responded(void *context, struct rc_span nsp, struct rc_span message);

struct rc_adapter_bridge;

/* How an answer is written: {head}{id}{middle}{values, or none}{tail}, and of a cluster's server who says it. */
struct rc_adapter_form {
    const char *head; /* NULL: it is not answered */
    const char *middle;
    const char *none;
    const char *tail;
};

/* A channel of each namespace: KEY{mark}NSP#. */
struct rc_adapter_mark {
    const char *mark;
    bool lasting; /* for namespaces that the configuration names */
};

/* What the adapters differ in. */
struct rc_adapter_kind {
    struct rc_adapter_mark marks[RC_ADAPTER_MARKS_MAX];
    bool rooms;     /* each has a channel of its own */
    bool pattern;   /* for single clients there is one */
    bool by_length; /* a room with a session id's length has no channel */
    bool sharded;
    bool stream;
    /* A message on one of the channels. */
    void (*received)(struct rc_adapter_bridge *adapter, struct rc_span nsp, struct rc_span message);
    /* A broadcast of ours in emission.buffer. */
    size_t (*write_room)(const struct rc_adapter_message *message);
    struct rc_span (*write)(const struct rc_adapter_message *message, uint8_t *buffer, size_t room);
    const char *ask_mark; /* of the channel on which servers are asked */
    /* The same of one whose clients are to answer. */
    struct rc_span (*ask_write)(const struct rc_adapter_message *message, uint8_t *buffer, size_t room);
    /* What a client of ours answers, likewise. */
    size_t (*ack_room)(const struct rc_adapter_ack *ack);
    struct rc_span (*ack_write)(const struct rc_adapter_ack *ack, uint8_t *buffer, size_t room);
    struct rc_adapter_answers {
        /* Of the channel that they go to; NULL: the base channel of the namespace and the asker's uid. */
        const char *mark;
        const struct rc_adapter_form *of; /* by enum rc_adapter_request_type */
        bool packed;                      /* as msgpack */
    } answers;
};

struct rc_adapter_bridge {
    const struct rc_bridge *bridge;     /* borrowed; NULL = off */
    const struct rc_adapter_kind *kind; /* static */
    char head[RC_CONFIG_TEXT_MAX + 1];  /* KEY# */
    uint32_t head_bytes;
    char request_head[RC_CONFIG_TEXT_MAX + 16];  /* KEY-request# */
    rc_adapter_requested *requested;             /* NULL = requests are not heard */
    void *requested_context;                     /* borrowed */
    char response_head[RC_CONFIG_TEXT_MAX + 16]; /* KEY-response# */
    rc_adapter_responded *responded;             /* NULL = nothing is asked */
    void *responded_context;                     /* borrowed */
    struct rc_config_socketio config;            /* at the start: namespaces that it names are heard of for good */
    char uid[RC_ADAPTER_UID_BYTES];
    char pattern[2 * RC_CONFIG_TEXT_MAX + 16];
    struct rc_redis_subscription clients;
    struct rc_redis_stream stream;
    struct rc_hashmap nsp_map;
    struct rc_adapter_nsp *nsps; /* owner */
    uint32_t nsp_count;          /* places in use or free */
    uint32_t nsp_room;
    uint32_t nsp_free; /* place + 1 of those that are free again; 0 = none */
    struct rc_emission emission;
    struct rc_scratch text; /* owner: of a message that came as msgpack */
};

static inline bool rc_adapter_off(const struct rc_adapter_bridge *adapter)
{
    return adapter->bridge == NULL;
}

#endif
