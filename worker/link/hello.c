/* hello: see hello.h. */
#include "worker/link/hello.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>

#include "common/base/check.h"
#include "common/text/json_scan.h"

#define READY_RECOVERY_MS_MAX (24u * 3600 * 1000)

/* --- nonces and signatures ------------------------------------------------------------------------------------------- */

static void hex_write(char *out, const uint8_t *bytes, size_t count)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < count; i++) {
        out[2 * i] = digits[bytes[i] >> 4];
        out[2 * i + 1] = digits[bytes[i] & 15];
    }
}

void rc_link_nonce(char out[RC_LINK_NONCE_BYTES])
{
    uint8_t random[RC_LINK_NONCE_BYTES / 2];
    const ssize_t got = getrandom(random, sizeof(random), 0);
    RC_ASSERT(got == (ssize_t)sizeof(random)); /* up to 256 bytes are never short or interrupted */
    hex_write(out, random, sizeof(random));
}

void rc_link_sign(char out[RC_LINK_SIGNATURE_BYTES], enum rc_link_signed what, const char *secret,
                  const struct rc_link_nonces *nonces, struct rc_span json)
{
    static const char *const labels[] = {
        [RC_LINK_SIGNED_HELLO] = "ringcast-link/1 hello\n", [RC_LINK_SIGNED_READY] = "ringcast-link/1 ready\n"};
    uint8_t text[32 + 2 * (RC_LINK_NONCE_BYTES + 1) + RC_LINK_JSON_MAX];
    uint8_t digest[EVP_MAX_MD_SIZE];
    unsigned int digest_bytes = 0;
    size_t at = strlen(labels[what]);
    RC_ASSERT(json.count <= RC_LINK_JSON_MAX);
    memcpy(text, labels[what], at);
    memcpy(text + at, nonces->broker, RC_LINK_NONCE_BYTES);
    at += RC_LINK_NONCE_BYTES;
    text[at++] = '\n';
    memcpy(text + at, nonces->application, RC_LINK_NONCE_BYTES);
    at += RC_LINK_NONCE_BYTES;
    text[at++] = '\n';
    memcpy(text + at, json.bytes, json.count);
    at += json.count;
    const uint8_t *done = HMAC(EVP_sha256(), secret, (int)strlen(secret), text, at, digest, &digest_bytes);
    RC_ASSERT(done != NULL && digest_bytes == RC_LINK_SIGNATURE_BYTES / 2); /* SHA-256 is always there */
    hex_write(out, digest, digest_bytes);
}

bool rc_link_signature_right(struct rc_span signature, enum rc_link_signed what,
                             const struct rc_config_backend *backend, const struct rc_link_nonces *nonces,
                             struct rc_span json)
{
    bool right = false;
    for (uint32_t i = 0; i < backend->secret_count && signature.count == RC_LINK_SIGNATURE_BYTES; i++) {
        char wanted[RC_LINK_SIGNATURE_BYTES];
        rc_link_sign(wanted, what, backend->secrets[i].text, nonces, json);
        right |= CRYPTO_memcmp(wanted, signature.bytes, sizeof(wanted)) == 0;
    }
    return right;
}

/* --- HTTP ------------------------------------------------------------------------------------------------------------ */

void rc_link_request_write(struct rc_text *out, struct rc_span target, struct rc_span host, const char *instance,
                           uint32_t worker, const char nonce[RC_LINK_NONCE_BYTES])
{
    const struct rc_span path = target.count <= 1 ? RC_SPAN(RC_LINK_PATH) : target;
    rc_text_put(out,
                "GET %.*s HTTP/1.1\r\nHost: %.*s\r\nConnection: Upgrade\r\nUpgrade: ringcast-link\r\nRingcast-Link: "
                "%u\r\nRingcast-Nonce: %.*s\r\nRingcast-Worker: %s/%u\r\n\r\n",
                (int)path.count, (const char *)path.bytes, (int)host.count, (const char *)host.bytes, RC_LINK_VERSION,
                (int)RC_LINK_NONCE_BYTES, nonce, instance, worker);
}

static bool nonce_valid(struct rc_span text)
{
    for (size_t i = 0; i < text.count; i++) {
        const uint8_t byte = text.bytes[i];
        if (!((byte >= '0' && byte <= '9') || (byte >= 'a' && byte <= 'f'))) {
            return false;
        }
    }
    return text.count == RC_LINK_NONCE_BYTES;
}

const char *rc_link_request_judge(const struct rc_http_request *request, struct rc_http_view *nonce)
{
    const struct rc_http_view *version = rc_http_header(request, "Ringcast-Link");
    const struct rc_http_view *its = rc_http_header(request, "Ringcast-Nonce");
    char expected[12];
    (void)snprintf(expected, sizeof(expected), "%u", RC_LINK_VERSION);
    if (request->method != RC_HTTP_GET || request->version != RC_HTTP_1_1 ||
        !rc_http_header_has_token(request, "Connection", "upgrade") ||
        !rc_http_header_has_token(request, "Upgrade", "ringcast-link")) {
        return "it does not ask for an upgrade to ringcast-link";
    }
    if (version == NULL || !rc_http_view_equals(*version, expected)) {
        return "it speaks another version of the link";
    }
    if (its == NULL || !nonce_valid(rc_span_of(its->text, its->bytes))) {
        return "its Ringcast-Nonce is not 32 hex digits";
    }
    *nonce = *its;
    return NULL;
}

int rc_link_request_read(struct rc_span bytes, char nonce[RC_LINK_NONCE_BYTES], const char **why)
{
    struct rc_http_request request;
    struct rc_http_view its;
    size_t scanned = 0;
    const struct rc_http_limits limits = {.head_bytes_max = RC_LINK_ANSWER_MAX};
    const int used = rc_http_request_parse(bytes.bytes, bytes.count, &scanned, &limits, &request, why);
    if (used == 0) {
        return 0;
    }
    if (used > 0) {
        *why = rc_link_request_judge(&request, &its);
    }
    if (used < 0 || *why != NULL) {
        return -EBADMSG;
    }
    memcpy(nonce, its.text, RC_LINK_NONCE_BYTES);
    return used;
}

void rc_link_answer_write(struct rc_text *out, const char nonce[RC_LINK_NONCE_BYTES])
{
    rc_text_put(out,
                "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: ringcast-link\r\nRingcast-Nonce: "
                "%.*s\r\n\r\n",
                (int)RC_LINK_NONCE_BYTES, nonce);
}

/* The value of a header line of that name, without the white space around it; `found` stays as it is when it is another one's. */
static void line_value(struct rc_span line, const char *name, struct rc_span *found)
{
    const size_t bytes = strlen(name);
    if (line.count <= bytes || strncasecmp((const char *)line.bytes, name, bytes) != 0 || line.bytes[bytes] != ':') {
        return;
    }
    struct rc_span value = rc_span_of(line.bytes + bytes + 1, line.count - bytes - 1);
    while (value.count > 0 && (value.bytes[0] == ' ' || value.bytes[0] == '\t')) {
        value = rc_span_of(value.bytes + 1, value.count - 1);
    }
    while (value.count > 0 && (value.bytes[value.count - 1] == ' ' || value.bytes[value.count - 1] == '\t')) {
        value.count--;
    }
    *found = value;
}

/* Takes the next line off; false: there is none that is whole. */
static bool line_next(struct rc_span *rest, struct rc_span *line)
{
    const uint8_t *end = rest->count == 0 ? NULL : memmem(rest->bytes, rest->count, "\r\n", 2);
    if (end == NULL) {
        return false;
    }
    *line = rc_span_of(rest->bytes, (size_t)(end - rest->bytes));
    *rest = rc_span_of(end + 2, rest->count - line->count - 2);
    return true;
}

static uint32_t status_of(struct rc_span line)
{
    static const char head[] = "HTTP/1.1 ";
    const size_t bytes = sizeof(head) - 1;
    if (line.count < bytes + 3 || memcmp(line.bytes, head, bytes) != 0) {
        return 0;
    }
    uint32_t status = 0;
    for (size_t i = 0; i < 3; i++) {
        if (line.bytes[bytes + i] < '0' || line.bytes[bytes + i] > '9') {
            return 0;
        }
        status = status * 10 + (uint32_t)(line.bytes[bytes + i] - '0');
    }
    return status;
}

int rc_link_answer_read(struct rc_span bytes, char nonce[RC_LINK_NONCE_BYTES], uint32_t *status, const char **why)
{
    struct rc_span rest = bytes;
    struct rc_span line;
    struct rc_span upgrade = {0};
    struct rc_span its = {0};
    *status = 0;
    *why = "it answers no HTTP";
    if (!line_next(&rest, &line)) {
        return bytes.count > RC_LINK_ANSWER_MAX || (bytes.count >= 5 && memcmp(bytes.bytes, "HTTP/", 5) != 0) ? -EBADMSG
                                                                                                              : 0;
    }
    *status = status_of(line);
    if (*status != 101) {
        *why = *status == 0 ? "it answers no HTTP/1.1"
                            : "it does not take the upgrade: is there a ringcast-link on that port?";
        return -EBADMSG;
    }
    while (line_next(&rest, &line)) {
        if (line.count == 0) {
            if (upgrade.count != strlen("ringcast-link") ||
                strncasecmp((const char *)upgrade.bytes, "ringcast-link", upgrade.count) != 0 || !nonce_valid(its)) {
                *why = "its answer to the upgrade is of no ringcast-link";
                return -EBADMSG;
            }
            memcpy(nonce, its.bytes, RC_LINK_NONCE_BYTES);
            return (int)(rest.bytes - bytes.bytes);
        }
        line_value(line, "upgrade", &upgrade);
        line_value(line, "ringcast-nonce", &its);
    }
    *why = "its answer has no end";
    return bytes.count > RC_LINK_ANSWER_MAX ? -EBADMSG : 0;
}

/* --- READY ----------------------------------------------------------------------------------------------------------- */

static int ready_text(const struct rc_json_value *value, char *out, size_t most)
{
    struct rc_span text;
    if (rc_json_string_decode(value, (uint8_t *)out, most, &text) < 0 || text.count == 0) {
        return -EBADMSG;
    }
    for (size_t i = 0; i < text.count; i++) {
        const uint8_t byte = text.bytes[i];
        if (!((byte >= '0' && byte <= '9') || (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
              byte == '-' || byte == '_')) {
            return -EBADMSG; /* it stands in log lines */
        }
    }
    memmove(out, text.bytes, text.count);
    out[text.count] = '\0';
    return 0;
}

static int ready_member(struct rc_link_ready *ready, const struct rc_json_value *name,
                        const struct rc_json_value *value, uint64_t *version)
{
    if (rc_json_string_is(name, RC_SPAN("version"))) {
        return rc_json_uint64(value, version) == 0 ? 0 : -EBADMSG;
    }
    if (rc_json_string_is(name, RC_SPAN("process"))) {
        return ready_text(value, ready->process, RC_LINK_PROCESS_MAX);
    }
    if (rc_json_string_is(name, RC_SPAN("asks"))) {
        ready->asks = value->type == RC_JSON_TRUE;
    } else if (rc_json_string_is(name, RC_SPAN("resume"))) {
        ready->resume = value->type == RC_JSON_TRUE;
    } else if (rc_json_string_is(name, RC_SPAN("paced"))) {
        ready->paced = value->type == RC_JSON_TRUE;
    } else if (rc_json_string_is(name, RC_SPAN("recovery_ms"))) {
        if (rc_json_uint64(value, &ready->recovery_ms) < 0 || ready->recovery_ms > READY_RECOVERY_MS_MAX) {
            ready->recovery_ms = READY_RECOVERY_MS_MAX; /* Infinity is null in JSON */
        }
    } else if (rc_json_string_is(name, RC_SPAN("frames"))) {
        ready->continues = rc_json_uint64(value, &ready->frames) == 0;
    } else if (rc_json_string_is(name, RC_SPAN("options"))) {
        ready->options = value->type == RC_JSON_OBJECT ? value->raw : (struct rc_span){0};
    }
    return 0;
}

int rc_link_ready_read(struct rc_span json, struct rc_link_ready *ready, const char **why)
{
    struct rc_json_cursor cursor;
    struct rc_json_value name;
    struct rc_json_value value;
    uint64_t version = 0;
    *ready = (struct rc_link_ready){0};
    int got = rc_json_object_begin(&cursor, json, RC_JSON_CHECK_UTF8);
    while (got >= 0 && (got = rc_json_object_next(&cursor, &name, &value)) == 1) {
        if (ready_member(ready, &name, &value, &version) < 0) {
            got = -EBADMSG;
        }
    }
    *why = got < 0 || ready->process[0] == '\0' ? "its READY is no object with `process`"
           : version != RC_LINK_VERSION         ? "it speaks another version of the link"
                                                : NULL;
    return *why == NULL ? 0 : -EBADMSG;
}
