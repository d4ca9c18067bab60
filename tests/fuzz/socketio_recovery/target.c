/*
 * Connection state recovery of Socket.IO: what clients say that they were, and what lies in rings and shared memory about it: whatever it is, what is
 * taken of it is within its bounds.
 *
 * Input: a byte that says which, then it: a CONNECT's payload, an offset, a session, a claim, what was missed.
 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "common/base/check.h"
#include "worker/engine/returning.h"

static void read_payload(struct rc_span text)
{
    struct rc_sio_session_claim claim;
    uint8_t offset[UINT8_MAX];
    if (rc_returning_read(text, &claim, offset)) {
        RC_ASSERT(claim.user_bytes == 0);
        RC_ASSERT(claim.offset_bytes == 0 || memchr(text.bytes, '"', text.count) != NULL);
    }
}

static void read_offset(struct rc_span text)
{
    static const char origin[RC_OFFSET_ORIGIN_BYTES] = {'a', 'b', 'c', 'd', 'e'};
    char again[RC_OFFSET_BYTES_MAX];
    uint64_t sequence;
    uint64_t same;
    if (rc_offset_read(text, origin, &sequence) != RC_OFFSET_INVALID) {
        const size_t bytes = rc_offset_write(again, origin, sequence);
        RC_ASSERT(bytes <= text.count && rc_offset_read(rc_span_of(again, bytes), origin, &same) == RC_OFFSET_OWN);
        RC_ASSERT(same == sequence);
    }
}

static void read_session(struct rc_span data)
{
    struct rc_sio_session_head head;
    struct rc_sio_session_parts parts;
    struct rc_span room;
    size_t bytes = 0;
    if (rc_sio_session_read(data, &head, &parts) == 0) {
        RC_ASSERT(sizeof(head) + parts.user.count + parts.set.count + parts.rooms.count == data.count);
        const size_t all = parts.rooms.count;
        while (rc_sio_session_room_next(&parts.rooms, &room)) {
            RC_ASSERT(room.count > 0 && room.count <= RC_CHANNEL_NAME_MAX);
            bytes += room.count + 1;
        }
        RC_ASSERT(bytes == all);
    }
}

static void read_claim(struct rc_span data)
{
    struct rc_sio_session_claim claim;
    struct rc_span user;
    struct rc_span offset;
    if (rc_sio_session_claim_read(data, &claim, &user, &offset) == 0) {
        RC_ASSERT(sizeof(claim) + user.count + offset.count == data.count);
    }
}

static void read_missed(struct rc_span rest)
{
    struct rc_missed_entry entry;
    struct rc_missed_parts parts;
    const uint8_t *end = rest.bytes + rest.count;
    while (rc_missed_next(&rest, &entry, &parts)) {
        RC_ASSERT(parts.data.bytes + parts.data.count <= end && parts.channel.count == entry.channel_bytes);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void (*const readers[])(struct rc_span) = {read_payload, read_offset, read_session, read_claim, read_missed};
    if (size > 0) {
        readers[data[0] % RC_ARRAY_COUNT(readers)](rc_span_of(data + 1, size - 1));
    }
    return 0;
}
