/* pusher_auth: see pusher_auth.h. */
#include "worker/api/pusher_auth.h"

#include <ctype.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include "worker/http/route.h"
#include "worker/pusher/sign.h"

/* A pair of the query, decoded. */
struct pair {
    struct rc_span name;
    struct rc_span value;
};

struct pairs {
    struct pair all[RC_PUSHER_PAIRS_MAX];
    uint32_t count;
    char text[RC_PUSHER_QUERY_MAX];
    size_t used;
};

static bool pair_text_take(struct pairs *pairs, struct rc_http_view view, struct rc_span *out)
{
    char *at = pairs->text + pairs->used;
    const int bytes = rc_http_query_decode(view, at, sizeof(pairs->text) - pairs->used);
    if (bytes < 0) {
        return false;
    }
    *out = rc_span_of(at, (size_t)bytes);
    pairs->used += (size_t)bytes;
    return true;
}

static int pair_compare(const void *left, const void *right)
{
    const struct pair *a = left;
    const struct pair *b = right;
    const size_t common = a->name.count < b->name.count ? a->name.count : b->name.count;
    const int order = common == 0 ? 0 : memcmp(a->name.bytes, b->name.bytes, common);
    return order != 0 ? order : (a->name.count > b->name.count) - (a->name.count < b->name.count);
}

/* False: there are too many, they are too long, or not correctly encoded. */
static bool pairs_read(struct pairs *pairs, struct rc_http_view query)
{
    struct rc_http_view name;
    struct rc_http_view value;
    pairs->count = 0;
    pairs->used = 0;
    while (rc_http_query_next(&query, &name, &value)) {
        struct pair *pair = &pairs->all[pairs->count];
        if (pairs->count == RC_PUSHER_PAIRS_MAX || !pair_text_take(pairs, name, &pair->name) ||
            !pair_text_take(pairs, value, &pair->value)) {
            return false;
        }
        char *text = (char *)(uintptr_t)pair->name.bytes; /* in pairs->text */
        for (size_t i = 0; i < pair->name.count; i++) {
            text[i] = (char)tolower((unsigned char)text[i]);
        }
        pairs->count++;
    }
    qsort(pairs->all, pairs->count, sizeof(pairs->all[0]), pair_compare);
    return true;
}

static struct rc_span pair_value(const struct pairs *pairs, const char *name)
{
    for (uint32_t i = 0; i < pairs->count; i++) {
        if (rc_span_equal(pairs->all[i].name, rc_span_text(name))) {
            return pairs->all[i].value;
        }
    }
    return (struct rc_span){0};
}

static size_t signed_put(char *out, size_t at, const void *bytes, size_t count)
{
    if (count > 0) {
        memcpy(out + at, bytes, count);
    }
    return at + count;
}

/* What is signed, with the path in this form; *bytes of it. NULL: no memory. The caller frees it. */
static char *text_signed(const struct rc_pusher_signed_request *request, struct rc_http_view path,
                         const struct pairs *pairs, size_t *bytes)
{
    char *text = malloc(request->method.bytes + path.bytes + pairs->used + 2 * pairs->count + 2);
    size_t at = 0;
    bool first = true;
    if (text == NULL) {
        return NULL;
    }
    at = signed_put(text, at, request->method.text, request->method.bytes);
    text[at++] = '\n';
    at = signed_put(text, at, path.text, path.bytes);
    text[at++] = '\n';
    for (uint32_t i = 0; i < pairs->count; i++) {
        const struct pair *pair = &pairs->all[i];
        if (rc_span_equal(pair->name, RC_SPAN("auth_signature"))) {
            continue;
        }
        at = signed_put(text, at, "&", first ? 0 : 1);
        first = false;
        at = signed_put(text, at, pair->name.bytes, pair->name.count);
        text[at++] = '=';
        at = signed_put(text, at, pair->value.bytes, pair->value.count);
    }
    *bytes = at;
    return text;
}

/* Digits alone; 0 for anything else. */
static uint64_t time_read(struct rc_span text)
{
    uint64_t seconds = 0;
    for (size_t i = 0; i < text.count; i++) {
        if (text.bytes[i] < '0' || text.bytes[i] > '9' || text.count > 12) {
            return 0;
        }
        seconds = seconds * 10 + (uint64_t)(text.bytes[i] - '0');
    }
    return seconds;
}

static uint32_t path_slashes(struct rc_http_view path)
{
    uint32_t count = 0;
    for (size_t i = 0; i < path.bytes; i++) {
        count += path.text[i] == '/';
    }
    return count;
}

/*
 * SDKs sign the path that they have been given, and then hand it to an HTTP client, which escapes what a URL cannot have (a user's id with a
 * space): that path is the one which is decoded here. False: it is the one that was sent, or one that would name something else.
 */
static bool path_unescaped(struct rc_http_view sent, char room[RC_ROUTE_PATH_BYTES_MAX], struct rc_http_view *path)
{
    const int bytes = rc_http_path_decode(sent, room, RC_ROUTE_PATH_BYTES_MAX);
    *path = (struct rc_http_view){.text = room, .bytes = bytes < 0 ? 0 : (size_t)bytes};
    return bytes >= 0 && path->bytes < sent.bytes && path_slashes(*path) == path_slashes(sent);
}

static const char *signature_refusal(const struct rc_pusher_signed_request *request, const struct pairs *pairs,
                                     const struct rc_config_pusher_app *app)
{
    char room[RC_ROUTE_PATH_BYTES_MAX];
    struct rc_http_view paths[2] = {request->path};
    const uint32_t count = path_unescaped(request->path, room, &paths[1]) ? 2 : 1;
    bool good = false;
    for (uint32_t i = 0; i < count && !good; i++) {
        size_t bytes = 0;
        char *text = text_signed(request, paths[i], pairs, &bytes);
        if (text == NULL) {
            return "no memory for the signature: try again";
        }
        const struct rc_span part = rc_span_of(text, bytes);
        good = rc_pusher_signed(rc_span_text(app->secret.text), &part, 1, pair_value(pairs, "auth_signature"));
        free(text);
    }
    return good ? NULL
                : "auth_signature is not that of this request: it is the HMAC-SHA256 of method, path and parameters by "
                  "the app's secret";
}

const char *rc_pusher_request_refusal(const struct rc_pusher_signed_request *request,
                                      const struct rc_config_pusher_app *app, uint64_t now_s,
                                      char md5[RC_PUSHER_MD5_DIGITS], bool *has_md5)
{
    struct pairs pairs;
    *has_md5 = false;
    if (!pairs_read(&pairs, request->query)) {
        return "the query has more than 32 parameters, 4096 bytes, or is not correctly encoded";
    }
    const uint64_t time_s = time_read(pair_value(&pairs, "auth_timestamp"));
    if (!rc_span_equal(pair_value(&pairs, "auth_version"), RC_SPAN("1.0"))) {
        return "auth_version must be 1.0";
    }
    if (!rc_span_equal(pair_value(&pairs, "auth_key"), rc_span_text(app->key.text))) {
        return "auth_key is not the key of this app";
    }
    const char *why = signature_refusal(request, &pairs, app);
    if (why != NULL) {
        return why;
    }
    if (time_s == 0 || time_s + RC_PUSHER_CLOCK_S < now_s || time_s > now_s + RC_PUSHER_CLOCK_S) {
        return "auth_timestamp is more than 600 seconds from this server's time";
    }
    const struct rc_span digits = pair_value(&pairs, "body_md5");
    *has_md5 = digits.count == RC_PUSHER_MD5_DIGITS;
    if (*has_md5) {
        memcpy(md5, digits.bytes, RC_PUSHER_MD5_DIGITS);
    }
    return NULL;
}

bool rc_pusher_body_is(struct rc_span body, const char md5[RC_PUSHER_MD5_DIGITS])
{
    static const char digits[] = "0123456789abcdef";
    unsigned char digest[EVP_MAX_MD_SIZE];
    char text[RC_PUSHER_MD5_DIGITS];
    unsigned int bytes = 0;
    if (EVP_Digest(body.bytes, body.count, digest, &bytes, EVP_md5(), NULL) != 1 || bytes != RC_PUSHER_MD5_DIGITS / 2) {
        ERR_clear_error();
        return false;
    }
    for (unsigned int i = 0; i < bytes; i++) {
        text[2 * i] = digits[digest[i] >> 4];
        text[2 * i + 1] = digits[digest[i] & 15];
    }
    return CRYPTO_memcmp(text, md5, sizeof(text)) == 0;
}
