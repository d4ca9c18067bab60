/*
 * named: a socket and the client that it carries, as log lines name it. Reads the truth; the caller has the room. Nothing can fail.
 */
#ifndef RC_WORKER_STORE_NAMED_H
#define RC_WORKER_STORE_NAMED_H

#include "common/text/address.h"
#include "worker/store/truth.h"

struct rc_named {
    char address[RC_ADDRESS_TEXT_MAX];
    char user[RC_CHANNEL_NAME_MAX + 1];
    char client[RC_CLIENT_ID_MAX + 1];
};

/* The peer's address as text, "unix" of a socket without one, "none" without a socket (RC_SOCKET_NONE). */
const char *rc_named_address(const struct rc_truth *truth, uint32_t socket, struct rc_named *who);
/* The user's id as text; empty: anonymous, or no client (0). */
const char *rc_named_user(const struct rc_truth *truth, uint32_t client, struct rc_named *who);

/* The client's id, "none" of nobody (0). */
const char *rc_named_client(const struct rc_truth *truth, uint32_t client, struct rc_named *who);

/* The line for a connection that is ended by policy: each place in the code has five of them a second for itself. `slot` is the
 * socket's number, -1 without one. `format` are the fields that follow, with a space before each; include common/base/log.h. */
#define rc_named_log_ended(event, truth, socket, client, reason, format, ...)                                  \
    do {                                                                                                       \
        struct rc_named rc_named_here;                                                                         \
        rc_log_limited(RC_LOG_INFO, 5, event, "slot=%d address=%s user=\"%s\" reason=\"%s\" client=%s" format, \
                       (int)(socket), rc_named_address((truth), (socket), &rc_named_here),                     \
                       rc_named_user((truth), (client), &rc_named_here), (reason),                             \
                       rc_named_client((truth), (client), &rc_named_here) __VA_OPT__(, ) __VA_ARGS__);         \
    } while (0)

#define rc_named_log_socket(event, truth, socket_index, reason, format, ...)                      \
    rc_named_log_ended(event, truth, socket_index, (truth)->sockets[socket_index].client, reason, \
                       format __VA_OPT__(, ) __VA_ARGS__)
#define rc_named_log_client(event, truth, client_index, reason, format, ...)                                 \
    rc_named_log_ended(event, truth, rc_truth_client((truth), (client_index))->socket, client_index, reason, \
                       format __VA_OPT__(, ) __VA_ARGS__)

#endif
