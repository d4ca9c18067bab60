/* peer: who the client is behind its proxies: PROXY header, forwarded headers, and whom we believe them. See client.h. */
#include "worker/client/client.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

#include "common/base/check.h"
#include "common/base/log.h"
#include "worker/http/forwarded.h"
#include "worker/http/proxy_protocol.h"

void rc_session_trust(struct rc_sessions *sessions)
{
    struct rc_err err = {{0}};
    if (rc_cidr_list_compile(&sessions->trusted, &sessions->config->http.trusted_proxies, &err) < 0) {
        /* Each entry was checked when the file was read. */
        rc_log_error("trusted_proxies", "reason=\"%s\" effect=\"no proxy is believed\"", err.text);
    }
    const struct rc_config_list *headers = &sessions->config->http.forwarded_headers;
    sessions->forwarded_sources = RC_FORWARDED_NONE;
    for (uint32_t i = 0; i < headers->count; i++) {
        const char *name = headers->items[i].text;
        sessions->forwarded_sources |= strcasecmp(name, RC_CONFIG_X_FORWARDED_FOR) == 0 ? RC_FORWARDED_X_FORWARDED_FOR
                                       : strcasecmp(name, RC_CONFIG_FORWARDED) == 0     ? RC_FORWARDED_FORWARDED
                                                                                        : RC_FORWARDED_X_REAL_IP;
    }
}

struct rc_address rc_session_peer(const struct rc_sessions *sessions, uint32_t index)
{
    static const struct rc_address loopback = {{[10] = 0xff, [11] = 0xff, [12] = 127, [15] = 1}};
    static const struct rc_address unknown = {{0}};
    const struct rc_address peer = sessions->truth->peers[index];
    /* A Unix socket's peer has no address but is of this machine; so is a loopback listener's whose address could not be asked for. */
    return (sessions->truth->sockets[index].flags & (RC_SOCKET_UNIX | RC_SOCKET_LOOPBACK)) &&
                   rc_address_equal(&peer, &unknown)
               ? loopback
               : peer;
}

void rc_session_set_peer(const struct rc_sessions *sessions, uint32_t index, const struct rc_address *client)
{
    sessions->truth->peers[index] = *client;
    sessions->truth->sockets[index].port = 0; /* the proxy's tells nothing */
}

struct rc_address rc_session_client(const struct rc_sessions *sessions, uint32_t index,
                                    const struct rc_http_request *request)
{
    struct rc_forwarded forwarded = {.client = rc_session_peer(sessions, index)};
    if (sessions->trusted.count > 0) {
        const struct rc_address peer = forwarded.client;
        rc_forwarded_client(request, &peer, &sessions->trusted, sessions->forwarded_sources, &forwarded);
    }
    return forwarded.client;
}

static int peer_refuse(struct rc_sessions *sessions, uint32_t index, const char *why)
{
    char text[RC_ADDRESS_TEXT_MAX];
    const struct rc_address peer = rc_session_peer(sessions, index);
    rc_address_format(text, &peer);
    rc_metric_add(sessions->metrics, RC_METRIC_PROXY_ERRORS, 1);
    rc_log_limited(RC_LOG_WARN, 1, "proxy_header_refused", "peer=%s reason=\"%s\"", text, why);
    return -EPROTO;
}

int rc_session_preface(void *context, uint32_t index, const uint8_t *bytes, uint32_t count, bool *done)
{
    struct rc_sessions *sessions = context;
    struct rc_socket *socket = &sessions->truth->sockets[index];
    const struct rc_address peer = rc_session_peer(sessions, index);
    *done = true;
    if (!rc_cidr_list_contains(&sessions->trusted, &peer)) {
        return 0; /* anybody can write such a header: theirs is an unknown request */
    }
    const uint32_t before = socket->input == 0 ? 0 : rc_truth_input(sessions->truth, socket->input)->parked_bytes;
    const uint8_t *all = bytes;
    uint32_t all_count = count;
    if (before > 0) {
        if (rc_session_park(sessions, index, bytes, count) < 0) {
            return peer_refuse(sessions, index, "no memory");
        }
        const struct rc_input *input = rc_truth_input(sessions->truth, socket->input);
        all = rc_heap_at(&sessions->truth->heap, input->parked);
        all_count = input->parked_bytes;
    }
    struct rc_proxy_header header;
    const char *why = "";
    const int used = rc_proxy_header_parse(all, all_count, &header, &why);
    if (used < 0) {
        return peer_refuse(sessions, index, why);
    }
    if (used == 0) {
        *done = false;
        if (before == 0 && rc_session_park(sessions, index, bytes, count) < 0) {
            return peer_refuse(sessions, index, "no memory");
        }
        return (int)count;
    }
    RC_ASSERT((uint32_t)used > before); /* it was not complete before */
    if (before > 0) {
        rc_session_unpark(sessions, index, all_count);
    }
    if (header.has_addresses) {
        sessions->truth->peers[index] = header.source;
        socket->port = header.source_port;
    }
    return used - (int)before;
}
