/* socketio: see socketio.h. */
#include "common/config/socketio.h"

#include <errno.h>
#include <string.h>

#include "common/base/check.h"
#include "common/records/channel_name.h"

bool rc_config_nsp_valid(struct rc_span name)
{
    if (name.count == 0 || name.bytes[0] != '/' ||
        rc_channel_name_check((const char *)name.bytes, name.count, RC_NSP_MAX) != 0) {
        return false;
    }
    for (size_t i = 0; i < name.count; i++) {
        if (strchr(",?#*", name.bytes[i]) != NULL) {
            return false;
        }
    }
    return true;
}

/* Asked about each event: by its length most names are none of these, without a comparison. */
bool rc_config_event_reserved(struct rc_span name)
{
    switch (name.count) {
    case 7:
        return rc_span_equal(name, RC_SPAN("connect"));
    case 10:
        return rc_span_equal(name, RC_SPAN("disconnect"));
    case 11:
        return rc_span_equal(name, RC_SPAN("newListener"));
    case 13:
        return rc_span_equal(name, RC_SPAN("connect_error")) || rc_span_equal(name, RC_SPAN("disconnecting"));
    case 14:
        return rc_span_equal(name, RC_SPAN("removeListener"));
    default:
        return false;
    }
}

bool rc_config_event_own(struct rc_span name)
{
    if (name.count > 0 && name.bytes[0] == 'p') {
        return rc_span_starts_with(name, RC_SPAN("pusher:")) || rc_span_starts_with(name, RC_SPAN("pusher_internal:"));
    }
    return rc_config_event_reserved(name);
}

bool rc_config_nsp_allowed(const struct rc_config_socketio *socketio, struct rc_span name)
{
    if (!rc_config_nsp_valid(name)) {
        return false;
    }
    for (uint32_t i = 0; i < socketio->namespace_count; i++) {
        struct rc_span allowed = rc_span_text(socketio->namespaces[i].text);
        if (allowed.bytes[allowed.count - 1] == '*') {
            allowed.count--;
            if (rc_span_starts_with(name, allowed)) {
                return true;
            }
        } else if (rc_span_equal(name, allowed)) {
            return true;
        }
    }
    return false;
}

/* Can any namespace that clients may connect to be the one, or one of the pattern, that a row names? */
static bool nsp_reachable(const struct rc_config_socketio *socketio, struct rc_span of_row)
{
    struct rc_span beginning = of_row;
    if (of_row.bytes[of_row.count - 1] != '*') {
        return rc_config_nsp_allowed(socketio, of_row);
    }
    beginning.count--;
    for (uint32_t i = 0; i < socketio->namespace_count; i++) {
        struct rc_span allowed = rc_span_text(socketio->namespaces[i].text);
        const bool pattern = allowed.bytes[allowed.count - 1] == '*';
        allowed.count -= pattern;
        if (rc_span_starts_with(allowed, beginning) || (pattern && rc_span_starts_with(beginning, allowed))) {
            return true;
        }
    }
    return false;
}

bool rc_config_transport_allowed(const struct rc_config_socketio *socketio, const char *transport)
{
    for (uint32_t i = 0; i < socketio->transport_count; i++) {
        if (strcmp(socketio->transports[i].text, transport) == 0) {
            return true;
        }
    }
    return false;
}

/* Bytes of a path without a "/" at its end. */
static size_t path_stem(const char *path)
{
    const size_t bytes = strlen(path);
    return bytes > 0 && path[bytes - 1] == '/' ? bytes - 1 : bytes;
}

bool rc_config_engineio_path_is(const char *path, const char *requested)
{
    const size_t bytes = path_stem(path);
    return bytes > 0 && bytes == path_stem(requested) && memcmp(path, requested, bytes) == 0;
}

bool rc_config_engineio_path_below(const char *path, const char *requested)
{
    const size_t bytes = path_stem(path);
    return bytes > 0 && strncmp(path, requested, bytes) == 0 && requested[bytes] == '/' && requested[bytes + 1] != '\0';
}

static bool endpoint_engineio(const struct rc_config_endpoint *endpoint)
{
    return endpoint->protocol == RC_ENDPOINT_ENGINEIO || endpoint->protocol == RC_ENDPOINT_SOCKETIO;
}

bool rc_config_engineio_on(const struct rc_config *config)
{
    bool on = config->socketio.path.text[0] != '\0' || config->debug.engineio_echo.text[0] != '\0';
    for (uint32_t i = 0; i < config->endpoint_count; i++) {
        on = on || endpoint_engineio(&config->endpoints[i]);
    }
    return on;
}

static int engineio_path_check(const struct rc_config *config, const char *path, struct rc_err *err)
{
    if (path_stem(path) == 0) {
        return rc_err_set(err, -EINVAL,
                          "the path / cannot be that of Engine.IO, whose polls are plain requests: "
                          "choose another, as \"/socket.io/\"");
    }
    uint32_t uses = 0;
    const char *const singles[] = {config->server.path.text, config->debug.echo.text, config->debug.engineio_echo.text,
                                   config->socketio.path.text, config->sse.path.text};
    for (size_t i = 0; i < RC_ARRAY_COUNT(singles); i++) {
        uses += rc_config_engineio_path_is(path, singles[i]) ? 1 : 0;
    }
    for (uint32_t i = 0; i < config->endpoint_count; i++) {
        uses += rc_config_engineio_path_is(path, config->endpoints[i].path.text) ? 1 : 0;
    }
    if (uses > 1) {
        return rc_err_set(err, -EINVAL,
                          "the path %s is used twice (a \"/\" at the end of one with Engine.IO makes no difference)",
                          path);
    }
    return 0;
}

static int endpoint_check(const struct rc_config *config, const struct rc_config_endpoint *endpoint, struct rc_err *err)
{
    if (endpoint->protocol == RC_ENDPOINT_SOCKETIO && endpoint->incoming != RC_INCOMING_IGNORE) {
        return rc_err_set(
            err, -EINVAL,
            "[[endpoint]] %s: incoming is for protocol = \"raw\" and \"engineio\"; [[event]] tables say what "
            "becomes of events",
            endpoint->path.text);
    }
    if (endpoint->protocol == RC_ENDPOINT_SOCKETIO &&
        !(endpoint->join_count == 1 && strcmp(endpoint->join[0], "*") == 0)) {
        return rc_err_set(err, -EINVAL,
                          "[[endpoint]] %s: join is not for protocol = \"socketio\": write an [[event]] with on = "
                          "\"connect\" and join",
                          endpoint->path.text);
    }
    return engineio_path_check(config, endpoint->path.text, err);
}

/* Two subscriptions of one Redis channel: only one would hear. */
static int python_channel_check(const struct rc_config *config, struct rc_err *err)
{
    const char *const channel = config->socketio.python_channel.text;
    for (uint32_t i = 0; channel[0] != '\0' && i < config->bridge_count; i++) {
        if (strcmp(config->bridges[i].redis.text, channel) == 0) {
            return rc_err_set(
                err, -EINVAL,
                "socketio.python_channel is also redis of a [[bridge]], \"%s\": give it up in one of them", channel);
        }
    }
    return 0;
}

int rc_config_socketio_check(const struct rc_config *config, struct rc_err *err)
{
    if (python_channel_check(config, err) < 0) {
        return -EINVAL;
    }
    if (!rc_config_engineio_on(config)) {
        return 0; /* what its keys say is nobody's matter, as they are about what limits.max_message_size may be */
    }
    const struct rc_config_socketio *const socketio = &config->socketio;
    if (socketio->namespace_count == 0) {
        return rc_err_set(err, -EINVAL,
                          "socketio.namespaces is empty: no client could connect; \"/\" is the usual one");
    }
    if (socketio->transport_count == 0) {
        return rc_err_set(err, -EINVAL, "socketio.transports is empty: no client could connect");
    }
    if (socketio->max_payload_bytes > config->limits.max_message_size_bytes) {
        return rc_err_set(err, -EINVAL,
                          "socketio.max_payload is above limits.max_message_size: lower it, or raise the other");
    }
    for (uint32_t i = 0; i < config->event_count; i++) {
        const struct rc_config_event *const row = &config->events[i];
        if (row->from == RC_EVENT_FROM_CLIENT && !nsp_reachable(socketio, rc_span_text(row->nsp.text))) {
            return rc_err_set(err, -EINVAL,
                              "[[event]] on = \"%s\": nsp = \"%s\" is none of socketio.namespaces: nobody could say it",
                              row->on.text, row->nsp.text);
        }
    }
    if (socketio->allow_eio3 && socketio->link.text[0] == '\0') {
        return rc_err_set(err, -EINVAL,
                          "socketio.allow_eio3 is for clients of a link: give socketio.link, or take it out");
    }
    const char *const paths[] = {socketio->path.text, config->debug.engineio_echo.text};
    for (size_t i = 0; i < RC_ARRAY_COUNT(paths); i++) {
        const int rc = paths[i][0] != '\0' ? engineio_path_check(config, paths[i], err) : 0;
        if (rc != 0) {
            return rc;
        }
    }
    for (uint32_t i = 0; i < config->endpoint_count; i++) {
        const int rc =
            endpoint_engineio(&config->endpoints[i]) ? endpoint_check(config, &config->endpoints[i], err) : 0;
        if (rc != 0) {
            return rc;
        }
    }
    return 0;
}
