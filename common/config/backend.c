/* backend: see backend.h. */
#include "common/config/backend.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/hash.h"
#include "common/config/event_rules.h"
#include "common/config/text.h"

#define BREAKER_FAILURES_MAX 1000u
#define BREAKER_WITHIN_MAX_MS 3600000u

static const char *const call_names[RC_BACKEND_HEALTH + 1] = {
    [RC_BACKEND_CONNECT] = "connect", [RC_BACKEND_DISCONNECT] = "disconnect", [RC_BACKEND_SUBSCRIBE] = "subscribe",
    [RC_BACKEND_PUBLISH] = "publish", [RC_BACKEND_REFRESH] = "refresh",       [RC_BACKEND_EVENT] = "event",
    [RC_BACKEND_ACK] = "ack",         [RC_BACKEND_WEBHOOK] = "webhook",       [RC_BACKEND_HEALTH] = "health",
};

const char *rc_backend_call_name(enum rc_backend_call_kind kind)
{
    return (size_t)kind < RC_ARRAY_COUNT(call_names) ? call_names[kind] : "?";
}

int rc_backend_call_of(const char *name)
{
    for (int i = 0; i < RC_BACKEND_UNTIED_COUNT; i++) {
        if (strcmp(call_names[i], name) == 0) {
            return i;
        }
    }
    return -1;
}

bool rc_backend_calls(const struct rc_config_backend *backend, enum rc_backend_call_kind kind)
{
    for (uint32_t i = 0; i < backend->call_count; i++) {
        if (rc_backend_call_of(backend->calls[i].text) == (int)kind) {
            return true;
        }
    }
    return false;
}

int rc_backend_of_call(const struct rc_config *config, enum rc_backend_call_kind kind)
{
    for (uint32_t i = 0; i < config->backend_count; i++) {
        if (rc_backend_calls(&config->backends[i], kind)) {
            return (int)i;
        }
    }
    return -1;
}

bool rc_config_links_listen(const struct rc_config *config)
{
    return config->link.listen.count + config->link.tls_listen.count > 0;
}

int rc_backend_find(const struct rc_config *config, struct rc_span name)
{
    for (uint32_t i = 0; i < config->backend_count; i++) {
        if (rc_span_equal(rc_span_text(config->backends[i].name.text), name)) {
            return (int)i;
        }
    }
    return -1;
}

uint32_t rc_backend_mark(const struct rc_config *config, uint32_t index)
{
    const char *name = index < config->backend_count ? config->backends[index].name.text : "";
    return (uint32_t)rc_hash_public(name, strlen(name));
}

uint32_t rc_backend_marked(const struct rc_config *config, uint32_t mark)
{
    for (uint32_t i = 0; i < config->backend_count; i++) {
        if (rc_backend_mark(config, i) == mark) {
            return i;
        }
    }
    return RC_CONFIG_BACKENDS_MAX;
}

/* --- URLs --- */

static int url_refuse(struct rc_err *err, const char *sentence)
{
    return rc_err_set(err, -EINVAL, "%s", sentence);
}

/* Path and query, as they are sent. */
static bool target_valid(struct rc_span target)
{
    for (size_t i = 0; i < target.count; i++) {
        if (target.bytes[i] <= ' ' || target.bytes[i] > '~' || target.bytes[i] == '#') {
            return false;
        }
    }
    return true;
}

static int unix_parse(struct rc_backend_url *url, const char *text, struct rc_err *err)
{
    const char *path = text + strlen("unix:");
    const char *colon = strchr(path, ':');
    const size_t bytes = colon == NULL ? strlen(path) : (size_t)(colon - path);
    if (path[0] != '/' || bytes > 107) {
        return url_refuse(
            err, "expected \"unix:\", the absolute path of a socket of at most 107 bytes, and maybe \":/target\"");
    }
    url->scheme = RC_BACKEND_UNIX;
    url->host = rc_span_of(path, bytes);
    url->target = colon == NULL ? RC_SPAN("/") : rc_span_text(colon + 1);
    return url->target.count > 0 && url->target.bytes[0] == '/' && target_valid(url->target)
               ? 0
               : url_refuse(err, "expected a path such as \"/ringcast\" after the socket's \":\"");
}

/* Letters, digits, and what addresses and names have between them. */
static bool host_valid(struct rc_span host, bool bracketed)
{
    for (size_t i = 0; i < host.count; i++) {
        const uint8_t byte = host.bytes[i];
        const bool plain = (byte >= '0' && byte <= '9') || (byte >= 'a' && byte <= 'z') ||
                           (byte >= 'A' && byte <= 'Z') || byte == '.' || byte == '-' || byte == '_';
        if (!plain && !(bracketed && byte == ':')) {
            return false;
        }
    }
    return host.count > 0 && host.count <= 253;
}

static int port_parse(struct rc_backend_url *url, const char *text, size_t bytes, struct rc_err *err)
{
    uint64_t port = 0;
    if (rc_config_uint_parse(text, bytes, &port, NULL) != 0 || port == 0 || port > UINT16_MAX) {
        return url_refuse(err, "expected a port from 1 to 65535 after the host's \":\"");
    }
    url->port = (uint16_t)port;
    return 0;
}

int rc_backend_url_parse(struct rc_backend_url *url, const char *text, struct rc_err *err)
{
    *url = (struct rc_backend_url){.target = RC_SPAN("/")};
    if (strncmp(text, "unix:", 5) == 0) {
        return unix_parse(url, text, err);
    }
    const bool tls = strncmp(text, "https://", 8) == 0;
    if (!tls && strncmp(text, "http://", 7) != 0) {
        return url_refuse(
            err, "expected \"http://host:port/path\", \"https://host/path\" or \"unix:/path/of/socket:/path\"");
    }
    url->scheme = tls ? RC_BACKEND_HTTPS : RC_BACKEND_HTTP;
    url->port = tls ? 443 : 80;
    const char *host = text + (tls ? 8 : 7);
    const char *slash = host + strcspn(host, "/?");
    if (*slash == '?') {
        return url_refuse(err, "expected a path before \"?\"");
    }
    if (*slash == '/') {
        url->target = rc_span_text(slash);
    }
    if (!target_valid(url->target)) {
        return url_refuse(err, "expected a path of visible ASCII characters without spaces and #");
    }
    const bool bracketed = host[0] == '[';
    const char *close = bracketed ? memchr(host, ']', (size_t)(slash - host)) : NULL;
    if (bracketed && close == NULL) {
        return url_refuse(err, "expected \"]\" after an IPv6 address");
    }
    const char *colon = bracketed ? close + 1 : memchr(host, ':', (size_t)(slash - host));
    const char *end = colon == NULL ? slash : colon;
    url->host = bracketed ? rc_span_of(host + 1, (size_t)(close - host - 1)) : rc_span_of(host, (size_t)(end - host));
    if (!host_valid(url->host, bracketed)) {
        return url_refuse(err, "expected a host's name or address, without user and password");
    }
    if (end == slash) {
        return 0;
    }
    return *end == ':' ? port_parse(url, end + 1, (size_t)(slash - end - 1), err)
                       : url_refuse(err, "expected \":\" and a port after \"]\"");
}

/* --- the breaker --- */

int rc_backend_breaker_parse(const char *text, uint32_t *failures, uint64_t *within_ms, struct rc_err *err)
{
    *failures = 0;
    *within_ms = 0;
    if (text[0] == '\0') {
        return 0;
    }
    const char *slash = strchr(text, '/');
    uint64_t count = 0;
    struct rc_err scratch;
    if (slash == NULL || rc_config_uint_parse(text, (size_t)(slash - text), &count, NULL) != 0 || count == 0 ||
        count > BREAKER_FAILURES_MAX ||
        rc_config_duration_parse(slash + 1, strlen(slash + 1), within_ms, &scratch) != 0 || *within_ms == 0 ||
        *within_ms > BREAKER_WITHIN_MAX_MS) {
        return rc_err_set(err, -EINVAL,
                          "expected failures (1 to %u) and a time up to an hour, as in \"5/10s\", or nothing",
                          BREAKER_FAILURES_MAX);
    }
    *failures = (uint32_t)count;
    return 0;
}

/* --- all of them --- */

/* What a link needs, and who may need one. */
static int links_check(const struct rc_config *config, struct rc_err *err)
{
    const char *wanted = config->socketio.link.text;
    const int link = wanted[0] == '\0' ? -1 : rc_backend_find(config, rc_span_text(wanted));
    if (wanted[0] != '\0' && (link < 0 || config->backends[link].kind != RC_BACKEND_KIND_LINK)) {
        return rc_err_set(err, -EINVAL, "socketio.link: there is no [[backend]] named \"%s\" with kind = \"link\"",
                          wanted);
    }
    if (link < 0 && rc_config_links_listen(config)) {
        return rc_err_set(err, -EINVAL,
                          "[link] listens for an application, and socketio.link names none: it is to be the name of a "
                          "[[backend]] with kind = \"link\"");
    }
    for (uint32_t i = 0; i < config->backend_count; i++) {
        const struct rc_config_backend *backend = &config->backends[i];
        if (backend->kind != RC_BACKEND_KIND_LINK) {
            continue;
        }
        if (backend->secret_count == 0) {
            return rc_err_set(
                err, -EINVAL,
                "[[backend]] \"%s\" of kind \"link\" needs `secrets`: both ends prove by them who they are",
                backend->name.text);
        }
        if (backend->call_count > 0) {
            return rc_err_set(err, -EINVAL, "[[backend]] \"%s\" of kind \"link\" has no `calls`: they are for \"http\"",
                              backend->name.text);
        }
    }
    return 0;
}

/* Is the backend of that name one that can be asked? */
static bool backend_is_asked(const struct rc_config *config, const char *name)
{
    const int backend = rc_backend_find(config, rc_span_text(name));
    return backend >= 0 && config->backends[backend].kind == RC_BACKEND_KIND_HTTP;
}

int rc_config_backends_check(const struct rc_config *config, struct rc_err *err)
{
    for (uint32_t i = 0; i < config->backend_count; i++) {
        const struct rc_config_backend *backend = &config->backends[i];
        if (rc_backend_find(config, rc_span_text(backend->name.text)) != (int)i) {
            return rc_err_set(err, -EINVAL, "there are two [[backend]] tables named \"%s\"", backend->name.text);
        }
        if (backend->url_count == 0 && !(backend->kind == RC_BACKEND_KIND_LINK && rc_config_links_listen(config))) {
            return rc_err_set(err, -EINVAL, "[[backend]] \"%s\" needs a url, as in [\"http://127.0.0.1:3000%s\"]%s",
                              backend->name.text, backend->kind == RC_BACKEND_KIND_LINK ? "" : "/ringcast",
                              backend->kind == RC_BACKEND_KIND_LINK ? ", or [link] listen, where it dials" : "");
        }
    }
    const char *unknown = config->socketio.unknown_event.text;
    const size_t head = strlen(RC_UNKNOWN_EVENT_BACKEND);
    if (strncmp(unknown, RC_UNKNOWN_EVENT_BACKEND, head) == 0 && !backend_is_asked(config, unknown + head)) {
        return rc_err_set(err, -EINVAL,
                          "socketio.unknown_event: there is no [[backend]] named \"%s\" that is asked by HTTP",
                          unknown + head);
    }
    const int linked = links_check(config, err);
    if (linked < 0) {
        return linked;
    }
    for (uint32_t i = 0; i < config->event_count; i++) {
        const struct rc_config_event *row = &config->events[i];
        if (row->ask.text[0] == '\0') {
            continue;
        }
        if (!backend_is_asked(config, row->ask.text)) {
            return rc_err_set(err, -EINVAL,
                              "[[event]] \"%s\": ask: there is no [[backend]] named \"%s\" that is asked by HTTP",
                              row->on.text, row->ask.text);
        }
        if (row->from != RC_EVENT_FROM_CLIENT || rc_event_life_cycle(row)) {
            return rc_err_set(err, -EINVAL,
                              "[[event]] \"%s\": ask is for what clients say; connect and disconnect are calls of a "
                              "[[backend]], which its `calls` name",
                              row->on.text);
        }
    }
    for (int kind = 0; kind < RC_BACKEND_UNTIED_COUNT; kind++) {
        const struct rc_config_backend *first = NULL;
        for (uint32_t i = 0; i < config->backend_count; i++) {
            const struct rc_config_backend *backend = &config->backends[i];
            if (!rc_backend_calls(backend, (enum rc_backend_call_kind)kind)) {
                continue;
            }
            if (first != NULL && kind != RC_BACKEND_DISCONNECT && kind != RC_BACKEND_REFRESH) {
                return rc_err_set(err, -EINVAL,
                                  "two [[backend]] tables have the call \"%s\": \"%s\" and \"%s\"; who decides?",
                                  call_names[kind], first->name.text, backend->name.text);
            }
            first = backend;
        }
    }
    return 0;
}
