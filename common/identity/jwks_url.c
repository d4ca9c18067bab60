/* jwks_url: see jwks_url.h. */
#include "common/identity/jwks_url.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static bool host_private(const char *host)
{
    struct in_addr v4;
    return strcmp(host, "localhost") == 0 || strcmp(host, "::1") == 0 ||
           (inet_pton(AF_INET, host, &v4) == 1 && (ntohl(v4.s_addr) >> 24) == 127);
}

/* "name", "name:port", "[::1]:port". */
static int authority_split(struct rc_jwks_url *url, const char *text, size_t bytes, struct rc_err *err)
{
    uint8_t address[sizeof(struct in6_addr)];
    memcpy(url->authority, text, bytes);
    url->authority[bytes] = '\0';
    const char *host = url->authority;
    const char *end = host[0] == '[' ? strchr(host, ']') : host + strcspn(host, ":");
    if (end == NULL) {
        return rc_err_set(err, -EINVAL, "the address in brackets does not end");
    }
    const bool brackets = host[0] == '[';
    const size_t host_bytes = (size_t)(end - host) - (brackets ? 1 : 0);
    memcpy(url->host, host + (brackets ? 1 : 0), host_bytes);
    url->host[host_bytes] = '\0';
    const char *port = end + (brackets ? 1 : 0);
    url->literal = inet_pton(brackets ? AF_INET6 : AF_INET, url->host, address) == 1;
    if (host_bytes == 0 || (brackets && !url->literal)) {
        return rc_err_set(err, -EINVAL, "it names no host");
    }
    if (port[0] == '\0') {
        strcpy(url->port, url->tls ? "443" : "80");
        return 0;
    }
    const size_t digits = strspn(port + 1, "0123456789");
    if (port[0] != ':' || digits == 0 || digits > 5 || port[1 + digits] != '\0' || atoi(port + 1) < 1 ||
        atoi(port + 1) > 65535) {
        return rc_err_set(err, -EINVAL, "its port is not one of 1 to 65535");
    }
    memcpy(url->port, port + 1, digits + 1);
    return 0;
}

int rc_jwks_url_parse(struct rc_jwks_url *url, const char *text, bool insecure, struct rc_err *err)
{
    memset(url, 0, sizeof(*url));
    url->tls = strncmp(text, "https://", 8) == 0;
    if (!url->tls && strncmp(text, "http://", 7) != 0) {
        return rc_err_set(err, -EINVAL, "a URL that begins with https:// is expected");
    }
    if (strlen(text) >= RC_CONFIG_TEXT_MAX) {
        return rc_err_set(err, -EINVAL, "longer than %d bytes", RC_CONFIG_TEXT_MAX - 1);
    }
    for (const char *at = text; *at != '\0'; at++) {
        /* What would end the request's line, or a part of the URL that nobody is sent. */
        if (*at <= ' ' || *at >= 0x7f || *at == '#' || *at == '"') {
            return rc_err_set(err, -EINVAL, "no URL has the character at byte %zu", (size_t)(at - text));
        }
    }
    const char *authority = text + (url->tls ? 8 : 7);
    const size_t bytes = strcspn(authority, "/?");
    if (memchr(authority, '@', bytes) != NULL) {
        return rc_err_set(err, -EINVAL, "it has a user name, which would be sent to nobody");
    }
    const char *rest = authority + bytes;
    url->target[0] = '/';
    strcpy(url->target + (rest[0] == '/' ? 0 : 1), rest);
    const int rc = authority_split(url, authority, bytes, err);
    if (rc == 0 && !url->tls && !insecure && !host_private(url->host)) {
        return rc_err_set(
            err, -EINVAL,
            "whoever is between could change keys that come over http://: use https://, or set jwks_insecure");
    }
    return rc;
}
