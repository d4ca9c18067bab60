/* peer: who the client is behind its proxies: PROXY header, forwarded headers, and whom we believe them. See client.h. */
#include "worker/client/client.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

#include "common/base/check.h"
#include "common/base/log.h"
#include "worker/http/forwarded.h"
#include "worker/http/proxy_protocol.h"

void rc_clients_trust(struct rc_clients *clients)
{
    struct rc_err err = {{0}};
    if (rc_cidr_list_compile(&clients->trusted, &clients->config->http.trusted_proxies, &err) < 0) {
        /* Each entry was checked when the file was read. */
        rc_log_error("trusted_proxies", "reason=\"%s\" effect=\"no proxy is believed\"", err.text);
    }
    const struct rc_config_list *headers = &clients->config->http.forwarded_headers;
    clients->forwarded_sources = RC_FORWARDED_NONE;
    for (uint32_t i = 0; i < headers->count; i++) {
        const char *name = headers->items[i].text;
        clients->forwarded_sources |= strcasecmp(name, RC_CONFIG_X_FORWARDED_FOR) == 0 ? RC_FORWARDED_X_FORWARDED_FOR
                                      : strcasecmp(name, RC_CONFIG_FORWARDED) == 0     ? RC_FORWARDED_FORWARDED
                                                                                       : RC_FORWARDED_X_REAL_IP;
    }
}

struct rc_address rc_socket_peer(const struct rc_clients *clients, uint32_t index)
{
    static const struct rc_address loopback = {{[10] = 0xff, [11] = 0xff, [12] = 127, [15] = 1}};
    static const struct rc_address unknown = {{0}};
    const struct rc_address peer = clients->truth->peers[index];
    /* A Unix socket's peer has no address but is of this machine; so is a loopback listener's whose address could not be asked for. */
    return (clients->truth->sockets[index].flags & (RC_SOCKET_UNIX | RC_SOCKET_LOOPBACK)) &&
                   rc_address_equal(&peer, &unknown)
               ? loopback
               : peer;
}

bool rc_socket_is_secure(const struct rc_clients *clients, uint32_t index)
{
    return rc_listener_is_tls(clients->control->listeners[clients->truth->sockets[index].listener].kind);
}

void rc_socket_set_peer(const struct rc_clients *clients, uint32_t index, const struct rc_address *client)
{
    clients->truth->peers[index] = *client;
    clients->truth->sockets[index].port = 0; /* the proxy's tells nothing */
}

struct rc_address rc_socket_client_address(const struct rc_clients *clients, uint32_t index,
                                           const struct rc_http_request *request)
{
    struct rc_forwarded forwarded = {.client = rc_socket_peer(clients, index)};
    if (clients->trusted.count > 0) {
        const struct rc_address peer = forwarded.client;
        rc_forwarded_client(request, &peer, &clients->trusted, clients->forwarded_sources, &forwarded);
    }
    return forwarded.client;
}

static int peer_refuse(struct rc_clients *clients, uint32_t index, const char *why)
{
    char text[RC_ADDRESS_TEXT_MAX];
    const struct rc_address peer = rc_socket_peer(clients, index);
    rc_address_format(text, &peer);
    rc_metric_add(clients->metrics, RC_METRIC_PROXY_ERRORS, 1);
    rc_log_limited(RC_LOG_WARN, 1, "proxy_header_refused", "peer=%s reason=\"%s\"", text, why);
    return -EPROTO;
}

int rc_socket_preface(void *context, uint32_t index, const uint8_t *bytes, uint32_t count, bool *done)
{
    struct rc_clients *clients = context;
    struct rc_socket *socket = &clients->truth->sockets[index];
    const struct rc_address peer = rc_socket_peer(clients, index);
    *done = true;
    if (!rc_cidr_list_contains(&clients->trusted, &peer)) {
        return 0; /* anybody can write such a header: theirs is an unknown request */
    }
    if (!clients->config->server.proxy_protocol && (socket->input == 0) && !rc_proxy_header_may_begin(bytes, count)) {
        return 0; /* only other instances write one there; proxies just send requests */
    }
    const uint32_t before = socket->input == 0 ? 0 : rc_truth_input(clients->truth, socket->input)->parked_bytes;
    const uint8_t *all = bytes;
    uint32_t all_count = count;
    if (before > 0) {
        if (rc_socket_park(clients, index, bytes, count) < 0) {
            return peer_refuse(clients, index, "no memory");
        }
        const struct rc_input *input = rc_truth_input(clients->truth, socket->input);
        all = rc_heap_at(&clients->truth->heap, input->parked);
        all_count = input->parked_bytes;
    }
    struct rc_proxy_header header;
    const char *why = "";
    const int used = rc_proxy_header_parse(all, all_count, &header, &why);
    if (used < 0) {
        return peer_refuse(clients, index, why);
    }
    if (used == 0) {
        *done = false;
        if (before == 0 && rc_socket_park(clients, index, bytes, count) < 0) {
            return peer_refuse(clients, index, "no memory");
        }
        return (int)count;
    }
    RC_ASSERT((uint32_t)used > before); /* it was not complete before */
    if (before > 0) {
        rc_socket_unpark(clients, index, all_count);
    }
    socket->flags |= header.from_instance ? RC_SOCKET_HERE : 0u;
    if (header.has_addresses) {
        clients->truth->peers[index] = header.source;
        socket->port = header.source_port;
    }
    return used - (int)before;
}
