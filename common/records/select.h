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

/* Names of rooms that one message is for, and of such that are excepted from it, at most: each ended by a NUL. */
#define RC_SELECT_NAMES_MAX 64u
#define RC_SELECT_NAMES_BYTES (RC_SELECT_NAMES_MAX * (RC_CHANNEL_NAME_MAX + 1u))
/* "{nsp}#", then the rooms' names, "\0" and those. */
#define RC_SELECT_BYTES (RC_CHANNEL_NAME_MAX + 2u + 2 * RC_SELECT_NAMES_BYTES)

/* Appends the name of a channel to such names, which have `room` bytes. False: there is no room. */
static inline bool rc_select_name_put(char *names, size_t room, uint32_t *bytes, struct rc_span channel)
{
    if (channel.count == 0 || *bytes + channel.count + 1 > room) {
        return false;
    }
    memcpy(names + *bytes, channel.bytes, channel.count);
    names[*bytes + channel.count] = '\0';
    *bytes += (uint32_t)channel.count + 1;
    return true;
}

/* The same of a room's. False also when its channel's name is too long. */
static inline bool rc_select_room_put(char names[RC_SELECT_NAMES_BYTES], uint32_t *bytes, struct rc_span nsp,
                                      struct rc_span room)
{
    char name[RC_CHANNEL_NAME_MAX];
    const size_t count = rc_channel_of_room(name, sizeof(name), nsp, room);
    return room.count > 0 && rc_select_name_put(names, RC_SELECT_NAMES_BYTES, bytes, rc_span_of(name, count));
}

/* The view is for who is in one of `rooms`, and where there are none for everybody in a channel (a room's, or "{nsp}#"), but not for the members of
 * `except`, both such names; it points into `text`. All are of the channel's namespace. */
static inline void rc_select_write(struct rc_envelope_view *view, struct rc_span channel, struct rc_span rooms,
                                   struct rc_span except, char text[RC_SELECT_BYTES])
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
    if (rooms.count > 0) {
        memcpy(text + bytes, rooms.bytes, rooms.count);
        bytes += (uint32_t)rooms.count;
    } else if (room.count > 0) {
        memcpy(text + bytes, channel.bytes, channel.count);
        bytes += (uint32_t)channel.count;
        text[bytes++] = '\0';
    }
    text[bytes++] = '\0';
    if (except.count > 0) {
        memcpy(text + bytes, except.bytes, except.count);
    }
    view->head.exclude_text_bytes = bytes + (uint32_t)except.count - begin;
}

#endif
