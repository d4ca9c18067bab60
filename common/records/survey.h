/*
 * survey: what GET /api/clients and the sorted GET /api/channels ask of each worker of this host, as it travels on the rings.
 *
 * Calls as others (call.h), RC_CALL_CLIENTS and RC_CALL_HOT: `user` of the call's head is the user that is asked for, the envelope's
 * channel the channel, the head's text a struct rc_survey_ask. Replies hold entries: struct rc_survey_head | its bytes.
 *
 * No other instance is asked: what a survey shows is this host's. Everything here comes out of another process's memory when it is
 * read: checked, then believed.
 */
#ifndef RC_COMMON_RECORDS_SURVEY_H
#define RC_COMMON_RECORDS_SURVEY_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "common/base/span.h"
#include "common/records/call.h"
#include "common/text/address.h"

#define RC_SURVEY_PROTOCOL_MAX 16u

enum rc_survey_order {
    /* RC_CALL_CLIENTS */
    RC_SURVEY_BY_PLACE,  /* by key, those behind `after` */
    RC_SURVEY_BY_BEHIND, /* the furthest behind first; key: bytes */
    /* RC_CALL_HOT: the largest first */
    RC_SURVEY_BY_RATE,
    RC_SURVEY_BY_SUBSCRIBERS,
    RC_SURVEY_BY_BYTES,
    RC_SURVEY_BY_MEMORY,
};

enum rc_survey_flags {
    RC_SURVEY_NAMES = 1u << 0, /* with the names of each client's channels */
};

struct rc_survey_ask {
    uint64_t after;                        /* key of the last one that is known; 0 = from the beginning */
    uint64_t behind_min;                   /* clients that are so many bytes behind, at least */
    struct rc_address first;               /* of the range that the address is in; */
    struct rc_address last;                /* all zero: any */
    uint32_t order;                        /* enum rc_survey_order */
    uint32_t flags;                        /* enum rc_survey_flags */
    char protocol[RC_SURVEY_PROTOCOL_MAX]; /* a codec's name, NUL-terminated if it is shorter; "" = any */
};
_Static_assert(sizeof(struct rc_survey_ask) == 72, "survey layout: no padding, and no longer than a call's text");

static inline bool rc_survey_is(uint32_t operation)
{
    return operation == RC_CALL_CLIENTS || operation == RC_CALL_HOT;
}

/* A client's place is the key of lists by place: whatever its worker, it stays as long as the client. */
static inline uint64_t rc_survey_key(uint32_t worker, uint32_t index)
{
    return (uint64_t)index << 8 | worker;
}

struct rc_survey_head {
    uint64_t key;   /* what the list is in the order of */
    uint32_t bytes; /* behind this: the client as a JSON object, or struct rc_survey_channel and the name */
    uint32_t reserved;
};
_Static_assert(sizeof(struct rc_survey_head) == 16, "survey entry layout");

/* A channel as one worker has it. */
struct rc_survey_channel {
    double rate;        /* messages a second that its subscribers here were to get, over the last ten seconds or so */
    double bytes;       /* of data, likewise */
    uint64_t log_bytes; /* that its logs take here */
    uint32_t subscribers;
    uint32_t behind; /* of them are behind */
};
_Static_assert(sizeof(struct rc_survey_channel) == 32, "survey channel layout");

/* The entry at *at of `list`, which moves on; its bytes. False: there is none, or it is cut. */
static inline bool rc_survey_next(struct rc_span list, size_t *at, struct rc_survey_head *head, struct rc_span *bytes)
{
    if (list.count - *at < sizeof(*head)) {
        return false;
    }
    memcpy(head, list.bytes + *at, sizeof(*head));
    if (list.count - *at - sizeof(*head) < head->bytes) {
        return false;
    }
    *bytes = rc_span_of(list.bytes + *at + sizeof(*head), head->bytes);
    *at += sizeof(*head) + head->bytes;
    return true;
}

#endif
