/* named: see named.h. */
#include "worker/store/named.h"

#include <string.h>

const char *rc_named_address(const struct rc_truth *truth, uint32_t socket, struct rc_named *who)
{
    static const struct rc_address none = {{0}};
    if (socket == RC_SOCKET_NONE) {
        memcpy(who->address, "none", 5);
    } else if ((truth->sockets[socket].flags & RC_SOCKET_UNIX) && rc_address_equal(&truth->peers[socket], &none)) {
        memcpy(who->address, "unix", 5);
    } else {
        (void)rc_address_format(who->address, &truth->peers[socket]);
    }
    return who->address;
}

const char *rc_named_user(const struct rc_truth *truth, uint32_t client, struct rc_named *who)
{
    const uint32_t user = client == 0 ? 0 : rc_truth_client(truth, client)->user;
    const struct rc_user *object = user == 0 ? NULL : rc_truth_user(truth, user);
    const size_t bytes = object == NULL ? 0 : object->id_bytes;
    if (bytes > 0) {
        memcpy(who->user, object->id, bytes);
    }
    who->user[bytes] = '\0';
    return who->user;
}

const char *rc_named_client(const struct rc_truth *truth, uint32_t client, struct rc_named *who)
{
    size_t bytes = 0;
    if (client != 0 && truth->instance_id != NULL) {
        const struct rc_client_ref ref = rc_truth_ref(truth, truth->worker, client);
        bytes = rc_client_id_write(who->client, truth->instance_id, truth->boot_nonce, &ref);
    } else {
        memcpy(who->client, "none", 4);
        bytes = 4;
    }
    who->client[bytes] = '\0';
    return who->client;
}
