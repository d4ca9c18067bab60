/*
 * session: what a client and a session's value in Redis say: cookies and their signatures, ids in keys, when a session ends, and the
 * parts of a request that are kept.
 *
 * Input: header lines up to an empty one, then JSON. What is taken as an id is one, and its key has nothing else of it.
 */
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/text/json_scan.h"
#include "worker/identity/credentials.h"
#include "worker/identity/identity.h"
#include "worker/identity/session_id.h"

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t bytes);

static struct rc_config config;

static void check_id(struct rc_span credential, bool is_cookie, uint32_t secrets)
{
    static struct rc_config_identity row = {.key = {.text = "sess:{id}:x{id}"}};
    char key[RC_QUERY_KEY_MAX];
    struct rc_span id;
    const char *why = NULL;
    strcpy(row.secrets.items[0].text, "keyboard cat");
    strcpy(row.secrets.items[1].text, "another-one");
    row.secrets.count = secrets;
    if (rc_session_id(&row, credential, is_cookie, &id, &why) < 0) {
        RC_ASSERT(why != NULL);
        return;
    }
    RC_ASSERT(id.count > 0 && id.count <= RC_SESSION_ID_MAX);
    RC_ASSERT(memchr(id.bytes, ':', id.count) == NULL && memchr(id.bytes, '{', id.count) == NULL &&
              memchr(id.bytes, 0, id.count) == NULL && memchr(id.bytes, '\n', id.count) == NULL);
    RC_ASSERT(rc_session_key(&row, id, key) == (int)(2 * id.count + 7));
}

static void check_credentials(const uint8_t *lines, size_t bytes)
{
    static const char line[] = "GET /?token=a HTTP/1.1\r\nHost: x\r\n";
    static struct rc_http_request request;
    static uint8_t out[RC_CREDENTIALS_BYTES_MAX];
    const struct rc_http_limits limits = {.head_bytes_max = 65536};
    size_t scanned = 0;
    const char *why;
    uint8_t *head = malloc(sizeof(line) + bytes);
    RC_ASSERT(head != NULL);
    memcpy(head, line, sizeof(line) - 1);
    memcpy(head + sizeof(line) - 1, lines, bytes);
    if (rc_http_request_parse(head, sizeof(line) - 1 + bytes, &scanned, &limits, &request, &why) > 0) {
        const size_t name =
            bytes < RC_IDENTITY_USER_MAX ? bytes : RC_IDENTITY_USER_MAX; /* a certificate may have any */
        const struct rc_credentials_known known = {.proxied = (bytes & 1) != 0, .certificate = rc_span_of(lines, name)};
        const int got = rc_credentials_of(&config, &request, &known, out, sizeof(out));
        struct rc_json_value value;
        RC_ASSERT(got <= 0 || rc_json_scan(rc_span_of(out, (size_t)got), RC_JSON_CHECK_UTF8, &value, NULL) == 0);
        const struct rc_span cookies =
            rc_credentials_part(rc_span_of(out, got > 0 ? (size_t)got : 0), RC_EVENT_SOURCE_COOKIE);
        RC_ASSERT(cookies.count == 0 || cookies.bytes[0] == '{');
        RC_ASSERT(got <= 0 || rc_credentials_proxied(rc_span_of(out, (size_t)got)) == known.proxied);
        RC_ASSERT(got <= 0 || (rc_credentials_certificate(rc_span_of(out, (size_t)got)).type == RC_JSON_STRING) ==
                                  (name > 0 && rc_json_utf8_valid(known.certificate)));
    }
    free(head);
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t bytes)
{
    if (config.handshake_name_count == 0) {
        static const struct rc_handshake_name names[] = {{RC_EVENT_SOURCE_QUERY, 5, "token"},
                                                         {RC_EVENT_SOURCE_HEADER, 6, "X-User"},
                                                         {RC_EVENT_SOURCE_COOKIE, 11, "connect.sid"}};
        memcpy(config.handshake_names, names, sizeof(names));
        config.handshake_name_count = 3;
        config.identity_count = 2;
        config.identities[0].kind = RC_IDENTITY_PROXY;
        config.identities[1].kind = RC_IDENTITY_CERTIFICATE;
    }
    uint8_t *copy = malloc(bytes + 1); /* of its size: a read behind it is found */
    RC_ASSERT(copy != NULL);
    memcpy(copy, input, bytes);
    for (uint32_t secrets = 0; secrets < 3; secrets++) {
        check_id(rc_span_of(copy, bytes), true, secrets);
        check_id(rc_span_of(copy, bytes), false, secrets);
    }
    (void)rc_session_says_expires(rc_span_of(copy, bytes));
    check_credentials(copy, bytes);
    free(copy);
    return 0;
}
