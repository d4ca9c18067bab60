/*
 * The opening handshake (RFC 6455 4.2).
 */
#include "worker/http/upgrade.h"

#include <openssl/evp.h>
#include <string.h>

#define KEY_BYTES 24u                               /* base64 of 16 bytes */
#define GUID "258EAFA5-E914-47DA-95CA-C5AB0DC85B11" /* RFC 6455 1.3 */

static int upgrade_refuse(struct rc_http_upgrade *out, int status, const char *why, const char *headers)
{
    out->why = why;
    out->failure_headers = headers;
    return -status;
}

/* The only header of that name, NULL when there is none or more than one (then *repeated). */
static const struct rc_http_view *only_header(const struct rc_http_request *request, const char *name, bool *repeated)
{
    uint32_t index = 0;
    const struct rc_http_view *value = rc_http_header_next(request, name, &index);
    *repeated = value != NULL && rc_http_header_next(request, name, &index) != NULL;
    return *repeated ? NULL : value;
}

/* Base64 of exactly 16 bytes: 22 digits and two pads. Unused low bits of the last digit are the client's affair. */
static bool key_is_sound(struct rc_http_view key)
{
    if (key.bytes != KEY_BYTES || key.text[22] != '=' || key.text[23] != '=') {
        return false;
    }
    for (size_t i = 0; i < 22; i++) {
        char c = key.text[i];
        if (!(c >= 'A' && c <= 'Z') && !(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') && c != '+' && c != '/') {
            return false;
        }
    }
    return true;
}

/* SHA-1, looked up once for the process, which has one thread: looking it up costs more than these two blocks (0.4 of 0.7 us). */
static bool upgrade_sha1(const uint8_t *input, size_t bytes, uint8_t digest[20])
{
    static EVP_MD *method;
    static EVP_MD_CTX *hash;
    if (method == NULL) {
        method = EVP_MD_fetch(NULL, "SHA1", NULL);
    }
    if (hash == NULL) {
        hash = EVP_MD_CTX_new();
    }
    return method != NULL && hash != NULL && EVP_DigestInit_ex2(hash, method, NULL) == 1 &&
           EVP_DigestUpdate(hash, input, bytes) == 1 && EVP_DigestFinal_ex(hash, digest, NULL) == 1;
}

/* Sec-WebSocket-Accept: base64(SHA-1(key + GUID)). */
static bool compute_accept(struct rc_http_view key, char accept[RC_HTTP_ACCEPT_BYTES + 1])
{
    uint8_t input[KEY_BYTES + sizeof(GUID) - 1];
    uint8_t digest[20];

    memcpy(input, key.text, KEY_BYTES);
    memcpy(input + KEY_BYTES, GUID, sizeof(GUID) - 1);
    return upgrade_sha1(input, sizeof(input), digest) &&
           EVP_EncodeBlock((unsigned char *)accept, digest, sizeof(digest)) == (int)RC_HTTP_ACCEPT_BYTES;
}

/* Chooses the subprotocol. False when the client's list is malformed. */
static bool choose_subprotocol(const struct rc_http_request *request, const struct rc_http_upgrade_policy *policy,
                               struct rc_http_upgrade *out)
{
    uint32_t index = 0;
    const struct rc_http_view *value;
    while ((value = rc_http_header_next(request, "sec-websocket-protocol", &index)) != NULL) {
        struct rc_http_view list = *value, element;
        while (rc_http_list_next(&list, &element)) {
            if (!rc_http_view_is_token(element)) {
                return false;
            }
            out->subprotocols_offered = true;
            for (size_t i = 0; i < policy->subprotocol_count && out->subprotocol == NULL; i++) {
                if (rc_http_view_equals(element, policy->subprotocols[i])) {
                    out->subprotocol = policy->subprotocols[i];
                }
            }
        }
    }
    return true;
}

/* --- extensions --------------------------------------------------------------------------------------------------- */

static void skip_space(struct rc_http_view *rest)
{
    while (rest->bytes > 0 && (rest->text[0] == ' ' || rest->text[0] == '\t')) {
        rest->text++;
        rest->bytes--;
    }
}

static struct rc_http_view upgrade_take(struct rc_http_view *rest, size_t n)
{
    struct rc_http_view taken = {rest->text, n};
    rest->text += n;
    rest->bytes -= n;
    return taken;
}

static bool take_token(struct rc_http_view *rest, struct rc_http_view *token)
{
    size_t n = 0;
    skip_space(rest);
    while (n < rest->bytes && rc_http_view_is_token((struct rc_http_view){rest->text + n, 1})) {
        n++;
    }
    *token = upgrade_take(rest, n);
    skip_space(rest);
    return n != 0;
}

static bool take_byte(struct rc_http_view *rest, char byte)
{
    if (rest->bytes == 0 || rest->text[0] != byte) {
        return false;
    }
    upgrade_take(rest, 1);
    return true;
}

/* A token, or one in quotes: RFC 6455 9.1 wants what is quoted to be a token too, so no escape is ever needed. */
static bool take_value(struct rc_http_view *rest, struct rc_http_view *value)
{
    skip_space(rest);
    if (!take_byte(rest, '"')) {
        return take_token(rest, value);
    }
    const char *end = rest->bytes == 0 ? NULL : memchr(rest->text, '"', rest->bytes);
    if (end == NULL) {
        return false;
    }
    *value = upgrade_take(rest, (size_t)(end - rest->text));
    upgrade_take(rest, 1);
    skip_space(rest);
    return rc_http_view_is_token(*value);
}

/* One offer: name *( ";" name [ "=" value ] ). 1 = read, 0 = more parameters than we keep, -400. */
static int upgrade_read_offer(struct rc_http_view offer, struct rc_http_extension *out)
{
    bool fits = true;

    out->parameter_count = 0;
    if (!take_token(&offer, &out->name)) {
        return -400;
    }
    while (take_byte(&offer, ';')) {
        struct rc_http_extension_parameter parameter = {.value = {NULL, 0}};
        if (!take_token(&offer, &parameter.name)) {
            return -400;
        }
        if (take_byte(&offer, '=') && !take_value(&offer, &parameter.value)) {
            return -400;
        }
        if (out->parameter_count == RC_HTTP_EXTENSION_PARAMETERS_MAX) {
            fits = false;
        } else {
            out->parameters[out->parameter_count++] = parameter;
        }
    }
    if (offer.bytes != 0) {
        return -400;
    }
    return fits ? 1 : 0;
}

int rc_http_upgrade_extensions(const struct rc_http_request *request, struct rc_http_extension *out, uint32_t capacity)
{
    struct rc_http_extension offer;
    uint32_t count = 0, index = 0;
    const struct rc_http_view *value;

    while ((value = rc_http_header_next(request, "sec-websocket-extensions", &index)) != NULL) {
        struct rc_http_view list = *value, element;
        while (rc_http_list_next(&list, &element)) {
            int outcome = upgrade_read_offer(element, &offer);
            if (outcome < 0) {
                return outcome;
            }
            if (outcome == 1 && count < capacity) {
                out[count++] = offer;
            }
        }
    }
    return (int)count;
}

/* --- the handshake ------------------------------------------------------------------------------------------------ */

bool rc_http_upgrade_wanted(const struct rc_http_request *request)
{
    return rc_http_header_has_token(request, "upgrade", "websocket");
}

int rc_http_upgrade_check(const struct rc_http_request *request, const struct rc_http_upgrade_policy *policy,
                          struct rc_http_upgrade *out)
{
    static const char *const version_headers = "Sec-WebSocket-Version: 13\r\n";
    bool repeated;

    memset(out, 0, sizeof(*out));
    out->failure_headers = "";
    if (request->method != RC_HTTP_GET) {
        return upgrade_refuse(out, 405, "a WebSocket is opened with GET", "Allow: GET\r\n");
    }
    if (!rc_http_upgrade_wanted(request)) {
        return upgrade_refuse(out, 426, "this is a WebSocket end point",
                              "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n");
    }
    if (request->version != RC_HTTP_1_1) {
        return upgrade_refuse(out, 400, "a WebSocket needs HTTP/1.1", "");
    }
    if (!rc_http_header_has_token(request, "connection", "upgrade")) {
        return upgrade_refuse(out, 400, "the Connection header does not say Upgrade", "");
    }
    if (request->chunked || request->content_length != 0) {
        return upgrade_refuse(out, 400, "a handshake has no body", "");
    }

    const struct rc_http_view *version = only_header(request, "sec-websocket-version", &repeated);
    if (repeated) {
        return upgrade_refuse(out, 400, "more than one Sec-WebSocket-Version", version_headers);
    }
    if (version == NULL || !rc_http_view_equals(*version, "13")) {
        return upgrade_refuse(out, 426, "only version 13 of the WebSocket protocol is spoken here",
                              "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n");
    }
    const struct rc_http_view *key = only_header(request, "sec-websocket-key", &repeated);
    if (key == NULL || !key_is_sound(*key)) {
        return upgrade_refuse(out, 400, "Sec-WebSocket-Key is not one base64 text of 16 bytes", "");
    }
    const struct rc_http_view *origin = only_header(request, "origin", &repeated);
    if (repeated) {
        return upgrade_refuse(out, 400, "more than one Origin", "");
    }
    if (origin != NULL) {
        out->has_origin = true;
        out->origin = *origin;
    }
    if (!choose_subprotocol(request, policy, out)) {
        return upgrade_refuse(out, 400, "malformed Sec-WebSocket-Protocol", "");
    }
    int offers = rc_http_upgrade_extensions(request, out->extensions, RC_HTTP_EXTENSIONS_MAX);
    if (offers < 0) {
        return upgrade_refuse(out, 400, "malformed Sec-WebSocket-Extensions", "");
    }
    out->extension_count = (uint32_t)offers;
    if (!compute_accept(*key, out->accept)) {
        return upgrade_refuse(out, 500, "SHA-1 is not available", "");
    }
    return 0;
}

/* Appends and returns the new length, capacity + 1 (which no later text undoes) when there is no room. */
static size_t upgrade_append(char *buffer, size_t capacity, size_t at, const char *text)
{
    size_t n = strlen(text);
    if (at > capacity || n > capacity - at) {
        return capacity + 1;
    }
    memcpy(buffer + at, text, n);
    return at + n;
}

size_t rc_http_upgrade_response(const struct rc_http_upgrade *upgrade, char *buffer, size_t capacity)
{
    size_t at = upgrade_append(buffer, capacity, 0,
                               "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                               "Sec-WebSocket-Accept: ");
    at = upgrade_append(buffer, capacity, at, upgrade->accept);
    if (upgrade->subprotocol != NULL) {
        at = upgrade_append(buffer, capacity, at, "\r\nSec-WebSocket-Protocol: ");
        at = upgrade_append(buffer, capacity, at, upgrade->subprotocol);
    }
    if (upgrade->extension_response != NULL) {
        at = upgrade_append(buffer, capacity, at, "\r\nSec-WebSocket-Extensions: ");
        at = upgrade_append(buffer, capacity, at, upgrade->extension_response);
    }
    at = upgrade_append(buffer, capacity, at, "\r\n\r\n");
    return at > capacity ? 0 : at;
}
