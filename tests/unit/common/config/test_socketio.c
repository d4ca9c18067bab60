/* What [socketio] and the end points with Engine.IO mean across keys. */
#include "common/config/socketio.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/base/check.h"
#include "common/config/config.h"
#include "common/config/key_set.h"

static struct rc_config config;

static void clean(void)
{
    rc_config_defaults(&config);
    (void)snprintf(config.socketio.path.text, RC_CONFIG_TEXT_MAX, "/socket.io/");
}

TestSuite(config_socketio, .init = clean);

static void namespaces(const char *list)
{
    const struct rc_config_section *const section = rc_config_section_find("socketio", 8);
    struct rc_err err = {""};
    cr_assert_eq(rc_config_key_set_text(rc_config_key_find(section, "namespaces", 10), &config.socketio, list, &err), 0,
                 "%s", err.text);
}

static bool allowed(const char *name)
{
    return rc_config_nsp_allowed(&config.socketio, rc_span_text(name));
}

static void expect_refused(const char *part)
{
    struct rc_err err = {""};
    cr_expect_eq(rc_config_finish(&config, &err), -EINVAL, "%s", part);
    cr_expect_not_null(strstr(err.text, part), "expected \"%s\" in \"%s\"", part, err.text);
    clean();
}

static struct rc_config_endpoint *endpoint(const char *path, enum rc_endpoint_protocol protocol)
{
    struct rc_config_endpoint *const made = &config.endpoints[config.endpoint_count++];
    rc_config_item_defaults(rc_config_section_find("endpoint", 8), made);
    (void)snprintf(made->path.text, sizeof(made->path.text), "%s", path);
    made->protocol = protocol;
    return made;
}

Test(config_socketio, names_of_namespaces_keep_the_wire_and_channels_apart)
{
    static const char *const right[] = {"/", "/admin", "/a b", "/a:b", "/ü", "/a/b"};
    static const char *const wrong[] = {"", "admin", "/a,b", "/a?b", "/a#b", "/*", "/a\x01", "/\xff"};
    for (size_t i = 0; i < RC_ARRAY_COUNT(right); i++) {
        cr_expect(rc_config_nsp_valid(rc_span_text(right[i])), "%s", right[i]);
    }
    for (size_t i = 0; i < RC_ARRAY_COUNT(wrong); i++) {
        cr_expect_not(rc_config_nsp_valid(rc_span_text(wrong[i])), "%s", wrong[i]);
    }
    cr_expect_not(rc_config_nsp_valid(rc_span_of("/a\0b", 4)));
    char longest[RC_NSP_MAX + 1];
    memset(longest, 'a', sizeof(longest));
    longest[0] = '/';
    cr_expect(rc_config_nsp_valid(rc_span_of(longest, RC_NSP_MAX)));
    cr_expect_not(rc_config_nsp_valid(rc_span_of(longest, RC_NSP_MAX + 1)));
}

Test(config_socketio, namespaces_are_names_or_beginnings)
{
    cr_expect(allowed("/"));
    cr_expect_not(allowed("/admin"));
    namespaces("/admin,/room-*");
    cr_expect_not(allowed("/"));
    cr_expect(allowed("/admin"));
    cr_expect_not(allowed("/admin2"));
    cr_expect(allowed("/room-"));
    cr_expect(allowed("/room-7"));
    cr_expect_not(allowed("/room"));
    cr_expect_not(allowed("/room-7#x"), "no client names a channel through its namespace");
    namespaces("/*");
    cr_expect(allowed("/"));
    cr_expect(allowed("/anything"));
    cr_expect_not(allowed("anything"));
    cr_expect_not(allowed(""));
}

Test(config_socketio, transports_are_those_of_the_list)
{
    cr_expect(rc_config_transport_allowed(&config.socketio, RC_CONFIG_POLLING));
    cr_expect(rc_config_transport_allowed(&config.socketio, RC_CONFIG_WEBSOCKET));
    config.socketio.transport_count = 1;
    cr_expect(rc_config_transport_allowed(&config.socketio, RC_CONFIG_POLLING));
    cr_expect_not(rc_config_transport_allowed(&config.socketio, RC_CONFIG_WEBSOCKET));
}

Test(config_socketio, life_cycle_events_are_reserved)
{
    static const char *const reserved[] = {"connect",       "connect_error", "disconnect",
                                           "disconnecting", "newListener",   "removeListener"};
    static const char *const others[] = {"",        "disconnected",  "Connect",     "drawing",        "connect_erro",
                                         "message", "add message",   "new message", "disconnecter",   "connect_errors",
                                         "vote up", "leaderboard:x", "pusher:ping", "removelistener", "disconnecT"};
    for (size_t i = 0; i < RC_ARRAY_COUNT(reserved); i++) {
        cr_expect(rc_config_event_reserved(rc_span_text(reserved[i])), "%s", reserved[i]);
        cr_expect(rc_config_event_own(rc_span_text(reserved[i])), "%s", reserved[i]);
    }
    for (size_t i = 0; i < RC_ARRAY_COUNT(others); i++) {
        cr_expect_not(rc_config_event_reserved(rc_span_text(others[i])), "%s", others[i]);
        cr_expect_eq(rc_config_event_own(rc_span_text(others[i])), strcmp(others[i], "pusher:ping") == 0, "%s",
                     others[i]);
    }
    cr_expect(rc_config_event_own(RC_SPAN("pusher_internal:member_added")));
    cr_expect_not(rc_config_event_own(RC_SPAN("pusher")));
    cr_expect_not(rc_config_event_own(RC_SPAN("p")));
}

Test(config_socketio, a_slash_at_the_end_makes_no_difference)
{
    cr_expect(rc_config_engineio_path_is("/socket.io/", "/socket.io/"));
    cr_expect(rc_config_engineio_path_is("/socket.io/", "/socket.io"));
    cr_expect(rc_config_engineio_path_is("/socket.io", "/socket.io/"));
    cr_expect_not(rc_config_engineio_path_is("/socket.io/", "/socket.io//"));
    cr_expect_not(rc_config_engineio_path_is("/socket.io/", "/socket.io/x"));
    cr_expect_not(rc_config_engineio_path_is("/socket.io/", "/socket.i"));
    cr_expect_not(rc_config_engineio_path_is("", ""));
    cr_expect_not(rc_config_engineio_path_is("", "/"));
}

Test(config_socketio, what_is_below_a_path)
{
    cr_expect(rc_config_engineio_path_below("/socket.io/", "/socket.io/x"));
    cr_expect(rc_config_engineio_path_below("/socket.io", "/socket.io/default/"));
    cr_expect_not(rc_config_engineio_path_below("/socket.io/", "/socket.io/"));
    cr_expect_not(rc_config_engineio_path_below("/socket.io/", "/socket.io"));
    cr_expect_not(rc_config_engineio_path_below("/socket.io/", "/socket.iox/y"));
    cr_expect_not(rc_config_engineio_path_below("/socket.io/", "/"));
    cr_expect_not(rc_config_engineio_path_below("", "/x"));
}

Test(config_socketio, any_end_point_turns_it_on)
{
    cr_expect(rc_config_engineio_on(&config));
    config.socketio.path.text[0] = '\0';
    cr_expect_not(rc_config_engineio_on(&config));
    (void)endpoint("/raw", RC_ENDPOINT_RAW);
    cr_expect_not(rc_config_engineio_on(&config));
    (void)endpoint("/eio", RC_ENDPOINT_ENGINEIO);
    cr_expect(rc_config_engineio_on(&config));
}

Test(config_socketio, paths_collide_whatever_their_last_slash)
{
    struct rc_err err = {""};
    cr_assert_eq(rc_config_finish(&config, &err), 0, "%s", err.text);
    (void)endpoint("/socket.io", RC_ENDPOINT_RAW);
    expect_refused("the path /socket.io/ is used twice");
    (void)endpoint("/a/", RC_ENDPOINT_ENGINEIO);
    (void)endpoint("/a", RC_ENDPOINT_NATIVE);
    expect_refused("the path /a/ is used twice");
    (void)endpoint("/ws/", RC_ENDPOINT_SOCKETIO);
    expect_refused("the path /ws/ is used twice");
    (void)snprintf(config.debug.engineio_echo.text, RC_CONFIG_TEXT_MAX, "/socket.io/");
    expect_refused("the path /socket.io/ is used twice");
    (void)endpoint("/", RC_ENDPOINT_ENGINEIO);
    expect_refused("the path / cannot be that of Engine.IO");
    (void)snprintf(config.socketio.path.text, RC_CONFIG_TEXT_MAX, "/api/");
    expect_refused("the path /api/ is the broker's own");
    (void)endpoint("/a/", RC_ENDPOINT_RAW);
    (void)endpoint("/a", RC_ENDPOINT_RAW);
    cr_expect_eq(rc_config_finish(&config, &err), 0, "paths of WebSockets alone are taken as they are: %s", err.text);
}

Test(config_socketio, one_redis_channel_is_not_heard_twice)
{
    struct rc_err err = {""};
    config.bridge_count = 1;
    (void)snprintf(config.bridges[0].redis.text, RC_CONFIG_TEXT_MAX, "same");
    (void)snprintf(config.bridges[0].room.text, RC_CONFIG_TEXT_MAX, "a");
    (void)snprintf(config.socketio.python_channel.text, RC_CONFIG_TEXT_MAX, "other");
    cr_expect_eq(rc_config_finish(&config, &err), 0, "%s", err.text);
    (void)snprintf(config.socketio.python_channel.text, RC_CONFIG_TEXT_MAX, "same");
    expect_refused("socketio.python_channel is also redis of a [[bridge]], \"same\"");
}

Test(config_socketio, payloads_fit_messages_where_it_is_on)
{
    config.limits.max_message_size_bytes = 65536;
    expect_refused("socketio.max_payload is above limits.max_message_size");
    config.limits.max_message_size_bytes = 65536;
    config.socketio.path.text[0] = '\0';
    struct rc_err err = {""};
    cr_expect_eq(rc_config_finish(&config, &err), 0, "%s", err.text);
}

Test(config_socketio, events_are_of_namespaces_that_there_are)
{
    struct rc_config_event *const row = &config.events[config.event_count++];
    rc_config_item_defaults(rc_config_section_find("event", 5), row);
    (void)snprintf(row->on.text, sizeof(row->on.text), "say");
    struct rc_err err = {""};
    cr_expect_eq(rc_config_finish(&config, &err), 0, "%s", err.text);
    (void)snprintf(row->nsp.text, sizeof(row->nsp.text), "/admin");
    row->from = RC_EVENT_FROM_SERVER;
    cr_expect_eq(rc_config_finish(&config, &err), 0, "%s", err.text);
    row->from = RC_EVENT_FROM_CLIENT;
    expect_refused("[[event]] on = \"say\": nsp = \"/admin\" is none of socketio.namespaces");
}

Test(config_socketio, nobody_could_connect)
{
    config.socketio.namespace_count = 0;
    expect_refused("socketio.namespaces is empty");
    config.socketio.transport_count = 0;
    expect_refused("socketio.transports is empty");
}

Test(config_socketio, end_points_have_the_keys_of_their_protocol)
{
    endpoint("/a", RC_ENDPOINT_SOCKETIO)->incoming = RC_INCOMING_BROADCAST;
    expect_refused("[[event]] tables say what becomes of events");
    endpoint("/a", RC_ENDPOINT_SOCKETIO)->join_count = 0;
    expect_refused("join is not for protocol = \"socketio\"");
    struct rc_config_endpoint *const bare = endpoint("/a", RC_ENDPOINT_ENGINEIO);
    bare->incoming = RC_INCOMING_BROADCAST;
    bare->join_count = 0;
    struct rc_err err = {""};
    cr_expect_eq(rc_config_finish(&config, &err), 0, "%s", err.text);
}
