/* reserved: channels that clients may not use by their names: the server's own, and those of clients of another protocol. See client.h. */
#include "common/config/pusher.h"
#include "common/config/socketio.h"
#include "worker/client/client.h"
#include "worker/gate/permission.h"

bool rc_client_room_is_socket(const struct rc_clients *clients, struct rc_span room)
{
    return rc_permission_socket(room, clients->hub->instance, clients->config->redis.url.text[0] != '\0');
}

/* Is it the name of a room of a Socket.IO namespace, or a socket's own room? Those are not for other clients while there is Socket.IO. */
static bool reserved_for_socketio(const struct rc_clients *clients, struct rc_span channel)
{
    struct rc_span nsp;
    struct rc_span room;
    return (rc_channel_split(channel, &nsp, &room) || rc_client_room_is_socket(clients, channel)) &&
           rc_config_engineio_on(clients->config);
}

bool rc_client_channel_reserved(const struct rc_clients *clients, struct rc_span channel)
{
    return rc_permission_reserved(channel) || reserved_for_socketio(clients, channel) ||
           rc_pusher_guards(clients->config, channel);
}
