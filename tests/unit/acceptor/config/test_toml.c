/*
 * The configuration file: right ones, wrong ones with the place and the words of each error, and the checked-in files
 * that are made from config.def. RC_UPDATE_FILES=1 in the environment writes those files anew instead of comparing
 * them.
 */
#include "acceptor/config/toml.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/check.h"
#include "common/config/event_rules.h"
#include "common/config/identity.h"
#include "common/config/key.h"
#include "common/config/print.h"
#include "common/base/log.h"

static struct rc_config config;
static struct rc_config other;
static struct rc_config_errors errors;

static void clean(void)
{
    rc_config_defaults(&config);
    rc_config_defaults(&other);
    errors.count = 0;
}

TestSuite(config_toml, .init = clean);

static int load(const char *text)
{
    clean();
    const size_t bytes = strlen(text);
    char *const copy = malloc(bytes > 0 ? bytes : 1); /* its exact size: ASan sees a read behind it */
    memcpy(copy, text, bytes);
    const int rc = rc_config_load_text(&config, copy, bytes, "x.toml", &errors);
    free(copy);
    cr_assert_eq(rc == 0, errors.count == 0);
    return rc;
}

/* --- right files ------------------------------------------------------------------------------------------------- */

Test(config_toml, empty_file_is_the_defaults)
{
    cr_expect_eq(load(""), 0);
    cr_expect_eq(memcmp(&config, &other, sizeof(config)), 0);
    cr_expect_eq(load("# only a comment\n\n[server]\n[limits]\n"), 0);
    cr_expect_eq(memcmp(&config, &other, sizeof(config)), 0);
}

/* Rows that wait end at a reload that changes rows, and at no other. */
Test(config_toml, rows_are_the_same_whatever_identities_say)
{
#define EVENT(args) "[[event]]\non = \"say\"\nemit = [{ args = [" args "] }]\n"
#define IDENTITY(user) \
    "[[identity]]\nfrom = [\"auth.token\"]\nuser = \"" user "\"\nsecret = \"0123456789abcdef0123456789abcdef\"\n"
    static struct rc_config first;
    cr_assert_eq(load(IDENTITY("{claims.sub}") EVENT("1") IDENTITY("{claims.id}")), 0);
    memcpy(&first, &config, sizeof(first));
    cr_assert_eq(load(IDENTITY("{claims.email}") EVENT("1")), 0);
    cr_expect(rc_event_rules_equal(&first, &config));
    cr_expect_not(rc_config_identities_equal(&first, &config));
    cr_assert_eq(load(EVENT("1")), 0);
    cr_expect(rc_event_rules_equal(&first, &config));
    cr_assert_eq(load(EVENT("2") IDENTITY("{claims.sub}") IDENTITY("{claims.id}")), 0);
    cr_expect_not(rc_event_rules_equal(&first, &config));
    cr_expect(rc_config_identities_equal(&first, &config));
#undef EVENT
#undef IDENTITY
}

/* The library asked "is it a blank?" in undefined ways here. */
Test(config_toml, letters_beyond_ascii_are_taken_wherever_toml_has_them)
{
    cr_assert_eq(load("# \xc2\xa7\n[server]\nuser = \"\"\"\\\n  \"\"\" # \xca\x9a\n[[namespace]]\nname = "
                      "\"\"\"\\\n\xc2\xa7 \xca\x9a\"\"\"\n[[namespace]]\nname = '\xe2\xb1\xa0'\n"),
                 0, "%s", errors.lines[0].text);
    cr_expect_str_eq(config.namespaces[1].name, "\xc2\xa7 \xca\x9a");
    cr_expect_str_eq(config.namespaces[2].name, "\xe2\xb1\xa0");
}

Test(config_toml, every_kind_of_value_is_taken)
{
    static const char text[] = "[server]\n"
                               "listen = [\"0.0.0.0:80\", \"[::1]:81\", 8082, 'unix:/run/a.sock']\n"
                               "workers = 4\n"
                               "instance_id = \"eu-1.a_b\"\n"
                               "max_connections = 1_000_000\n"
                               "drain_timeout = \"1h30m\"\n"
                               "pin_cpus = false\n"
                               "ring_size = 8388608\n"
                               "[limits]\n"
                               "max_message_size = \"64KiB\"\n"
                               "ping_interval = \"0s\"\n[http]\n"
                               "allowed_origins = [ \"https://A.example:443/\", \"*\" ]\n"
                               "trusted_proxies = [\"10.0.0.0/8\", \"::1\"]\n"
                               "api_keys = [\"0123456789\"]\n"
                               "[cluster]\nsubscription_sets = \"instances\"\n[permissions]\nbroadcast = \"user\"\n"
                               "[log]\nlevel = \"warning\"\nformat = \"json\"\n";
    cr_assert_eq(load(text), 0, "%s", errors.lines[0].text);
    cr_expect_eq(config.server.listen.count, 4u);
    cr_expect_str_eq(config.server.listen.items[2].text, "8082");
    cr_expect_str_eq(config.server.listen.items[3].text, "unix:/run/a.sock");
    cr_expect_eq(config.server.workers, 4u);
    cr_expect_str_eq(config.server.instance_id.text, "eu-1.a_b");
    cr_expect_eq(config.server.max_connections, 1000000u);
    cr_expect_eq(config.server.drain_timeout_ms, 5400000u);
    cr_expect_not(config.server.pin_cpus);
    cr_expect_eq(config.server.ring_bytes, 8388608u);
    cr_expect_eq(config.limits.max_message_size_bytes, 65536u);
    cr_expect_eq(config.limits.ping_interval_ms, 0u);
    cr_expect_str_eq(config.http.allowed_origins.items[0].text, "https://a.example");
    cr_expect_str_eq(config.http.allowed_origins.items[1].text, "*");
    cr_expect_eq(config.http.trusted_proxies.count, 2u);
    cr_expect_eq(config.cluster.subscription_sets, (uint32_t)RC_SUBSCRIPTION_SETS_INSTANCES);
    cr_expect_eq(config.permissions.broadcast, RC_WHO_USER);
    cr_expect_eq(config.log.level, (uint32_t)RC_LOG_WARN);
    cr_expect_eq(config.log.format, (uint32_t)RC_LOG_JSON);
}

Test(config_toml, toml_may_be_written_in_any_of_its_ways)
{
    cr_expect_eq(load("server.workers = 3\nlimits = { max_channels = 7, \"max_body\" = '1KB' }\r\n"), 0, "%s",
                 errors.lines[0].text);
    cr_expect_eq(config.server.workers, 3u);
    cr_expect_eq(config.limits.max_channels, 7u);
    cr_expect_eq(config.limits.max_body_bytes, 1000u);
    cr_expect_eq(load("\xef\xbb\xbf[server]\r\nworkers = 0x10\r\n"), 0, "%s", errors.lines[0].text);
    cr_expect_eq(config.server.workers, 16u);
    cr_expect_eq(load("endpoint = [ { path = \"/a\" }, { path = \"/b\", join = [] } ]\n"), 0, "%s",
                 errors.lines[0].text);
    cr_expect_eq(config.endpoint_count, 2u);
    cr_expect_eq(config.endpoints[1].join_count, 0u);
}

Test(config_toml, tables_are_taken_in_their_order)
{
    static const char text[] =
        "[[namespace]]\nname = \"prices\"\npublish = \"none\"\nhistory = 5\nslow_consumer = \"latest\"\npriority = \"critical\"\n"
        "[[namespace]]\nname = \"default\"\nsubscribe = \"user\"\n"
        "[[namespace]]\nname = \"a\"\npresence = true\nmin_interval = \"100ms\"\nreveal_publisher = true\n"
        "[[endpoint]]\npath = \"/live\"\n"
        "[[endpoint]]\npath = \"/in\"\nprotocol = \"raw\"\njoin = [\"a:1\", \"*\"]\nincoming = \"publish:a:1\"\n"
        "[[endpoint]]\npath = \"/n\"\nprotocol = \"native\"\n"
        "[[bridge]]\nredis = \"match:result\"\nroom = \"leaderboard:{json.id}\"\n";
    cr_assert_eq(load(text), 0, "%s", errors.lines[0].text);
    cr_expect_eq(config.namespace_count, 3u);
    cr_expect_str_eq(config.namespaces[0].name, "default");
    cr_expect_eq(config.namespaces[0].subscribe, RC_WHO_USER);
    cr_expect_str_eq(config.namespaces[1].name, "prices");
    cr_expect_eq(config.namespaces[1].name_bytes, 6u);
    cr_expect_eq(config.namespaces[1].publish, RC_WHO_NONE);
    cr_expect_eq(config.namespaces[1].subscribe, RC_WHO_DEFAULT, "a table does not inherit");
    cr_expect_eq(config.namespaces[1].history, 5u);
    cr_expect_eq(config.namespaces[1].slow_consumer, RC_SLOW_LATEST);
    cr_expect_eq(config.namespaces[1].priority, RC_PRIORITY_CRITICAL);
    cr_expect(config.namespaces[2].presence);
    cr_expect(config.namespaces[2].reveal_publisher);
    cr_expect_eq(config.namespaces[2].min_interval_ms, 100u);
    cr_expect_eq(config.endpoint_count, 3u);
    cr_expect_eq(config.endpoints[0].protocol, RC_ENDPOINT_RAW);
    cr_expect_eq(config.endpoints[0].join_count, 1u);
    cr_expect_str_eq(config.endpoints[0].join[0], "*");
    cr_expect_eq(config.endpoints[0].incoming, RC_INCOMING_IGNORE);
    cr_expect_eq(config.endpoints[1].join_count, 2u);
    cr_expect_str_eq(config.endpoints[1].join[1], "*");
    cr_expect_eq(config.endpoints[1].incoming, RC_INCOMING_PUBLISH);
    cr_expect_str_eq(config.endpoints[1].incoming_channel, "a:1");
    cr_expect_eq(config.endpoints[2].protocol, RC_ENDPOINT_NATIVE);
    cr_expect_eq(config.bridge_count, 1u);
    cr_expect_str_eq(config.bridges[0].room.text, "leaderboard:{json.id}");
    cr_expect_eq(rc_config_finish(&config, NULL), 0);
}

/* Socket.IO is opened by saying so, not by having been built. */
Test(config_toml, socketio_is_on_where_the_file_has_its_section)
{
    cr_assert_eq(load("[server]\nworkers = 1\n"), 0);
    cr_expect_str_eq(config.socketio.path.text, "");
    cr_expect_eq(config.socketio.ping_interval_ms, 25000u, "for end points of their own");
    cr_assert_eq(load("[socketio]\n"), 0, "%s", errors.lines[0].text);
    cr_expect_str_eq(config.socketio.path.text, "/socket.io/");
    cr_expect_eq(config.socketio.namespace_count, 1u);
    cr_assert_eq(load("socketio.adapter = \"classic\"\n"), 0, "%s", errors.lines[0].text);
    cr_expect_str_eq(config.socketio.path.text, "/socket.io/");
    cr_expect_eq(config.socketio.adapter, RC_ADAPTER_CLASSIC);
    cr_assert_eq(load("[socketio]\npath = \"\"\nping_timeout = \"60s\"\n"), 0, "%s", errors.lines[0].text);
    cr_expect_str_eq(config.socketio.path.text, "");
    cr_expect_eq(config.socketio.ping_timeout_ms, 60000u);
    cr_assert_eq(
        load(
            "[socketio]\nnamespaces = [\"/\", \"/room-*\", \"/*\"]\ntransports = [\"websocket\"]\nmax_payload = \"100KB\"\n"
            "unknown_event = \"error\"\nadapter = \"\"\ncookie = \"io\"\nmax_attachments = 0\n"
            "[[endpoint]]\nprotocol = \"engineio\"\npath = \"/engine.io\"\nincoming = \"broadcast\"\n"
            "[[endpoint]]\nprotocol = \"socketio\"\npath = \"/other/\"\n"),
        0, "%s", errors.lines[0].text);
    cr_expect_eq(config.socketio.namespace_count, 3u);
    cr_expect_str_eq(config.socketio.namespaces[1].text, "/room-*");
    cr_expect_eq(config.socketio.transport_count, 1u);
    cr_expect_str_eq(config.socketio.unknown_event.text, RC_UNKNOWN_EVENT_ERROR);
    cr_expect_eq(config.endpoints[0].protocol, RC_ENDPOINT_ENGINEIO);
    cr_expect_eq(config.endpoints[1].protocol, RC_ENDPOINT_SOCKETIO);
    struct rc_err err = {""};
    cr_expect_eq(rc_config_finish(&config, &err), 0, "%s", err.text);
}

/* --- wrong files ------------------------------------------------------------------------------------------------- */

#define TEXT_31 "abcdefghijklmnopqrstuvwxyzabcde"
#define TEXT_32 TEXT_31 "f" /* two and a dot: more than the 63 bytes of one name */

/* Each file has exactly one thing wrong. */
static const struct {
    const char *text;
    const char *error;
} wrong[] = {
    /* syntax */
    {"[server\n", "x.toml:1:8: "},
    {"[server]\nworkers = \n", "x.toml:2:11: "},
    {"[server]\nworkers = 1\nworkers = 2\n", "x.toml:3:"},
    {"[server]\n[server]\n", "x.toml:2:"},
    {"a = \"\xff\"\n", "x.toml:1:"},
    {"[server]\npath = \"/ws\n", "x.toml:2:"},
    {"[server]\nworkers = 99999999999999999999\n", "x.toml:2:"},
    {"[#server]\nworkers = 1\n", "x.toml:1:1: this line is not TOML"},
    {"[server]\n[[[a]]]\n", "x.toml:2:1: this line is not TOML"},
    {"[server]\n# x\n\n[[=", "x.toml:4:1: this line is not TOML"},
    {"x = [[[[[[[[[[[[[[[[[[[[[[[[\n", "x.toml:1:"},
    {"[server]\nwörkers = 1\n", "x.toml:2:2: "},
    {"x = 6['\xc3\x8d'\n", "x.toml:1:"},
    {"\xca\x9a", "x.toml:1:1: "},
    {"[e0\xca\x9a", "x.toml:1:"},
    {"[server]\npath = \"\\", "x.toml:2:"},
    {"[server]\npath = \"\"\"", "x.toml:2:"},
    {"a.b.c.d.e.f.g.h.i = 1\n", "x.toml:1:16: a key with too many parts"},
    /* sections and keys that do not exist */
    {"[sever]\n", "x.toml:1:2: unknown section \"sever\", did you mean \"[server]\"?"},
    {"[zzzzzzzzz]\n", "x.toml:1:2: unknown section \"zzzzzzzzz\""},
    {"workers = 1\n", "x.toml:1:1: unknown key outside of a section \"workers\""},
    {"[server]\n  worker = 1\n", "x.toml:2:3: unknown key \"worker\" in [server], did you mean \"workers\"?"},
    {"[limits]\nping_intervall = \"1s\"\n",
     "x.toml:2:1: unknown key \"ping_intervall\" in [limits], did you mean \"ping_interval\"?"},
    {"[limits]\nzzzzzzz = 1\n", "x.toml:2:1: unknown key \"zzzzzzz\" in [limits]"},
    {"[server.listen]\n", "x.toml:1:"},
    {"[[namespace]]\nname = \"a\"\nsubscribers = \"user\"\n",
     "x.toml:3:1: unknown key \"subscribers\" in [[namespace]], did you mean \"subscribe\"?"},
    {"[\"ser\\u0007ver\"]\n", "x.toml:1:2: unknown section \"ser?ver\""},
    {"[[server]]\n", "x.toml:1:3: expected a section [server]"},
    {"server = 1\n", "x.toml:1:1: expected a section [server]"},
    {"[namespace]\nname = \"a\"\n", "x.toml:1:2: expected tables with two brackets: [[namespace]]"},
    {"endpoint = [1]\n", "x.toml:1:13: expected tables: [[endpoint]]"},
    /* types */
    {"[server]\nworkers = \"four\"\n",
     "x.toml:2:11: server.workers: expected a number from 1 to 128 or \"auto\", found \"four\""},
    {"[server]\nworkers = 1.5\n",
     "x.toml:2:11: server.workers: expected a number from 1 to 128 or \"auto\", found a number with a decimal point"},
    {"[server]\npin_cpus = \"yes\"\n", "x.toml:2:12: server.pin_cpus: expected true or false, found \"yes\""},
    {"[server]\npin_cpus = 1\n", "x.toml:2:12: server.pin_cpus: expected true or false, found 1"},
    {"[server]\npath = 1\n", "x.toml:2:8: server.path: expected a text in quotes, found 1"},
    {"[server]\npath = [\"/a\"]\n", "x.toml:2:8: server.path: expected a text in quotes, found a list"},
    {"[server]\nlisten = \"127.0.0.1:1\"\n",
     "x.toml:2:10: server.listen: expected a list of texts, as in [\"…\", \"…\"], found \"127.0.0.1:1\""},
    {"[server]\nlisten = [true]\n", "x.toml:2:11: server.listen: expected texts in quotes, found true"},
    {"[server]\nlisten = [[\"a\"]]\n", "x.toml:2:11: server.listen: expected texts in quotes, found a list"},
    {"[server]\npath = 2026-01-01\n", "x.toml:2:8: server.path: expected a text in quotes, found a date or time"},
    {"[limits]\nmax_channels = \"5\"\n",
     "x.toml:2:16: limits.max_channels: expected a number from 1 to 65535, found \"5\""},
    {"[limits]\nmax_channels = {}\n",
     "x.toml:2:16: limits.max_channels: expected a number from 1 to 65535, found a table"},
    {"[limits]\nping_interval = 25\n",
     "x.toml:2:17: limits.ping_interval: expected a duration with its unit, in quotes, such as \"25s\" or \"100ms\", found 25"},
    {"[limits]\nping_interval = 2.5\n",
     "x.toml:2:17: limits.ping_interval: expected a duration such as \"25s\", found a number with a decimal point"},
    {"[limits]\nmax_body = true\n", "x.toml:2:12: limits.max_body: expected a size such as \"64KiB\", found true"},
    {"[log]\nlevel = 1\n",
     "x.toml:2:9: log.level: expected one of \"debug\", \"info\", \"warn\", \"error\", \"off\", found 1"},
    /* values */
    {"[server]\nworkers = 0\n", "x.toml:2:11: server.workers: expected a number from 1 to 128 or \"auto\", found 0"},
    {"[server]\nworkers = 129\n",
     "x.toml:2:11: server.workers: expected a number from 1 to 128 or \"auto\", found 129"},
    {"[server]\nmax_connections = -1\n",
     "x.toml:2:19: server.max_connections: expected a number from 0 to 100000000, found -1"},
    {"[server]\nring_size = \"1KiB\"\n",
     "x.toml:2:13: server.ring_size: expected a size from 64KiB to 1GiB, found \"1KiB\""},
    {"[server]\nring_size = 1024\n", "x.toml:2:13: server.ring_size: expected a size from 64KiB to 1GiB, found 1024"},
    {"[server]\nring_size = \"1MX\"\n",
     "x.toml:2:13: server.ring_size: expected a size such as \"64KiB\" (units B, KB, MB, GB, TB of 1000, "},
    {"[limits]\nping_interval = \"25\"\n",
     "x.toml:2:17: limits.ping_interval: the number has no unit: expected a duration such as \"25s\""},
    {"[limits]\nping_interval = \"25h\"\n",
     "x.toml:2:17: limits.ping_interval: expected a duration from 0s to 1d, found \"25h\""},
    {"[limits]\nping_interval = \"1us\"\n",
     "x.toml:2:17: limits.ping_interval: durations are kept in whole milliseconds, found \"1us\""},
    {"[log]\nlevel = \"loud\"\n",
     "x.toml:2:9: log.level: expected one of \"debug\", \"info\", \"warn\", \"error\", \"off\", found \"loud\""},
    {"[permissions]\ndirect = \"owner\"\n",
     "x.toml:2:10: permissions.direct: expected one of \"auto\", \"anyone\", \"user\", \"none\", found \"owner\""},
    {"[server]\nlisten = [\"127.0.0.1\"]\n",
     "x.toml:2:11: server.listen: expected an address to listen on such as \"127.0.0.1:8080\""},
    {"[server]\nlisten = [\"a:1\",\n  \"8080\"]\n", "x.toml:2:11: server.listen: expected an address to listen on"},
    {"[server]\nlisten = [\"8080\",\n  \"x\"]\n", "x.toml:3:3: server.listen: expected an address to listen on"},
    {"[server]\nlisten = [99999]\n", "x.toml:2:11: server.listen: a port is a number from 1 to 65535, found \"99999\""},
    {"[server]\nlisten = [\"8080\", \"8080\"]\n", "x.toml:2:19: server.listen: \"8080\" stands there twice"},
    {"[server]\nlisten = [\"\"]\n", "x.toml:2:11: server.listen: an item must not be empty"},
    {"[server]\npath = \"\"\n", "x.toml:2:8: server.path: must not be empty"},
    {"[server]\npath = \"ws\"\n", "x.toml:2:8: server.path: expected a path such as \"/live\""},
    {"[server]\npath = \"/a?b\"\n", "x.toml:2:8: server.path: expected a path such as \"/live\""},
    {"[server]\ninstance_id = \"a b\"\n",
     "x.toml:2:15: server.instance_id: expected letters, digits, _, . and -, found \"a b\""},
    {"[server]\ninstance_id = \"12345678901234567890123456789012345678901234567890123456789012345\"\n",
     "x.toml:2:15: server.instance_id: expected at most 64 bytes, found \"123456"},
    {"[server]\nuser = \"a\\u0000b\"\n",
     "x.toml:2:8: server.user: expected text without control characters, found \"a\\x00b\""},
    {"[server]\nuser = \"-x\"\n", "x.toml:2:8: server.user: expected a user's name, found \"-x\""},
    {"[server]\ncontrol_socket = \"x.sock\"\n", "x.toml:2:18: server.control_socket: expected an absolute path"},
    {"[redis]\nurl = \"http://user:hunter2@h\"\n",
     "x.toml:2:7: redis.url: expected a URL such as \"redis://host:6379\", \"rediss://host\", \"unix:///path\", \"redis+sentinel://h1,h2/master\" or \"redis+cluster://h1,h2\", found a text of 21 bytes"},
    {"[http]\napi_keys = [\"short\"]\n",
     "x.toml:2:13: http.api_keys: expected at least 8 visible ASCII characters without spaces, found a text of 5 bytes"},
    {"[http]\napi_keys = [\"0123456789\", \"0123456789\"]\n", "x.toml:2:27: http.api_keys: an item stands there twice"},
    {"[http]\nallowed_origins = [\"example.com\"]\n",
     "x.toml:2:20: http.allowed_origins: expected an origin such as \"https://example.com\""},
    {"[http]\ntrusted_proxies = [\"10.0.0.1/8\"]\n",
     "x.toml:2:20: http.trusted_proxies: the address has bits set behind its /8 prefix"},
    {"[auth]\nuser_header = \"X User\"\n",
     "x.toml:2:15: auth.user_header: expected the name of a request header, found \"X User\""},
    {"[tls]\ncertificates = [\"a.pem\"]\n", "x.toml:2:17: tls.certificates: expected an absolute path"},
    /* tables */
    {"[[namespace]]\n", "x.toml:1:1: this [[namespace]] needs a name"},
    {"[[namespace]]\nname = \"a:b\"\n",
     "x.toml:2:8: [[namespace]] name: expected a name without \":\" that is not \"*\", found \"a:b\""},
    {"[[namespace]]\nname = \"*\"\n", "x.toml:2:8: [[namespace]] name: expected a name without \":\""},
    {"[[namespace]]\nname = \"a\"\n[[namespace]]\nname = \"a\"\n",
     "x.toml:3:1: there is another [[namespace]] named \"a\""},
    {"[[namespace]]\nname = \"default\"\n[[namespace]]\nname = \"default\"\n",
     "x.toml:3:1: there is another [[namespace]] named \"default\""},
    {"[[namespace]]\nname = \"a\"\nhistory = -1\n",
     "x.toml:3:11: [[namespace]] history: expected a number from 0 to 1000000, found -1"},
    {"[[endpoint]]\nprotocol = \"raw\"\n", "x.toml:1:1: this [[endpoint]] needs a path"},
    {"[[backend]]\nname = \"a\"\nurl = [\"ftp://a/\"]\n", "x.toml:3:8: [[backend]] url: expected \"http://"},
    {"[[backend]]\nname = \"a b\"\nurl = [\"http://a/\"]\n",
     "x.toml:2:8: [[backend]] name: expected letters, digits, _, . and -"},
    {"[[backend]]\nname = \"a\"\nurl = [\"http://a/\"]\nbreaker = \"5\"\n",
     "x.toml:4:11: [[backend]] breaker: expected failures (1 to 1000)"},
    {"[[backend]]\nname = \"a\"\nurl = [\"http://a/\"]\ncalls = [\"event\"]\n",
     "x.toml:4:10: [[backend]] calls: expected \"connect\", \"disconnect\", \"subscribe\", \"publish\" or \"refresh\""},
    {"[[endpoint]]\npath = \"/a\"\njoin = [\"a\", \"\\u0007\"]\n",
     "x.toml:3:14: [[endpoint]] join: expected text without control characters, found \"\\x07\""},
    {"[[endpoint]]\npath = \"/a\"\njoin = [\"1\",\"2\",\"3\",\"4\",\"5\",\"6\",\"7\",\"8\",\"9\"]\n",
     "x.toml:3:41: [[endpoint]] join: expected at most 8 items"},
    {"[[endpoint]]\npath = \"/a\"\nincoming = \"publish\"\n",
     "x.toml:3:12: [[endpoint]] incoming: expected \"ignore\", \"broadcast\" or \"publish:<channel>\", found \"publish\""},
    {"[[endpoint]]\npath = \"/a\"\nincoming = \"publish:\"\n",
     "x.toml:3:12: [[endpoint]] incoming: expected a channel's name of 1 to 255 bytes"},
    {"[[endpoint]]\npath = \"/a\"\nincoming = \"publish:*\"\n",
     "x.toml:3:12: [[endpoint]] incoming: expected \"broadcast\" to send to everybody"},
    {"[[endpoint]]\npath = \"/a\"\nincoming = 1\n",
     "x.toml:3:12: [[endpoint]] incoming: expected \"ignore\", \"broadcast\" or"},
    {"[[bridge]]\nredis = \"a\"\n", "x.toml:1:1: this [[bridge]] needs a room"},
    {"[[endpoint]]\npath = \"/a\"\nprotocol = \"socket.io\"\n",
     "x.toml:3:12: [[endpoint]] protocol: expected one of \"native\", \"raw\", \"engineio\", \"socketio\", \"sse\", \"pusher\", found \"socket.io\""},
    /* Socket.IO */
    {"[socketio]\npath = \"socket.io\"\n", "x.toml:2:8: socketio.path: expected a path"},
    {"[socketio]\nnamespaces = [\"admin\"]\n", "x.toml:2:15: socketio.namespaces: expected a namespace such as \"/\""},
    {"[socketio]\nnamespaces = [\"/\", \"/a*b\"]\n", "x.toml:2:20: socketio.namespaces: expected a namespace"},
    {"[socketio]\nnamespaces = [\"/**\"]\n", "x.toml:2:15: socketio.namespaces: expected a namespace"},
    {"[socketio]\nnamespaces = [\"*\"]\n", "x.toml:2:15: socketio.namespaces: expected a namespace"},
    {"[socketio]\nnamespaces = [\"/a#b\"]\n", "x.toml:2:15: socketio.namespaces: expected a namespace"},
    {"[socketio]\ntransports = [\"webtransport\"]\n",
     "x.toml:2:15: socketio.transports: expected \"polling\" or \"websocket\", found \"webtransport\""},
    {"[socketio]\nping_timeout = \"0s\"\n", "x.toml:2:16: socketio.ping_timeout: expected a duration from 10ms to 1d"},
    {"[socketio]\nping_interval = 25000\n", "x.toml:2:17: socketio.ping_interval: expected a duration with its unit"},
    {"[socketio]\nmax_attachments = 257\n", "x.toml:2:19: socketio.max_attachments: expected a number from 0 to 256"},
    {"[socketio]\nadapter = \"postgres\"\n",
     "x.toml:2:11: socketio.adapter: expected one of \"\", \"classic\", \"sharded\", \"streams\", found \"postgres\""},
    {"[socketio]\nadapter = 1\n",
     "x.toml:2:11: socketio.adapter: expected one of \"\", \"classic\", \"sharded\", \"streams\", found 1"},
    {"[socketio]\nerror_event = \"disconnect\"\n",
     "x.toml:2:15: socketio.error_event: expected a name that Socket.IO does not reserve, found \"disconnect\""},
    {"[socketio]\nmessage_event = \"\"\n", "x.toml:2:17: socketio.message_event: must not be empty"},
    {"[socketio]\nclient_files = \"dist\"\n", "x.toml:2:16: socketio.client_files: expected an absolute path"},
    /* events */
    {"[[event]]\njoin = [\"a\"]\n", "x.toml:1:1: this [[event]] needs a on"},
    {"[[event]]\non = \"connect_error\"\n",
     "x.toml:2:6: [[event]] on: expected a name that Socket.IO does not reserve"},
    {"[[event]]\non = \"a\"\nnsp = \"/a#b\"\n", "x.toml:3:7: [[event]] nsp: expected a namespace such as"},
    {"[[event]]\non = \"a\"\nfrom = \"node\"\n", "x.toml:3:8: [[event]] from: expected one of \"client\", \"server\""},
    {"[[event]]\non = \"a\"\njoins = []\n", "x.toml:3:1: unknown key \"joins\" in [[event]], did you mean \"join\"?"},
    {"[[event]]\non = \"a\"\n[[event]]\non = \"b\"\n[[event]]\non = \"a\"\n",
     "x.toml:5:1: [[event]]: there is another [[event]] before it, on = \"a\" in /, which takes all of these"},
    {"[[event]]\non = \"a*\"\n[[event]]\non = \"ab*\"\n",
     "x.toml:3:1: [[event]]: there is another [[event]] before it, on = \"a*\" in /, which takes all of these"},
    {"[[event]]\non = \"*\"\nnsp = \"/*\"\n[[event]]\non = \"ab\"\nnsp = \"/x\"\n",
     "x.toml:4:1: [[event]]: there is another [[event]] before it, on = \"*\" in /*, which takes all of these"},
    {"[[event]]\non = \"a\"\nmatch = 1\n", "x.toml:3:9: [[event]] match: expected a table, as in"},
    {"[[event]]\non = \"a\"\nmatch = { \"args.0\" = \"x\", \"arg.0\" = 1 }\n",
     "x.toml:3:37: [[event]] match.arg.0: no such value: {arg.0}"},
    {"[[event]]\non = \"a\"\nmatch = { sid = \"x\" }\n",
     "x.toml:3:17: [[event]] match.sid: expected a part of the arguments or of what is known of the client, not sid"},
    {"[[event]]\non = \"a\"\nmatch = { \"args.0\" = \"{user.id}\" }\n",
     "x.toml:3:22: [[event]] match.args.0: expected a constant, without {values}"},
    {"[[event]]\non = \"a\"\nmatch = { \"args.0\" = [] }\n",
     "x.toml:3:22: [[event]] match.args.0: expected a text of at most 255 bytes, a number, true, false, or a list"},
    {"[[event]]\non = \"a\"\nmatch = { \"args.0\" = [[1]] }\n",
     "x.toml:3:22: [[event]] match.args.0: expected a text of at most 255 bytes"},
    {"[[event]]\non = \"a\"\nwho = \"users\"\n",
     "x.toml:3:7: [[event]] who: expected \"anyone\", \"user\" or attributes, as in { tier = [\"premium\"] }"},
    {"[[event]]\non = \"a\"\nwho = {}\n", "x.toml:3:7: [[event]] who: expected \"anyone\", \"user\" or attributes"},
    {"[[event]]\non = \"a\"\nwho = true\n", "x.toml:3:7: [[event]] who: expected \"anyone\", \"user\" or attributes"},
    {"[[event]]\non = \"a\"\nwho = { a = { b = 1 } }\n", "x.toml:3:13: [[event]] who.a: expected a text of"},
    {"[[event]]\non = \"a\"\nfrom = \"server\"\nwho = \"user\"\n",
     "x.toml:1:1: [[event]]: a server's event comes from no client: who, rate and inside say nothing"},
    {"[[event]]\non = \"a\"\nrate = \"100\"\n", "x.toml:3:8: [[event]] rate: expected a number and the time"},
    {"[[event]]\non = \"a\"\nrate = \"0/1m\"\n", "x.toml:3:8: [[event]] rate: expected a number and the time"},
    {"[[event]]\non = \"a\"\nrate = \"1/25h\"\n", "x.toml:3:8: [[event]] rate: expected a number and the time"},
    {"[[event]]\non = \"a\"\nrate_group = \"g\"\n", "x.toml:3:14: [[event]] rate_group: the row has no rate"},
    {"[[event]]\non = \"a\"\nrate = \"1/1m\"\nrate_group = \"g\"\n"
     "[[event]]\non = \"b\"\nrate = \"2/1m\"\nrate_group = \"g\"\n",
     "x.toml:8:14: [[event]] rate_group: the group \"g\" has another rate for \"a\": a group has one"},
    {"[[event]]\non = \"a\"\ninside = \"*\"\n", "x.toml:3:10: [[event]] inside: \"*\" is everybody"},
    {"[[event]]\non = \"a\"\ninside = [\"a\"]\n", "x.toml:3:10: [[event]] inside: expected a text in quotes"},
    {"[[event]]\non = \"a\"\nrefuse = { cod = 1 }\n",
     "x.toml:3:18: [[event]] refuse.cod: expected code, rate, who, schema, inside, identify, event or ack"},
    {"[[event]]\non = \"a\"\nrefuse = { who = 1 }\n",
     "x.toml:3:18: [[event]] refuse.who: expected a text of at most 255 bytes"},
    {"[[event]]\non = \"a\"\nrefuse = { code = [] }\n",
     "x.toml:3:19: [[event]] refuse.code: expected a text of at most 255 bytes, or a number"},
    {"[[event]]\non = \"a\"\nrefuse = { event = \"connect\" }\n",
     "x.toml:3:20: [[event]] refuse.event: expected the name of an event that Socket.IO does not reserve"},
    {"[[event]]\non = \"a\"\nrefuse = { ack = 1 }\n", "x.toml:3:18: [[event]] refuse.ack: expected a list of values"},
    {"[[event]]\non = \"a\"\nack = [\"{error.code}\"]\n", "x.toml:3:8: [[event]] ack: there is no {error.code} here"},
    {"[[event]]\non = \"connect\"\nrefuse = { code = 1 }\n", "x.toml:1:1: [[event]]: \"connect\" is nothing that"},
    {"[[event]]\non = \"a\"\nset = []\n", "x.toml:3:7: [[event]] set: expected a table"},
    {"[[event]]\non = \"disconnect\"\nset = { a = 1 }\n", "x.toml:3:7: [[event]] set: there is no client any more"},
    {"[[event]]\non = \"a\"\nset = { a=1,b=1,c=1,d=1,e=1,f=1,g=1,h=1,i=1,j=1,k=1,l=1,m=1,n=1,o=1,p=1,q=1 }\n",
     "x.toml:3:7: [[event]] set: expected at most 16 attributes"},
    {"[[event]]\non = \"a\"\nset = { a1234567890123456789012345678901234567890123456789012345678901234 = 1 }\n",
     "x.toml:3:7: [[event]] set: the name of an attribute has 1 to 63 bytes"},
    {"[[event]]\non = \"a\"\nclose = 1\n", "x.toml:3:9: [[event]] close: expected a text in quotes"},
    {"[[event]]\non = \"a\"\nclose = \"{args.0}\"\n", "x.toml:3:9: [[event]] close: expected true or a text without"},
    {"[socketio]\nunknown_event = \"backend:\"\n",
     "x.toml:2:17: socketio.unknown_event: expected \"ignore\", \"error\" or \"backend:NAME\""},
    {"[[event]]\non = \"connect\"\nfrom = \"server\"\n", "x.toml:1:1: [[event]]: on = \"connect\" is about clients"},
    {"[[event]]\non = \"a\"\nschema = \"b\"\n", "x.toml:3:10: [[event]] schema: there is no \"b\" in [schemas]"},
    {"[[event]]\non = \"connect\"\nschema = \"b\"\n[schemas]\nb = \"true\"\n",
     "x.toml:3:10: [[event]] schema: with \"connect\" a client says nothing"},
    {"[schemas]\nb = '{\"properties\":{\"a\":{\"typ\":1}}}'\n",
     "x.toml:2:5: [schemas] b: at \"/properties/a/typ\" of the schema: unknown keyword"},
    {"[schemas]\nb = ''\n", "x.toml:2:5: [schemas] b: at \"\" of the schema: not JSON, at byte 0"},
    {"[schemas]\n\"a b\" = 'true'\n", "x.toml:2:9: [schemas] a b: a schema's name has 1 to 63 letters"},
    {"[schemas]\nb = 1\n", "x.toml:2:5: [schemas] b: expected a JSON Schema in a text, or { file = \"/path\" }"},
    {"[schemas]\nb = { file = \"x\" }\n", "x.toml:2:5: [schemas] b: expected { file = \"/path\" } and nothing else"},
    {"[schemas]\nb = { file = \"/x\", c = 1 }\n", "x.toml:2:5: [schemas] b: expected { file = \"/path\" } and nothing"},
    {"[schemas]\nb = { file = \"/nonexistent/x\" }\n",
     "x.toml:2:5: [schemas] b: cannot read /nonexistent/x: No such file or directory"},
    {"[schemas]\nb = { file = \"/\" }\n", "x.toml:2:5: [schemas] b: cannot read /: Is a directory"},
    {"[schemas]\nb = { file = \"/dev/zero\" }\n",
     "x.toml:2:5: [schemas] b: at \"\" of the schema: a schema of more than"},
    {"[[schemas]]\nb = 1\n", "x.toml:1:3: expected a section [schemas]"},
    {"[[event]]\non = \"a\"\njoin = \"a\"\n", "x.toml:3:8: [[event]] join: expected a list of rooms"},
    {"[[event]]\non = \"a\"\njoin = [\"a\", 1]\n", "x.toml:3:14: [[event]] join: expected a room's name in quotes"},
    {"[[event]]\non = \"a\"\njoin = [\"a\", \"\"]\n", "x.toml:3:14: [[event]] join: a room has a name"},
    {"[[event]]\non = \"a\"\njoin = [\"a\", \"a\"]\n", "x.toml:3:14: [[event]] join: the room stands there twice"},
    {"[[event]]\non = \"a\"\njoin = [\"*\"]\n", "x.toml:3:9: [[event]] join: \"*\" is everybody in the namespace"},
    {"[[event]]\non = \"a\"\njoin = [\"/x#{args.0}\"]\n",
     "x.toml:3:9: [[event]] join: a room's name that begins with \"/\" holds no \"#\""},
    {"[[event]]\non = \"a\"\njoin = [\"a\\u0007{sid}\"]\n", "x.toml:3:9: [[event]] join: a room's name has at most"},
    {"[[identity]]\nfrom = [\"token\"]\n", "x.toml:2:9: [[identity]] from: expected where a credential is: "},
    {"[[identity]]\nuser = 7\n", "x.toml:2:8: [[identity]] user: expected a text"},
    {"[[identity]]\nuser = \"{session.id}\"\n", "x.toml:2:8: [[identity]] user: there is no {session.id} here"},
    {"[[identity]]\nuser = \"{args.0}\"\n", "x.toml:2:8: [[identity]] user: there is no {args.0} here"},
    {"[[identity]]\nattributes = [1]\n", "x.toml:2:14: [[identity]] attributes: expected a table"},
    {"[[identity]]\nattributes = { id = \"x\" }\n", "x.toml:2:14: [[identity]] attributes: `id` is the user's"},
    {"[[identity]]\nsame = { \"what.x\" = \"{claims.y}\" }\n",
     "x.toml:2:21: [[identity]] same: no such value: {what.x}"},
    {"[[identity]]\nsame = { \"auth.x\" = 7 }\n", "x.toml:2:21: [[identity]] same: expected a text"},
    {"[[event]]\non = \"a\"\njoin = [\"{claims.sub}\"]\n", "x.toml:3:9: [[event]] join: there is no {claims.sub} here"},
    {"[[event]]\non = \"a\"\njoin = [\"{usr.id}\"]\n",
     "x.toml:3:9: [[event]] join: no such value: {usr.id}; there are {args.N}"},
    {"[[event]]\non = \"a\"\njoin = [\"{args.0\"]\n", "x.toml:3:9: [[event]] join: \"{\" without \"}\""},
    {"[[event]]\non = \"a\"\njoin = [\"{args}\"]\n", "x.toml:3:9: [[event]] join: {args} is no text"},
    {"[[event]]\non = \"a\"\njoin = [\"{auth}\"]\n", "x.toml:3:9: [[event]] join: {auth} is no text"},
    {"[[event]]\non = \"a\"\njoin = [\"{args.x}\"]\n", "x.toml:3:9: [[event]] join: no such value: {args.x}"},
    {"[[event]]\non = \"a\"\njoin = [\"{args.0.}\"]\n", "x.toml:3:9: [[event]] join: no such value: {args.0.}"},
    {"[[event]]\non = \"a\"\njoin = [\"{args.0..x}\"]\n", "x.toml:3:9: [[event]] join: no such value: {args.0..x}"},
    {"[[event]]\non = \"a\"\njoin = [\"{args.10000}\"]\n", "x.toml:3:9: [[event]] join: no such value: {args.10000}"},
    {"[[event]]\non = \"a\"\njoin = [\"{query." TEXT_32 "." TEXT_31 "}\"]\n",
     "x.toml:3:9: [[event]] join: no such value: {query." TEXT_32},
    {"[[event]]\non = \"a\"\nmatch = { \"header." TEXT_32 "." TEXT_31 "\" = 1 }\n",
     "x.toml:3:87: [[event]] match.header." TEXT_32},
    {"[[event]]\non = \"a\"\njoin = [\"{members:{args.0}}\"]\n",
     "x.toml:3:9: [[event]] join: there is no {members:{args.0}} here"},
    {"[[event]]\non = \"a\"\nset = { a = \"{count:x}\" }\n", "x.toml:3:13: [[event]] set: there is no {count:x} here"},
    {"[[event]]\non = \"a\"\nack = [\"{members:x} {count:x}\"]\n", "x.toml:3:8: [[event]] ack: {members:x} is no text"},
    {"[[event]]\non = \"a\"\nack = [\"{count:}\"]\n", "x.toml:3:8: [[event]] ack: a question needs a room"},
    {"[[event]]\non = \"a\"\nack = [\"{count:{count:x}}\"]\n",
     "x.toml:1:1: [[event]]: a question about the room \"{count:x}\": there is no {count:x} here"},
    {"[[event]]\non = \"a\"\nack = [\"{count:a{args.x}}\"]\n",
     "x.toml:1:1: [[event]]: a question about the room \"a{args.x}\": no such value: {args.x}"},
    {"[[event]]\non = \"a\"\nfrom = \"server\"\nack = [\"{count:x}\"]\n",
     "x.toml:4:8: [[event]] ack: a server's event comes from no client: it has no {count:x}"},
    {"[[event]]\non = \"a\"\neach = \"{x}\"\n", "x.toml:3:8: [[event]] each: it is of on = \"disconnect\" alone"},
    {"[[event]]\non = \"disconnect\"\neach = \"{x}{y}\"\n", "x.toml:3:8: [[event]] each: expected a room, or one with"},
    {"[[event]]\non = \"disconnect\"\neach = \"d-{x}\"\nemit = [{ to = \"{room.y}\", event = \"a\" }]\n",
     "x.toml:4:16: [[event.emit]] to: there is no {room.y} here"},
    {"[[event]]\non = \"a\"\nemit = [{ to = \"{room}\" }]\n",
     "x.toml:3:16: [[event.emit]] to: there is no {room} here"},
    {"[[event]]\non = \"a\"\nemit = [{ when = \"lonely:x\" }]\n",
     "x.toml:3:18: [[event.emit]] when: expected \"alone:ROOM\" or \"company:ROOM\""},
    {"[[event]]\non = \"a\"\nfrom = \"server\"\njoin = [\"a\"]\n",
     "x.toml:4:8: [[event]] join: a server's event comes from no client that could join"},
    {"[[event]]\non = \"disconnect\"\nleave = [\"a\"]\n",
     "x.toml:3:9: [[event]] leave: a client that disconnects has left"},
    {"[[event]]\non = \"connect\"\nack = []\n", "x.toml:3:7: [[event]] ack: \"connect\" is nothing that a client asks"},
    {"[[event]]\non = \"a\"\nack = 1\n", "x.toml:3:7: [[event]] ack: expected a list of values"},
    {"[[event]]\non = \"a\"\nack = [1, { b = nan }]\n", "x.toml:3:17: [[event]] ack: JSON has no such number"},
    {"[[event]]\non = \"a\"\nack = [1,\n 2026-01-01]\n", "x.toml:4:2: [[event]] ack: JSON has no dates"},
    {"[[event]]\non = \"a\"\nack = [\n{ b = \"{arg.0}\" }]\n", "x.toml:4:7: [[event]] ack: no such value: {arg.0}"},
    {"[[event]]\non = \"a\"\nack = [\"x{args.1..}\"]\n", "x.toml:3:8: [[event]] ack: {args.1..} is no text"},
    {"[[event]]\non = \"a\"\nemit = \"a\"\n", "x.toml:3:8: [[event]] emit: expected a list of tables"},
    {"[[event]]\non = \"a\"\nemit = [1]\n", "x.toml:3:9: [[event]] emit: expected tables"},
    {"[[event]]\non = \"a\"\nemit = [{ other = true }]\n",
     "x.toml:3:11: unknown key \"other\" in [[event.emit]], did you mean \"others\"?"},
    {"[[event]]\non = \"a\"\nemit = [{ others = 1 }]\n",
     "x.toml:3:20: [[event.emit]] others: expected true or false, found 1"},
    {"[[event]]\non = \"a\"\nemit = [{ others = true }]\n",
     "x.toml:3:9: [[event.emit]]: others = true without a room: nobody would be left"},
    {"[[event]]\non = \"a\"\nemit = [{ to = [] }]\n", "x.toml:3:16: [[event.emit]] to: expected at least one room"},
    {"[[event]]\non = \"a\"\nemit = [{ to = 1 }]\n",
     "x.toml:3:16: [[event.emit]] to: expected a room's name in quotes"},
    {"[[event]]\non = \"a\"\nemit = [{ to = [\"*\", \"a\"] }]\n", "x.toml:3:9: [[event.emit]]: \"*\" is everybody"},
    {"[[event]]\non = \"a\"\n[[event.emit]]\nevent = \"disconnect\"\n",
     "x.toml:4:9: [[event.emit]] event: expected a name that Socket.IO does not reserve"},
    {"[[event]]\non = \"a\"\n[[event.emit]]\nevent = \"\"\n",
     "x.toml:4:9: [[event.emit]] event: an event's name has 1 to 255"},
    {"[[event]]\non = \"a\"\n[[event.emit]]\nargs = {}\n",
     "x.toml:4:8: [[event.emit]] args: expected a list of values"},
    {"[[event]]\non = \"connect\"\n[[event.emit]]\n",
     "x.toml:3:1: [[event.emit]]: an emit needs an event: Socket.IO reserves the name \"connect\""},
    {"[[event]]\non = \"disconnect\"\n[[event.emit]]\nevent = \"a\"\n",
     "x.toml:3:1: [[event.emit]]: a client that has left hears nothing"},
    {"[[event]]\non = \"a\"\nfrom = \"server\"\n[[event.emit]]\n",
     "x.toml:4:1: [[event.emit]]: a server's event comes from no client: an emit needs to"},
    {"[[event]]\non = \"a\"\nfrom = \"server\"\nack = [\"{sid}\"]\n",
     "x.toml:4:8: [[event]] ack: a server's event comes from no client: it has no {sid}"},
    {"[[emit]]\nto = \"a\"\n", "x.toml:1:3: unknown section \"emit\""},
};

Test(config_toml, wrong_files_are_told_with_place_and_remedy)
{
    for (size_t i = 0; i < RC_ARRAY_COUNT(wrong); i++) {
        cr_expect_eq(load(wrong[i].text), -EINVAL, "%s", wrong[i].text);
        cr_expect_eq(errors.count, 1u, "%s", wrong[i].text);
        cr_expect_eq(strncmp(errors.lines[0].text, wrong[i].error, strlen(wrong[i].error)), 0,
                     "expected: %s\nfound:    %s", wrong[i].error, errors.lines[0].text);
        cr_expect_null(strchr(errors.lines[0].text, '\n'), "one line");
    }
}

Test(config_toml, all_errors_are_told_in_the_files_order)
{
    cr_expect_eq(
        load("[server]\nworkers = 0\nzzzzz = 1\nlisten = [\"x\", \"y\"]\n[limits]\nmax_channels = 0\n[aaaaaaaaa]\n"),
        -EINVAL);
    cr_assert_eq(errors.count, 6u);
    static const char *const places[] = {
        "x.toml:2:11: ", "x.toml:3:1: ", "x.toml:4:11: ", "x.toml:4:16: ", "x.toml:6:16: ", "x.toml:7:2: "};
    for (size_t i = 0; i < RC_ARRAY_COUNT(places); i++) {
        cr_expect_eq(strncmp(errors.lines[i].text, places[i], strlen(places[i])), 0, "%s", errors.lines[i].text);
    }
}

Test(config_toml, errors_are_bounded_and_counted)
{
    static char text[1 << 17] = "[server]\n";
    size_t at = strlen(text);
    for (int i = 0; i < 3000; i++) {
        at += (size_t)snprintf(text + at, sizeof(text) - at, "zzzzzzzz%d = 1\n", i);
    }
    cr_expect_eq(load(text), -EINVAL);
    cr_expect_geq(errors.count, (uint32_t)RC_CONFIG_ERRORS_MAX);
    cr_expect_eq(strncmp(errors.lines[0].text, "x.toml:2:1: ", 12), 0, "%s", errors.lines[0].text);
}

Test(config_toml, tables_are_bounded)
{
    static char text[1 << 16];
    size_t at = 0;
    for (int i = 0; i < RC_CONFIG_NAMESPACES_MAX - 1; i++) {
        at += (size_t)snprintf(text + at, sizeof(text) - at, "[[namespace]]\nname = \"n%d\"\n", i);
    }
    cr_expect_eq(load(text), 0, "%s", errors.lines[0].text);
    cr_expect_eq(config.namespace_count, (uint32_t)RC_CONFIG_NAMESPACES_MAX);
    (void)snprintf(text + at, sizeof(text) - at, "[[namespace]]\nname = \"one_more\"\n");
    cr_expect_eq(load(text), -EINVAL);
    cr_expect_not_null(strstr(errors.lines[0].text, "more than 64 [[namespace]] tables"), "%s", errors.lines[0].text);
}

/* Recursion in the library overflowed the stack on these. */
Test(config_toml, nesting_bombs_are_refused)
{
    static const struct {
        const char *start;
        const char *repeat;
    } bombs[] = {{"a", ".a"},    {"[a", ".a"},      {"x=", "["},        {"x=", "{a="},
                 {"x=", "{a=["}, {"[[a", ".\"a\""}, {"x={a", " . 'a'"}, {"a=\"\"\"\"\"\"\nb", ".a"}};
    for (size_t i = 0; i < RC_ARRAY_COUNT(bombs); i++) {
        const size_t bytes = RC_CONFIG_FILE_MAX - 8;
        char *const text = malloc(bytes + 1);
        size_t at = strlen(bombs[i].start);
        memcpy(text, bombs[i].start, at);
        for (; at + strlen(bombs[i].repeat) <= bytes; at += strlen(bombs[i].repeat)) {
            memcpy(text + at, bombs[i].repeat, strlen(bombs[i].repeat));
        }
        text[at] = '\0';
        cr_expect_eq(load(text), -EINVAL);
        cr_expect_eq(errors.count, 1u);
        free(text);
    }
    cr_expect_eq(
        load("[server]\npath = \"/a.b.c.d.e.f.g.h.i.j.k\" # a.b.c.d.e.f.g.h.i.j.k\nuser = 'a.b.c.d.e.f.g.h.i.j'\n"), 0,
        "dots in texts and comments are no parts of keys: %s", errors.lines[0].text);
    cr_expect_eq(load("[server]\npath = \"\"\"/a\\\".b.c.d.e.f.g.h.i.j.k\"\"\"\"\"\n"), 0,
                 "two quotes before the closing three: %s", errors.lines[0].text);
    cr_expect_str_eq(config.server.path.text, "/a\".b.c.d.e.f.g.h.i.j.k\"\"");
}

Test(config_toml, a_file_that_is_too_large_is_refused)
{
    char *const text = malloc(RC_CONFIG_FILE_MAX + 2);
    memset(text, '\n', RC_CONFIG_FILE_MAX + 1);
    text[RC_CONFIG_FILE_MAX + 1] = '\0';
    cr_expect_eq(load(text), -EINVAL);
    text[RC_CONFIG_FILE_MAX] = '\0';
    cr_expect_eq(load(text), 0);
    free(text);
}

/* --- a text that another build has found right --------------------------------------------------------------------- */

Test(config_toml, what_only_another_build_knows_is_passed_over)
{
    static const char text[] = "[server]\nworkers = 2\nnever_heard = [1, {a = 2}]\n"
                               "[nowhere]\nx = 1\n[[row]]\nname = \"a\"\n"
                               "[[namespace]]\nname = \"news\"\nnever_heard = true\n"
                               "[[event]]\non = \"e\"\nnever_heard = 7\n";
    cr_expect_eq(rc_config_load_former(&config, text, sizeof(text) - 1, "x", &errors), 0, "%s", errors.lines[0].text);
    cr_expect_eq(config.server.workers, 2u);
    cr_expect_eq(config.namespace_count, 2u);
    cr_expect_eq(config.event_count, 1u);
    errors.count = 0;
    cr_expect_eq(rc_config_load_text(&other, text, sizeof(text) - 1, "x", &errors), -EINVAL);
    cr_expect_eq(errors.count, 5u, "each of them: %u", errors.count);
}

Test(config_toml, values_that_are_wrong_are_so_for_every_build)
{
    static const char text[] = "[server]\nworkers = -2\n";
    cr_expect_eq(rc_config_load_former(&config, text, sizeof(text) - 1, "x", &errors), -EINVAL);
    cr_expect_not_null(strstr(errors.lines[0].text, "server.workers"), "%s", errors.lines[0].text);
}

/* --- what is made from config.def --------------------------------------------------------------------------------- */

static char *printed(void (*print)(FILE *out))
{
    char *text = NULL;
    size_t bytes = 0;
    FILE *const out = open_memstream(&text, &bytes);
    cr_assert_not_null(out);
    print(out);
    cr_assert_eq(fclose(out), 0);
    return text;
}

static char *file_text(const char *path)
{
    FILE *const in = fopen(path, "r");
    cr_assert_not_null(in, "%s", path);
    char *const text = calloc(1, RC_CONFIG_FILE_MAX);
    (void)fread(text, 1, RC_CONFIG_FILE_MAX - 1, in);
    (void)fclose(in);
    return text;
}

static void expect_file(const char *path, void (*print)(FILE *out))
{
    char *const made = printed(print);
    if (getenv("RC_UPDATE_FILES") != NULL) {
        FILE *const out = fopen(path, "w");
        cr_assert_not_null(out, "%s", path);
        cr_assert_geq(fputs(made, out), 0);
        cr_assert_eq(fclose(out), 0);
    }
    char *const stored = file_text(path);
    cr_expect(strcmp(stored, made) == 0, "%s is not what config.def makes: run this test with RC_UPDATE_FILES=1", path);
    free(stored);
    free(made);
}

Test(config_toml, documented_file_is_made_from_the_table)
{
    expect_file("deploy/ringcast.toml", rc_config_print_document);
}

Test(config_toml, reference_page_is_made_from_the_table)
{
    expect_file("docs/configuration.md", rc_config_print_markdown);
}

Test(config_toml, documented_file_says_the_defaults)
{
    char *const text = file_text("deploy/ringcast.toml");
    cr_expect_eq(rc_config_load_text(&config, text, strlen(text), "deploy/ringcast.toml", &errors), 0, "%s",
                 errors.lines[0].text);
    cr_expect_eq(memcmp(&config, &other, sizeof(config)), 0);
    for (size_t i = 0; i < rc_config_key_count; i++) {
        char line[80];
        (void)snprintf(line, sizeof(line), "\n%s%s = ",
                       rc_config_sections[rc_config_keys[i].section].repeated ||
                               rc_config_sections[rc_config_keys[i].section].optional
                           ? "#"
                           : "",
                       rc_config_keys[i].name);
        cr_expect_not_null(strstr(text, line), "%s", rc_config_keys[i].name);
    }
    free(text);
}

/* The tables that are switched off work when the # before them is taken away. */
Test(config_toml, documented_examples_work)
{
    char *const text = printed(rc_config_print_document);
    char *to = text;
    for (const char *from = text; *from != '\0'; from++) {
        const bool off = *from == '#' && (from == text || from[-1] == '\n') && from[1] != ' ' && from[1] != '\n';
        if (!off) {
            *to++ = *from;
        }
    }
    *to = '\0';
    cr_expect_eq(load(text), 0, "%s", errors.lines[0].text);
    cr_expect_eq(config.namespace_count, 2u);
    cr_expect_eq(config.endpoint_count, 1u);
    cr_expect_eq(config.bridge_count, 1u);
    cr_expect_eq(config.backend_count, 1u);
    cr_expect_str_eq(config.socketio.path.text, "/socket.io/");
    struct rc_err err = {""};
    cr_expect_eq(rc_config_finish(&config, &err), 0, "%s", err.text);
    free(text);
}

static void print_effective(FILE *out)
{
    rc_config_print_toml(out, &config);
}

/* Templates of a size that is allowed, and one more byte. */
Test(config_toml, templates_are_bounded)
{
    static char text[8192];
    for (int more = 0; more < 2; more++) {
        (void)snprintf(text, sizeof(text), "[[event]]\non = \"a\"\nack = [\"%0*d\"]\n",
                       RC_EVENT_TEMPLATE_MAX - 4 + more, 0);
        cr_expect_eq(load(text), more == 0 ? 0 : -EINVAL);
    }
    cr_expect_str_eq(errors.lines[0].text, "x.toml:3:7: [[event]] ack: a template has at most 4096 bytes");
}

Test(config_toml, printed_configuration_reads_back_the_same)
{
    cr_assert_eq(
        load(
            "[server]\nlisten = [\"unix:/tmp/a\\\"b\\\\c\", 81]\nworkers = 3\n[limits]\nping_interval = \"1h1ms\"\n[http]\nallowed_origins = "
            "[\"http://a\", \"null\"]\n[[namespace]]\nname = \"ü\"\nsubscribe = \"owner\"\n[[endpoint]]\npath = \"/a\"\nincoming = \"publish:x\"\njoin = []\n"
            "[[bridge]]\nredis = \"a b\"\nroom = \"{json.x}\"\n"
            "[[event]]\non = \"a\\\"b\"\njoin = [\"r{args.0}\", \"\\\"{{\"]\nack = [{ \"z \\n\" = 1.0, a = [\"{args.1..}\", 1e22, {}] }, -0.0]\n"
            "emit = [{ to = [\"*\"] }, { event = \"e{nsp}\" }, { to = \"x\", others = true, args = [] }]\n"
            "[[event]]\non = \"a\"\nnsp = \"/b\"\nfrom = \"server\"\nleave = []\nschema = \"z\"\n"
            "[schemas]\nz = '''{\n\t\"pattern\":\"^\\\\d'$\"}'''\na-1 = \"true\"\n"),
        0, "%s", errors.lines[0].text);
    memcpy(&other, &config, sizeof(other));
    char *const text = printed(print_effective);
    static struct rc_config again;
    rc_config_defaults(&again);
    cr_expect_eq(rc_config_load_text(&again, text, strlen(text), "printed", &errors), 0, "%s\n%s", errors.lines[0].text,
                 text);
    memcpy(again.event_lines, other.event_lines, sizeof(again.event_lines)); /* other lines of another file */
    cr_expect_eq(memcmp(&again, &other, sizeof(again)), 0);
    free(text);
}
