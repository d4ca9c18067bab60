/*
 * adapter_check: what holds of any broadcast that a reader of relay/bridge has taken, for the fuzz targets of its wires.
 *
 * Whatever the bytes were: RC_ASSERT.
 */
#ifndef RC_TESTS_SUPPORT_ADAPTER_CHECK_H
#define RC_TESTS_SUPPORT_ADAPTER_CHECK_H

#include <errno.h>
#include <stdlib.h>

#include "common/base/check.h"
#include "common/records/args.h"
#include "common/text/json_scan.h"
#include "relay/bridge/adapter_wire.h"

#define ADAPTER_CHECK_TEXT_MAX (1u << 20)

/* Names that a room may have, as many as were said. */
static inline void rc_adapter_check_rooms(struct rc_adapter_rooms rooms)
{
    char scratch[RC_ADAPTER_SCRATCH_BYTES];
    struct rc_span room;
    const uint32_t most = rooms.count;
    uint32_t count = 0;
    while (rc_adapter_room_next(&rooms, scratch, &room) == 1) {
        RC_ASSERT(room.count > 0 && room.count <= RC_CHANNEL_NAME_MAX);
        count++;
    }
    RC_ASSERT(count <= most);
}

/* An event that is taken is one that a record may carry: `taken` is called with it and its arguments. */
static inline void rc_adapter_check_event(const struct rc_adapter_broadcast *broadcast, size_t message_bytes,
                                          void (*taken)(void *context, const struct rc_adapter_event *event,
                                                        const struct rc_args_view *args),
                                          void *context)
{
    const size_t room = rc_adapter_event_room(message_bytes, ADAPTER_CHECK_TEXT_MAX);
    uint8_t *buffer = malloc(room);
    struct rc_adapter_event event;
    RC_ASSERT(buffer != NULL);
    const int rc = rc_adapter_event_read(&event, broadcast, buffer, room);
    RC_ASSERT(rc != -EMSGSIZE || message_bytes > 1u << 17);
    if (rc == 0) {
        struct rc_args_view args;
        struct rc_json_value value;
        RC_ASSERT(rc_args_read(event.data, &args) == 0);
        RC_ASSERT(rc_json_scan(args.json, RC_JSON_CHECK_UTF8, &value, NULL) == 0 && value.type == RC_JSON_ARRAY);
        RC_ASSERT(event.name.count <= RC_EVENT_NAME_MAX && rc_json_utf8_valid(event.name));
        taken(context, &event, &args);
    }
    free(buffer);
}

/* The event as a message of ours is written by `write`, unless a map of the sender's says that it is a placeholder, of an attachment that is not
 * there; what is written is handed to `again`. */
static inline void rc_adapter_check_written(const struct rc_adapter_event *event,
                                            size_t (*write_room)(const struct rc_adapter_message *message),
                                            struct rc_span (*write)(const struct rc_adapter_message *message,
                                                                    uint8_t *buffer, size_t room),
                                            void (*again)(struct rc_span written))
{
    const struct rc_envelope_view view = {
        .head = {.flags = RC_ENVELOPE_ARGS, .data_bytes = (uint32_t)event->data.count}, .data = event->data.bytes};
    const struct rc_adapter_message message = {.uid = RC_SPAN("~ABCDE"),
                                               .nsp = RC_SPAN("/admin"),
                                               .room = RC_SPAN("red"),
                                               .event = event->name,
                                               .view = &view};
    const size_t room = write_room(&message);
    uint8_t *buffer = malloc(room);
    RC_ASSERT(buffer != NULL);
    const struct rc_span written = write(&message, buffer, room);
    RC_ASSERT(written.count > 0 || memmem(event->data.bytes, event->data.count, "_placeholder", 12) != NULL);
    if (written.count > 0) {
        again(written);
    }
    free(buffer);
}

#endif
