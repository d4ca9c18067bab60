/*
 * select: whom an RC_DOWN_SELECT (or RC_UP_SELECT) is for: everybody in one of several rooms and in none of some others, once each.
 *
 * The record is like an RC_DOWN_MESSAGE: its channel is "{nsp}#", its flags, event and data are the message, its exclude refs do not get
 * it. In place of client ids its exclude text has names, each ended by a NUL: those of the rooms' channels, an empty one, those of the
 * channels whose members do not get it.
 *
 *   "chat\0/admin\0" "\0" "muted\0"
 *
 * Without rooms it is for everybody in the namespace. A room that is a session id of this instance (common/records/sid.h) stands for
 * that client, whether or not somebody is subscribed to a channel of that name.
 *
 * Pure; any process may call. What is read comes out of another process's memory: every byte is looked at once.
 */
#ifndef RC_COMMON_RECORDS_SELECT_H
#define RC_COMMON_RECORDS_SELECT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "common/base/span.h"
#include "common/records/channel_name.h"
#include "common/records/envelope.h"

/* Takes the next room off `names`; false at the end of the rooms, whose mark it has then taken: those that do not get it follow, by the
 * same function. `names` begins as the exclude text of a record that rc_envelope_read has let through. */
static inline bool rc_select_next(struct rc_span *names, struct rc_span *name)
{
    const uint8_t *end = names->count > 0 ? memchr(names->bytes, '\0', names->count) : NULL;
    if (end == NULL) {
        *names = (struct rc_span){0};
        return false;
    }
    *name = rc_span_of(names->bytes, (size_t)(end - names->bytes));
    *names = rc_span_of(end + 1, names->count - name->count - 1);
    return name->count > 0;
}

/* Names as they are put together. */
struct rc_select {
    char *text; /* borrowed: RC_EXCLUDE_TEXT_MAX bytes */
    uint32_t bytes;
    bool full; /* true exactly when something did not fit: the record must not be sent */
};

/* Appends a room's channel; an empty room: everybody in the namespace. */
static inline void rc_select_put(struct rc_select *select, struct rc_span nsp, struct rc_span room)
{
    const size_t left = RC_EXCLUDE_TEXT_MAX - select->bytes;
    const size_t bytes = left > 0 ? rc_channel_of_room(select->text + select->bytes, left - 1, nsp, room) : 0;
    if (bytes == 0) {
        select->full = true;
        return;
    }
    select->bytes += (uint32_t)bytes;
    select->text[select->bytes++] = '\0';
}

/* No more rooms: those that do not get it follow. */
static inline void rc_select_except(struct rc_select *select)
{
    if (select->bytes == RC_EXCLUDE_TEXT_MAX) {
        select->full = true;
        return;
    }
    select->text[select->bytes++] = '\0';
}

/* Names of rooms that are excepted from one message, each ended by a NUL, at most. */
#define RC_SELECT_EXCEPT_MAX 64u
#define RC_SELECT_EXCEPT_BYTES (RC_SELECT_EXCEPT_MAX * (RC_CHANNEL_NAME_MAX + 1u))
/* "{nsp}#", then "room\0" "\0" and those names. */
#define RC_SELECT_ONE_BYTES (2 * (RC_CHANNEL_NAME_MAX + 1u) + RC_SELECT_EXCEPT_BYTES)

/* Appends a room's channel to such names. False: there is no room, or the name is too long. */
static inline bool rc_select_except_put(char *names, uint32_t *bytes, struct rc_span nsp, struct rc_span room)
{
    char name[RC_CHANNEL_NAME_MAX];
    const size_t count = rc_channel_of_room(name, sizeof(name), nsp, room);
    if (count == 0 || room.count == 0 || *bytes + count + 1 > RC_SELECT_EXCEPT_BYTES) {
        return false;
    }
    memcpy(names + *bytes, name, count);
    names[*bytes + count] = '\0';
    *bytes += (uint32_t)count + 1;
    return true;
}

/* The view is for everybody in a channel (a room's, or "{nsp}#") but for the members of those; it points into `text`. */
static inline void rc_select_one(struct rc_envelope_view *view, struct rc_span channel, struct rc_span except,
                                 char text[RC_SELECT_ONE_BYTES])
{
    struct rc_span nsp;
    struct rc_span room;
    (void)rc_channel_split(channel, &nsp, &room);
    uint32_t bytes = (uint32_t)rc_channel_of_room(text, RC_CHANNEL_NAME_MAX, nsp, (struct rc_span){0});
    view->channel = text;
    view->head.channel_bytes = (uint8_t)bytes;
    view->head.channel_hash = rc_channel_hash(text, bytes);
    view->exclude_text = text + bytes;
    const uint32_t begin = bytes;
    if (room.count > 0) {
        memcpy(text + bytes, channel.bytes, channel.count);
        bytes += (uint32_t)channel.count;
        text[bytes++] = '\0';
    }
    text[bytes++] = '\0';
    memcpy(text + bytes, except.bytes, except.count);
    view->head.exclude_text_bytes = bytes + (uint32_t)except.count - begin;
}

#endif
