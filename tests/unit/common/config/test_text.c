/* Values as people write them: sizes, durations, numbers, words, addresses, ranges, origins. */
#include "common/config/text.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/log.h"

/* The text in memory of exactly its size, so that ASan sees a read behind it. */
static char *exact(const char *text)
{
    const size_t bytes = strlen(text);
    char *const copy = malloc(bytes > 0 ? bytes : 1);
    cr_assert_not_null(copy);
    memcpy(copy, text, bytes);
    return copy;
}

Test(config_text, sizes_are_read)
{
    static const struct {
        const char *text;
        uint64_t bytes;
    } cases[] = {
        {"0", 0},
        {"1", 1},
        {"512B", 512},
        {"64KiB", 65536},
        {"64KB", 64000},
        {"64kB", 64000},
        {"1MB", 1000000},
        {"1MiB", 1048576},
        {"3GB", 3000000000},
        {"2GiB", 2147483648},
        {"1TB", 1000000000000},
        {"1TiB", 1099511627776},
        {"007KiB", 7168},
        {"18446744073709551615", UINT64_MAX},
        {"16777215TiB", 16777215ull << 40},
    };
    for (size_t i = 0; i < RC_ARRAY_COUNT(cases); i++) {
        uint64_t bytes = 99;
        struct rc_err err;
        char *const text = exact(cases[i].text);
        cr_expect_eq(rc_config_size_parse(text, strlen(cases[i].text), &bytes, &err), 0, "%s", cases[i].text);
        cr_expect_eq(bytes, cases[i].bytes, "%s is %lu", cases[i].text, bytes);
        free(text);
    }
}

Test(config_text, wrong_sizes_are_refused)
{
    static const char *const cases[] = {"",
                                        "KiB",
                                        "-1",
                                        "+1",
                                        "1 KiB",
                                        "1kib",
                                        "1K",
                                        "1M",
                                        "1.5MiB",
                                        "1e6",
                                        "0x10",
                                        "1KiBs",
                                        "1KiB1",
                                        "1 ",
                                        " 1",
                                        "１",
                                        "1\n",
                                        "1PiB",
                                        "18446744073709551616",
                                        "16777216TiB",
                                        "99999999999999999999999"};
    for (size_t i = 0; i < RC_ARRAY_COUNT(cases); i++) {
        uint64_t bytes;
        struct rc_err err = {""};
        char *const text = exact(cases[i]);
        cr_expect_eq(rc_config_size_parse(text, strlen(cases[i]), &bytes, &err), -EINVAL, "%s", cases[i]);
        cr_expect_neq(err.text[0], '\0');
        cr_expect_eq(rc_config_size_parse(text, strlen(cases[i]), &bytes, NULL), -EINVAL);
        free(text);
    }
}

Test(config_text, sizes_are_shown_in_the_largest_exact_unit_and_read_back)
{
    static const struct {
        uint64_t bytes;
        const char *text;
    } cases[] = {{0, "0B"},
                 {1, "1B"},
                 {1000, "1KB"},
                 {1023, "1023B"},
                 {1024, "1KiB"},
                 {65536, "64KiB"},
                 {1000000, "1MB"},
                 {4194304, "4MiB"},
                 {3000000000, "3GB"},
                 {1ull << 40, "1TiB"},
                 {1024000, "1000KiB"},
                 {UINT64_MAX, "18446744073709551615B"}};
    for (size_t i = 0; i < RC_ARRAY_COUNT(cases); i++) {
        char text[64];
        uint64_t bytes = 1;
        rc_config_size_format(text, sizeof(text), cases[i].bytes);
        cr_expect_str_eq(text, cases[i].text);
        cr_expect_eq(rc_config_size_parse(text, strlen(text), &bytes, NULL), 0);
        cr_expect_eq(bytes, cases[i].bytes);
    }
}

Test(config_text, durations_are_read)
{
    static const struct {
        const char *text;
        uint64_t ms;
    } cases[] = {
        {"0s", 0},          {"0ms", 0},       {"25s", 25000},          {"10ms", 10},
        {"1h30m", 5400000}, {"1d", 86400000}, {"90m", 5400000},        {"1d2h3m4s5ms", 93784005},
        {"2000us", 2},      {"3000000ns", 3}, {"1ms500us500000ns", 2}, {"213503d", 213503ull * 86400000},
    };
    for (size_t i = 0; i < RC_ARRAY_COUNT(cases); i++) {
        uint64_t ms = 99;
        char *const text = exact(cases[i].text);
        const int rc = rc_config_duration_parse(text, strlen(cases[i].text), &ms, NULL);
        cr_expect_eq(rc, 0, "%s", cases[i].text);
        cr_expect_eq(ms, cases[i].ms, "%s is %lu", cases[i].text, ms);
        free(text);
    }
}

Test(config_text, wrong_durations_are_refused)
{
    static const char *const cases[] = {"",
                                        "25",
                                        "s",
                                        "-1s",
                                        "1.5s",
                                        "1m1h",
                                        "1s1s",
                                        "1h 30m",
                                        "25 s",
                                        "1S",
                                        "1min",
                                        "1sec",
                                        "1w",
                                        "s1",
                                        "1s2",
                                        "1us",
                                        "1500us",
                                        "213504d",
                                        "99999999999999999999s",
                                        "1h30"};
    for (size_t i = 0; i < RC_ARRAY_COUNT(cases); i++) {
        uint64_t ms;
        struct rc_err err = {""};
        char *const text = exact(cases[i]);
        cr_expect_eq(rc_config_duration_parse(text, strlen(cases[i]), &ms, &err), -EINVAL, "%s", cases[i]);
        cr_expect_neq(err.text[0], '\0');
        free(text);
    }
    struct rc_err err;
    uint64_t ms;
    cr_assert_eq(rc_config_duration_parse("25", 2, &ms, &err), -EINVAL);
    cr_expect_not_null(strstr(err.text, "no unit"), "%s", err.text);
}

Test(config_text, durations_are_shown_short_and_read_back)
{
    static const struct {
        uint64_t ms;
        const char *text;
    } cases[] = {{0, "0s"},
                 {1, "1ms"},
                 {500, "500ms"},
                 {1000, "1s"},
                 {1500, "1s500ms"},
                 {60000, "60s"},
                 {90000, "90s"},
                 {120000, "120s"},
                 {180000, "3m"},
                 {3600000, "1h"},
                 {5400000, "90m"},
                 {86400000, "1d"},
                 {90061001, "1d1h1m1s1ms"},
                 {2592000000, "30d"}};
    for (size_t i = 0; i < RC_ARRAY_COUNT(cases); i++) {
        char text[64];
        uint64_t ms = 1;
        rc_config_duration_format(text, sizeof(text), cases[i].ms);
        cr_expect_str_eq(text, cases[i].text);
        cr_expect_eq(rc_config_duration_parse(text, strlen(text), &ms, NULL), 0);
        cr_expect_eq(ms, cases[i].ms);
    }
}

Test(config_text, formatting_stays_in_small_buffers)
{
    for (size_t capacity = 1; capacity < 16; capacity++) {
        char *const text = malloc(capacity);
        rc_config_duration_format(text, capacity, 90061001);
        cr_expect_lt(strlen(text), capacity);
        rc_config_size_format(text, capacity, UINT64_MAX);
        cr_expect_lt(strlen(text), capacity);
        rc_config_words_format(text, capacity, rc_config_log_levels);
        cr_expect_lt(strlen(text), capacity);
        free(text);
    }
}

Test(config_text, log_levels_know_the_words_of_other_loggers)
{
    static const struct {
        const char *word;
        uint32_t level;
    } cases[] = {{"debug", RC_LOG_DEBUG}, {"info", RC_LOG_INFO},   {"warn", RC_LOG_WARN},   {"error", RC_LOG_ERROR},
                 {"off", RC_LOG_OFF},     {"trace", RC_LOG_DEBUG}, {"fatal", RC_LOG_ERROR}, {"warning", RC_LOG_WARN},
                 {"silent", RC_LOG_OFF},  {"INFO", RC_LOG_INFO}};
    for (size_t i = 0; i < RC_ARRAY_COUNT(cases); i++) {
        uint32_t level = 99;
        cr_expect_eq(rc_config_word_parse(rc_config_log_levels, cases[i].word, strlen(cases[i].word), &level, NULL), 0);
        cr_expect_eq(level, cases[i].level, "%s", cases[i].word);
    }
    struct rc_err err;
    uint32_t level;
    cr_expect_eq(rc_config_word_parse(rc_config_log_levels, "loud", 4, &level, &err), -EINVAL);
    cr_expect_str_eq(err.text, "expected one of \"debug\", \"info\", \"warn\", \"error\", \"off\"");
    cr_expect_eq(rc_config_word_parse(rc_config_log_levels, "inf", 3, &level, &err), -EINVAL);
    cr_expect_eq(rc_config_word_parse(rc_config_log_levels, "", 0, &level, &err), -EINVAL);
    cr_expect_str_eq(rc_config_word_of(rc_config_log_levels, RC_LOG_DEBUG), "debug");
    cr_expect_str_eq(rc_config_word_of(rc_config_log_levels, 77), "?");
}

static size_t distance(const char *a, const char *b)
{
    return rc_config_word_distance(a, strlen(a), b, strlen(b));
}

Test(config_text, distance_counts_edits)
{
    cr_expect_eq(distance("", ""), 0u);
    cr_expect_eq(distance("listen", "listen"), 0u);
    cr_expect_eq(distance("listen", ""), 6u);
    cr_expect_eq(distance("", "listen"), 6u);
    cr_expect_eq(distance("lsiten", "listen"), 1u, "two neighbours swapped");
    cr_expect_eq(distance("listn", "listen"), 1u);
    cr_expect_eq(distance("listeen", "listen"), 1u);
    cr_expect_eq(distance("lisben", "listen"), 1u);
    cr_expect_eq(distance("kitten", "sitting"), 3u);
    char big[80];
    memset(big, 'a', sizeof(big));
    cr_expect_eq(rc_config_word_distance(big, 64, big, 63), 1u);
    cr_expect_eq(rc_config_word_distance(big, 65, big, 64), SIZE_MAX);
}

Test(config_text, listen_addresses_are_read_and_shown)
{
    static const struct {
        const char *text;
        const char *shown;
        bool loopback;
        uint16_t port;
    } cases[] = {
        {"127.0.0.1:8080", "127.0.0.1:8080", true, 8080},
        {"127.9.9.9:1", "127.9.9.9:1", true, 1},
        {"8080", "127.0.0.1:8080", true, 8080},
        {"localhost:65535", "127.0.0.1:65535", true, 65535},
        {"0.0.0.0:80", "0.0.0.0:80", false, 80},
        {"*:80", "[::]:80", false, 80},
        {"[::]:80", "[::]:80", false, 80},
        {"[::1]:80", "[::1]:80", true, 80},
        {"[::ffff:127.0.0.1]:80", "[::ffff:127.0.0.1]:80", true, 80},
        {"[::ffff:10.0.0.1]:80", "[::ffff:10.0.0.1]:80", false, 80},
        {"[2001:DB8::1]:443", "[2001:db8::1]:443", false, 443},
        {"unix:/run/x.sock", "unix:/run/x.sock", true, 0},
        {"unix:/a:b", "unix:/a:b", true, 0},
    };
    for (size_t i = 0; i < RC_ARRAY_COUNT(cases); i++) {
        struct rc_listen_address address;
        struct rc_err err = {""};
        char *const text = exact(cases[i].text);
        cr_assert_eq(rc_listen_address_parse(&address, text, strlen(cases[i].text), &err), 0, "%s: %s", cases[i].text,
                     err.text);
        free(text);
        char shown[160];
        rc_listen_address_format(shown, sizeof(shown), &address);
        cr_expect_str_eq(shown, cases[i].shown);
        cr_expect_eq(address.loopback, cases[i].loopback, "%s", cases[i].text);
        cr_expect_eq(address.port, cases[i].port, "%s", cases[i].text);
        cr_expect_eq(address.unix_socket, address.port == 0);
    }
}

Test(config_text, listen_socket_addresses_are_ready_for_bind)
{
    struct rc_listen_address address;
    cr_assert_eq(rc_listen_address_parse(&address, "192.0.2.7:8081", 14, NULL), 0);
    cr_expect_eq(address.socket.v4.sin_family, AF_INET);
    cr_expect_eq(ntohs(address.socket.v4.sin_port), 8081);
    cr_expect_eq(ntohl(address.socket.v4.sin_addr.s_addr), 0xc0000207u);
    cr_expect_eq(address.socket_bytes, sizeof(struct sockaddr_in));
    cr_assert_eq(rc_listen_address_parse(&address, "[::1]:9", 7, NULL), 0);
    cr_expect_eq(address.socket.v6.sin6_family, AF_INET6);
    cr_expect_eq(ntohs(address.socket.v6.sin6_port), 9);
    cr_expect_eq(address.socket_bytes, sizeof(struct sockaddr_in6));
    cr_assert_eq(rc_listen_address_parse(&address, "unix:/x", 7, NULL), 0);
    cr_expect_eq(address.socket.local.sun_family, AF_UNIX);
    cr_expect_str_eq(address.socket.local.sun_path, "/x");
    cr_expect_eq(address.socket_bytes, sizeof(struct sockaddr_un));
}

Test(config_text, wrong_listen_addresses_are_refused)
{
    static const char *const cases[] = {
        "",
        ":",
        "localhost",
        "127.0.0.1",
        "127.0.0.1:",
        "127.0.0.1:0",
        "127.0.0.1:65536",
        "127.0.0.1:-1",
        "127.0.0.1:80x",
        "0",
        ":8080",
        "127.0.0:80",
        "256.0.0.1:80",
        "::1:80",
        "[::1]",
        "[::1]80",
        "[::1:80",
        "::1]:80",
        "[127.0.0.1]:80",
        "[*]:80",
        "[]:80",
        "example.com:80",
        "http://127.0.0.1:80",
        "127.0.0.1:80/",
        " 127.0.0.1:80",
        "unix:",
        "unix:x",
        "unix:./x",
        "[fe80::1%lo]:80",
        "**:80",
        "unix:/345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890x",
    };
    for (size_t i = 0; i < RC_ARRAY_COUNT(cases); i++) {
        struct rc_listen_address address;
        struct rc_err err = {""};
        char *const text = exact(cases[i]);
        cr_expect_eq(rc_listen_address_parse(&address, text, strlen(cases[i]), &err), -EINVAL, "%s", cases[i]);
        cr_expect_neq(err.text[0], '\0');
        free(text);
    }
}

static bool within(const char *range, const char *address)
{
    struct rc_network network;
    struct rc_err err = {""};
    cr_assert_eq(rc_network_parse(&network, range, strlen(range), &err), 0, "%s: %s", range, err.text);
    struct sockaddr_in v4 = {.sin_family = AF_INET};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
    if (inet_pton(AF_INET, address, &v4.sin_addr) == 1) {
        return rc_network_contains(&network, (const struct sockaddr *)&v4);
    }
    cr_assert_eq(inet_pton(AF_INET6, address, &v6.sin6_addr), 1);
    return rc_network_contains(&network, (const struct sockaddr *)&v6);
}

Test(config_text, networks_contain_their_addresses)
{
    cr_expect(within("10.0.0.0/8", "10.255.0.1"));
    cr_expect_not(within("10.0.0.0/8", "11.0.0.1"));
    cr_expect(within("192.0.2.1", "192.0.2.1"));
    cr_expect_not(within("192.0.2.1", "192.0.2.2"));
    cr_expect(within("192.0.2.128/25", "192.0.2.200"));
    cr_expect_not(within("192.0.2.128/25", "192.0.2.127"));
    cr_expect(within("10.0.0.0/8", "::ffff:10.1.2.3"), "an IPv4 peer on an IPv6 socket");
    cr_expect(within("0.0.0.0/0", "1.2.3.4"));
    cr_expect_not(within("0.0.0.0/0", "2001:db8::1"));
    cr_expect(within("2001:db8::/32", "2001:db8:ffff::1"));
    cr_expect_not(within("2001:db8::/33", "2001:db8:8000::1"));
    cr_expect(within("::1", "::1"));
    cr_expect(within("::/0", "1.2.3.4"));
    struct rc_network network;
    cr_assert_eq(rc_network_parse(&network, "::/0", 4, NULL), 0);
    const struct sockaddr local = {.sa_family = AF_UNIX};
    cr_expect_not(rc_network_contains(&network, &local));
}

Test(config_text, wrong_networks_are_refused)
{
    static const char *const cases[] = {"",
                                        "/",
                                        "10.0.0.0/",
                                        "10.0.0.0/33",
                                        "10.0.0.0/-1",
                                        "10.0.0.1/8",
                                        "10/8",
                                        "2001:db8::/129",
                                        "2001:db8::1/64",
                                        "example.com",
                                        "10.0.0.0/8/8",
                                        "10.0.0.0 /8",
                                        "/8"};
    for (size_t i = 0; i < RC_ARRAY_COUNT(cases); i++) {
        struct rc_network network;
        struct rc_err err = {""};
        char *const text = exact(cases[i]);
        cr_expect_eq(rc_network_parse(&network, text, strlen(cases[i]), &err), -EINVAL, "%s", cases[i]);
        cr_expect_neq(err.text[0], '\0');
        free(text);
    }
}

Test(config_text, origins_are_written_as_browsers_send_them)
{
    static const struct {
        const char *text;
        const char *origin;
    } cases[] = {
        {"https://example.com", "https://example.com"},
        {"HTTPS://Example.COM", "https://example.com"},
        {"https://example.com/", "https://example.com"},
        {"https://example.com:443", "https://example.com"},
        {"http://example.com:80", "http://example.com"},
        {"http://example.com:443", "http://example.com:443"},
        {"http://localhost:3000", "http://localhost:3000"},
        {"http://localhost:03000", "http://localhost:3000"},
        {"http://[::1]:3000", "http://[::1]:3000"},
        {"http://[::1]", "http://[::1]"},
        {"http://127.0.0.1:8080", "http://127.0.0.1:8080"},
        {"*", "*"},
        {"null", "null"},
        {"chrome-extension://abcdef", "chrome-extension://abcdef"},
        {"capacitor://localhost", "capacitor://localhost"},
        {"ionic://localhost/", "ionic://localhost"},
        {"app://.", "app://."},
        {"file://", "file://"},
        {"File:///", "file://"},
        {"ws://example.com", "http://example.com"},
        {"WS://Example.com:80", "http://example.com"},
        {"wss://example.com:443/", "https://example.com"},
        {"wss://example.com:9443", "https://example.com:9443"},
        {"app://example:80", "app://example:80"},
        {"https://*.Example.com:443", "https://*.example.com"},
        {"https://*.example.com:8443", "https://*.example.com:8443"},
    };
    for (size_t i = 0; i < RC_ARRAY_COUNT(cases); i++) {
        char origin[256];
        struct rc_err err = {""};
        char *const text = exact(cases[i].text);
        cr_expect_eq(rc_origin_normalize(origin, sizeof(origin), text, strlen(cases[i].text), &err), 0, "%s: %s",
                     cases[i].text, err.text);
        cr_expect_str_eq(origin, cases[i].origin);
        free(text);
    }
}

Test(config_text, wrong_origins_are_refused)
{
    static const char *const cases[] = {"",
                                        "/",
                                        "example.com",
                                        "https:",
                                        "https://",
                                        "https:///",
                                        "ws://",
                                        "wss:///",
                                        "file:////",
                                        "file://:80",
                                        "file:",
                                        "://x",
                                        "https://exa mple.com",
                                        "https://a/b",
                                        "https://a:b",
                                        "https://a:",
                                        "https://a:0",
                                        "https://a:65536",
                                        "https://*",
                                        "https://*.",
                                        "https://*..a",
                                        "https://*a.example.com",
                                        "https://a.*.example.com",
                                        "https://*.*.example.com",
                                        "https://*.[::1]",
                                        "https://a?b",
                                        "https://user@a",
                                        "https://a,https://b",
                                        "https://[]",
                                        "https://[::1",
                                        "ht tp://a",
                                        "https://ü.example",
                                        "https://a//"};
    for (size_t i = 0; i < RC_ARRAY_COUNT(cases); i++) {
        char origin[256];
        struct rc_err err = {""};
        char *const text = exact(cases[i]);
        cr_expect_eq(rc_origin_normalize(origin, sizeof(origin), text, strlen(cases[i]), &err), -EINVAL, "%s",
                     cases[i]);
        cr_expect_neq(err.text[0], '\0');
        free(text);
    }
}
