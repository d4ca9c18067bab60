/* json_format: see json_format.h. */
#include "common/text/json_format.h"

#include <arpa/inet.h>
#include <string.h>

#include "common/base/check.h"

#define HOSTNAME_MAX 253u /* RFC 1035 section 2.3.4, without the root's dot */
#define LABEL_MAX 63u
#define LOCAL_PART_MAX 64u /* RFC 5321 section 4.5.3.1.1 */

static bool is_digit_char(uint8_t byte)
{
    return byte >= '0' && byte <= '9';
}

static bool is_letter(uint8_t byte)
{
    return (byte | 0x20) >= 'a' && (byte | 0x20) <= 'z';
}

static bool is_hex(uint8_t byte)
{
    return is_digit_char(byte) || ((byte | 0x20) >= 'a' && (byte | 0x20) <= 'f');
}

/* Takes exactly `count` digits from the front. */
static bool digits_take(struct rc_span *text, size_t count, unsigned *value)
{
    *value = 0;
    if (text->count < count) {
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        if (!is_digit_char(text->bytes[i])) {
            return false;
        }
        *value = *value * 10 + (unsigned)(text->bytes[i] - '0');
    }
    *text = rc_span_of(text->bytes + count, text->count - count);
    return true;
}

static bool byte_take(struct rc_span *text, char byte)
{
    if (text->count == 0 || text->bytes[0] != (uint8_t)byte) {
        return false;
    }
    *text = rc_span_of(text->bytes + 1, text->count - 1);
    return true;
}

/* --- RFC 3339 section 5.6 -------------------------------------------------------------------------------------------- */

static bool date_take(struct rc_span *text)
{
    static const uint8_t days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    unsigned year;
    unsigned month;
    unsigned day;
    if (!digits_take(text, 4, &year) || !byte_take(text, '-') || !digits_take(text, 2, &month) ||
        !byte_take(text, '-') || !digits_take(text, 2, &day) || month < 1 || month > 12 || day < 1) {
        return false;
    }
    const bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return day <= days[month - 1] + (month == 2 && leap ? 1u : 0u);
}

/* Z, or how far it is from there, as minutes. */
static bool offset_take(struct rc_span *text, int *minutes)
{
    unsigned hour;
    unsigned minute;
    *minutes = 0;
    if (byte_take(text, 'Z') || byte_take(text, 'z')) {
        return true;
    }
    const bool east = byte_take(text, '+');
    if ((!east && !byte_take(text, '-')) || !digits_take(text, 2, &hour) || !byte_take(text, ':') ||
        !digits_take(text, 2, &minute) || hour > 23 || minute > 59) {
        return false;
    }
    *minutes = (int)(hour * 60 + minute) * (east ? 1 : -1);
    return true;
}

static bool time_take(struct rc_span *text)
{
    unsigned hour;
    unsigned minute;
    unsigned second;
    int offset;
    if (!digits_take(text, 2, &hour) || !byte_take(text, ':') || !digits_take(text, 2, &minute) ||
        !byte_take(text, ':') || !digits_take(text, 2, &second)) {
        return false;
    }
    if (byte_take(text, '.')) {
        size_t count = 0;
        while (count < text->count && is_digit_char(text->bytes[count])) {
            count++;
        }
        *text = rc_span_of(text->bytes + count, text->count - count);
        if (count == 0) {
            return false;
        }
    }
    if (!offset_take(text, &offset) || hour > 23 || minute > 59 || second > 60) {
        return false;
    }
    /* A leap second is the last one of a day in UTC. */
    return second < 60 || ((int)(hour * 60 + minute) - offset + 2 * 1440) % 1440 == 1439;
}

static bool date_valid(struct rc_span text)
{
    return date_take(&text) && text.count == 0;
}

static bool time_valid(struct rc_span text)
{
    return time_take(&text) && text.count == 0;
}

static bool date_time_valid(struct rc_span text)
{
    return date_take(&text) && (byte_take(&text, 'T') || byte_take(&text, 't')) && time_take(&text) && text.count == 0;
}

/* --- hosts ----------------------------------------------------------------------------------------------------------- */

static bool address_valid(int family, struct rc_span text)
{
    char copy[INET6_ADDRSTRLEN + 1];
    uint8_t address[16];
    if (text.count >= sizeof(copy) || memchr(text.bytes, 0, text.count) != NULL) {
        return false;
    }
    memcpy(copy, text.bytes, text.count);
    copy[text.count] = '\0';
    return inet_pton(family, copy, address) == 1;
}

static bool ipv4_valid(struct rc_span text)
{
    return text.count > 0 && address_valid(AF_INET, text);
}

static bool ipv6_valid(struct rc_span text)
{
    return text.count > 0 && address_valid(AF_INET6, text);
}

/* RFC 1123 section 2.1. */
static bool hostname_valid(struct rc_span text)
{
    size_t label = 0;
    if (text.count == 0 || text.count > HOSTNAME_MAX) {
        return false;
    }
    for (size_t i = 0; i < text.count; i++) {
        const uint8_t byte = text.bytes[i];
        const bool plain = is_letter(byte) || is_digit_char(byte);
        if (byte == '.') {
            if (label == 0 || text.bytes[i - 1] == '-') {
                return false;
            }
            label = 0;
        } else if ((!plain && (byte != '-' || label == 0)) || ++label > LABEL_MAX) {
            return false;
        }
    }
    return label > 0 && text.bytes[text.count - 1] != '-';
}

/* --- email, RFC 5321 section 4.1.2 ----------------------------------------------------------------------------------- */

static bool atom_char(uint8_t byte)
{
    return is_letter(byte) || is_digit_char(byte) || (byte != 0 && strchr("!#$%&'*+/=?^_`{|}~-", byte) != NULL);
}

static bool local_part_valid(struct rc_span text)
{
    if (text.count == 0 || text.count > LOCAL_PART_MAX) {
        return false;
    }
    if (text.bytes[0] == '"') {
        for (size_t i = 1; i + 1 < text.count; i++) {
            const uint8_t byte = text.bytes[i];
            if (byte < 0x20 || byte > 0x7e || byte == '"' || (byte == '\\' && ++i + 1 >= text.count)) {
                return false;
            }
        }
        return text.count > 2 && text.bytes[text.count - 1] == '"';
    }
    bool dot = true; /* one may not be here */
    for (size_t i = 0; i < text.count; i++) {
        if (text.bytes[i] == '.' ? dot : !atom_char(text.bytes[i])) {
            return false;
        }
        dot = text.bytes[i] == '.';
    }
    return !dot;
}

static bool email_valid(struct rc_span text)
{
    const uint8_t *const at = text.count > 0 ? memrchr(text.bytes, '@', text.count) : NULL;
    if (at == NULL) {
        return false;
    }
    const size_t before = (size_t)(at - text.bytes);
    const struct rc_span domain = rc_span_of(at + 1, text.count - before - 1);
    if (!local_part_valid(rc_span_of(text.bytes, before))) {
        return false;
    }
    if (domain.count < 2 || domain.bytes[0] != '[' || domain.bytes[domain.count - 1] != ']') {
        return hostname_valid(domain);
    }
    const struct rc_span literal = rc_span_of(domain.bytes + 1, domain.count - 2);
    return rc_span_starts_with(literal, RC_SPAN("IPv6:")) ? ipv6_valid(rc_span_of(literal.bytes + 5, literal.count - 5))
                                                          : ipv4_valid(literal);
}

/* --- RFC 3986, RFC 9562 ---------------------------------------------------------------------------------------------- */

static bool uri_char(uint8_t byte)
{
    return is_letter(byte) || is_digit_char(byte) || (byte != 0 && strchr("-._~!$&'()*+,;=:@/?", byte) != NULL);
}

/* [user@]host[:port], the host perhaps in brackets. */
static bool authority_valid(struct rc_span text)
{
    const uint8_t *const at = text.count > 0 ? memrchr(text.bytes, '@', text.count) : NULL;
    if (at != NULL) {
        const size_t before = (size_t)(at - text.bytes) + 1;
        if (memchr(text.bytes, '[', before) != NULL || memchr(text.bytes, '@', before - 1) != NULL) {
            return false;
        }
        text = rc_span_of(at + 1, text.count - before);
    }
    if (text.count > 0 && text.bytes[0] == '[') {
        const uint8_t *const end = memchr(text.bytes, ']', text.count);
        if (end == NULL || !ipv6_valid(rc_span_of(text.bytes + 1, (size_t)(end - text.bytes) - 1))) {
            return false;
        }
        text = rc_span_of(end + 1, text.count - (size_t)(end + 1 - text.bytes));
        if (text.count > 0 && text.bytes[0] != ':') {
            return false;
        }
    }
    if (text.count > 0 &&
        (memchr(text.bytes, '[', text.count) != NULL || memchr(text.bytes, ']', text.count) != NULL)) {
        return false;
    }
    const uint8_t *const colon = text.count > 0 ? memchr(text.bytes, ':', text.count) : NULL;
    for (size_t i = colon != NULL ? (size_t)(colon - text.bytes) + 1 : text.count; i < text.count; i++) {
        if (!is_digit_char(text.bytes[i])) {
            return false;
        }
    }
    return true;
}

static bool uri_valid(struct rc_span text)
{
    size_t at = 0;
    while (at < text.count && (is_letter(text.bytes[at]) ||
                               (at > 0 && (is_digit_char(text.bytes[at]) || strchr("+-.", text.bytes[at]) != NULL) &&
                                text.bytes[at] != 0))) {
        at++;
    }
    if (at == 0 || at == text.count || text.bytes[at] != ':') {
        return false;
    }
    at++;
    size_t bracket_from = 0;
    size_t bracket_to = 0; /* where "[" and "]" may be: in the authority */
    if (text.count - at >= 2 && text.bytes[at] == '/' && text.bytes[at + 1] == '/') {
        bracket_from = at + 2;
        bracket_to = bracket_from;
        while (bracket_to < text.count && strchr("/?#", text.bytes[bracket_to]) == NULL) {
            bracket_to++;
        }
        if (!authority_valid(rc_span_of(text.bytes + bracket_from, bracket_to - bracket_from))) {
            return false;
        }
    }
    bool fragment = false;
    for (; at < text.count; at++) {
        const uint8_t byte = text.bytes[at];
        if (byte == '%') {
            if (text.count - at < 3 || !is_hex(text.bytes[at + 1]) || !is_hex(text.bytes[at + 2])) {
                return false;
            }
        } else if (byte == '#') {
            if (fragment) {
                return false;
            }
            fragment = true;
        } else if (!uri_char(byte) && !((byte == '[' || byte == ']') && at >= bracket_from && at < bracket_to)) {
            return false;
        }
    }
    return true;
}

static bool uuid_valid(struct rc_span text)
{
    if (text.count != 36) {
        return false;
    }
    for (size_t i = 0; i < text.count; i++) {
        const bool hyphen = i == 8 || i == 13 || i == 18 || i == 23;
        if (hyphen ? text.bytes[i] != '-' : !is_hex(text.bytes[i])) {
            return false;
        }
    }
    return true;
}

/* --- the table ------------------------------------------------------------------------------------------------------- */

static const struct {
    const char *name;
    bool (*valid)(struct rc_span text);
} formats[] = {
    {"date-time", date_time_valid}, {"date", date_valid},         {"time", time_valid},
    {"email", email_valid},         {"hostname", hostname_valid}, {"ipv4", ipv4_valid},
    {"ipv6", ipv6_valid},           {"uri", uri_valid},           {"uuid", uuid_valid},
};

uint32_t rc_json_format_find(struct rc_span name)
{
    for (uint32_t i = 0; i < RC_ARRAY_COUNT(formats); i++) {
        if (rc_span_equal(name, rc_span_text(formats[i].name))) {
            return i + 1;
        }
    }
    return 0;
}

const char *rc_json_format_name(uint32_t format)
{
    RC_ASSERT(format >= 1 && format <= RC_ARRAY_COUNT(formats));
    return formats[format - 1].name;
}

const char *rc_json_format_names(void)
{
    return "date-time, date, time, email, hostname, ipv4, ipv6, uri, uuid";
}

bool rc_json_format_valid(uint32_t format, struct rc_span text)
{
    RC_ASSERT(format >= 1 && format <= RC_ARRAY_COUNT(formats));
    return formats[format - 1].valid(text);
}
