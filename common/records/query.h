/*
 * query: what a worker asks the relay about the cluster, as it travels on the rings: who is in a channel, where a user is,
 * which instances there are.
 *
 *   RC_UP_QUERY    data: struct rc_query_head. Of a client (origin and request id are its own), or of the HTTP API
 *                  (RC_ENVELOPE_API, the request id is a struct rc_call_tag)
 *   RC_DOWN_QUERY  the one answer, with the same origin, token, request id, channel and RC_ENVELOPE_API; code 0 or an error of the native
 *                  protocol. Data: struct rc_query_answer | entries
 *
 * The relay answers without Redis at once, with Redis when Redis has answered or RC_QUERY_MS are over; then with what it knows of this
 * host (RC_QUERY_LOCAL). Everything here comes out of another process's memory when it is read: checked, then believed.
 */
#ifndef RC_COMMON_RECORDS_QUERY_H
#define RC_COMMON_RECORDS_QUERY_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "common/base/span.h"

#define RC_QUERY_MS 1000u           /* what Redis may take */
#define RC_QUERY_LIMIT_DEFAULT 100u /* entries of an answer, unless the asker says how many */
#define RC_QUERY_LIMIT_MAX 1000u
#define RC_QUERY_BYTES_MAX 524288u /* data of one answer */

enum rc_query_kind {
    RC_QUERY_CHANNEL = 1, /* the envelope's channel: its members, by user */
    RC_QUERY_USER,        /* the envelope's channel is `user:{id}`: on which instances the user is */
    RC_QUERY_USERS,       /* how many users are online */
    RC_QUERY_INSTANCES,
    RC_QUERY_VALUE, /* a key of somebody else's in Redis. Data: head | the key; answer: struct rc_query_value | its value */
    RC_QUERY_KEYS, /* which of these keys are there. Data: head | keys (rc_query_key_put); answer: a byte a key, 1 = it is */
    RC_QUERY_MARKS, /* what these keys say. Data as above; answer: eight bytes a key, RC_QUERY_MARK_NONE, _TEXT, or its number */
    RC_QUERY_SET, /* a key is to be written, with a time to live. Data: head | struct rc_query_set | the key | its value; code 0: done */
    RC_QUERY_HISTORY =
        17, /* the envelope's channel: messages kept of it. Data: head | struct rc_query_history; answer: struct rc_query_kept | entries */
    RC_QUERY_FORGET =
        18, /* the envelope's channel: its history is to be forgotten. Answer: struct rc_query_kept of the new epoch; `count`: messages gone */
    RC_QUERY_SESSION = 19, /* a lost session of Socket.IO, and what it missed: common/records/recovery.h */
    RC_QUERY_MISSED = 20,
    RC_QUERY_LINK = 21,     /* the same of an application behind links: common/records/link_kept.h */
    RC_QUERY_RETAINED = 16, /* the envelope's channel: its retained values. Answer: entries of common/shm/history.h */
};

struct rc_query_head {
    uint8_t kind; /* enum rc_query_kind */
    uint8_t reserved;
    uint16_t limit; /* 1 to RC_QUERY_LIMIT_MAX; 0 = RC_QUERY_LIMIT_DEFAULT. Of LINK: 0, or RC_QUERY_NOT_LAST */
};
_Static_assert(sizeof(struct rc_query_head) == 4, "query head layout");

#define RC_QUERY_NOT_LAST 1u /* whom nobody knows is asked for once more, and counted then */

enum rc_query_flags {
    RC_QUERY_LOCAL = 1u << 0, /* of this host only: Redis is away, or took too long */
    RC_QUERY_MORE = 1u << 1,  /* there are more entries than were asked for, or than fit */
};

struct rc_query_answer {
    uint64_t clients; /* channel: all of them, also those whose entries were left out */
    uint64_t users;   /* the same for different users; users: how many are online */
    uint32_t count;   /* entries */
    uint32_t flags;   /* enum rc_query_flags */
};
_Static_assert(sizeof(struct rc_query_answer) == 24, "query answer layout");

/* Which messages: the oldest behind `since`, at most so many as the head says; without RC_QUERY_SINCE the newest. */
#define RC_QUERY_SINCE (1u << 0)
struct rc_query_history {
    uint64_t since;
    uint32_t flags;
    uint32_t reserved;
};
_Static_assert(sizeof(struct rc_query_history) == 16, "query history layout");

/* Messages with contiguous offsets, as entries of common/shm/history.h one behind the other. */
struct rc_query_kept {
    uint64_t epoch;         /* 0 = nothing was ever kept, or it is forgotten */
    uint64_t first;         /* oldest offset that is there; last + 1: none is */
    uint64_t last;          /* newest offset that there ever was */
    uint64_t from;          /* offset of the first entry */
    uint32_t count;         /* entries */
    uint32_t flags;         /* RC_QUERY_MORE: there are more behind the last entry */
    uint64_t since_1970_ms; /* of what the entries' times count from */
};
_Static_assert(sizeof(struct rc_query_kept) == 48, "query kept layout");

/* Those about keys have no answer of this host: 503 when Redis is away, or has too much to do. They are taken in the order in which
 * they come, and are nobody's but the worker's: the origin is not a client's. */
#define RC_QUERY_KEY_MAX 384u
#define RC_QUERY_KEYS_MAX 128u          /* in one question */
#define RC_QUERY_VALUE_BYTES_MAX 32768u /* larger ones are RC_QUERY_VALUE_TOO_LARGE */

enum rc_query_value_state {
    RC_QUERY_VALUE_MISSING,
    RC_QUERY_VALUE_THERE,
    RC_QUERY_VALUE_TOO_LARGE,
    RC_QUERY_VALUE_NO_TEXT, /* it is a hash, a list, … */
};

struct rc_query_value {
    uint64_t lives_ms; /* from now; UINT64_MAX = for ever */
    uint32_t state;    /* enum rc_query_value_state */
    uint32_t bytes;    /* of the value that follows */
};
_Static_assert(sizeof(struct rc_query_value) == 16, "query value layout");

#define RC_QUERY_MARK_NONE 0ull       /* the key is not there */
#define RC_QUERY_MARK_TEXT UINT64_MAX /* it is, and its value is no whole number from 1 to RC_QUERY_MARK_NUMBER_MAX */
#define RC_QUERY_MARK_NUMBER_MAX 999999999999999999ull

struct rc_query_set {
    uint32_t lives_s; /* 1 to RC_QUERY_LIVES_S_MAX */
    uint16_t key_bytes;
    uint16_t value_bytes;
};
_Static_assert(sizeof(struct rc_query_set) == 8, "query set layout");
#define RC_QUERY_LIVES_S_MAX (10u * 366 * 86400)

/* Writes a key behind `used` bytes: its length in two, and it. The bytes then, or 0 when it does not fit `room`. */
static inline uint32_t rc_query_key_put(uint8_t *out, uint32_t used, uint32_t room, struct rc_span key)
{
    const uint16_t bytes = (uint16_t)key.count;
    if (key.count > RC_QUERY_KEY_MAX || sizeof(bytes) + key.count > room - used) {
        return 0;
    }
    memcpy(out + used, &bytes, sizeof(bytes));
    memcpy(out + used + sizeof(bytes), key.bytes, key.count);
    return used + (uint32_t)sizeof(bytes) + bytes;
}

/* Takes the first key off; false when there is none, or only a part of one. */
static inline bool rc_query_key_next(struct rc_span *rest, struct rc_span *key)
{
    uint16_t bytes;
    if (rest->count < sizeof(bytes)) {
        return false;
    }
    memcpy(&bytes, rest->bytes, sizeof(bytes));
    if (bytes == 0 || bytes > RC_QUERY_KEY_MAX || rest->count - sizeof(bytes) < bytes) {
        return false;
    }
    *key = rc_span_of(rest->bytes + sizeof(bytes), bytes);
    *rest = rc_span_of(key->bytes + bytes, rest->count - sizeof(bytes) - bytes);
    return true;
}

/* Of a channel: a user (empty = the anonymous together) with the instances where it is; of a user: its one entry, if it is online
 * anywhere. */
struct rc_query_entry {
    uint32_t clients;
    struct rc_span user;
    struct rc_span instances; /* ids with one comma between them */
    struct rc_span info;      /* what else is known of it there, JSON (common/records/member.h); empty = nothing */
};

/* An instance. */
struct rc_query_instance {
    uint64_t started_ms; /* since 1970; 0 = not known */
    uint64_t heard_ms;   /* ago: its last heartbeat */
    uint64_t clients;    /* as that told */
    struct rc_span id;
};

#define RC_QUERY_ENTRY_HEAD 10u    /* bytes: clients, user's bytes (1), 0, instances' bytes (2), info's bytes (2) */
#define RC_QUERY_INSTANCE_HEAD 25u /* bytes: three numbers and the id's bytes (1) */

/* Writes an entry behind `used` bytes; the bytes then, or 0 when it does not fit `room`. */
static inline uint32_t rc_query_entry_put(uint8_t *out, uint32_t used, uint32_t room,
                                          const struct rc_query_entry *entry)
{
    const uint64_t bytes = RC_QUERY_ENTRY_HEAD + entry->user.count + entry->instances.count + entry->info.count;
    if (bytes > room - used || entry->user.count > UINT8_MAX || entry->instances.count > UINT16_MAX ||
        entry->info.count > UINT16_MAX) {
        return 0;
    }
    const uint16_t instances = (uint16_t)entry->instances.count;
    const uint16_t info = (uint16_t)entry->info.count;
    uint8_t *at = out + used;
    memcpy(at, &entry->clients, 4);
    at[4] = (uint8_t)entry->user.count;
    at[5] = 0;
    memcpy(at + 6, &instances, 2);
    memcpy(at + 8, &info, 2);
    if (entry->user.count > 0) {
        memcpy(at + RC_QUERY_ENTRY_HEAD, entry->user.bytes, entry->user.count);
    }
    if (instances > 0) {
        memcpy(at + RC_QUERY_ENTRY_HEAD + entry->user.count, entry->instances.bytes, instances);
    }
    if (info > 0) {
        memcpy(at + RC_QUERY_ENTRY_HEAD + entry->user.count + instances, entry->info.bytes, info);
    }
    return used + (uint32_t)bytes;
}

/* Takes the first entry off; false when there is none, or only a part of one. */
static inline bool rc_query_entry_next(struct rc_span *rest, struct rc_query_entry *entry)
{
    uint16_t instances;
    uint16_t info;
    if (rest->count < RC_QUERY_ENTRY_HEAD) {
        return false;
    }
    memcpy(&entry->clients, rest->bytes, 4);
    memcpy(&instances, rest->bytes + 6, 2);
    memcpy(&info, rest->bytes + 8, 2);
    const size_t bytes = RC_QUERY_ENTRY_HEAD + rest->bytes[4] + (size_t)instances + info;
    if (rest->count < bytes) {
        return false;
    }
    entry->user = rc_span_of(rest->bytes + RC_QUERY_ENTRY_HEAD, rest->bytes[4]);
    entry->instances = rc_span_of(entry->user.bytes + entry->user.count, instances);
    entry->info = rc_span_of(entry->instances.bytes + instances, info);
    *rest = rc_span_of(rest->bytes + bytes, rest->count - bytes);
    return true;
}

/* Takes the first of `instances` off; false when there is none. */
static inline bool rc_query_instance_of(struct rc_span *instances, struct rc_span *id)
{
    if (instances->count == 0) {
        return false;
    }
    const uint8_t *comma = memchr(instances->bytes, ',', instances->count);
    const size_t bytes = comma == NULL ? instances->count : (size_t)(comma - instances->bytes);
    const size_t taken = comma == NULL ? bytes : bytes + 1;
    *id = rc_span_of(instances->bytes, bytes);
    *instances = rc_span_of(instances->bytes + taken, instances->count - taken);
    return true;
}

/* As the two above, for RC_QUERY_INSTANCES. */
static inline uint32_t rc_query_instance_put(uint8_t *out, uint32_t used, uint32_t room,
                                             const struct rc_query_instance *one)
{
    if (RC_QUERY_INSTANCE_HEAD + one->id.count > room - used || one->id.count > UINT8_MAX) {
        return 0;
    }
    uint8_t *at = out + used;
    memcpy(at, &one->started_ms, 8);
    memcpy(at + 8, &one->heard_ms, 8);
    memcpy(at + 16, &one->clients, 8);
    at[24] = (uint8_t)one->id.count;
    memcpy(at + RC_QUERY_INSTANCE_HEAD, one->id.bytes, one->id.count);
    return used + RC_QUERY_INSTANCE_HEAD + (uint32_t)one->id.count;
}

static inline bool rc_query_instance_next(struct rc_span *rest, struct rc_query_instance *one)
{
    if (rest->count < RC_QUERY_INSTANCE_HEAD || rest->count - RC_QUERY_INSTANCE_HEAD < rest->bytes[24]) {
        return false;
    }
    memcpy(&one->started_ms, rest->bytes, 8);
    memcpy(&one->heard_ms, rest->bytes + 8, 8);
    memcpy(&one->clients, rest->bytes + 16, 8);
    one->id = rc_span_of(rest->bytes + RC_QUERY_INSTANCE_HEAD, rest->bytes[24]);
    const size_t bytes = RC_QUERY_INSTANCE_HEAD + one->id.count;
    *rest = rc_span_of(rest->bytes + bytes, rest->count - bytes);
    return true;
}

#endif
