/* room: where codecs put what they convert. See client.h. */
#include <errno.h>
#include <stdlib.h>

#include "worker/client/client.h"

uint8_t *rc_client_room(struct rc_clients *clients, size_t bytes)
{
    if (bytes > clients->room_capacity) {
        uint8_t *larger = realloc(clients->room, bytes);
        if (larger == NULL) {
            return NULL;
        }
        clients->room = larger;
        clients->room_capacity = bytes;
    }
    return clients->room;
}

int rc_client_lend_room(struct rc_clients *clients, struct rc_reader *reader, size_t message_bytes)
{
    if (reader->codec->room_bytes_max == NULL) {
        return 0;
    }
    const size_t bytes = reader->codec->room_bytes_max(message_bytes);
    uint8_t *room = rc_client_room(clients, bytes);
    rc_reader_give_room(reader, room, room == NULL ? 0 : bytes);
    return room == NULL ? -ENOMEM : 0;
}
