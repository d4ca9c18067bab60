/* request: see request.h. */
#include "worker/backend/request.h"

#include <errno.h>
#include <inttypes.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/base/check.h"

#define TRACE_BYTES 16u
#define SPAN_BYTES 8u

struct rc_backend_signer {
    EVP_MAC *mac;
    EVP_MAC_CTX *context; /* has the key */
};

struct rc_backend_signer *rc_backend_signer_open(const char *secret)
{
    struct rc_backend_signer *signer = calloc(1, sizeof(*signer));
    char digest[] = "SHA256";
    const OSSL_PARAM params[] = {OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
                                 OSSL_PARAM_construct_end()};
    if (signer == NULL) {
        return NULL;
    }
    signer->mac = EVP_MAC_fetch(NULL, "HMAC", NULL);
    signer->context = signer->mac == NULL ? NULL : EVP_MAC_CTX_new(signer->mac);
    if (signer->context == NULL ||
        EVP_MAC_init(signer->context, (const unsigned char *)secret, strlen(secret), params) != 1) {
        ERR_clear_error();
        rc_backend_signer_close(signer);
        return NULL;
    }
    return signer;
}

void rc_backend_signer_close(struct rc_backend_signer *signer)
{
    if (signer != NULL) {
        EVP_MAC_CTX_free(signer->context);
        EVP_MAC_free(signer->mac);
        free(signer);
    }
}

static void hex_write(char *out, const uint8_t *bytes, size_t count)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < count; i++) {
        out[2 * i] = digits[bytes[i] >> 4];
        out[2 * i + 1] = digits[bytes[i] & 15];
    }
    out[2 * count] = '\0';
}

int rc_backend_sign(struct rc_backend_signer *signer, const char *time, struct rc_span body,
                    char out[RC_BACKEND_SIGNATURE_BYTES + 1])
{
    uint8_t digest[RC_BACKEND_SIGNATURE_BYTES / 2];
    size_t bytes = 0;
    if (EVP_MAC_init(signer->context, NULL, 0, NULL) != 1 || /* the key again */
        EVP_MAC_update(signer->context, (const unsigned char *)time, strlen(time)) != 1 ||
        EVP_MAC_update(signer->context, (const unsigned char *)".", 1) != 1 ||
        EVP_MAC_update(signer->context, body.bytes, body.count) != 1 ||
        EVP_MAC_final(signer->context, digest, &bytes, sizeof(digest)) != 1 || bytes != sizeof(digest)) {
        ERR_clear_error();
        return -ENOMEM;
    }
    hex_write(out, digest, sizeof(digest));
    return 0;
}

/* As RFC 9112 3.2 wants it: the authority of the URL, its port where it is not the scheme's own. */
static int host_write(char *out, size_t room, const struct rc_backend_url *url)
{
    if (url->scheme == RC_BACKEND_UNIX) {
        return snprintf(out, room, "localhost");
    }
    const bool v6 = memchr(url->host.bytes, ':', url->host.count) != NULL;
    const int bytes = snprintf(out, room, v6 ? "[%.*s]" : "%.*s", (int)url->host.count, (const char *)url->host.bytes);
    return url->port == (url->scheme == RC_BACKEND_HTTPS ? 443 : 80)
               ? bytes
               : bytes + snprintf(out + bytes, room - (size_t)bytes, ":%u", url->port);
}

/* Does one of the forwarded lines say whose user agent it is? Two of them would leave it to the backend which counts. */
static bool says_agent(struct rc_span lines)
{
    static const char name[] = "user-agent:";
    while (lines.count > 0) {
        const uint8_t *end = memchr(lines.bytes, '\n', lines.count);
        const size_t line = end == NULL ? lines.count : (size_t)(end - lines.bytes) + 1;
        if (line >= sizeof(name) - 1 && strncasecmp((const char *)lines.bytes, name, sizeof(name) - 1) == 0) {
            return true;
        }
        lines = rc_span_of(lines.bytes + line, lines.count - line);
    }
    return false;
}

int rc_backend_head_write(char *out, const struct rc_backend_head *head)
{
    char host[300];
    char time[24];
    char trace[2 * TRACE_BYTES + 1];
    char span[2 * SPAN_BYTES + 1];
    char signature[RC_BACKEND_SIGNATURE_BYTES + 1];
    (void)host_write(host, sizeof(host), head->url);
    (void)snprintf(time, sizeof(time), "%" PRIu64, head->time_s);
    hex_write(trace, head->trace, TRACE_BYTES);
    hex_write(span, head->trace + TRACE_BYTES, SPAN_BYTES);
    int bytes = snprintf(out, RC_BACKEND_HEAD_MAX,
                         "POST %.*s HTTP/1.1\r\nhost: %s\r\n%scontent-type: application/json\r\n"
                         "accept: application/json\r\ncontent-length: %zu\r\nringcast-call: %s\r\nringcast-id: %s\r\n"
                         "ringcast-time: %s\r\ntraceparent: 00-%s-%s-00\r\n",
                         (int)head->url->target.count, (const char *)head->url->target.bytes, host,
                         says_agent(head->forwarded) ? "" : "user-agent: ringcast\r\n", head->body.count,
                         rc_backend_call_name(head->kind), head->id, time, trace, span);
    if (head->attempt > 1) {
        bytes += snprintf(out + bytes, RC_BACKEND_HEAD_MAX - (size_t)bytes, "ringcast-attempt: %u\r\n", head->attempt);
    }
    RC_ASSERT(bytes > 0 && (size_t)bytes + 128 < RC_BACKEND_HEAD_MAX);
    if (head->signer != NULL) {
        if (rc_backend_sign(head->signer, time, head->body, signature) < 0) {
            return -ENOMEM;
        }
        bytes += snprintf(out + bytes, RC_BACKEND_HEAD_MAX - (size_t)bytes, "ringcast-signature: v1=%s\r\n", signature);
    }
    return bytes;
}
