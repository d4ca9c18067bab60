/* redis_url: see redis_url.h. */
#include "common/config/redis_url.h"

#include <errno.h>
#include <string.h>

#include "common/base/check.h"

#define PORT_REDIS 6379
#define PORT_SENTINEL 26379

static const struct {
    const char *name;
    enum rc_redis_kind kind;
    bool tls;
} schemes[] = {
    {"redis://", RC_REDIS_SINGLE, false},
    {"rediss://", RC_REDIS_SINGLE, true},
    {"valkey://", RC_REDIS_SINGLE, false},
    {"valkeys://", RC_REDIS_SINGLE, true},
    {"unix://", RC_REDIS_UNIX, false},
    {"redis+sentinel://", RC_REDIS_SENTINEL, false},
    {"rediss+sentinel://", RC_REDIS_SENTINEL, true},
    {"redis+cluster://", RC_REDIS_CLUSTER, false},
    {"rediss+cluster://", RC_REDIS_CLUSTER, true},
};

static int hex_digit(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* Percent-decodes into a NUL-terminated text. False: too long, a bad escape, or a zero byte. */
static bool percent_decode(char *out, size_t room, const char *text, size_t bytes)
{
    size_t used = 0;
    for (size_t i = 0; i < bytes; i++) {
        char c = text[i];
        if (c == '%') {
            const int high = i + 2 < bytes ? hex_digit(text[i + 1]) : -1;
            const int low = i + 2 < bytes ? hex_digit(text[i + 2]) : -1;
            if (high < 0 || low < 0) {
                return false;
            }
            c = (char)(high << 4 | low);
            i += 2;
        }
        if (c == '\0' || used + 1 >= room) {
            return false;
        }
        out[used++] = c;
    }
    out[used] = '\0';
    return true;
}

static bool number_parse(const char *text, size_t bytes, uint32_t max, uint32_t *out)
{
    uint64_t value = 0;
    if (bytes == 0 || bytes > 9) {
        return false;
    }
    for (size_t i = 0; i < bytes; i++) {
        if (text[i] < '0' || text[i] > '9') {
            return false;
        }
        value = value * 10 + (uint64_t)(text[i] - '0');
    }
    *out = (uint32_t)value;
    return value <= max;
}

bool rc_redis_address_parse(struct rc_redis_address *address, const char *text, size_t bytes, uint16_t default_port)
{
    const char *host = text;
    size_t host_bytes = bytes;
    const char *port = NULL;
    if (bytes > 0 && text[0] == '[') {
        const char *close = memchr(text, ']', bytes);
        if (close == NULL) {
            return false;
        }
        host = text + 1;
        host_bytes = (size_t)(close - host);
        if (close + 1 < text + bytes) {
            if (close[1] != ':') {
                return false;
            }
            port = close + 2;
        }
    } else {
        const char *colon = memchr(text, ':', bytes);
        if (colon != NULL) {
            host_bytes = (size_t)(colon - text);
            port = colon + 1;
        }
    }
    if (host_bytes == 0 || host_bytes >= sizeof(address->host) || memchr(host, '/', host_bytes) != NULL) {
        return false;
    }
    uint32_t value = default_port;
    if (port != NULL && (!number_parse(port, (size_t)(text + bytes - port), 65535, &value) || value == 0)) {
        return false;
    }
    memcpy(address->host, host, host_bytes);
    address->host[host_bytes] = '\0';
    address->port = (uint16_t)value;
    return true;
}

/* "user:password@", "password" alone when there is no name before the colon. Returns what follows. */
static const char *take_credentials(struct rc_redis_url *url, const char *text, struct rc_err *err)
{
    const char *slash = url->kind == RC_REDIS_UNIX ? NULL : strchr(text, '/');
    const size_t span = slash != NULL ? (size_t)(slash - text) : strlen(text);
    const char *at = memrchr(text, '@', span);
    if (at == NULL) {
        return text;
    }
    const size_t bytes = (size_t)(at - text);
    const char *colon = memchr(text, ':', bytes);
    const size_t user_bytes = colon != NULL ? (size_t)(colon - text) : bytes;
    if (!percent_decode(url->user, sizeof(url->user), text, user_bytes) ||
        (colon != NULL && !percent_decode(url->password, sizeof(url->password), colon + 1, (size_t)(at - colon) - 1))) {
        (void)rc_err_set(err, -EINVAL, "user and password must be percent-encoded and at most %d bytes each",
                         RC_REDIS_CREDENTIAL_MAX - 1);
        return NULL;
    }
    return at + 1;
}

static int take_hosts(struct rc_redis_url *url, const char *text, size_t bytes, struct rc_err *err)
{
    const uint16_t port = url->kind == RC_REDIS_SENTINEL ? PORT_SENTINEL : PORT_REDIS;
    const char *const end = text + bytes;
    while (text <= end) {
        const char *comma = memchr(text, ',', (size_t)(end - text));
        const char *stop = comma != NULL ? comma : end;
        if (url->host_count == RC_REDIS_HOSTS_MAX) {
            return rc_err_set(err, -EINVAL, "at most %d hosts", RC_REDIS_HOSTS_MAX);
        }
        if (!rc_redis_address_parse(&url->hosts[url->host_count], text, (size_t)(stop - text), port)) {
            /* Not repeated: it may be part of a password whose `/` or `@` was not percent-encoded. */
            return rc_err_set(err, -EINVAL, "host %u is not written as host or host:port", url->host_count + 1);
        }
        url->host_count++;
        text = stop + 1;
    }
    if (url->kind == RC_REDIS_SINGLE && url->host_count != 1) {
        return rc_err_set(err, -EINVAL, "only redis+sentinel:// and redis+cluster:// take several hosts");
    }
    return 0;
}

static int take_database(struct rc_redis_url *url, const char *text, struct rc_err *err)
{
    if (!number_parse(text, strlen(text), 1000000, &url->database)) {
        return rc_err_set(err, -EINVAL, "what stands behind the host is not the number of a database");
    }
    return 0;
}

static int take_unix(struct rc_redis_url *url, const char *text, struct rc_err *err)
{
    const char *query = strchr(text, '?');
    const size_t bytes = query != NULL ? (size_t)(query - text) : strlen(text);
    if (text[0] != '/' || !percent_decode(url->path, sizeof(url->path), text, bytes)) {
        return rc_err_set(err, -EINVAL, "unix:// wants an absolute path of at most %d bytes", RC_REDIS_PATH_MAX - 1);
    }
    if (query == NULL) {
        return 0;
    }
    return strncmp(query, "?db=", 4) == 0 ? take_database(url, query + 4, err)
                                          : rc_err_set(err, -EINVAL, "only ?db=number may follow the path");
}

/* What follows the hosts: "/database", "/master[/database]", or nothing. */
static int take_path(struct rc_redis_url *url, const char *text, struct rc_err *err)
{
    if (url->kind == RC_REDIS_SENTINEL) {
        const char *slash = strchr(text, '/');
        const size_t bytes = slash != NULL ? (size_t)(slash - text) : strlen(text);
        if (bytes == 0 || !percent_decode(url->master, sizeof(url->master), text, bytes)) {
            return rc_err_set(err, -EINVAL, "redis+sentinel:// wants the master's name behind the hosts: …/mymaster");
        }
        text = slash != NULL ? slash + 1 : "";
    }
    if (text[0] == '\0') {
        return 0;
    }
    const int rc = take_database(url, text, err);
    if (rc == 0 && url->kind == RC_REDIS_CLUSTER && url->database != 0) {
        return rc_err_set(err, -EINVAL, "a Cluster has only database 0");
    }
    return rc;
}

int rc_redis_url_parse(struct rc_redis_url *url, const char *text, struct rc_err *err)
{
    *url = (struct rc_redis_url){0};
    const char *rest = NULL;
    for (size_t i = 0; i < RC_ARRAY_COUNT(schemes) && rest == NULL; i++) {
        const size_t bytes = strlen(schemes[i].name);
        if (strncmp(text, schemes[i].name, bytes) == 0) {
            url->kind = schemes[i].kind;
            url->tls = schemes[i].tls;
            rest = text + bytes;
        }
    }
    if (rest == NULL) {
        return rc_err_set(err, -EINVAL,
                          "expected a URL such as \"redis://host:6379\", \"rediss://host\", \"unix:///path\", "
                          "\"redis+sentinel://h1,h2/master\" or \"redis+cluster://h1,h2\"");
    }
    rest = take_credentials(url, rest, err);
    if (rest == NULL) {
        return -EINVAL;
    }
    if (url->kind == RC_REDIS_UNIX) {
        return take_unix(url, rest, err);
    }
    const char *slash = strchr(rest, '/');
    const int rc = take_hosts(url, rest, slash != NULL ? (size_t)(slash - rest) : strlen(rest), err);
    return rc == 0 ? take_path(url, slash != NULL ? slash + 1 : "", err) : rc;
}
