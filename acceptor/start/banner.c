/*
 * banner: see banner.h.
 */
#include "acceptor/start/banner.h"

#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/sink.h"
#include "version.h"

/* The host and port as a URL names them: a wildcard is not a place to connect to. */
static void url_host(const struct rc_listen *group, char *text, size_t capacity)
{
    const struct rc_listen_address *address = &group->address;
    const bool any =
        (address->socket.any.sa_family == AF_INET && address->socket.v4.sin_addr.s_addr == INADDR_ANY) ||
        (address->socket.any.sa_family == AF_INET6 && IN6_IS_ADDR_UNSPECIFIED(&address->socket.v6.sin6_addr));
    if (any) {
        snprintf(text, capacity, "localhost:%u", address->port);
    } else {
        snprintf(text, capacity, "%s", group->text);
    }
}

static const struct rc_listen *first_tcp(const struct rc_broker *broker, enum rc_listener_kind kind)
{
    for (uint32_t i = 0; i < broker->listen_count; i++) {
        if (broker->listens[i].kind == kind && !broker->listens[i].address.unix_socket) {
            return &broker->listens[i];
        }
    }
    return NULL;
}

static void print_web(FILE *out, const struct rc_settings *settings, const struct rc_broker *broker)
{
    char host[RC_CONFIG_VALUE_MAX];
    const struct rc_listen *group = first_tcp(broker, RC_LISTENER_ADMIN);
    group = group != NULL ? group : first_tcp(broker, RC_LISTENER_CLIENT);
    if (group == NULL) {
        return;
    }
    url_host(group, host, sizeof(host));
    fprintf(out, "  page       http://%s/\n", host);
    fprintf(out, "  dashboard  http://%s/admin\n", host);
    fprintf(out, "  health     http://%s/health\n", host);
    fprintf(out, "  metrics    http://%s/metrics\n", host);
    if (settings->quickstart_key[0] != '\0' && settings->config.http.api_keys.count > 0 &&
        settings->config.http.api_keys.items[0].text[0] != '\0') {
        const char *key = settings->config.http.api_keys.items[0].text;
        fprintf(out, "  API key    %s  (made up for this run unless configured)\n", key);
        fprintf(out, "             curl -H 'Authorization: Bearer %s' http://%s/metrics\n", key, host);
    }
}

static void print_all(FILE *out, const struct rc_settings *settings, const struct rc_broker *broker)
{
    char host[RC_CONFIG_VALUE_MAX];
    fprintf(out, "\n  ringcast %s is running: %u worker%s, up to %llu connections\n\n", RC_VERSION,
            rc_broker_used(broker), rc_broker_used(broker) == 1 ? "" : "s",
            (unsigned long long)broker->plan.connections_max);
    for (uint32_t i = 0; i < broker->listen_count; i++) {
        const struct rc_listen *group = &broker->listens[i];
        if (group->kind != RC_LISTENER_CLIENT) {
            continue;
        }
        url_host(group, host, sizeof(host));
        if (group->address.unix_socket) {
            fprintf(out, "  WebSocket  %s, path %s\n", group->text, settings->config.server.path.text);
        } else {
            fprintf(out, "  WebSocket  ws://%s%s\n", host, settings->config.server.path.text);
        }
    }
    print_web(out, settings, broker);
    fprintf(out, "\n  Ctrl-C sends the clients away and stops; Ctrl-C again stops at once.\n\n");
}

/* From the supervisor's loop: line by line into what does not wait. */
void rc_banner_print(int fd, const struct rc_settings *settings, const struct rc_broker *broker)
{
    struct rc_sink sink;
    char *text = NULL;
    size_t bytes = 0;
    FILE *out = open_memstream(&text, &bytes);
    if (out == NULL) {
        return;
    }
    print_all(out, settings, broker);
    if (fclose(out) == 0) {
        rc_sink_open(&sink, fd);
        for (size_t at = 0; at < bytes;) {
            const char *end = memchr(text + at, '\n', bytes - at);
            const size_t line = end != NULL ? (size_t)(end - text) + 1 - at : bytes - at;
            if (!rc_sink_write(&sink, text + at, line)) {
                break;
            }
            at += line;
        }
        rc_sink_close(&sink);
    }
    free(text);
}
