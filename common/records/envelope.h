/*
 * envelope: the records that travel on the rings between a worker and the relay.
 *
 * One fixed header, then variable parts in this order, without padding between them:
 *
 *   struct rc_envelope | channel name | request id | key | event name | exclude refs (16 bytes each) | exclude text | data
 *
 * The sender fills a claimed ring record in place; the receiver copies the header, validates it with rc_envelope_read
 * and gets views of the parts. Payload bytes are never re-serialised: `data` stays the raw text or binary that the
 * publisher sent.
 */
#ifndef RC_COMMON_RECORDS_ENVELOPE_H
#define RC_COMMON_RECORDS_ENVELOPE_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "common/base/hash.h"
#include "common/config/values.h"

#define RC_REQUEST_ID_MAX 66  /* a 64-byte string with its quotes */
#define RC_MESSAGE_KEY_MAX 64 /* bytes of a message's key */
#define RC_EXCLUDES_MAX 1024  /* exclude refs of one message */
#define RC_EXCLUDE_TEXT_MAX 65536

/* Record types on a ring (rc_ring_record_header.type). */
enum rc_record_type {
    /* up: worker to relay */
    RC_UP_PUBLISH = 1, /* channel (or "*"), data; answered RC_DOWN_MESSAGE or RC_DOWN_ANSWER to the origin's worker */
    RC_UP_DIRECT =
        2, /* target, data; target.worker RC_WORKER_FOREIGN: a client of another instance, its id is the channel */
    RC_UP_INTEREST_ADD = 3,    /* channel: first local subscriber; answered by RC_DOWN_INTEREST */
    RC_UP_INTEREST_REMOVE = 4, /* channel: last local subscriber gone */
    RC_UP_SNAPSHOT_BEGIN = 5,  /* token = relay generation: every interest follows as RC_UP_INTEREST_ADD */
    RC_UP_SNAPSHOT_END = 6,    /* token = relay generation */
    RC_UP_CALL = 7,            /* HTTP API: to the worker of `target`, or to all; see common/records/call.h */
    RC_UP_REPLY = 8,           /* answer to an RC_DOWN_CALL, for the worker `target.worker` */
    RC_UP_MEMBER_ADD = 9, /* channel, origin, data = user id: the client is subscribed (worker/uplink/memberships.h) */
    RC_UP_MEMBER_REMOVE = 10, /* channel, origin: it is not any more */
    RC_UP_MEMBERS_BEGIN = 11, /* token = relay generation: every membership follows as RC_UP_MEMBER_ADD */
    RC_UP_MEMBERS_END = 12,   /* token = relay generation: what was not told again is no more */
    RC_UP_QUERY = 13,         /* a question about the cluster (common/records/query.h) */
    RC_UP_LIMIT = 14,         /* may this happen once more, on all instances? (common/records/limit.h) */
    RC_UP_SELECT = 15,        /* like RC_UP_PUBLISH, with whom it is for as an RC_DOWN_SELECT says it */
    RC_UP_RETAIN =
        16, /* as RC_UP_PUBLISH, but kept as the retained value and not sent; no data: there is none any more */
    RC_UP_SESSION = 17, /* how a Socket.IO socket that may come back stands (common/records/recovery.h) */
    /* Clients of this worker (data: their struct rc_client_ref) become target.worker's from this place of the order on; token: whose moving it is
     * (worker/move). Sequenced; answered RC_DOWN_BARRIER. */
    RC_UP_BARRIER = 18,
    RC_UP_GUEST =
        19, /* origin, the client of another place or a former one, is this worker's; with a code: it is not any more */
    RC_UP_LINK = 20, /* what clients of an application behind links may come back to (common/records/link_kept.h) */
    /* down: relay to worker */
    RC_DOWN_MESSAGE = 32,  /* a sequenced channel message; with RC_ENVELOPE_ANSWER also the publisher's answer */
    RC_DOWN_DIRECT = 33,   /* a sequenced message for one client (target) */
    RC_DOWN_ANSWER = 34,   /* the publisher's answer alone: its worker has no subscriber of the channel, or an error */
    RC_DOWN_INTEREST = 35, /* channel: interest is registered; what is published after this record is delivered */
    RC_DOWN_GAP = 36,      /* channel (empty = all): messages were dropped inside the host */
    RC_DOWN_CALL = 37,     /* to be answered by an RC_UP_REPLY to the worker `origin.worker` */
    RC_DOWN_REPLY = 38,    /* of the worker `origin.worker` */
    RC_DOWN_QUERY = 39,    /* the answer to an RC_UP_QUERY */
    RC_DOWN_LIMIT = 41,    /* the answer to an RC_UP_LIMIT */
    RC_DOWN_MEMBER = 42,   /* somebody came to a channel or left it (common/records/member.h) */
    RC_DOWN_BARRIER =
        43, /* an RC_UP_BARRIER of origin.worker, in both workers' rings at one place of the order; code: it is in none */
    RC_DOWN_SELECT = 40, /* a sequenced message for the members of several rooms (common/records/select.h) */
};

enum rc_envelope_flags {
    RC_ENVELOPE_WANT_ANSWER = 1u << 0, /* up: the request carried an id */
    RC_ENVELOPE_ANSWER = 1u << 1,      /* down: answer `request id` of `origin` */
    RC_ENVELOPE_NO_ECHO = 1u << 2,     /* the origin does not get its own message */
    RC_ENVELOPE_BINARY = 1u << 3,      /* data is binary, else JSON text */
    RC_ENVELOPE_SCOPE_LOCAL = 1u << 4, /* RC_DOWN_INTEREST: Redis has not confirmed */
    RC_ENVELOPE_REMOTE =
        1u << 5, /* came from another instance or a backend; RC_DOWN_GAP: some of it may be in no history */
    RC_ENVELOPE_BROADCAST = 1u << 6, /* publish on "*" that came as `broadcast` (answer type differs) */
    RC_ENVELOPE_API = 1u << 7,       /* of the HTTP API: the request id is a struct rc_call_tag */
    RC_ENVELOPE_PRESENCE = 1u << 9,  /* RC_UP_MEMBER_ADD: of a namespace with presence */
    RC_ENVELOPE_DUPLICATE = 1u << 8, /* RC_DOWN_ANSWER: not sent again; `position` is the first one's sequence */
    RC_ENVELOPE_ARGS = 1u << 10,     /* data is that of common/records/args.h; never with RC_ENVELOPE_BINARY */
    RC_ENVELOPE_VOLATILE = 1u << 11, /* not for who cannot take it when it comes */
    RC_ENVELOPE_RETAIN = 1u << 12,   /* RC_UP_PUBLISH: it is the channel's retained value from now on */
    RC_ENVELOPE_TRACED = 1u << 14,   /* the client that published it is traced (common/records/traced.h) */
    RC_ENVELOPE_MEMBER = 1u << 15,   /* RC_UP_MEMBER_ADD, _REMOVE: data is as common/records/member.h says */
    RC_ENVELOPE_STATE = 1u << 13,    /* RC_DOWN_INTEREST: what it says of the channel holds at this place of the ring */
    RC_ENVELOPE_STRAY = 1u << 9,     /* RC_UP_DIRECT, RC_DOWN_DIRECT: sent back by who has not the client */
};

/*
 * The sixteen flags are taken, so a bit may have two names, each with types of its own: what a record is its type says, and a flag only what
 * kind of that. Who sees a record of a type must not have got it from one of another with the bit set: RC_FANOUT_FLAGS has neither name.
 */
#define RC_ENVELOPE_TYPE(type) (UINT64_C(1) << (type))
#define RC_ENVELOPE_PRESENCE_TYPES RC_ENVELOPE_TYPE(RC_UP_MEMBER_ADD)
#define RC_ENVELOPE_STRAY_TYPES (RC_ENVELOPE_TYPE(RC_UP_DIRECT) | RC_ENVELOPE_TYPE(RC_DOWN_DIRECT))
_Static_assert((RC_ENVELOPE_PRESENCE_TYPES & RC_ENVELOPE_STRAY_TYPES) == 0, "no record has both");

/* In the token of RC_UP_INTEREST_ADD: the acknowledgement is to bring the channel's retained values, as entries of common/shm/history.h
 * one behind the other. With RC_ENVELOPE_STATE it does, without it has to be asked for again. */
#define RC_INTEREST_RETAINED (UINT64_C(1) << 63)

/* As rc_client_ref.worker: not of this host. */
#define RC_WORKER_FOREIGN UINT16_MAX

/* A client of this host and boot. Zero random = nobody. */
struct rc_client_ref {
    uint64_t random; /* 64 random bits made when the connection opened */
    uint32_t slot;   /* of the client in its worker (struct rc_client) */
    uint16_t worker; /* home worker: where it was opened */
    uint16_t keeper; /* of a membership as the relay keeps it: the worker that has it now, and 1; else 0 */
};
/* Which worker has the client of a membership (keeper). */
static inline uint32_t rc_client_ref_keeper(const struct rc_client_ref *ref)
{
    return ref->keeper != 0 ? ref->keeper - 1u : ref->worker;
}

#define RC_MOVE_CLIENTS_MAX 64u /* clients that move in one go (RC_UP_BARRIER) */
_Static_assert(sizeof(struct rc_client_ref) == 16, "client ref layout");

struct rc_envelope {
    uint64_t
        sequence; /* host sequence, given by the relay; 0 = not sequenced (upwards, answers of errors, interest, gap) */
    uint64_t epoch; /* channel epoch, 0 = no history */
    uint64_t
        position; /* contiguous channel position within the epoch, 0 = none. RC_DOWN_INTEREST: the last one that there was */
    uint64_t time_ns;            /* CLOCK_MONOTONIC when the worker (or the relay, for Redis) took it */
    uint64_t channel_hash;       /* rc_channel_hash of the name, 0 = not computed */
    uint64_t token;              /* snapshot: relay generation */
    struct rc_client_ref origin; /* publisher; random 0 = none (backend) */
    struct rc_client_ref
        target; /* direct: receiver. With an epoch, RC_DOWN_MESSAGE and RC_DOWN_INTEREST: `slot` is the channel's in
                                    the history segment, `random` 0 */
    uint32_t generation; /* up: the writing worker's generation */
    uint32_t data_bytes;
    uint32_t exclude_text_bytes; /* NUL-terminated client ids of other instances; RC_..._SELECT: names of rooms */
    uint16_t flags;              /* enum rc_envelope_flags */
    uint16_t
        code; /* RC_DOWN_ANSWER: 0 = done, else error code of the native protocol. RC_DOWN_DIRECT: what an API call hears if nobody is there */
    uint16_t exclude_count;
    uint8_t channel_bytes;    /* 0..255 */
    uint8_t request_id_bytes; /* 0..66, the id as the client wrote it (JSON token or binary form) */
    uint8_t key_bytes;        /* 0..64; what a newer message of the same key may replace, 0 = the whole channel */
    uint8_t event_bytes;      /* what the event is called, for protocols that have events; 0 = it has no name */
    uint8_t passed;           /* in the relay, direct: how many instances passed it on to where its socket went */
    uint8_t reserved;
};
_Static_assert(sizeof(struct rc_envelope) == 104, "envelope layout");

/* The validated views of a record's parts; they point into the ring and live until it is released. */
struct rc_envelope_view {
    struct rc_envelope head; /* copied */
    const char *channel;     /* head.channel_bytes, not NUL-terminated */
    const uint8_t *request_id;
    const uint8_t *key;
    const char *event;       /* head.event_bytes, not NUL-terminated */
    const uint8_t *excludes; /* head.exclude_count refs, unaligned: read with rc_envelope_exclude */
    const char *exclude_text;
    const uint8_t *data;
};

/* Bytes of a record with the parts that `head` announces. */
static inline uint64_t rc_envelope_bytes(const struct rc_envelope *head)
{
    return sizeof(*head) + head->channel_bytes + head->request_id_bytes + head->key_bytes + head->event_bytes +
           (uint64_t)head->exclude_count * sizeof(struct rc_client_ref) + head->exclude_text_bytes + head->data_bytes;
}

/* Validates a record of another process: lengths add up exactly to `bytes`, bounds hold, exclude text ends with NUL, arguments
 * are laid out as args.h says.
 * 0, or -EBADMSG. Only shapes are checked: whether `target.worker` or a flag means anything, the reader finds out. */
int rc_envelope_read(struct rc_envelope_view *view, const void *record, uint32_t bytes);

/* Lays the parts out behind a copy of `view->head` in `record`, which has rc_envelope_bytes(&view->head) bytes. */
void rc_envelope_write(void *record, const struct rc_envelope_view *view);

static inline struct rc_client_ref rc_envelope_exclude(const struct rc_envelope_view *view, uint32_t index)
{
    struct rc_client_ref ref;
    memcpy(&ref, view->excludes + (size_t)index * sizeof(ref), sizeof(ref));
    return ref;
}

/* Of a channel name, never 0; the same in all processes of a host and boot (common/base/hash.h). */
static inline uint64_t rc_channel_hash(const char *name, size_t bytes)
{
    return rc_hash(name, bytes);
}

/*
 * Client ids: `{instance}~{24 URL-safe base64 characters}` of boot nonce (4 bytes), worker (2), slot (4), random (8),
 * big endian. Opaque to clients; every part is compared on delivery.
 */
#define RC_CLIENT_ID_MAX (RC_INSTANCE_ID_MAX + 1 + 24)
/* Writes the id without NUL, returns its bytes (<= RC_CLIENT_ID_MAX). */
size_t rc_client_id_write(char *out, const char *instance_id, uint32_t boot_nonce, const struct rc_client_ref *ref);
enum rc_client_id_kind {
    RC_CLIENT_ID_INVALID, /* not an id at all, or one that no ringcast makes (no random bits, worker too large) */
    RC_CLIENT_ID_LOCAL,   /* this instance and boot: *ref is set */
    RC_CLIENT_ID_STALE,   /* this instance, an earlier boot: reaches nobody */
    RC_CLIENT_ID_FOREIGN, /* another instance */
};
enum rc_client_id_kind rc_client_id_read(const char *id, size_t bytes, const char *instance_id, uint32_t boot_nonce,
                                         struct rc_client_ref *ref);

#endif
