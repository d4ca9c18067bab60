/* text: parsing and formatting of configuration values. */
#include "common/config/text.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/log.h"

#define DISTANCE_WORD_MAX 64
#define RATE_WINDOW_MIN_MS 1000u
#define RATE_WINDOW_MAX_MS 86400000u

struct unit {
    const char *name;
    uint64_t factor;
};

/* Largest first: the formatter takes the first that is exact. */
static const struct unit size_units[] = {
    {"TiB", 1ull << 40}, {"TB", 1000000000000ull}, {"GiB", 1ull << 30}, {"GB", 1000000000ull}, {"MiB", 1ull << 20},
    {"MB", 1000000ull},  {"KiB", 1ull << 10},      {"KB", 1000ull},     {"kB", 1000ull},       {"B", 1ull},
};

static const struct unit duration_units[] = {
    /* in nanoseconds */
    {"d", 86400000000000ull}, {"h", 3600000000000ull}, {"m", 60000000000ull}, {"s", 1000000000ull},
    {"ms", 1000000ull},       {"us", 1000ull},         {"ns", 1ull},
};

const struct rc_config_word rc_config_log_levels[] = {
    {"debug", RC_LOG_DEBUG},  {"info", RC_LOG_INFO},
    {"warn", RC_LOG_WARN},    {"error", RC_LOG_ERROR},
    {"off", RC_LOG_OFF},      {"trace", RC_LOG_DEBUG},
    {"warning", RC_LOG_WARN}, {"fatal", RC_LOG_ERROR},
    {"silent", RC_LOG_OFF},   {NULL, 0},
};

static const struct unit *unit_find(const struct unit *units, size_t count, const char *name, size_t bytes)
{
    for (size_t i = 0; i < count; i++) {
        if (strlen(units[i].name) == bytes && memcmp(units[i].name, name, bytes) == 0) {
            return &units[i];
        }
    }
    return NULL;
}

/* Reads digits at *at; -ERANGE when they do not fit, -EINVAL when there are none. */
static int digits_read(const char *text, size_t bytes, size_t *at, uint64_t *number)
{
    const size_t start = *at;
    uint64_t value = 0;
    for (; *at < bytes && text[*at] >= '0' && text[*at] <= '9'; (*at)++) {
        if (__builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, (uint64_t)(text[*at] - '0'), &value)) {
            return -ERANGE;
        }
    }
    *number = value;
    return *at > start ? 0 : -EINVAL;
}

static size_t unit_bytes(const char *text, size_t bytes, size_t at)
{
    size_t count = 0;
    while (at + count < bytes && (text[at + count] < '0' || text[at + count] > '9')) {
        count++;
    }
    return count;
}

int rc_config_size_parse(const char *text, size_t bytes, uint64_t *size_bytes, struct rc_err *err)
{
    static const char expected[] =
        "expected a size such as \"64KiB\" (units B, KB, MB, GB, TB of 1000, KiB, MiB, GiB, TiB of 1024)";
    size_t at = 0;
    uint64_t number = 0;
    const int rc = digits_read(text, bytes, &at, &number);
    if (rc == -ERANGE) {
        return rc_err_set(err, -EINVAL, "the number is too large");
    }
    if (rc != 0) {
        return rc_err_set(err, -EINVAL, "%s", expected);
    }
    uint64_t factor = 1;
    if (at < bytes) {
        const struct unit *const unit = unit_find(size_units, RC_ARRAY_COUNT(size_units), text + at, bytes - at);
        if (unit == NULL) {
            return rc_err_set(err, -EINVAL, "%s", expected);
        }
        factor = unit->factor;
    }
    if (__builtin_mul_overflow(number, factor, size_bytes)) {
        return rc_err_set(err, -EINVAL, "the number is too large");
    }
    return 0;
}

void rc_config_size_format(char *out, size_t capacity, uint64_t size_bytes)
{
    const struct unit *best = &size_units[RC_ARRAY_COUNT(size_units) - 1];
    for (size_t i = 0; i < RC_ARRAY_COUNT(size_units); i++) {
        if (size_bytes > 0 && size_bytes % size_units[i].factor == 0 && size_units[i].factor > best->factor) {
            best = &size_units[i];
        }
    }
    (void)snprintf(out, capacity, "%" PRIu64 "%s", size_bytes / best->factor, best->name);
}

int rc_config_duration_parse(const char *text, size_t bytes, uint64_t *duration_ms, struct rc_err *err)
{
    static const char expected[] = "expected a duration such as \"25s\" or \"1h30m\" (units ns, us, ms, s, m, h, d)";
    size_t at = 0;
    uint64_t sum_ns = 0;
    const struct unit *last = NULL;
    do {
        uint64_t number = 0;
        const int rc = digits_read(text, bytes, &at, &number);
        if (rc == -ERANGE) {
            return rc_err_set(err, -EINVAL, "the duration is too long");
        }
        if (rc != 0) {
            return rc_err_set(err, -EINVAL, "%s", expected);
        }
        const size_t name_bytes = unit_bytes(text, bytes, at);
        const struct unit *const unit =
            unit_find(duration_units, RC_ARRAY_COUNT(duration_units), text + at, name_bytes);
        if (unit == NULL && name_bytes == 0) {
            return rc_err_set(err, -EINVAL, "the number has no unit: %s", expected);
        }
        if (unit == NULL) {
            return rc_err_set(err, -EINVAL, "%s", expected);
        }
        if (last != NULL && unit <= last) {
            return rc_err_set(err, -EINVAL, "units go from large to small, each once: %s", expected);
        }
        if (__builtin_mul_overflow(number, unit->factor, &number) || __builtin_add_overflow(sum_ns, number, &sum_ns)) {
            return rc_err_set(err, -EINVAL, "the duration is too long");
        }
        last = unit;
        at += name_bytes;
    } while (at < bytes);
    if (sum_ns % 1000000 != 0) {
        return rc_err_set(err, -EINVAL, "durations are kept in whole milliseconds");
    }
    *duration_ms = sum_ns / 1000000;
    return 0;
}

/* How many, read by `parse`, and in which time. */
static bool rate_parse(const char *text, size_t bytes, int (*parse)(const char *, size_t, uint64_t *, struct rc_err *),
                       uint64_t count_max, struct rc_config_rate *rate)
{
    const char *const slash = memchr(text, '/', bytes);
    uint64_t count = 0;
    uint64_t window_ms = 0;
    if (slash == NULL || parse(text, (size_t)(slash - text), &count, NULL) != 0 ||
        rc_config_duration_parse(slash + 1, bytes - (size_t)(slash - text) - 1, &window_ms, NULL) != 0 || count == 0 ||
        count > count_max || window_ms < RATE_WINDOW_MIN_MS || window_ms > RATE_WINDOW_MAX_MS) {
        return false;
    }
    *rate = (struct rc_config_rate){.count = (uint32_t)count, .window_ms = (uint32_t)window_ms};
    return true;
}

int rc_config_rate_parse(const char *text, size_t bytes, struct rc_config_rate *rate, struct rc_err *err)
{
    return rate_parse(text, bytes, rc_config_uint_parse, RC_CONFIG_RATE_COUNT_MAX, rate)
               ? 0
               : rc_err_set(err, -EINVAL,
                            "expected a number and the time in which there may be so many, as \"100/1m\": 1 to %u in "
                            "1s to 24h",
                            RC_CONFIG_RATE_COUNT_MAX);
}

int rc_config_rate_bytes_parse(const char *text, size_t bytes, struct rc_config_rate *rate, struct rc_err *err)
{
    return rate_parse(text, bytes, rc_config_size_parse, RC_CONFIG_RATE_BYTES_MAX, rate)
               ? 0
               : rc_err_set(err, -EINVAL,
                            "expected a size and the time in which there may be so many bytes, as \"1MiB/1m\": 1B to "
                            "%uMiB in 1s to 24h",
                            RC_CONFIG_RATE_BYTES_MAX >> 20);
}

void rc_config_rate_bytes_format(char *out, size_t capacity, const struct rc_config_rate *rate)
{
    char size[RC_CONFIG_VALUE_MAX];
    char window[RC_CONFIG_VALUE_MAX];
    rc_config_size_format(size, sizeof(size), rate->count);
    rc_config_duration_format(window, sizeof(window), rate->window_ms);
    (void)snprintf(out, capacity, "%s/%s", size, window);
}

void rc_config_rate_format(char *out, size_t capacity, const struct rc_config_rate *rate)
{
    char window[RC_CONFIG_VALUE_MAX];
    rc_config_duration_format(window, sizeof(window), rate->window_ms);
    (void)snprintf(out, capacity, "%" PRIu32 "/%s", rate->count, window);
}

void rc_config_duration_format(char *out, size_t capacity, uint64_t duration_ms)
{
    if (duration_ms % 1000 == 0 && duration_ms <= 120000) {
        (void)snprintf(out, capacity, "%" PRIu64 "s", duration_ms / 1000);
        return;
    }
    const size_t count = 5; /* units of at least a millisecond */
    for (size_t i = 0; i < count; i++) {
        const uint64_t factor_ms = duration_units[i].factor / 1000000;
        if (duration_ms % factor_ms == 0 && duration_ms / factor_ms < 1000) {
            (void)snprintf(out, capacity, "%" PRIu64 "%s", duration_ms / factor_ms, duration_units[i].name);
            return;
        }
    }
    size_t at = 0;
    for (size_t i = 0; i < count && at < capacity; i++) {
        const uint64_t factor_ms = duration_units[i].factor / 1000000;
        if (duration_ms >= factor_ms) {
            at += (size_t)snprintf(out + at, capacity - at, "%" PRIu64 "%s", duration_ms / factor_ms,
                                   duration_units[i].name);
            duration_ms %= factor_ms;
        }
    }
}

int rc_config_uint_parse(const char *text, size_t bytes, uint64_t *number, struct rc_err *err)
{
    size_t at = 0;
    const int rc = digits_read(text, bytes, &at, number);
    if (rc == -ERANGE) {
        return rc_err_set(err, -EINVAL, "the number is too large");
    }
    if (rc != 0 || at != bytes) {
        return rc_err_set(err, -EINVAL, "expected a whole number");
    }
    return 0;
}

/* --- words ------------------------------------------------------------------------------------------------------- */

/* True for the first entry of each value: the word that is shown. */
static bool word_is_shown(const struct rc_config_word *words, size_t index)
{
    for (size_t i = 0; i < index; i++) {
        if (words[i].value == words[index].value) {
            return false;
        }
    }
    return true;
}

static bool byte_equal_any_case(char a, char b)
{
    const char lower_a = a >= 'A' && a <= 'Z' ? (char)(a - 'A' + 'a') : a;
    const char lower_b = b >= 'A' && b <= 'Z' ? (char)(b - 'A' + 'a') : b;
    return lower_a == lower_b;
}

static bool bytes_equal_any_case(const char *a, const char *b, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++) {
        if (!byte_equal_any_case(a[i], b[i])) {
            return false;
        }
    }
    return true;
}

int rc_config_word_parse(const struct rc_config_word *words, const char *text, size_t bytes, uint32_t *value,
                         struct rc_err *err)
{
    for (const struct rc_config_word *word = words; word->word != NULL; word++) {
        if (strlen(word->word) == bytes && bytes_equal_any_case(word->word, text, bytes)) {
            *value = word->value;
            return 0;
        }
    }
    char list[256];
    rc_config_words_format(list, sizeof(list), words);
    return rc_err_set(err, -EINVAL, "expected one of %s", list);
}

void rc_config_words_format(char *out, size_t capacity, const struct rc_config_word *words)
{
    size_t at = 0;
    out[0] = '\0';
    for (size_t i = 0; words[i].word != NULL && at < capacity; i++) {
        if (word_is_shown(words, i)) {
            at += (size_t)snprintf(out + at, capacity - at, "%s\"%s\"", i == 0 ? "" : ", ", words[i].word);
        }
    }
}

const char *rc_config_word_of(const struct rc_config_word *words, uint32_t value)
{
    for (const struct rc_config_word *word = words; word->word != NULL; word++) {
        if (word->value == value) {
            return word->word;
        }
    }
    return "?";
}

static size_t least_of(size_t a, size_t b)
{
    return a < b ? a : b;
}

size_t rc_config_word_distance(const char *a, size_t a_bytes, const char *b, size_t b_bytes)
{
    if (a_bytes > DISTANCE_WORD_MAX || b_bytes > DISTANCE_WORD_MAX) {
        return SIZE_MAX;
    }
    /* Damerau's distance with adjacent swaps (optimal string alignment): three rows of the matrix are enough. */
    size_t rows[3][DISTANCE_WORD_MAX + 1];
    for (size_t j = 0; j <= b_bytes; j++) {
        rows[0][j] = j;
    }
    for (size_t i = 1; i <= a_bytes; i++) {
        size_t *const row = rows[i % 3];
        const size_t *const above = rows[(i - 1) % 3];
        const size_t *const above_2 = rows[(i + 1) % 3];
        row[0] = i;
        for (size_t j = 1; j <= b_bytes; j++) {
            const size_t replace = above[j - 1] + (a[i - 1] != b[j - 1] ? 1 : 0);
            row[j] = least_of(replace, least_of(above[j], row[j - 1]) + 1);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
                row[j] = least_of(row[j], above_2[j - 2] + 1);
            }
        }
    }
    return rows[a_bytes % 3][b_bytes];
}

/* --- addresses --------------------------------------------------------------------------------------------------- */

static const char listen_expected[] =
    "expected an address to listen on such as \"127.0.0.1:8080\", \"[::1]:8080\", \"*:8080\", \"8080\" or \"unix:/run/ringcast.sock\"";

static int unix_address_parse(struct rc_listen_address *address, const char *path, size_t bytes, struct rc_err *err)
{
    if (bytes == 0 || path[0] != '/' || memchr(path, '\0', bytes) != NULL) {
        return rc_err_set(err, -EINVAL, "a Unix socket needs an absolute path, as in \"unix:/run/ringcast.sock\"");
    }
    if (bytes >= sizeof(address->socket.local.sun_path)) {
        return rc_err_set(err, -EINVAL, "the path of a Unix socket has at most %zu bytes",
                          sizeof(address->socket.local.sun_path) - 1);
    }
    address->socket.local.sun_family = AF_UNIX;
    memcpy(address->socket.local.sun_path, path, bytes);
    address->socket_bytes = sizeof(address->socket.local);
    address->unix_socket = true;
    address->loopback = true;
    return 0;
}

/* Reads a numeric address of either family. *family is AF_UNSPEC when it is none. */
static int numeric_address(const char *text, size_t bytes, struct in_addr *v4, struct in6_addr *v6)
{
    char host[INET6_ADDRSTRLEN];
    if (bytes == 0 || bytes >= sizeof(host) || memchr(text, '\0', bytes) != NULL) {
        return AF_UNSPEC;
    }
    memcpy(host, text, bytes);
    host[bytes] = '\0';
    if (inet_pton(AF_INET, host, v4) == 1) {
        return AF_INET;
    }
    return inet_pton(AF_INET6, host, v6) == 1 ? AF_INET6 : AF_UNSPEC;
}

static bool v6_is_loopback(const struct in6_addr *v6)
{
    return IN6_IS_ADDR_LOOPBACK(v6) || (IN6_IS_ADDR_V4MAPPED(v6) && v6->s6_addr[12] == 127);
}

int rc_listen_address_parse(struct rc_listen_address *address, const char *text, size_t bytes, struct rc_err *err)
{
    *address = (struct rc_listen_address){0};
    if (bytes >= 5 && memcmp(text, "unix:", 5) == 0) {
        return unix_address_parse(address, text + 5, bytes - 5, err);
    }
    const char *const colon = memrchr(text, ':', bytes);
    const size_t host_bytes = colon != NULL ? (size_t)(colon - text) : 0;
    const size_t port_at = colon != NULL ? host_bytes + 1 : 0;
    uint64_t port = 0;
    if (rc_config_uint_parse(text + port_at, bytes - port_at, &port, NULL) != 0) {
        return rc_err_set(err, -EINVAL, "%s", listen_expected);
    }
    if (port == 0 || port > UINT16_MAX) {
        return rc_err_set(err, -EINVAL, "a port is a number from 1 to 65535");
    }
    address->port = (uint16_t)port;
    const char *host = text;
    size_t count = host_bytes;
    const bool brackets = count >= 2 && host[0] == '[' && host[count - 1] == ']';
    if (brackets) {
        host++;
        count -= 2;
    }
    struct in_addr v4 = {.s_addr = htonl(INADDR_LOOPBACK)};
    struct in6_addr v6 = IN6ADDR_ANY_INIT;
    int family = AF_INET;
    if (count == 1 && host[0] == '*') {
        family = AF_INET6;
    } else if (colon != NULL && !(count == 9 && memcmp(host, "localhost", 9) == 0)) {
        family = numeric_address(host, count, &v4, &v6);
    }
    if (family == AF_UNSPEC || brackets != (family == AF_INET6 && host[0] != '*')) {
        return rc_err_set(err, -EINVAL, "%s", listen_expected);
    }
    if (family == AF_INET) {
        address->socket.v4 =
            (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(address->port), .sin_addr = v4};
        address->socket_bytes = sizeof(address->socket.v4);
        address->loopback = (ntohl(v4.s_addr) >> 24) == 127;
    } else {
        address->socket.v6 =
            (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_port = htons(address->port), .sin6_addr = v6};
        address->socket_bytes = sizeof(address->socket.v6);
        address->loopback = v6_is_loopback(&v6);
    }
    return 0;
}

int rc_advertise_address_parse(struct rc_listen_address *address, const char *text, size_t bytes, struct rc_err *err)
{
    const int rc = rc_listen_address_parse(address, text, bytes, err);
    if (rc < 0) {
        return rc;
    }
    const bool anywhere =
        address->socket.any.sa_family == AF_INET
            ? address->socket.v4.sin_addr.s_addr == htonl(INADDR_ANY)
            : address->socket.any.sa_family == AF_INET6 && IN6_IS_ADDR_UNSPECIFIED(&address->socket.v6.sin6_addr);
    if (anywhere || memchr(text, ':', bytes) == NULL) {
        return rc_err_set(err, -EINVAL,
                          "expected one address that others can connect to, such as \"10.0.0.1:8080\", "
                          "\"[2001:db8::1]:8080\" or \"unix:/run/ringcast.sock\"");
    }
    return 0;
}

void rc_listen_address_format(char *out, size_t capacity, const struct rc_listen_address *address)
{
    char host[INET6_ADDRSTRLEN] = "?";
    if (address->unix_socket) {
        (void)snprintf(out, capacity, "unix:%s", address->socket.local.sun_path);
    } else if (address->socket.any.sa_family == AF_INET) {
        (void)inet_ntop(AF_INET, &address->socket.v4.sin_addr, host, sizeof(host));
        (void)snprintf(out, capacity, "%s:%u", host, (unsigned)address->port);
    } else {
        (void)inet_ntop(AF_INET6, &address->socket.v6.sin6_addr, host, sizeof(host));
        (void)snprintf(out, capacity, "[%s]:%u", host, (unsigned)address->port);
    }
}

static void map_v4(uint8_t out[16], const struct in_addr *v4)
{
    memset(out, 0, 10);
    out[10] = 0xff;
    out[11] = 0xff;
    memcpy(out + 12, &v4->s_addr, 4);
}

int rc_network_parse(struct rc_network *network, const char *text, size_t bytes, struct rc_err *err)
{
    static const char expected[] =
        "expected an address or a range such as \"10.0.0.0/8\", \"192.0.2.1\" or \"2001:db8::/32\"";
    const char *const slash = memchr(text, '/', bytes);
    const size_t host_bytes = slash != NULL ? (size_t)(slash - text) : bytes;
    struct in_addr v4;
    struct in6_addr v6;
    const int family = numeric_address(text, host_bytes, &v4, &v6);
    if (family == AF_UNSPEC) {
        return rc_err_set(err, -EINVAL, "%s", expected);
    }
    const uint64_t most = family == AF_INET ? 32 : 128;
    uint64_t prefix = most;
    if (slash != NULL &&
        (rc_config_uint_parse(slash + 1, bytes - host_bytes - 1, &prefix, NULL) != 0 || prefix > most)) {
        return rc_err_set(err, -EINVAL, "%s", expected);
    }
    if (family == AF_INET) {
        map_v4(network->address, &v4);
        network->prefix_bits = 96 + (uint32_t)prefix;
    } else {
        memcpy(network->address, v6.s6_addr, 16);
        network->prefix_bits = (uint32_t)prefix;
    }
    for (uint32_t bit = network->prefix_bits; bit < 128; bit++) {
        if ((network->address[bit / 8] & (0x80u >> bit % 8)) != 0) {
            return rc_err_set(err, -EINVAL, "the address has bits set behind its /%u prefix", (unsigned)prefix);
        }
    }
    return 0;
}

bool rc_network_contains(const struct rc_network *network, const struct sockaddr *peer)
{
    uint8_t address[16];
    if (peer->sa_family == AF_INET) {
        struct sockaddr_in v4;
        memcpy(&v4, peer, sizeof(v4));
        map_v4(address, &v4.sin_addr);
    } else if (peer->sa_family == AF_INET6) {
        struct sockaddr_in6 v6;
        memcpy(&v6, peer, sizeof(v6));
        memcpy(address, v6.sin6_addr.s6_addr, 16);
    } else {
        return false;
    }
    const uint32_t whole = network->prefix_bits / 8;
    if (memcmp(address, network->address, whole) != 0) {
        return false;
    }
    const uint32_t rest = network->prefix_bits % 8;
    return rest == 0 || ((address[whole] ^ network->address[whole]) & (0xff00u >> rest) & 0xff) == 0;
}

/* --- origins ----------------------------------------------------------------------------------------------------- */

/* A host as it stands in an origin: a name, an IPv4 address, or an IPv6 address in brackets. A first label "*" stands for
 * any, see worker/http/origin.h. */
static bool origin_host_ok(const char *host, size_t bytes)
{
    if (bytes > 2 && host[0] == '*' && host[1] == '.') {
        host += 2;
        bytes -= 2;
        if (host[0] == '.' || host[0] == '[') {
            return false;
        }
    }
    const bool brackets = bytes > 2 && host[0] == '[' && host[bytes - 1] == ']';
    for (size_t i = brackets ? 1 : 0; i < (brackets ? bytes - 1 : bytes); i++) {
        const char c = host[i];
        const bool word = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_';
        if (!word && !(brackets && c == ':')) {
            return false;
        }
    }
    return bytes > 0;
}

int rc_origin_normalize(char *out, size_t capacity, const char *text, size_t bytes, struct rc_err *err)
{
    static const char expected[] =
        "expected an origin such as \"https://example.com\" or \"http://localhost:3000\" (scheme, host, port; no path), or \"*\"";
    char copy[256];
    if (bytes == 0 || bytes >= sizeof(copy) || bytes >= capacity || memchr(text, '\0', bytes) != NULL) {
        return rc_err_set(err, -EINVAL, "%s", expected);
    }
    for (size_t i = 0; i < bytes; i++) {
        copy[i] = text[i] >= 'A' && text[i] <= 'Z' ? (char)(text[i] - 'A' + 'a') : text[i];
    }
    copy[bytes] = '\0';
    if (strcmp(copy, "*") == 0 || strcmp(copy, "null") == 0) {
        (void)snprintf(out, capacity, "%s", copy);
        return 0;
    }
    if (copy[bytes - 1] == '/' && !(bytes > 3 && memcmp(copy + bytes - 3, "://", 3) == 0)) {
        copy[--bytes] = '\0';
    }
    char *const mark = strstr(copy, "://");
    if (mark == NULL || mark == copy ||
        strspn(copy, "abcdefghijklmnopqrstuvwxyz0123456789+.-") != (size_t)(mark - copy)) {
        return rc_err_set(err, -EINVAL, "%s", expected);
    }
    const char *const host = mark + 3;
    size_t host_bytes = strlen(host);
    const char *const colon = strrchr(host, ':');
    uint64_t port = 0;
    if (colon != NULL && host[host_bytes - 1] != ']') { /* not one within an IPv6 address */
        host_bytes = (size_t)(colon - host);
        if (rc_config_uint_parse(colon + 1, strlen(colon + 1), &port, NULL) != 0 || port == 0 || port > UINT16_MAX) {
            return rc_err_set(err, -EINVAL, "%s", expected);
        }
    }
    *mark = '\0';
    const char *const scheme = strcmp(copy, "ws") == 0 ? "http" : strcmp(copy, "wss") == 0 ? "https" : copy;
    const bool web = strcmp(scheme, "http") == 0 || strcmp(scheme, "https") == 0;
    /* The pages of an app may have no host: file://. */
    if (!origin_host_ok(host, host_bytes) && (web || host_bytes > 0 || port != 0)) {
        return rc_err_set(err, -EINVAL, "%s", expected);
    }
    char port_text[8] = "";
    if (port != 0 && !(web && port == (scheme[4] == 's' ? 443 : 80))) {
        (void)snprintf(port_text, sizeof(port_text), ":%u", (unsigned)port);
    }
    const int written = snprintf(out, capacity, "%s://%.*s%s", scheme, (int)host_bytes, host, port_text);
    return written >= 0 && (size_t)written < capacity ? 0 : rc_err_set(err, -EINVAL, "%s", expected);
}
