/* The value of a key as a file has it. */
#include "common/config/key_print.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "common/config/key_set.h"

static struct rc_config config;

static void prints(const char *section_name, const char *name, const char *text, const char *expected)
{
    struct rc_err err = {""};
    char *out = NULL;
    size_t bytes = 0;
    const struct rc_config_section *section = rc_config_section_find(section_name, strlen(section_name));
    cr_assert_not_null(section);
    const struct rc_config_key *key = rc_config_key_find(section, name, strlen(name));
    cr_assert_not_null(key, "%s", name);
    void *item = rc_config_item(&config, section, 0);
    cr_assert_eq(rc_config_key_set_text(key, item, text, &err), 0, "%s", err.text);
    FILE *file = open_memstream(&out, &bytes);
    cr_assert_not_null(file);
    rc_config_key_print(file, key, item);
    cr_assert_eq(fclose(file), 0);
    cr_assert_str_eq(out, expected);
    free(out);
}

Test(key_print, each_kind_is_written_as_it_is_read)
{
    prints("server", "workers", "auto", "\"auto\"");
    prints("server", "workers", "3", "3");
    prints("socketio", "ping_interval", "1500ms", "\"1s500ms\"");
    prints("limits", "max_message_size", "65536", "\"64KiB\"");
    prints("socketio", "event_rate", "100/1m", "\"100/60s\"");
    prints("namespace", "publish_rate_bytes", "1024KiB/1h", "\"1MiB/1h\"");
    prints("socketio", "event_rate", "", "\"\"");
    prints("socketio", "message_event", "a\"b\\c", "\"a\\\"b\\\\c\"");
    prints("socketio", "transports", "polling,websocket", "[\"polling\", \"websocket\"]");
    prints("endpoint", "incoming", "publish:a", "\"publish:a\"");
    prints("endpoint", "incoming", "ignore", "\"ignore\"");
    prints("namespace", "slow_consumer", "skip", "\"skip\"");
    prints("namespace", "presence", "true", "true");
}

Test(key_print, secrets_are_not_told)
{
    prints("http", "api_keys", "0123456789abcdef0123456789abcdef", "[\"***\"]");
    prints("identity", "secrets", "keyboard cat", "[\"***\"]");
    prints("identity", "secret", "0123456789abcdef0123456789abcdef", "\"***\"");
    prints("redis", "url", "redis://user:hush@127.0.0.1:6379/1", "\"redis://user:***@127.0.0.1:6379/1\"");
    prints("redis", "url", "redis://127.0.0.1:6379", "\"redis://127.0.0.1:6379\"");
}
