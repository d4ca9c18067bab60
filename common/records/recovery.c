/* recovery: see recovery.h. */
#include "common/records/recovery.h"

#include <errno.h>
#include <string.h>

#include "common/base/bytes.h"
#include "common/base/hash.h"
#include "common/config/values.h"
#include "common/text/base64.h"

#define DIGIT_BITS 6u

int rc_sio_session_read(struct rc_span data, struct rc_sio_session_head *head, struct rc_sio_session_parts *parts)
{
    struct rc_span rest = data;
    struct rc_span part;
    if (data.count > RC_SIO_SESSION_BYTES_MAX || !rc_bytes_take(&rest, sizeof(*head), &part)) {
        return -EBADMSG;
    }
    memcpy(head, part.bytes, sizeof(*head));
    if (head->state > RC_SIO_SESSION_ENDED || !rc_bytes_take(&rest, head->user_bytes, &parts->user) ||
        !rc_bytes_take(&rest, head->set_bytes, &parts->set) ||
        !rc_bytes_take(&rest, head->rooms_bytes, &parts->rooms) || rest.count != 0 ||
        (parts->rooms.count > 0 && parts->rooms.bytes[parts->rooms.count - 1] != '\0')) {
        return -EBADMSG;
    }
    struct rc_span rooms = parts->rooms;
    struct rc_span room;
    while (rc_sio_session_room_next(&rooms, &room)) {
        if (room.count == 0 || room.count > RC_CHANNEL_NAME_MAX) {
            return -EBADMSG;
        }
    }
    return 0;
}

bool rc_sio_session_room_next(struct rc_span *rooms, struct rc_span *room)
{
    const uint8_t *end = rooms->count > 0 ? memchr(rooms->bytes, '\0', rooms->count) : NULL;
    if (end == NULL) {
        return false;
    }
    const size_t count = (size_t)(end - rooms->bytes);
    return rc_bytes_take(rooms, count, room) && rc_bytes_take(rooms, 1, &(struct rc_span){0});
}

int rc_sio_session_claim_read(struct rc_span data, struct rc_sio_session_claim *claim, struct rc_span *user,
                              struct rc_span *offset)
{
    struct rc_span part;
    if (!rc_bytes_take(&data, sizeof(*claim), &part)) {
        return -EBADMSG;
    }
    memcpy(claim, part.bytes, sizeof(*claim));
    return rc_bytes_take(&data, claim->user_bytes, user) && rc_bytes_take(&data, claim->offset_bytes, offset) &&
                   data.count == 0
               ? 0
               : -EBADMSG;
}

bool rc_missed_next(struct rc_span *rest, struct rc_missed_entry *entry, struct rc_missed_parts *parts)
{
    struct rc_span part;
    struct rc_span behind = *rest;
    if (!rc_bytes_take(&behind, sizeof(*entry), &part)) {
        return false;
    }
    memcpy(entry, part.bytes, sizeof(*entry));
    if (!rc_bytes_take(&behind, entry->channel_bytes, &parts->channel) ||
        !rc_bytes_take(&behind, entry->event_bytes, &parts->event) ||
        !rc_bytes_take(&behind, entry->data_bytes, &parts->data)) {
        return false;
    }
    *rest = behind;
    return true;
}

void rc_offset_origin(char out[RC_OFFSET_ORIGIN_BYTES], const char *instance_id, uint32_t boot_nonce)
{
    uint8_t text[RC_INSTANCE_ID_MAX + sizeof(boot_nonce)];
    const size_t bytes = strnlen(instance_id, RC_INSTANCE_ID_MAX);
    memcpy(text, instance_id, bytes);
    memcpy(text + bytes, &boot_nonce, sizeof(boot_nonce));
    uint64_t bits = rc_hash_public(text, bytes + sizeof(boot_nonce));
    for (uint32_t i = 0; i < RC_OFFSET_ORIGIN_BYTES; i++) {
        out[i] = rc_base64url_character((uint32_t)bits);
        bits >>= DIGIT_BITS;
    }
}

size_t rc_offset_write(char out[RC_OFFSET_BYTES_MAX], const char origin[RC_OFFSET_ORIGIN_BYTES], uint64_t sequence)
{
    uint32_t digits = 1;
    while (digits < RC_OFFSET_BYTES_MAX - RC_OFFSET_ORIGIN_BYTES && sequence >> (DIGIT_BITS * digits) != 0) {
        digits++;
    }
    memcpy(out, origin, RC_OFFSET_ORIGIN_BYTES);
    for (uint32_t i = 0; i < digits; i++) {
        out[RC_OFFSET_ORIGIN_BYTES + i] =
            rc_base64url_character((uint32_t)(sequence >> (DIGIT_BITS * (digits - 1 - i))));
    }
    return RC_OFFSET_ORIGIN_BYTES + digits;
}

enum rc_offset_kind rc_offset_read(struct rc_span text, const char origin[RC_OFFSET_ORIGIN_BYTES], uint64_t *sequence)
{
    if (text.count <= RC_OFFSET_ORIGIN_BYTES || text.count > RC_OFFSET_BYTES_MAX) {
        return RC_OFFSET_INVALID;
    }
    *sequence = 0;
    for (size_t i = 0; i < text.count; i++) {
        const int value = rc_base64url_value(text.bytes[i]);
        if (value < 0 || (i >= RC_OFFSET_ORIGIN_BYTES && *sequence >> (64 - DIGIT_BITS) != 0)) {
            return RC_OFFSET_INVALID;
        }
        if (i >= RC_OFFSET_ORIGIN_BYTES) {
            *sequence = *sequence << DIGIT_BITS | (uint32_t)value;
        }
    }
    return memcmp(text.bytes, origin, RC_OFFSET_ORIGIN_BYTES) == 0 ? RC_OFFSET_OWN : RC_OFFSET_FOREIGN;
}
