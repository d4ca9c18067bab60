/*
 * Responses: head, optional body, and the JSON of errors.
 */
#include "worker/http/respond.h"

#include <string.h>
#include <time.h>

#include "common/text/decimal.h"

#define MESSAGE_BYTES_MAX 512u
#define ERROR_BODY_BYTES_MAX (MESSAGE_BYTES_MAX * 6 + 128) /* every byte may become \u00XX */

static const struct {
    uint16_t status;
    const char *text;
    const char *reason;
} statuses[] = {
    {100, "Continue", "continue"},
    {101, "Switching Protocols", "switching_protocols"},
    {200, "OK", "ok"},
    {201, "Created", "created"},
    {202, "Accepted", "accepted"},
    {204, "No Content", "no_content"},
    {301, "Moved Permanently", "moved"},
    {302, "Found", "found"},
    {304, "Not Modified", "not_modified"},
    {307, "Temporary Redirect", "redirect"},
    {308, "Permanent Redirect", "redirect"},
    {400, "Bad Request", "bad_request"},
    {401, "Unauthorized", "unauthorized"},
    {403, "Forbidden", "forbidden"},
    {404, "Not Found", "not_found"},
    {405, "Method Not Allowed", "method_not_allowed"},
    {406, "Not Acceptable", "not_acceptable"},
    {408, "Request Timeout", "timeout"},
    {409, "Conflict", "conflict"},
    {410, "Gone", "gone"},
    {411, "Length Required", "length_required"},
    {413, "Content Too Large", "too_large"},
    {414, "URI Too Long", "uri_too_long"},
    {415, "Unsupported Media Type", "unsupported_media_type"},
    {417, "Expectation Failed", "expectation_failed"},
    {421, "Misdirected Request", "misdirected"},
    {422, "Unprocessable Content", "unprocessable"},
    {426, "Upgrade Required", "upgrade_required"},
    {429, "Too Many Requests", "limited"},
    {431, "Request Header Fields Too Large", "headers_too_large"},
    {500, "Internal Server Error", "internal"},
    {501, "Not Implemented", "not_enabled"},
    {502, "Bad Gateway", "bad_gateway"},
    {503, "Service Unavailable", "unavailable"},
    {504, "Gateway Timeout", "gateway_timeout"},
    {505, "HTTP Version Not Supported", "version_not_supported"},
};

const char *rc_http_status_text(uint16_t status)
{
    for (size_t i = 0; i < sizeof(statuses) / sizeof(statuses[0]); i++) {
        if (statuses[i].status == status) {
            return statuses[i].text;
        }
    }
    return "Unknown";
}

const char *rc_http_status_reason(uint16_t status)
{
    for (size_t i = 0; i < sizeof(statuses) / sizeof(statuses[0]); i++) {
        if (statuses[i].status == status) {
            return statuses[i].reason;
        }
    }
    return "unknown";
}

static void two_digits(char *out, int value)
{
    out[0] = (char)('0' + value / 10 % 10);
    out[1] = (char)('0' + value % 10);
}

const char *rc_http_date_at(struct rc_http_date *cache, int64_t unix_second)
{
    static const char days[] = "SunMonTueWedThuFriSat";
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";

    if (cache->text[0] != '\0' && cache->second == unix_second) {
        return cache->text;
    }
    struct tm tm;
    time_t second = (time_t)unix_second;
    /* By hand: strftime would follow the locale. A clock beyond year 9999 does not fit; it shows that year's last day. */
    if (gmtime_r(&second, &tm) == NULL || tm.tm_year > 9999 - 1900 || tm.tm_year < 0) {
        tm = (struct tm){.tm_mday = 31, .tm_mon = 11, .tm_year = 9999 - 1900, .tm_wday = 5};
    }
    memcpy(cache->text, "Sun, 06 Nov 1994 08:49:37 GMT", RC_HTTP_DATE_BYTES + 1);
    memcpy(cache->text, days + 3 * tm.tm_wday, 3);
    two_digits(cache->text + 5, tm.tm_mday);
    memcpy(cache->text + 8, months + 3 * tm.tm_mon, 3);
    two_digits(cache->text + 12, (tm.tm_year + 1900) / 100);
    two_digits(cache->text + 14, (tm.tm_year + 1900) % 100);
    two_digits(cache->text + 17, tm.tm_hour);
    two_digits(cache->text + 20, tm.tm_min);
    two_digits(cache->text + 23, tm.tm_sec);
    cache->second = unix_second;
    return cache->text;
}

/* Appends until there is no room, and remembers that. */
struct writer {
    char *buffer;
    size_t capacity;
    size_t bytes;
    bool full;
};

static void put_bytes(struct writer *writer, const void *bytes, size_t n)
{
    if (writer->full || n > writer->capacity - writer->bytes) {
        writer->full = true;
        return;
    }
    if (n != 0) {
        memcpy(writer->buffer + writer->bytes, bytes, n);
    }
    writer->bytes += n;
}

static void respond_put(struct writer *writer, const char *text)
{
    put_bytes(writer, text, strlen(text));
}

static void put_number(struct writer *writer, uint64_t number)
{
    char digits[RC_DECIMAL_BYTES_MAX];
    put_bytes(writer, digits, (size_t)(rc_decimal_write(digits, number) - digits));
}

static void put_header(struct writer *writer, const char *name, const char *value)
{
    if (value == NULL) {
        return;
    }
    respond_put(writer, name);
    respond_put(writer, value);
    respond_put(writer, "\r\n");
}

size_t rc_http_respond(char *buffer, size_t capacity, const struct rc_http_response *response)
{
    struct writer writer = {.buffer = buffer, .capacity = capacity};
    /* RFC 9110 6.4.1, 8.6: these have no body, and no length (a 304's would be that of the 200). */
    bool bodyless = response->status < 200 || response->status == 204 || response->status == 304;

    respond_put(&writer, "HTTP/1.1 ");
    put_number(&writer, response->status);
    respond_put(&writer, " ");
    respond_put(&writer, rc_http_status_text(response->status));
    respond_put(&writer, "\r\n");
    put_header(&writer, "Date: ", response->date);
    if (!bodyless) {
        put_header(&writer, "Content-Type: ", response->content_type);
    }
    if (!bodyless && !response->stream) {
        respond_put(&writer, "Content-Length: ");
        put_number(&writer, response->body_bytes);
        respond_put(&writer, "\r\n");
    }
    if (response->status >= 200) {
        respond_put(&writer, response->keep_alive ? "Connection: keep-alive" : "Connection: close");
        /* What can be upgraded to is said in Upgrade, which is a matter of this connection alone (RFC 9110 7.8). */
        respond_put(&writer, response->status == 426 ? ", Upgrade\r\n" : "\r\n");
    }
    put_header(&writer, "Allow: ", response->allow);
    if (response->retry_after_s != 0) {
        respond_put(&writer, "Retry-After: ");
        put_number(&writer, response->retry_after_s);
        respond_put(&writer, "\r\n");
    }
    if (response->status >= 200) {
        if (!response->cacheable) {
            respond_put(&writer, "Cache-Control: no-store\r\n");
        }
        respond_put(&writer, "X-Content-Type-Options: nosniff\r\n");
    }
    if (response->headers != NULL) {
        respond_put(&writer, response->headers);
    }
    respond_put(&writer, "\r\n");
    if (!bodyless && !response->head && response->body != NULL) {
        put_bytes(&writer, response->body, response->body_bytes);
    }
    return writer.full ? 0 : writer.bytes;
}

static void put_json_text(struct writer *writer, const char *text, size_t n)
{
    static const char hex[] = "0123456789abcdef";
    for (size_t i = 0; i < n; i++) {
        uint8_t byte = (uint8_t)text[i];
        if (byte == '"' || byte == '\\') {
            put_bytes(writer, "\\", 1);
            put_bytes(writer, text + i, 1);
        } else if (byte < 0x20) {
            char escape[6] = {'\\', 'u', '0', '0', hex[byte >> 4], hex[byte & 15]};
            put_bytes(writer, escape, sizeof(escape));
        } else {
            put_bytes(writer, text + i, 1);
        }
    }
}

size_t rc_http_respond_error(char *buffer, size_t capacity, const struct rc_http_response *response,
                             const char *message)
{
    char body[ERROR_BODY_BYTES_MAX];
    struct writer writer = {.buffer = body, .capacity = sizeof(body)};
    const char *text = message == NULL ? rc_http_status_text(response->status) : message;
    size_t text_bytes = strlen(text);

    if (text_bytes > MESSAGE_BYTES_MAX) {
        text_bytes = MESSAGE_BYTES_MAX;
        while (text_bytes > 0 && ((uint8_t)text[text_bytes] & 0xC0) == 0x80) {
            text_bytes--;
        }
    }
    respond_put(&writer, "{\"error\":{\"code\":");
    put_number(&writer, response->status);
    respond_put(&writer, ",\"reason\":\"");
    respond_put(&writer, rc_http_status_reason(response->status));
    respond_put(&writer, "\",\"message\":\"");
    put_json_text(&writer, text, text_bytes);
    respond_put(&writer, "\"}}\n");

    struct rc_http_response answer = *response;
    answer.content_type = "application/json";
    answer.body = body;
    answer.body_bytes = writer.bytes;
    return rc_http_respond(buffer, capacity, &answer);
}
