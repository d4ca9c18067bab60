/* session_id: see session_id.h. */
#include "worker/identity/session_id.h"

#include <errno.h>
#include <string.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include "common/base/check.h"
#include "common/text/json_path.h"
#include "common/text/json_scan.h"

#define MAC_BYTES 32u
#define SIGNATURE_BYTES 43u           /* of base64, without the "=" at its end */
#define SECONDS_BELOW 100000000000ull /* smaller numbers are seconds: in milliseconds they are of 1973 */

/* --- ids ------------------------------------------------------------------------------------------------------------- */

static bool is_of_id(uint8_t byte)
{
    return (byte >= 'A' && byte <= 'Z') || (byte >= 'a' && byte <= 'z') || (byte >= '0' && byte <= '9') ||
           (byte != 0 && strchr("-_,.~", byte) != NULL);
}

static bool id_is_good(struct rc_span id)
{
    for (size_t i = 0; i < id.count; i++) {
        if (!is_of_id(id.bytes[i])) {
            return false;
        }
    }
    return id.count > 0 && id.count <= RC_SESSION_ID_MAX;
}

/* Did that secret sign it? Takes as long whatever the signature is. */
static bool is_signed_by(const char *secret, struct rc_span id, const uint8_t *signature)
{
    uint8_t mac[MAC_BYTES];
    uint8_t text[SIGNATURE_BYTES + 2]; /* and "=", NUL */
    size_t bytes = 0;
    if (EVP_Q_mac(NULL, "HMAC", NULL, "SHA256", NULL, secret, strlen(secret), id.bytes, id.count, mac, sizeof(mac),
                  &bytes) == NULL ||
        bytes != sizeof(mac)) {
        return false;
    }
    (void)EVP_EncodeBlock(text, mac, (int)sizeof(mac));
    return CRYPTO_memcmp(text, signature, SIGNATURE_BYTES) == 0;
}

/* "s:ID.SIGNATURE". */
static bool id_unsign(const struct rc_config_identity *row, struct rc_span credential, struct rc_span *id)
{
    static const size_t head = 2;
    if (credential.count <= head + 1 + SIGNATURE_BYTES) {
        return false;
    }
    const size_t bytes = credential.count - head - 1 - SIGNATURE_BYTES;
    const uint8_t *const signature = credential.bytes + head + bytes + 1;
    bool good = false;
    *id = rc_span_of(credential.bytes + head, bytes);
    for (uint32_t i = 0; i < row->secrets.count; i++) {
        good |= is_signed_by(row->secrets.items[i].text, *id, signature);
    }
    return good && signature[-1] == '.';
}

int rc_session_id(const struct rc_config_identity *row, struct rc_span credential, bool is_cookie, struct rc_span *id,
                  const char **why)
{
    const bool looks_signed = rc_span_starts_with(credential, RC_SPAN("s:"));
    *id = credential;
    if (row->secrets.count > 0 && (is_cookie || looks_signed)) {
        if (!looks_signed) {
            *why = "the cookie is not signed";
            return -EACCES;
        }
        if (!id_unsign(row, credential, id)) {
            *why = "the cookie's signature is of none of the secrets";
            return -EACCES;
        }
    } else if (looks_signed) {
        *why = "the cookie is signed: [[identity]] secrets has to have the application's secret";
        return -EACCES;
    }
    if (!id_is_good(*id)) {
        *why = "the session's id has other characters than letters, digits and -_,.~, or more than 128";
        return -EACCES;
    }
    return 0;
}

int rc_session_key(const struct rc_config_identity *row, struct rc_span id, char key[RC_QUERY_KEY_MAX])
{
    static const char place[] = "{id}";
    const char *from = row->key.text;
    size_t used = 0;
    while (*from != '\0') {
        const bool here = strncmp(from, place, sizeof(place) - 1) == 0;
        const size_t bytes = here ? id.count : 1;
        if (bytes > RC_QUERY_KEY_MAX - used) {
            return -E2BIG;
        }
        memcpy(key + used, here ? (const char *)id.bytes : from, bytes);
        used += bytes;
        from += here ? sizeof(place) - 1 : 1;
    }
    return (int)used;
}

/* --- ends ------------------------------------------------------------------------------------------------------------ */

/* `count` digits at `text`; negative: there are others. */
static int64_t iso_digits(const uint8_t *text, size_t count)
{
    int64_t number = 0;
    for (size_t i = 0; i < count; i++) {
        if (text[i] < '0' || text[i] > '9') {
            return -1;
        }
        number = number * 10 + (text[i] - '0');
    }
    return number;
}

/* Days since 1970 of a day of the Gregorian calendar, years from 1970 on: leap days up to it, counted in years that begin in March. */
static int64_t days_since_1970(int64_t year, int64_t month, int64_t day)
{
    const int64_t y = month > 2 ? year : year - 1;
    const int64_t m = month > 2 ? month - 3 : month + 9;
    return 365 * y + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + day - 1 - 719468;
}

/* "2026-11-29T00:35:00.000Z", the fraction may be missing. 0: it is something else. */
static uint64_t iso_ms(struct rc_span text)
{
    static const char form[] = "0000-00-00T00:00:00";
    const uint8_t *const at = text.bytes;
    const size_t bytes = sizeof(form) - 1;
    if (text.count < bytes + 1 || text.bytes[text.count - 1] != 'Z') {
        return 0;
    }
    for (size_t i = 0; i < bytes; i++) {
        if (form[i] == '0' ? at[i] < '0' || at[i] > '9' : at[i] != form[i]) {
            return 0;
        }
    }
    const size_t fraction = text.count - 1 - bytes;
    int64_t ms = fraction == 0 ? 0 : -1;
    if (fraction >= 4 && at[bytes] == '.' && iso_digits(at + bytes + 1, fraction - 1) >= 0 && fraction <= 10) {
        ms = iso_digits(at + bytes + 1, 3);
    }
    const int64_t year = iso_digits(at, 4);
    const int64_t month = iso_digits(at + 5, 2);
    const int64_t day = iso_digits(at + 8, 2);
    if (ms < 0 || year < 1970 || month < 1 || month > 12 || day < 1 || day > 31) {
        return 0;
    }
    const int64_t seconds =
        ((days_since_1970(year, month, day) * 24 + iso_digits(at + 11, 2)) * 60 + iso_digits(at + 14, 2)) * 60 +
        iso_digits(at + 17, 2);
    const uint64_t at_ms = (uint64_t)seconds * 1000u + (uint64_t)ms;
    return at_ms == 0 ? 1 : at_ms;
}

static uint64_t number_ms(struct rc_span text)
{
    uint64_t number = 0;
    size_t i = 0;
    for (; i < text.count && text.bytes[i] >= '0' && text.bytes[i] <= '9'; i++) {
        if (number > UINT64_MAX / 100000) {
            return 0;
        }
        number = number * 10 + (uint64_t)(text.bytes[i] - '0');
    }
    if (i < text.count && text.bytes[i] != '.') {
        return 0; /* with an exponent, or below 0 */
    }
    return number < SECONDS_BELOW ? number * 1000u : number;
}

uint64_t rc_session_says_expires(struct rc_span json)
{
    static const char *const paths[] = {"cookie.expires", "expires", "expires_at"};
    const struct rc_json_value whole = {.type = RC_JSON_OBJECT, .raw = json};
    for (size_t i = 0; i < RC_ARRAY_COUNT(paths); i++) {
        const struct rc_json_value value = rc_json_path(whole, rc_span_text(paths[i]));
        uint8_t text[64];
        struct rc_span decoded;
        if (value.type == RC_JSON_NUMBER) {
            return number_ms(value.raw);
        }
        if (value.type == RC_JSON_STRING && rc_json_string_decode(&value, text, sizeof(text), &decoded) == 0) {
            return iso_ms(decoded);
        }
    }
    return 0;
}
