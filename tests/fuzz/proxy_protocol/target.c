/*
 * PROXY protocol headers: the outcome does not depend on how much has arrived, once there is one.
 *
 * Input: what a peer sends first.
 */
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "worker/http/proxy_protocol.h"

static int parse(const uint8_t *data, size_t n, struct rc_proxy_header *out)
{
    const char *why = NULL;
    uint8_t *exact = malloc(n == 0 ? 1 : n);
    RC_ASSERT(exact != NULL);
    if (n > 0) {
        memcpy(exact, data, n);
    }
    const int rc = rc_proxy_header_parse(exact, n, out, &why);
    RC_ASSERT(rc == -EPROTO ? why != NULL : rc >= 0 && (size_t)rc <= n && rc <= (int)RC_PROXY_HEADER_BYTES_MAX);
    RC_ASSERT(rc != 0 || n < RC_PROXY_HEADER_BYTES_MAX);
    free(exact);
    return rc;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct rc_proxy_header whole, part;
    const int outcome = parse(data, size, &whole);
    int before = 0;
    for (size_t cut = 0; cut <= size && cut < 600; cut++) {
        const int rc = parse(data, cut, &part);
        RC_ASSERT(before == 0 || rc == before);
        RC_ASSERT(rc == 0 || rc == outcome);
        if (rc > 0) {
            RC_ASSERT(memcmp(&part, &whole, sizeof(part)) == 0);
        }
        before = rc;
    }
    if (outcome > 0) {
        RC_ASSERT(whole.version == 1 || whole.version == 2);
        RC_ASSERT(!(whole.local && whole.has_addresses));
    }
    return 0;
}
