/*
 * text: values of the configuration as people write them, and back: sizes, durations, words, addresses.
 *
 * Pure functions over text; any process may call. Parsers take text that need not be NUL-terminated, return 0 or
 * -EINVAL, and say in `err` what was expected. Formatters write at most `capacity` bytes with a NUL
 * (RC_CONFIG_VALUE_MAX is enough).
 */
#ifndef RC_COMMON_CONFIG_TEXT_H
#define RC_COMMON_CONFIG_TEXT_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "common/base/err.h"
#include "common/config/values.h"

#define RC_CONFIG_VALUE_MAX 512 /* a formatted value */

/* "512", "64KiB", "1MB": KB, MB, GB, TB are powers of 1000, KiB, MiB, GiB, TiB of 1024; B or nothing is bytes. */
int rc_config_size_parse(const char *text, size_t bytes, uint64_t *size_bytes, struct rc_err *err);
/* The shortest exact form: 65536 is "64KiB", 1000000 is "1MB". */
void rc_config_size_format(char *out, size_t capacity, uint64_t size_bytes);

/* "25s", "10ms", "1h30m", "500us" (the sum must be whole milliseconds). Units ns, us, ms, s, m, h, d, largest first,
 * each once. */
int rc_config_duration_parse(const char *text, size_t bytes, uint64_t *duration_ms, struct rc_err *err);
/* One unit where that is exact and short: 90000 is "90s", 5400000 is "90m", 90061001 is "1d1h1m1s1ms". */
void rc_config_duration_format(char *out, size_t capacity, uint64_t duration_ms);

/* "100/1m": so many in any such time, 1 to RC_CONFIG_RATE_COUNT_MAX in 1s to 24h. */
#define RC_CONFIG_RATE_COUNT_MAX 1000000u
int rc_config_rate_parse(const char *text, size_t bytes, struct rc_config_rate *rate, struct rc_err *err);
void rc_config_rate_format(char *out, size_t capacity, const struct rc_config_rate *rate);
/* "1MiB/1m": so many bytes in any such time, 1 to RC_CONFIG_RATE_BYTES_MAX. */
#define RC_CONFIG_RATE_BYTES_MAX (512u << 20)
int rc_config_rate_bytes_parse(const char *text, size_t bytes, struct rc_config_rate *rate, struct rc_err *err);
void rc_config_rate_bytes_format(char *out, size_t capacity, const struct rc_config_rate *rate);

/* A decimal number without sign. */
int rc_config_uint_parse(const char *text, size_t bytes, uint64_t *number, struct rc_err *err);

/* A word and its enum value. The first word with a value is the one that is shown; later ones are accepted too.
 * Tables end with a NULL word. */
struct rc_config_word {
    const char *word;
    uint32_t value;
};
extern const struct rc_config_word rc_config_log_levels[]; /* enum rc_log_level, with the words of other loggers */

int rc_config_word_parse(const struct rc_config_word *words, const char *text, size_t bytes, uint32_t *value,
                         struct rc_err *err);
/* All words that are shown: `"debug", "info"`. */
void rc_config_words_format(char *out, size_t capacity, const struct rc_config_word *words);
/* The word of a value; "?" for a value that is not in the table. */
const char *rc_config_word_of(const struct rc_config_word *words, uint32_t value);

/* Number of single-character edits (insert, delete, replace, swap neighbours) between two words, for "did you mean".
 * Words of more than 64 bytes differ by SIZE_MAX. */
size_t rc_config_word_distance(const char *a, size_t a_bytes, const char *b, size_t b_bytes);

/* Where to listen. */
struct rc_listen_address {
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
        struct sockaddr_un local;
    } socket;
    socklen_t socket_bytes;
    uint16_t port; /* host byte order; 0 for a Unix socket */
    bool loopback; /* only this machine can reach it: 127.0.0.0/8, ::1, or a Unix socket */
    bool unix_socket;
};

/* "127.0.0.1:8080", "[::1]:8080", "localhost:8080", "8080" (loopback), "*:8080" (all IPv4 and IPv6 addresses: the
 * IPv6 wildcard), "unix:/run/ringcast.sock". Ports 1 to 65535. */
int rc_listen_address_parse(struct rc_listen_address *address, const char *text, size_t bytes, struct rc_err *err);
/* One that others can connect to: not a wildcard, and its host is written out. Pure: no name is looked up. */
int rc_advertise_address_parse(struct rc_listen_address *address, const char *text, size_t bytes, struct rc_err *err);
/* The canonical text: "127.0.0.1:8080", "[::1]:8080", "unix:/run/x.sock". */
void rc_listen_address_format(char *out, size_t capacity, const struct rc_listen_address *address);

/* An address range. IPv4 is kept as its IPv4-mapped IPv6 form, so that both families compare the same way. */
struct rc_network {
    uint8_t address[16];
    uint32_t prefix_bits; /* 0..128 */
};

/* "10.0.0.0/8", "192.0.2.1", "2001:db8::/32", "::1". Bits behind the prefix must be 0. */
int rc_network_parse(struct rc_network *network, const char *text, size_t bytes, struct rc_err *err);
/* Whether a peer's address lies in the range. Families other than IPv4 and IPv6 never do. */
bool rc_network_contains(const struct rc_network *network, const struct sockaddr *peer);

/* An origin in the form that browsers send: "https://example.com", "http://localhost:3000"; "*" and "null" stay, and a star
 * may stand for a host's first labels: https, then *.example.com. Apps' schemes ("capacitor://localhost") need no host ("file://").
 * Upper case, a default port and one final "/" are removed, and ws and wss are http and https, as clients that are no browsers
 * send them. Writes at most `capacity` bytes with a NUL. */
int rc_origin_normalize(char *out, size_t capacity, const char *text, size_t bytes, struct rc_err *err);

#endif
