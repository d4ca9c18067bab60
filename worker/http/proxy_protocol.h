/*
 * The PROXY protocol, versions 1 and 2 (haproxy.org, proxy-protocol.txt): what a proxy says, before the connection's
 * first byte, of the client behind it.
 *
 * Only for listeners that are configured for it and peers whose address is trusted: anybody can write such a header.
 * Stateless: the caller gathers bytes until there is a result. Any process may call; what fails is what a peer sent.
 */
#ifndef RC_WORKER_HTTP_PROXY_PROTOCOL_H
#define RC_WORKER_HTTP_PROXY_PROTOCOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/text/address.h"

#define RC_PROXY_V1_BYTES_MAX 107u      /* section 2.1, CRLF included */
#define RC_PROXY_HEADER_BYTES_MAX 4096u /* of version 2 with all its TLVs; longer ones are refused */

struct rc_proxy_header {
    uint8_t version;    /* 1 or 2 */
    bool local;         /* the proxy speaks for itself (LOCAL): a health check */
    bool from_instance; /* it is of rc_proxy_header_write: another instance of ours pipes a connection on */
    bool has_addresses; /* false: UNKNOWN, LOCAL, Unix sockets, datagrams: the connection's own addresses hold */
    struct rc_address source;
    struct rc_address destination;
    uint16_t source_port;
    uint16_t destination_port;
};

/*
 * Reads a header at the start of `bytes`. Returns its bytes with `*out` filled, 0 when more are needed (never with
 * RC_PROXY_HEADER_BYTES_MAX of them), or -EPROTO with `*why`, a short static sentence, as soon as a byte proves that it is none:
 * the connection is then ended without an answer. The fields of version 2 (TLVs) are checked for their bounds and, if
 * there, for their CRC-32C, and else skipped.
 */
int rc_proxy_header_parse(const uint8_t *bytes, size_t n, struct rc_proxy_header *out, const char **why);

/* May a header of version 2 begin so? No request does. */
bool rc_proxy_header_may_begin(const uint8_t *bytes, size_t n);

#define RC_PROXY_WRITTEN_BYTES_MAX 63u
/* A header of version 2 for what one instance pipes to another: TCP from `source`, whose family the whole has, and a field of our own
 * (type 0xE0, "ringcast") by which the other sees that. Where it came in is not told. Returns its bytes. */
size_t rc_proxy_header_write(uint8_t out[RC_PROXY_WRITTEN_BYTES_MAX], const struct rc_address *source,
                             uint16_t source_port, uint16_t destination_port);

#endif
