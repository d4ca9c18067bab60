/* The configuration without its file: defaults, key table, environment, cross checks, reload, namespaces, printing. */
#include "common/config/config.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/config/key_set.h"
#include "common/config/print.h"
#include "common/base/log.h"

static struct rc_config config;
static struct rc_config other;

static void clean(void)
{
    static const char *const variables[] = {"REDIS_URL",
                                            "INSTANCE_ID",
                                            "SERVER_ID",
                                            "WS_HEARTBEAT_INTERVAL",
                                            "WS_DEAD_INSTANCE_THRESHOLD",
                                            "CORS_ORIGIN",
                                            "CLIENT_URL",
                                            "LOG_LEVEL",
                                            "PORT",
                                            "ENABLE_WEBSOCKET_CLUSTERING",
                                            "RINGCAST_API_KEY"};
    for (size_t i = 0; i < RC_ARRAY_COUNT(variables); i++) {
        unsetenv(variables[i]);
    }
    rc_config_defaults(&config);
    rc_config_defaults(&other);
}

TestSuite(config, .init = clean);

/* --- defaults and the key table ---------------------------------------------------------------------------------- */

Test(config, defaults_are_those_of_the_design)
{
    cr_expect_eq(config.server.listen.count, 1u);
    cr_expect_str_eq(config.server.listen.items[0].text, "127.0.0.1:8080");
    cr_expect_eq(config.server.workers, 0u);
    cr_expect_str_eq(config.server.instance_id.text, "");
    cr_expect_str_eq(config.server.path.text, "/ws");
    cr_expect_eq(config.server.max_connections, 0u);
    cr_expect_eq(config.server.drain_timeout_ms, 60000u);
    cr_expect(config.server.pin_cpus);
    cr_expect_eq(config.server.ring_bytes, 4u << 20);
    cr_expect_eq(config.server.overflow_bytes, 16u << 20);
    cr_expect_eq(config.server.receive_buffers_bytes, 4u << 20);
    cr_expect_eq(config.server.stuck_timeout_ms, 2000u);
    cr_expect_eq(config.server.stuck_kill_timeout_ms, 30000u);
    cr_expect_eq(config.limits.max_message_size_bytes, 1000000u);
    cr_expect_eq(config.limits.handshake_timeout_ms, 10000u);
    cr_expect_eq(config.limits.idle_timeout_ms, 0u);
    cr_expect_eq(config.limits.ping_interval_ms, 25000u);
    cr_expect_eq(config.limits.pong_timeout_ms, 60000u);
    cr_expect_eq(config.limits.close_timeout_ms, 5000u);
    cr_expect_eq(config.limits.max_channels, 128u);
    cr_expect_eq(config.limits.max_channels_per_worker, 1000000u);
    cr_expect_eq(config.limits.max_channel_name, 255u);
    cr_expect_eq(config.limits.max_frames_per_message, 131072u);
    cr_expect_eq(config.limits.max_request_bytes, 16384u);
    cr_expect_eq(config.limits.max_request_headers, 100u);
    cr_expect_eq(config.limits.max_body_bytes, 1000000u);
    cr_expect_eq(config.limits.channel_log_bytes, 1u << 20);
    cr_expect_eq(config.limits.worker_log_bytes, 64u << 20);
    cr_expect_eq(config.limits.max_reply_bytes, 65536u);
    cr_expect_eq(config.limits.notsent_lowat_bytes, 65536u);
    cr_expect_eq(config.limits.send_buffer_bytes, 0u);
    cr_expect_eq(config.redis.outbox_bytes, 64u << 20);
    cr_expect_eq(config.redis.outbox_max_age_ms, 10000u);
    cr_expect_not(config.redis.sharded);
    cr_expect_eq(config.cluster.heartbeat_interval_ms, 30000u);
    cr_expect_eq(config.cluster.dead_instance_threshold_ms, 90000u);
    cr_expect_eq(config.cluster.subscription_sets, (uint32_t)RC_SUBSCRIPTION_SETS_CLIENTS);
    cr_expect_eq(config.http.api_keys.count, 0u);
    cr_expect_not(config.http.public_metrics);
    cr_expect_not(config.http.public_page);
    cr_expect_eq(config.permissions.broadcast, RC_WHO_DEFAULT);
    cr_expect_eq(config.permissions.direct, RC_WHO_DEFAULT);
    cr_expect_eq(config.log.level, (uint32_t)RC_LOG_INFO);
    cr_expect_eq(config.log.format, (uint32_t)RC_LOG_TEXT);
    cr_expect_eq(config.namespace_count, 1u);
    cr_expect_eq(config.endpoint_count, 0u);
    cr_expect_eq(config.bridge_count, 0u);
    cr_expect_str_eq(config.namespaces[0].name, "default");
    cr_expect_eq(config.namespaces[0].name_bytes, 7u);
    cr_expect_eq(config.namespaces[0].slow_consumer, RC_SLOW_DISCONNECT);
}

Test(config, every_key_has_a_default_within_its_bounds_and_help)
{
    for (size_t i = 0; i < rc_config_key_count; i++) {
        const struct rc_config_key *const key = &rc_config_keys[i];
        const struct rc_config_section *const section = &rc_config_sections[key->section];
        void *const item = calloc(1, section->item_bytes);
        struct rc_err err = {""};
        if ((key->initial[0] != '\0' || key->kind == RC_CONFIG_LIST) && key->kind != RC_CONFIG_RULE) {
            cr_expect_eq(rc_config_key_set_text(key, item, key->initial, &err), 0, "%s.%s: %s", section->name,
                         key->name, err.text);
        }
        free(item);
        const size_t help = strlen(key->help);
        cr_expect_gt(help, 10u, "%s", key->name);
        cr_expect_eq(key->help[help - 1], '.', "%s.%s: help is sentences", section->name, key->name);
        cr_expect_leq(key->offset + key->bytes, section->item_bytes);
        cr_expect_eq(rc_config_key_find(section, key->name, strlen(key->name)), key, "%s.%s stands there once",
                     section->name, key->name);
        for (const char *c = key->name; *c != '\0'; c++) {
            cr_expect((*c >= 'a' && *c <= 'z') || *c == '_' || (c > key->name && *c >= '0' && *c <= '9'), "%s",
                      key->name);
        }
    }
}

/* Two keys that write the same member would be a slip of the table. */
Test(config, no_two_keys_share_a_member)
{
    for (size_t i = 0; i < rc_config_key_count; i++) {
        for (size_t j = 0; j < i; j++) {
            cr_expect(rc_config_keys[i].section != rc_config_keys[j].section ||
                          rc_config_keys[i].offset != rc_config_keys[j].offset,
                      "%s and %s", rc_config_keys[i].name, rc_config_keys[j].name);
        }
    }
}

Test(config, defaults_finish)
{
    struct rc_err err = {""};
    cr_expect_eq(rc_config_finish(&config, &err), 0, "%s", err.text);
    cr_expect_eq(config.permissions.broadcast, RC_WHO_ANYONE);
    cr_expect_eq(config.permissions.direct, RC_WHO_ANYONE);
    cr_expect_eq(config.namespaces[0].publish, RC_WHO_ANYONE);
    cr_expect_eq(config.namespaces[0].subscribe, RC_WHO_ANYONE);
}

Test(config, instance_id_is_made_up_when_empty_and_differs_each_time)
{
    cr_assert_eq(rc_config_finish(&config, NULL), 0);
    cr_assert_eq(rc_config_finish(&other, NULL), 0);
    const char *const id = config.server.instance_id.text;
    cr_expect_geq(strlen(id), 8u);
    cr_expect_leq(strlen(id), (size_t)RC_INSTANCE_ID_MAX);
    cr_expect_eq(strspn(id, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-"), strlen(id), "%s", id);
    cr_expect_str_neq(id, other.server.instance_id.text);
}

/* --- finish ------------------------------------------------------------------------------------------------------ */

static void set(const char *section_name, const char *key_name, const char *text)
{
    const struct rc_config_section *const section = rc_config_section_find(section_name, strlen(section_name));
    cr_assert_not_null(section);
    const struct rc_config_key *const key = rc_config_key_find(section, key_name, strlen(key_name));
    cr_assert_not_null(key, "%s", key_name);
    struct rc_err err = {""};
    cr_assert_eq(rc_config_key_set_text(key, rc_config_item(&config, section, 0), text, &err), 0, "%s.%s = %s: %s",
                 section_name, key_name, text, err.text);
}

static void add_endpoint(const char *path, enum rc_endpoint_protocol protocol)
{
    struct rc_config_endpoint *const endpoint = &config.endpoints[config.endpoint_count++];
    rc_config_item_defaults(rc_config_section_find("endpoint", 8), endpoint);
    (void)snprintf(endpoint->path.text, sizeof(endpoint->path.text), "%s", path);
    endpoint->protocol = protocol;
}

static struct rc_config_namespace *add_namespace(const char *name)
{
    struct rc_config_namespace *const space = &config.namespaces[config.namespace_count++];
    rc_config_item_defaults(rc_config_section_find("namespace", 9), space);
    (void)snprintf(space->name, sizeof(space->name), "%s", name);
    space->name_bytes = (uint32_t)strlen(name);
    return space;
}

static void expect_refused(const char *part)
{
    struct rc_err err = {""};
    cr_expect_eq(rc_config_finish(&config, &err), -EINVAL, "expected an error with: %s", part);
    cr_expect_not_null(strstr(err.text, part), "\"%s\" is not in: %s", part, err.text);
    rc_config_defaults(&config);
}

static void expect_accepted(void)
{
    struct rc_err err = {""};
    cr_expect_eq(rc_config_finish(&config, &err), 0, "%s", err.text);
    rc_config_defaults(&config);
}

Test(config, ring_holds_two_of_the_largest_messages)
{
    set("limits", "max_message_size", "4MiB");
    expect_refused("\"16MiB\" or above");
    set("limits", "max_message_size", "4MiB");
    set("server", "ring_size", "16MiB");
    expect_accepted();
    set("server", "ring_size", "3000000");
    expect_refused("power of two");
    set("limits", "max_message_size", "2093056"); /* 2 MiB - 4 KiB: with the header just half of 4 MiB */
    expect_accepted();
    set("limits", "max_message_size", "2093057");
    expect_refused("server.ring_size");
    set("server", "overflow_size", "2MiB");
    expect_refused("server.overflow_size");
    set("server", "overflow_size", "5MiB");
    expect_refused("server.overflow_size");
    set("limits", "worker_log", "512KiB");
    expect_refused("limits.worker_log");
}

Test(config, times_must_fit_each_other)
{
    set("cluster", "dead_instance_threshold", "30s");
    expect_refused("cluster.dead_instance_threshold");
    set("server", "stuck_kill_timeout", "1s");
    expect_refused("server.stuck_kill_timeout");
    set("server", "stuck_kill_timeout", "0s");
    expect_accepted();
}

Test(config, listeners_are_there_once)
{
    set("server", "listen", "");
    expect_refused("nothing to listen on");
    set("server", "listen", "8080, 127.0.0.1:8080");
    expect_refused("127.0.0.1:8080 is to be listened on twice");
    set("http", "admin_listen", "localhost:8080");
    expect_refused("twice");
    set("http", "admin_listen", "127.0.0.1:9090");
    expect_accepted();
    set("tls", "listen", "127.0.0.1:8443");
    expect_refused("tls.certificates");
}

Test(config, user_query_works_on_private_listeners_only)
{
    set("debug", "user_query", "user");
    expect_accepted();
    set("debug", "user_query", "user");
    set("server", "listen", "127.0.0.1:1,0.0.0.0:8080");
    expect_refused("debug.user_query");
}

Test(config, paths_do_not_collide)
{
    set("debug", "echo", "/ws");
    expect_refused("the path /ws is used twice");
    add_endpoint("/ws", RC_ENDPOINT_RAW);
    expect_refused("the path /ws is used twice");
    add_endpoint("/a", RC_ENDPOINT_RAW);
    add_endpoint("/a", RC_ENDPOINT_RAW);
    expect_refused("the path /a is used twice");
    static const char *const reserved[] = {"/health", "/health/redis", "/metrics", "/api", "/api/x", "/ringcast.js"};
    for (size_t i = 0; i < RC_ARRAY_COUNT(reserved); i++) {
        add_endpoint(reserved[i], RC_ENDPOINT_RAW);
        expect_refused("the broker's own");
        set("server", "path", reserved[i]);
        expect_refused("the broker's own");
    }
    add_endpoint("/healthy", RC_ENDPOINT_RAW);
    add_endpoint("/", RC_ENDPOINT_RAW);
    add_endpoint("/apis", RC_ENDPOINT_NATIVE);
    expect_accepted();
    add_endpoint("/a", RC_ENDPOINT_NATIVE);
    config.endpoints[0].incoming = RC_INCOMING_BROADCAST;
    expect_refused("protocol = \"raw\"");
    add_endpoint("/a", RC_ENDPOINT_SSE);
    config.endpoints[0].incoming = RC_INCOMING_BROADCAST;
    expect_refused("clients of \"sse\" only listen");
    add_endpoint("/sse", RC_ENDPOINT_RAW);
    expect_refused("the path /sse is used twice");
    set("sse", "path", "");
    expect_accepted();
}

Test(config, namespace_names_are_unique)
{
    add_namespace("a");
    add_namespace("b");
    expect_accepted();
    add_namespace("a");
    add_namespace("a");
    expect_refused("two [[namespace]] tables named \"a\"");
    add_namespace("default");
    expect_refused("two [[namespace]]");
    add_namespace("a:b");
    expect_refused("no \":\"");
}

/* --- who may ----------------------------------------------------------------------------------------------------- */

Test(config, private_means_every_client_listener)
{
    static const struct {
        const char *listen;
        const char *tls;
        const char *admin;
        bool is_private;
    } cases[] = {
        {"127.0.0.1:1", "", "", true},
        {"8080,unix:/x", "", "", true},
        {"[::1]:1", "127.0.0.2:2", "", true},
        {"unix:/x", "", "127.0.0.1:9", true},
        {"unix:/x", "", "unix:/y", true},
        {"unix:/x", "", "0.0.0.0:9", false},
        {"*:1", "", "", false},
        {"127.0.0.1:1,10.0.0.1:1", "", "", false},
        {"127.0.0.1:1", "[::]:2", "", false},
        {"[::ffff:10.0.0.1]:1", "", "", false},
    };
    for (size_t i = 0; i < RC_ARRAY_COUNT(cases); i++) {
        set("server", "listen", cases[i].listen);
        set("tls", "listen", cases[i].tls);
        set("http", "admin_listen", cases[i].admin);
        cr_expect_eq(rc_config_listeners_private(&config), cases[i].is_private, "%s + %s", cases[i].listen,
                     cases[i].tls);
    }
}

/* A proxy on this machine brings everybody, though the listener is loopback; so does a listener for administrators that others reach. */
Test(config, proxies_and_admin_listeners_make_writing_opt_in)
{
    static const struct {
        const char *listen;
        const char *section;
        const char *key;
        const char *value;
        enum rc_who writer;
    } cases[] = {
        {"127.0.0.1:1,unix:/x", "http", "trusted_proxies", "", RC_WHO_ANYONE},
        {"127.0.0.1:1", "http", "trusted_proxies", "127.0.0.1", RC_WHO_NONE},
        {"unix:/x", "http", "trusted_proxies", "127.0.0.1", RC_WHO_NONE},
        {"127.0.0.1:1", "http", "trusted_proxies", "10.0.0.0/8", RC_WHO_NONE},
        {"127.0.0.1:1", "server", "proxy_protocol", "true", RC_WHO_NONE},
        {"127.0.0.1:1", "http", "admin_listen", "127.0.0.1:2", RC_WHO_ANYONE},
        {"127.0.0.1:1", "http", "admin_listen", "0.0.0.0:2", RC_WHO_NONE},
    };
    for (size_t i = 0; i < RC_ARRAY_COUNT(cases); i++) {
        rc_config_defaults(&config);
        set("server", "listen", cases[i].listen);
        set(cases[i].section, cases[i].key, cases[i].value);
        cr_assert_eq(rc_config_finish(&config, NULL), 0);
        cr_expect_eq(config.permissions.broadcast, cases[i].writer, "%s", cases[i].value);
        cr_expect_eq(config.permissions.direct, cases[i].writer, "%s", cases[i].value);
        cr_expect_eq(config.namespaces[0].publish, cases[i].writer, "%s", cases[i].value);
        cr_expect_eq(config.namespaces[0].subscribe, RC_WHO_ANYONE);
        cr_expect_eq(rc_config_outsiders(&config) == NULL, cases[i].writer == RC_WHO_ANYONE);
    }
}

Test(config, public_listeners_make_writing_opt_in)
{
    set("server", "listen", "0.0.0.0:8080");
    struct rc_config_namespace *const open = add_namespace("open");
    open->publish = RC_WHO_USER;
    struct rc_config_namespace *const own = add_namespace("own");
    own->subscribe = RC_WHO_OWNER;
    own->history_who = RC_WHO_NONE;
    config.permissions.direct = RC_WHO_ANYONE;
    cr_assert_eq(rc_config_finish(&config, NULL), 0);
    cr_expect_eq(config.permissions.broadcast, RC_WHO_NONE);
    cr_expect_eq(config.permissions.direct, RC_WHO_ANYONE, "what the file says stays");
    cr_expect_eq(config.namespaces[0].subscribe, RC_WHO_ANYONE);
    cr_expect_eq(config.namespaces[0].publish, RC_WHO_NONE);
    cr_expect_eq(open->publish, RC_WHO_USER);
    cr_expect_eq(own->publish, RC_WHO_NONE);
    cr_expect_eq(own->presence_who, RC_WHO_OWNER, "presence follows subscribe");
    cr_expect_eq(own->history_who, RC_WHO_NONE);
}

/* --- namespaces -------------------------------------------------------------------------------------------------- */

static const char *space_of(const char *name)
{
    return rc_config_namespace_of(&config, name, strlen(name))->name;
}

Test(config, namespace_of_a_channel_is_what_stands_before_the_first_colon)
{
    add_namespace("prices");
    add_namespace("price");
    cr_expect_str_eq(space_of("prices:BTC"), "prices");
    cr_expect_str_eq(space_of("prices:"), "prices");
    cr_expect_str_eq(space_of("prices:a:b"), "prices");
    cr_expect_str_eq(space_of("price:x"), "price");
    cr_expect_str_eq(space_of("prices"), "default");
    cr_expect_str_eq(space_of("pricesx:a"), "default");
    cr_expect_str_eq(space_of(":prices"), "default");
    cr_expect_str_eq(space_of("Prices:a"), "default");
    cr_expect_str_eq(space_of("default:a"), "default");
    cr_expect_str_eq(space_of("*"), "default");
    cr_expect_str_eq(space_of(""), "default");
    cr_expect_str_eq(rc_config_namespace_of(&config, "prices:BTC", 6)->name, "default",
                     "bytes behind the name are not read");
}

/* --- environment ------------------------------------------------------------------------------------------------- */

static void expect_environment(const char *name, const char *value)
{
    struct rc_err err = {""};
    setenv(name, value, 1);
    cr_expect_eq(rc_config_environment(&config, &err), 0, "%s=%s: %s", name, value, err.text);
    unsetenv(name);
}

static void expect_environment_refused(const char *name, const char *value, const char *part)
{
    struct rc_err err = {""};
    setenv(name, value, 1);
    cr_expect_eq(rc_config_environment(&config, &err), -EINVAL, "%s=%s", name, value);
    cr_expect_not_null(strstr(err.text, name), "%s", err.text);
    cr_expect_not_null(strstr(err.text, part), "%s", err.text);
    unsetenv(name);
}

Test(config, environment_unset_or_empty_changes_nothing)
{
    struct rc_err err = {""};
    setenv("REDIS_URL", "", 1);
    setenv("INSTANCE_ID", "", 1);
    setenv("PORT", "", 1);
    setenv("CORS_ORIGIN", "", 1);
    setenv("ENABLE_WEBSOCKET_CLUSTERING", "", 1);
    setenv("RINGCAST_API_KEY", "", 1);
    cr_expect_eq(rc_config_environment(&config, &err), 0, "%s", err.text);
    cr_expect_eq(memcmp(&config, &other, sizeof(config)), 0);
}

Test(config, environment_sets_what_the_sources_name)
{
    expect_environment("REDIS_URL", "redis://h:1");
    cr_expect_str_eq(config.redis.url.text, "redis://h:1");
    expect_environment("WS_HEARTBEAT_INTERVAL", "15000");
    cr_expect_eq(config.cluster.heartbeat_interval_ms, 15000u);
    expect_environment("WS_DEAD_INSTANCE_THRESHOLD", "45001");
    cr_expect_eq(config.cluster.dead_instance_threshold_ms, 45001u);
    expect_environment("LOG_LEVEL", "trace");
    cr_expect_eq(config.log.level, (uint32_t)RC_LOG_DEBUG);
    expect_environment("LOG_LEVEL", "WARN");
    cr_expect_eq(config.log.level, (uint32_t)RC_LOG_WARN);
    expect_environment("LOG_LEVEL", "silent");
    cr_expect_eq(config.log.level, (uint32_t)RC_LOG_OFF);
}

Test(config, instance_id_wins_over_server_id)
{
    setenv("SERVER_ID", "b", 1);
    cr_assert_eq(rc_config_environment(&config, NULL), 0);
    cr_expect_str_eq(config.server.instance_id.text, "b");
    expect_environment("INSTANCE_ID", "a.1_2-3");
    cr_expect_str_eq(config.server.instance_id.text, "a.1_2-3");
}

Test(config, origins_of_both_variables_are_added_to_the_files)
{
    set("http", "allowed_origins", "https://a.example");
    setenv("CORS_ORIGIN", "https://B.example/, https://a.example,,", 1);
    setenv("CLIENT_URL", "http://localhost:3000/app/index.html", 1);
    struct rc_err err = {""};
    cr_assert_eq(rc_config_environment(&config, &err), 0, "%s", err.text);
    const struct rc_config_list *const origins = &config.http.allowed_origins;
    cr_assert_eq(origins->count, 3u);
    cr_expect_str_eq(origins->items[0].text, "https://a.example");
    cr_expect_str_eq(origins->items[1].text, "https://b.example");
    cr_expect_str_eq(origins->items[2].text, "http://localhost:3000");
}

Test(config, a_star_and_credentials_do_not_go_together)
{
    struct rc_err err = {""};
    set("http", "allowed_origins", "https://a.example,*");
    cr_expect_eq(rc_config_finish(&config, &err), 0, "%s", err.text);
    set("http", "cors_credentials", "true");
    cr_expect_eq(rc_config_finish(&config, &err), -EINVAL);
    cr_expect_not_null(strstr(err.text, "http.allowed_origins"), "%s", err.text);
    set("http", "allowed_origins", "https://a.example");
    cr_expect_eq(rc_config_finish(&config, &err), 0, "%s", err.text);
}

Test(config, cors_headers_are_bounded_together)
{
    struct rc_err err = {""};
    char names[520] = "";
    for (size_t i = 0; i < 9; i++) {
        /* 9 x (54 + 2) + 1 = 505 bytes: below. */
        snprintf(names + strlen(names), sizeof(names) - strlen(names), "%sx%053zu", i > 0 ? "," : "", i);
    }
    set("http", "cors_headers", names);
    cr_expect_eq(rc_config_finish(&config, &err), 0, "%s", err.text);
    strcat(names, ",y-and-zz");
    set("http", "cors_headers", names);
    cr_expect_eq(rc_config_finish(&config, &err), -EINVAL);
    cr_expect_not_null(strstr(err.text, "http.cors_headers"), "%s", err.text);
}

Test(config, only_headers_that_tell_an_address_can_be_believed)
{
    struct rc_err err = {""};
    set("http", "forwarded_headers", "X-Real-IP,Forwarded");
    cr_expect_eq(rc_config_finish(&config, &err), 0, "%s", err.text);
    set("http", "forwarded_headers", "x-forwarded-for,cf-connecting-ip");
    cr_expect_eq(rc_config_finish(&config, &err), -EINVAL);
    cr_expect_not_null(strstr(err.text, "cf-connecting-ip"), "%s", err.text);
}

Test(config, port_replaces_the_first_tcp_listeners_port)
{
    set("server", "listen", "unix:/x,[::1]:80,127.0.0.1:81");
    expect_environment("PORT", "3000");
    cr_expect_str_eq(config.server.listen.items[0].text, "unix:/x");
    cr_expect_str_eq(config.server.listen.items[1].text, "[::1]:3000");
    cr_expect_str_eq(config.server.listen.items[2].text, "127.0.0.1:81");
    set("server", "listen", "8080");
    expect_environment("PORT", "3000");
    cr_expect_str_eq(config.server.listen.items[0].text, "3000");
    set("server", "listen", "unix:/x");
    expect_environment("PORT", "3000");
    cr_expect_eq(config.server.listen.count, 2u);
    cr_expect_str_eq(config.server.listen.items[1].text, "127.0.0.1:3000");
}

Test(config, clustering_variable_switches_redis)
{
    expect_environment_refused("ENABLE_WEBSOCKET_CLUSTERING", "true", "REDIS_URL");
    setenv("REDIS_URL", "redis://h", 1);
    expect_environment("ENABLE_WEBSOCKET_CLUSTERING", "true");
    cr_expect_str_eq(config.redis.url.text, "redis://h");
    expect_environment("ENABLE_WEBSOCKET_CLUSTERING", "false");
    cr_expect_str_eq(config.redis.url.text, "");
    cr_assert_eq(rc_config_environment(&config, NULL), 0);
    cr_expect_str_eq(config.redis.url.text, "redis://h", "unset: on exactly when there is a URL");
    expect_environment("ENABLE_WEBSOCKET_CLUSTERING", "0");
    cr_expect_str_eq(config.redis.url.text, "");
    expect_environment_refused("ENABLE_WEBSOCKET_CLUSTERING", "maybe", "expected one of \"true\", \"false\"");
}

Test(config, api_key_is_added_once)
{
    expect_environment("RINGCAST_API_KEY", "0123456789abcdef");
    expect_environment("RINGCAST_API_KEY", "0123456789abcdef");
    cr_assert_eq(config.http.api_keys.count, 1u);
    cr_expect_str_eq(config.http.api_keys.items[0].text, "0123456789abcdef");
    struct rc_err err = {""};
    setenv("RINGCAST_API_KEY", "sekret", 1);
    cr_expect_eq(rc_config_environment(&config, &err), -EINVAL);
    cr_expect_null(strstr(err.text, "sekret"), "a key is never shown: %s", err.text);
}

Test(config, wrong_variables_are_named)
{
    expect_environment_refused("REDIS_URL", "http://x", "redis://");
    expect_environment_refused("INSTANCE_ID", "a b", "letters, digits");
    expect_environment_refused("SERVER_ID", "a~b", "letters, digits");
    expect_environment_refused("INSTANCE_ID", "a2345678901234567890123456789012345678901234567890123456789012345",
                               "at most 64 bytes");
    expect_environment_refused("WS_HEARTBEAT_INTERVAL", "30s", "milliseconds");
    expect_environment_refused("WS_HEARTBEAT_INTERVAL", "-1", "milliseconds");
    expect_environment_refused("WS_HEARTBEAT_INTERVAL", "5", "from 100ms");
    expect_environment_refused("WS_DEAD_INSTANCE_THRESHOLD", "18446744073709551616", "milliseconds");
    expect_environment_refused("CORS_ORIGIN", "example.com", "expected an origin");
    expect_environment_refused("CLIENT_URL", "localhost:3000", "expected an origin");
    expect_environment_refused("LOG_LEVEL", "loud", "expected one of");
    expect_environment_refused("PORT", "0", "1 to 65535");
    expect_environment_refused("PORT", "http", "1 to 65535");
    expect_environment_refused("PORT", "70000", "1 to 65535");
}

/* --- reload ------------------------------------------------------------------------------------------------------ */

static struct rc_config_errors restarts;

Test(config, reload_takes_what_may_change_and_keeps_the_rest)
{
    cr_assert_eq(rc_config_finish(&other, NULL), 0);
    set("limits", "ping_interval", "10s");
    set("server", "listen", "0.0.0.0:9999");
    set("server", "workers", "7");
    set("log", "level", "debug");
    cr_expect_eq(rc_config_reload_diff(&other, &config, &restarts), 2u);
    cr_expect_eq(restarts.count, 2u);
    cr_expect_str_eq(restarts.lines[0].text, "server.listen changed: restart to apply");
    cr_expect_str_eq(restarts.lines[1].text, "server.workers changed: restart to apply");
    cr_assert_eq(rc_config_finish(&config, NULL), 0);
    cr_expect_eq(config.limits.ping_interval_ms, 10000u);
    cr_expect_eq(config.log.level, (uint32_t)RC_LOG_DEBUG);
    cr_expect_eq(config.server.workers, 0u);
    cr_expect_str_eq(config.server.listen.items[0].text, "127.0.0.1:8080");
    cr_expect_str_eq(config.server.instance_id.text, other.server.instance_id.text, "a made-up id stays");
}

/* Moving to loopback in the file must not open what the public listener, which stays until a restart, keeps closed. */
Test(config, reload_resolves_permissions_for_the_listeners_that_stay)
{
    (void)snprintf(other.server.listen.items[0].text, RC_CONFIG_TEXT_MAX, "0.0.0.0:8080");
    cr_assert_eq(rc_config_finish(&other, NULL), 0);
    cr_assert_eq(other.permissions.broadcast, RC_WHO_NONE);
    cr_expect_eq(rc_config_reload_diff(&other, &config, &restarts), 1u);
    cr_assert_eq(rc_config_finish(&config, NULL), 0);
    cr_expect_eq(config.permissions.broadcast, RC_WHO_NONE);
    cr_expect_eq(config.namespaces[0].publish, RC_WHO_NONE);
}

Test(config, reload_of_the_same_file_changes_nothing)
{
    add_namespace("a");
    add_endpoint("/a", RC_ENDPOINT_RAW);
    memcpy(&other, &config, sizeof(other));
    cr_assert_eq(rc_config_finish(&other, NULL), 0);
    cr_expect_eq(rc_config_reload_diff(&other, &config, &restarts), 0u);
    cr_assert_eq(rc_config_finish(&config, NULL), 0);
    cr_expect_eq(memcmp(&config, &other, sizeof(config)), 0);
}

Test(config, reload_takes_namespaces_but_not_endpoints)
{
    cr_assert_eq(rc_config_finish(&other, NULL), 0);
    add_namespace("new");
    add_endpoint("/new", RC_ENDPOINT_RAW);
    cr_expect_eq(rc_config_reload_diff(&other, &config, &restarts), 1u);
    cr_expect_str_eq(restarts.lines[0].text, "[[endpoint]] tables changed: restart to apply");
    cr_expect_eq(config.endpoint_count, 0u);
    cr_expect_eq(config.namespace_count, 2u);
}

Test(config, reload_takes_an_app_that_is_the_same_by_its_id)
{
    struct rc_config_pusher_app *const app = &config.pusher_apps[config.pusher_app_count++];
    rc_config_item_defaults(rc_config_section_find("pusher_app", strlen("pusher_app")), app);
    (void)snprintf(app->id.text, sizeof(app->id.text), "1");
    memcpy(&other, &config, sizeof(other));
    app->max_batch = 7;
    cr_expect_eq(rc_config_reload_diff(&other, &config, &restarts), 0u);
    cr_expect_eq(app->max_batch, 7u);
    (void)snprintf(app->id.text, sizeof(app->id.text), "2");
    cr_expect_eq(rc_config_reload_diff(&other, &config, &restarts), 1u);
    cr_expect_str_eq(restarts.lines[0].text, "[[pusher_app]] tables changed: restart to apply");
    cr_expect_eq(app->max_batch, other.pusher_apps[0].max_batch);
    config.pusher_app_count = 2;
    cr_expect_eq(rc_config_reload_diff(&other, &config, &restarts), 1u);
    cr_expect_eq(config.pusher_app_count, 1u);
}

Test(config, reload_takes_events)
{
    struct rc_config_event *const row = &config.events[config.event_count++];
    rc_config_item_defaults(rc_config_section_find("event", 5), row);
    (void)snprintf(row->on.text, sizeof(row->on.text), "say");
    cr_assert_eq(rc_config_finish(&other, NULL), 0);
    uint32_t section = 0;
    while (strcmp(rc_config_sections[section].name, "event") != 0) {
        section++;
    }
    cr_expect_not(rc_config_section_equal(&config, &other, section));
    cr_expect_eq(rc_config_reload_diff(&other, &config, &restarts), 0u);
    cr_expect_eq(config.event_count, 1u);
    memcpy(&other, &config, sizeof(other));
    cr_expect(rc_config_section_equal(&config, &other, section));
    other.event_rules.rows_bytes = 4; /* what the keys do not show */
    cr_expect_not(rc_config_section_equal(&config, &other, section));
}

Test(config, every_key_that_needs_a_restart_is_told_and_kept)
{
    cr_assert_eq(rc_config_finish(&other, NULL), 0);
    for (size_t i = 0; i < rc_config_key_count; i++) {
        const struct rc_config_key *const key = &rc_config_keys[i];
        const struct rc_config_section *const section = &rc_config_sections[key->section];
        if (section->repeated || key->kind == RC_CONFIG_WORD) {
            continue;
        }
        rc_config_defaults(&config);
        void *const item = rc_config_item(&config, section, 0);
        *((unsigned char *)item + key->offset) ^= 1; /* a change of any kind of member */
        const bool differs = !rc_config_key_equal(key, item, rc_config_item(&other, section, 0));
        restarts.count = 0;
        const uint32_t kept = rc_config_reload_diff(&other, &config, &restarts);
        cr_expect_eq(kept, differs && !key->reloadable ? 1u : 0u, "%s.%s", section->name, key->name);
        cr_expect_eq(rc_config_key_equal(key, item, rc_config_item(&other, section, 0)), !differs || !key->reloadable,
                     "%s.%s", section->name, key->name);
    }
}

/* --- errors, names, printing -------------------------------------------------------------------------------------- */

Test(config, error_lines_are_bounded_and_counted)
{
    for (int i = 0; i < 50; i++) {
        rc_config_errors_add(&restarts, "line %d", i);
    }
    cr_expect_eq(restarts.count, 50u);
    cr_expect_str_eq(restarts.lines[RC_CONFIG_ERRORS_MAX - 1].text, "line 19");
}

Test(config, nearest_name_is_found_for_typing_mistakes_only)
{
    const struct rc_config_section *const limits = rc_config_section_find("limits", 6);
    cr_expect_str_eq(rc_config_name_nearest(limits, "ping_intervall", 14), "ping_interval");
    cr_expect_str_eq(rc_config_name_nearest(limits, "max_mesage_size", 15), "max_message_size");
    cr_expect_null(rc_config_name_nearest(limits, "zzzzzz", 6));
    cr_expect_str_eq(rc_config_name_nearest(NULL, "sever", 5), "server");
    cr_expect_null(rc_config_name_nearest(NULL, "", 0));
}

static char *printed(void (*print)(FILE *out, const void *argument), const void *argument)
{
    char *text = NULL;
    size_t bytes = 0;
    FILE *const out = open_memstream(&text, &bytes);
    cr_assert_not_null(out);
    print(out, argument);
    cr_assert_eq(fclose(out), 0);
    return text;
}

static void print_toml(FILE *out, const void *argument)
{
    rc_config_print_toml(out, argument);
}

static void print_help(FILE *out, const void *argument)
{
    (void)argument;
    rc_config_print_help(out);
}

Test(config, secrets_are_not_printed)
{
    set("http", "api_keys", "top-secret-key");
    set("redis", "url", "redis://user:hunter22@host:6379/0");
    char *const text = printed(print_toml, &config);
    cr_expect_null(strstr(text, "top-secret-key"));
    cr_expect_null(strstr(text, "hunter22"));
    cr_expect_not_null(strstr(text, "api_keys = [\"***\"]\n"));
    cr_expect_not_null(strstr(text, "url = \"redis://user:***@host:6379/0\"\n"));
    free(text);
    set("redis", "url", "redis://:p:a@ss@host");
    char *const again = printed(print_toml, &config);
    cr_expect_not_null(strstr(again, "url = \"redis://:***@host\"\n"), "%s", again);
    free(again);
}

Test(config, help_names_every_key)
{
    char *const text = printed(print_help, NULL);
    for (size_t i = 0; i < rc_config_key_count; i++) {
        char line[80];
        (void)snprintf(line, sizeof(line), "\n  %s = ", rc_config_keys[i].name);
        cr_expect_not_null(strstr(text, line), "%s", rc_config_keys[i].name);
    }
    free(text);
}
