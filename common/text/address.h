/*
 * address: an IP address, IPv4 as its IPv4-mapped IPv6 form (::ffff:a.b.c.d), so that both families are one thing.
 *
 * Pure functions over values; any process may call. Text comes from peers and need not be NUL-terminated; what is not
 * an address is false. Ranges of addresses are common/text/cidr.h.
 */
#ifndef RC_COMMON_TEXT_ADDRESS_H
#define RC_COMMON_TEXT_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

#define RC_ADDRESS_TEXT_MAX 46 /* the longest address as text, NUL included */

struct rc_address {
    uint8_t bytes[16]; /* network order */
};

static inline bool rc_address_equal(const struct rc_address *a, const struct rc_address *b)
{
    return memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0;
}

bool rc_address_is_v4(const struct rc_address *address);

/* 127.0.0.0/8 or ::1. */
bool rc_address_is_loopback(const struct rc_address *address);

/* "192.0.2.1", "2001:db8::1", "::ffff:192.0.2.1"; no zone, no brackets, no port. */
bool rc_address_parse(struct rc_address *address, const char *text, size_t bytes);

/* The same, and with a port as proxies write it: "192.0.2.1:4711", "[2001:db8::1]", "[2001:db8::1]:4711". The port is
 * checked and forgotten. */
bool rc_address_parse_node(struct rc_address *address, const char *text, size_t bytes);

/* False for families other than IPv4 and IPv6. */
bool rc_address_from_socket(struct rc_address *address, const struct sockaddr *socket);

/* Writes "192.0.2.1" or "2001:db8::1" with a NUL to `out` of RC_ADDRESS_TEXT_MAX bytes; returns its bytes. */
size_t rc_address_format(char *out, const struct rc_address *address);

#endif
