/*
 * link: messages of an application whose clients the broker holds (docs/link.md), as they travel on a link and lie in an event's data:
 *
 *   u16 count, and so often: u8 kind (0 text, 1 binary), u32 bytes, the message        (little-endian)
 *
 * Pure code: nothing allocates. What is read comes from a peer: checked once (rc_link_messages_check), then believed.
 */
#ifndef RC_WORKER_PROTO_LINK_H
#define RC_WORKER_PROTO_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/span.h"
#include "worker/proto/unit.h"

#define RC_LINK_MESSAGES_HEAD_BYTES 2u
#define RC_LINK_MESSAGE_HEAD_BYTES 5u

struct rc_link_messages {
    const uint8_t *at; /* borrowed */
    uint32_t left;
};

static inline uint16_t rc_link_u16(const uint8_t *bytes)
{
    return (uint16_t)(bytes[0] | bytes[1] << 8);
}

static inline uint32_t rc_link_u32(const uint8_t *bytes)
{
    return (uint32_t)rc_link_u16(bytes) | (uint32_t)rc_link_u16(bytes + 2) << 16;
}

static inline uint64_t rc_link_u64(const uint8_t *bytes)
{
    return (uint64_t)rc_link_u32(bytes) | (uint64_t)rc_link_u32(bytes + 4) << 32;
}

static inline void rc_link_put_u16(uint8_t *out, uint16_t value)
{
    out[0] = (uint8_t)value;
    out[1] = (uint8_t)(value >> 8);
}

static inline void rc_link_put_u32(uint8_t *out, uint32_t value)
{
    rc_link_put_u16(out, (uint16_t)value);
    rc_link_put_u16(out + 2, (uint16_t)(value >> 16));
}

static inline void rc_link_put_u64(uint8_t *out, uint64_t value)
{
    rc_link_put_u32(out, (uint32_t)value);
    rc_link_put_u32(out + 4, (uint32_t)(value >> 32));
}

/* Bytes of the messages at the beginning of `bytes`; 0: they are none, or a text among them is not UTF-8. */
size_t rc_link_messages_check(struct rc_span bytes);
/* Of checked ones: true, and the next one; false: there is no more. */
struct rc_link_messages rc_link_messages_of(struct rc_span bytes);
bool rc_link_messages_next(struct rc_link_messages *messages, enum rc_part_kind *kind, struct rc_span *message);
/* Is there a text among checked ones that polling would tear: with the separator of its packets in it, which nothing escapes? */
bool rc_link_messages_tear(struct rc_span bytes);
bool rc_link_text_tears(struct rc_span text);
/* The head of a message alone, behind the count. */
void rc_link_message_head(uint8_t out[RC_LINK_MESSAGE_HEAD_BYTES], enum rc_part_kind kind, uint32_t bytes);

#endif
