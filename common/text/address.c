/* address: see address.h. */
#include "common/text/address.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include "common/base/check.h"

static const uint8_t v4_mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

bool rc_address_is_v4(const struct rc_address *address)
{
    return memcmp(address->bytes, v4_mapped, sizeof(v4_mapped)) == 0;
}

bool rc_address_is_loopback(const struct rc_address *address)
{
    static const uint8_t v6[16] = {[15] = 1};
    return rc_address_is_v4(address) ? address->bytes[sizeof(v4_mapped)] == 127
                                     : memcmp(address->bytes, v6, sizeof(v6)) == 0;
}

bool rc_address_parse(struct rc_address *address, const char *text, size_t bytes)
{
    char copy[RC_ADDRESS_TEXT_MAX];
    if (bytes == 0 || bytes >= sizeof(copy) || memchr(text, '\0', bytes) != NULL) {
        return false;
    }
    memcpy(copy, text, bytes);
    copy[bytes] = '\0';
    if (inet_pton(AF_INET, copy, address->bytes + sizeof(v4_mapped)) == 1) {
        memcpy(address->bytes, v4_mapped, sizeof(v4_mapped));
        return true;
    }
    return inet_pton(AF_INET6, copy, address->bytes) == 1;
}

/* ":1" to ":65535". */
static bool is_port(const char *text, size_t bytes)
{
    uint32_t port = 0;
    if (bytes < 2 || bytes > 6 || text[0] != ':') {
        return false;
    }
    for (size_t i = 1; i < bytes; i++) {
        if (text[i] < '0' || text[i] > '9') {
            return false;
        }
        port = port * 10 + (uint32_t)(text[i] - '0');
    }
    return port <= UINT16_MAX;
}

bool rc_address_parse_node(struct rc_address *address, const char *text, size_t bytes)
{
    if (bytes == 0) {
        return false;
    }
    if (text[0] == '[') {
        const char *const end = memchr(text, ']', bytes);
        if (end == NULL) {
            return false;
        }
        const size_t inside = (size_t)(end - text) - 1;
        const size_t behind = bytes - inside - 2;
        return memchr(text + 1, ':', inside) != NULL && rc_address_parse(address, text + 1, inside) &&
               (behind == 0 || is_port(end + 1, behind));
    }
    /* One colon: behind it is a port. More: an IPv6 address that has none. */
    const char *const colon = memchr(text, ':', bytes);
    if (colon != NULL && memchr(colon + 1, ':', bytes - (size_t)(colon + 1 - text)) == NULL) {
        const size_t host = (size_t)(colon - text);
        return rc_address_parse(address, text, host) && is_port(colon, bytes - host);
    }
    return rc_address_parse(address, text, bytes);
}

bool rc_address_from_socket(struct rc_address *address, const struct sockaddr *socket)
{
    if (socket->sa_family == AF_INET) {
        struct sockaddr_in v4;
        memcpy(&v4, socket, sizeof(v4));
        memcpy(address->bytes, v4_mapped, sizeof(v4_mapped));
        memcpy(address->bytes + sizeof(v4_mapped), &v4.sin_addr, 4);
        return true;
    }
    if (socket->sa_family == AF_INET6) {
        struct sockaddr_in6 v6;
        memcpy(&v6, socket, sizeof(v6));
        memcpy(address->bytes, v6.sin6_addr.s6_addr, sizeof(address->bytes));
        return true;
    }
    return false;
}

size_t rc_address_format(char *out, const struct rc_address *address)
{
    const bool v4 = rc_address_is_v4(address);
    const void *const bytes = v4 ? address->bytes + sizeof(v4_mapped) : address->bytes;
    RC_ASSERT(inet_ntop(v4 ? AF_INET : AF_INET6, bytes, out, RC_ADDRESS_TEXT_MAX) != NULL);
    return strlen(out);
}
