/*
 * frame: frames of a link, to the byte (docs/link.md), in both directions.
 *
 * Pure code: nothing allocates, any process may call. What is read comes from a peer: its head is checked as soon as it is there, its payload
 * once it is whole (rc_link_frame_check); then the readers below take it apart, which cannot fail any more.
 */
#ifndef RC_WORKER_LINK_FRAME_H
#define RC_WORKER_LINK_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/span.h"
#include "worker/proto/link.h"
#include "worker/store/linked.h"

#define RC_LINK_VERSION 1u
#define RC_LINK_CONNECTION_MAX ((UINT64_C(1) << 53) - 1u)
#define RC_LINK_UID_MAX 64u
#define RC_LINK_ROOM_MAX 1024u
#define RC_LINK_ROOMS_MAX 4096u /* of one list */
#define RC_LINK_PING_MAX 64u
#define RC_LINK_JSON_MAX 65536u /* of HELLO, READY, ACCEPT and REJECT */
#define RC_LINK_SIGNATURE_BYTES 64u

enum rc_link_type {
    RC_LINK_HELLO = 1,
    RC_LINK_READY = 2,
    RC_LINK_PING = 3,
    RC_LINK_PONG = 4,
    RC_LINK_ERROR = 5,
    RC_LINK_ASKS = 6,
    RC_LINK_TAKEN = 7,
    RC_LINK_OPEN = 16,
    RC_LINK_ACCEPT = 17,
    RC_LINK_REJECT = 18,
    RC_LINK_TEXT = 19,
    RC_LINK_BINARY = 20,
    RC_LINK_CLOSE = 21,
    RC_LINK_CLOSED = 22,
    RC_LINK_UPGRADED = 23,
    RC_LINK_WRITABLE = 24,
    RC_LINK_FAILED = 25,
    RC_LINK_JOIN = 32,
    RC_LINK_LEAVE = 33,
    RC_LINK_PEERS = 34,
    RC_LINK_CLUSTER = 35,
    RC_LINK_BROADCAST = 36,
    RC_LINK_ENTER = 37,
    RC_LINK_EXIT = 38,
    RC_LINK_SESSION = 40,
    RC_LINK_RESUMED = 41,
    RC_LINK_DETACH = 42,
    RC_LINK_RECEIPT = 43,
    RC_LINK_REPLY = 44,
    RC_LINK_REQUEST = 45,
    RC_LINK_KEEP = 46,
    RC_LINK_TYPE_COUNT,
};

enum rc_link_flags {
    RC_LINK_HELD = 1u << 0,     /* OPEN */
    RC_LINK_VOLATILE = 1u << 0, /* TEXT, BINARY, BROADCAST, as the next two (BROADCAST: not MORE) */
    RC_LINK_PLAIN = 1u << 1,
    RC_LINK_MORE = 1u << 2,
    RC_LINK_LOCAL = 1u << 3,     /* BROADCAST */
    RC_LINK_PRIMARY = 1u << 4,   /* BROADCAST */
    RC_LINK_DISCARD = 1u << 0,   /* CLOSE */
    RC_LINK_ALL = 1u << 0,       /* LEAVE */
    RC_LINK_HOLD = 1u << 0,      /* DETACH */
    RC_LINK_CONTINUES = 1u << 0, /* RECEIPT of ringcast, the first of a link */
};

enum rc_link_side { RC_LINK_BROKER, RC_LINK_APPLICATION };

struct rc_link_head {
    uint32_t length; /* of the payload */
    uint8_t type;    /* enum rc_link_type */
    uint8_t flags;   /* enum rc_link_flags */
    uint64_t connection;
};

void rc_link_head_write(uint8_t out[RC_LINK_HEAD_BYTES], const struct rc_link_head *head);
/* A head that `from` has sent. 0; -EBADMSG: it is none, or its payload is larger than `length_max` or than any of its type: `*why`, a static
 * sentence. */
int rc_link_head_read(const uint8_t bytes[RC_LINK_HEAD_BYTES], enum rc_link_side from, uint32_t length_max,
                      struct rc_link_head *head, const char **why);
/* Is that the payload of a frame whose head was read? 0; -EBADMSG likewise. JSON is not looked into. */
int rc_link_frame_check(const struct rc_link_head *head, enum rc_link_side from, struct rc_span payload,
                        const char **why);
/* "JOIN"; "?" of no type. */
const char *rc_link_type_name(uint8_t type);

/* Takes a payload apart that was checked, field by field. */
struct rc_link_reader {
    const uint8_t *at; /* borrowed */
    const uint8_t *end;
};

static inline struct rc_link_reader rc_link_reader_of(struct rc_span payload)
{
    return (struct rc_link_reader){.at = payload.bytes, .end = payload.bytes + payload.count};
}
struct rc_span rc_link_read_text(struct rc_link_reader *reader);
struct rc_span rc_link_read_bytes(struct rc_link_reader *reader);
struct rc_span rc_link_read_rest(struct rc_link_reader *reader);
uint8_t rc_link_read_u8(struct rc_link_reader *reader);
uint32_t rc_link_read_u32(struct rc_link_reader *reader);
uint64_t rc_link_read_u64(struct rc_link_reader *reader);
/* A list: how many texts follow, which are read by rc_link_read_text. */
uint32_t rc_link_read_list(struct rc_link_reader *reader);
/* The same, all of it passed over: a reader of its own for it. */
struct rc_link_reader rc_link_skip_list(struct rc_link_reader *reader);

#endif
