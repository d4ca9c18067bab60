/* One key set from one value: what it takes, and what it says of what it does not take. */
#include "common/config/key_set.h"

#include <criterion/criterion.h>
#include <string.h>

static struct rc_config config;
static void *item;

static const struct rc_config_key *key_of(const char *section_name, const char *name)
{
    const struct rc_config_section *section = rc_config_section_find(section_name, strlen(section_name));
    cr_assert_not_null(section);
    const struct rc_config_key *key = rc_config_key_find(section, name, strlen(name));
    cr_assert_not_null(key, "%s", name);
    item = rc_config_item(&config, section, 0);
    return key;
}

static void takes(const char *section, const char *name, const char *text)
{
    struct rc_err err = {""};
    const struct rc_config_key *key = key_of(section, name);
    cr_assert_eq(rc_config_key_set_text(key, item, text, &err), 0, "%s", err.text);
}

static void refuses(const char *section, const char *name, struct rc_config_value value, const char *why)
{
    struct rc_err err = {""};
    const struct rc_config_key *key = key_of(section, name);
    cr_assert_lt(rc_config_key_set(key, item, &value, &err), 0);
    cr_assert_str_eq(err.text, why);
}

static struct rc_config_value text_of(const char *text)
{
    return (struct rc_config_value){.type = RC_VALUE_TEXT, .text = text, .bytes = strlen(text)};
}

#define NUMBER(value) ((struct rc_config_value){.type = RC_VALUE_INTEGER, .integer = (value)})
#define OTHER(value) ((struct rc_config_value){.type = RC_VALUE_OTHER, .text = (value)})

Test(key_set, each_kind_takes_its_own)
{
    takes("server", "workers", "auto");
    cr_assert_eq(config.server.workers, 0);
    takes("server", "workers", "3");
    cr_assert_eq(config.server.workers, 3);
    takes("socketio", "ping_interval", "1500ms");
    cr_assert_eq(config.socketio.ping_interval_ms, 1500);
    takes("limits", "max_message_size", "64KiB");
    cr_assert_eq(config.limits.max_message_size_bytes, 65536);
    takes("socketio", "event_rate", "100/1m");
    cr_assert_eq(config.socketio.event_rate.count, 100);
    takes("socketio", "event_rate", "");
    cr_assert_eq(config.socketio.event_rate.count, 0);
    takes("namespace", "publish_rate_bytes", "1MiB/1m");
    cr_assert_eq(config.namespaces[0].publish_rate_bytes.count, 1u << 20);
    cr_assert_eq(config.namespaces[0].publish_rate_bytes.window_ms, 60000u);
    takes("endpoint", "incoming", "publish:a:b");
    cr_assert_eq(config.endpoints[0].incoming, RC_INCOMING_PUBLISH);
    cr_assert_str_eq(config.endpoints[0].incoming_channel, "a:b");
    takes("server", "listen", " 127.0.0.1:1 ,, [::1]:2");
    cr_assert_eq(config.server.listen.count, 2);
    cr_assert_str_eq(config.server.listen.items[1].text, "[::1]:2");
}

Test(key_set, what_is_wrong_is_shown_beside_what_was_expected)
{
    refuses("server", "workers", text_of("many"), "expected a number from 1 to 128 or \"auto\", found \"many\"");
    refuses("server", "workers", OTHER("a date"), "expected a number from 1 to 128 or \"auto\", found a date");
    refuses("limits", "max_message_size", NUMBER(-1), "expected a size from 128B to 256MiB, found -1");
    refuses("socketio", "ping_interval", NUMBER(25),
            "expected a duration with its unit, in quotes, such as \"25s\" or \"100ms\", found 25");
    refuses("endpoint", "incoming", text_of("publish:*"),
            "expected \"broadcast\" to send to everybody, found \"publish:*\"");
    refuses("server", "listen", text_of("a"), "expected a list of texts, as in [\"…\", \"…\"], found \"a\"");
    refuses("event", "match", NUMBER(1), "is set by the file alone");
}

Test(key_set, a_secret_without_quotes_is_not_shown)
{
    refuses("log", "redact_key", NUMBER(12345678), "expected a text in quotes, found a number");
    refuses("redis", "sentinel_password", NUMBER(12345678), "expected a text in quotes, found a number");
    refuses("http", "api_keys", NUMBER(12345678), "expected a list of texts, as in [\"…\", \"…\"], found a number");
}

/* Messages go to logs and terminals. */
Test(key_set, what_is_shown_is_short_and_harmless_and_no_secret)
{
    static char text[400];
    struct rc_err err = {""};
    memset(text, 'x', sizeof(text) - 1);
    refuses("log", "level", text_of("\x1b[2J"),
            "expected one of \"debug\", \"info\", \"warn\", \"error\", \"off\", found \"\\x1b[2J\"");
    const struct rc_config_key *level = key_of("log", "level");
    cr_assert_lt(rc_config_key_set_text(level, item, text, &err), 0);
    cr_assert_not_null(strstr(err.text, "x…\""), "%s", err.text);
    const struct rc_config_value list = {.type = RC_VALUE_LIST};
    const struct rc_config_value secret = text_of("short");
    const struct rc_config_key *key = key_of("http", "api_keys");
    cr_assert_eq(rc_config_key_set(key, item, &list, &err), 0);
    cr_assert_lt(rc_config_key_add(key, item, &secret, &err), 0);
    cr_assert_null(strstr(err.text, "short"), "%s", err.text);
    cr_assert_not_null(strstr(err.text, "a text of 5 bytes"), "%s", err.text);
}

Test(key_set, a_list_holds_each_item_once_and_no_more_than_it_may)
{
    struct rc_err err = {""};
    const struct rc_config_key *key = key_of("socketio", "transports");
    const struct rc_config_value list = {.type = RC_VALUE_LIST};
    const struct rc_config_value polling = text_of("polling");
    cr_assert_eq(rc_config_key_set(key, item, &list, &err), 0);
    cr_assert_eq(rc_config_key_add(key, item, &polling, &err), 0);
    cr_assert_lt(rc_config_key_add(key, item, &polling, &err), 0);
    cr_assert_str_eq(err.text, "\"polling\" stands there twice");
    key = key_of("server", "listen");
    cr_assert_eq(rc_config_key_set(key, item, &list, &err), 0);
    for (int64_t port = 1; port <= (int64_t)key->max; port++) {
        const struct rc_config_value value = NUMBER(port); /* a port alone is an address */
        cr_assert_eq(rc_config_key_add(key, item, &value, &err), 0, "%s", err.text);
    }
    const struct rc_config_value value = NUMBER(1000);
    cr_assert_lt(rc_config_key_add(key, item, &value, &err), 0);
    cr_assert_not_null(strstr(err.text, "expected at most"), "%s", err.text);
}
