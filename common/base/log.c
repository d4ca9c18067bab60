/*
 * log: one line, one write.
 *
 * The format is walked conversion by conversion instead of being handed to vsnprintf as a whole: only so is it known
 * which bytes come from an argument, and an argument can neither end its quotes nor start a field of its own.
 */
#include "common/base/log.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/flight.h"
#include "common/base/hash.h"
#include "common/base/sink.h"
#include "common/text/utf8_char.h"

#define LINE_MAX_BYTES RC_SINK_LINE_MAX
#define LINE_TAIL_BYTES 24   /* kept free for the mark of a cut line and the line's end */
#define VALUE_MAX_BYTES 4096 /* a value before escaping */
#define KEY_MAX_BYTES 64
#define SPEC_MAX_BYTES 24 /* one conversion specification */
#define RC_LOG_TRY_MS 1000u
#define REDACT_KEY_MAX_BYTES 256
#define HASH_BYTES 8u /* of the HMAC, shown in twice as many digits */

/* Counts into memory that may come later and go earlier than this module. */
struct log_counter {
    uint64_t uncounted;      /* those that are not in `value` yet */
    _Atomic uint64_t *value; /* borrowed, NULL = none */
};

struct logger {
    const char *process; /* borrowed: static */
    int index;
    enum rc_log_level level;
    enum rc_log_format format;
    struct rc_sink sink;
    uint64_t dropped; /* lines that stderr did not take and of which no line has told yet */
    uint64_t try_ms;  /* rc_log_catch_up does nothing before */
    struct log_counter dropped_counter;
    struct log_counter suppressed_counter;
    enum rc_log_redaction redaction[RC_LOG_KINDS];
    size_t redact_key_bytes;
    uint8_t redact_key[REDACT_KEY_MAX_BYTES];
    struct rc_flight *flight; /* borrowed: where lines are recorded; NULL = nowhere */
    struct rc_flight_entry *flight_entries;
    uint32_t flight_count;
    bool priorities; /* standard error is the journal, which takes a line's level from its beginning */
};

static struct logger logger = {.process = "ringcast",
                               .index = -1,
                               .level = RC_LOG_INFO,
                               .format = RC_LOG_TEXT,
                               .sink = RC_SINK_INIT(STDERR_FILENO)};

struct line {
    size_t bytes;
    bool cut; /* something did not fit: nothing more is added */
    bool json;
    char text[LINE_MAX_BYTES];
};

/* A field while its format is walked. */
struct field {
    size_t key_bytes;
    size_t value_bytes;
    bool in_value; /* the literal '=' was seen */
    bool in_quotes;
    bool quoted;      /* the format quotes it */
    bool literal;     /* part of the value is literal text of the format */
    bool cut;         /* the value did not fit */
    uint32_t numbers; /* numeric conversions in the value */
    uint32_t texts;   /* other conversions */
    char key[KEY_MAX_BYTES];
    char value[VALUE_MAX_BYTES];
};

void rc_log_open(const char *process, int index, enum rc_log_level level, enum rc_log_format format)
{
    logger.process = process;
    logger.index = index;
    logger.level = level;
    logger.format = format;
}

/* Is standard error the stream that systemd connected to the journal? It says which one that is (systemd.exec(5), $JOURNAL_STREAM). */
static bool stderr_is_journal(void)
{
    const char *stream = getenv("JOURNAL_STREAM");
    uintmax_t device = 0;
    uintmax_t inode = 0;
    struct stat status;
    return stream != NULL && sscanf(stream, "%ju:%ju", &device, &inode) == 2 && fstat(STDERR_FILENO, &status) == 0 &&
           (uintmax_t)status.st_dev == device && (uintmax_t)status.st_ino == inode;
}

void rc_log_never_wait(void)
{
    rc_sink_close(&logger.sink);
    logger.priorities = stderr_is_journal(); /* before the sink opens it anew */
    rc_sink_open(&logger.sink, STDERR_FILENO);
}

void rc_log_set_level(enum rc_log_level level)
{
    logger.level = level;
}

void rc_log_redact(const enum rc_log_redaction how[RC_LOG_KINDS], const char *key)
{
    const bool own = key[0] != '\0';
    const void *bytes = own ? (const void *)key : rc_hash_secret();
    logger.redact_key_bytes = own ? strnlen(key, sizeof(logger.redact_key)) : RC_HASH_SECRET_BYTES;
    memcpy(logger.redact_key, bytes, logger.redact_key_bytes);
    memcpy(logger.redaction, how, sizeof(logger.redaction));
}
_Static_assert(RC_HASH_SECRET_BYTES <= REDACT_KEY_MAX_BYTES, "the secret fits");

bool rc_log_enabled(enum rc_log_level level)
{
    return level >= logger.level && level != RC_LOG_OFF;
}

/* --- the line ---------------------------------------------------------------------------------------------------- */

/* All or nothing: a part that does not fit marks the line as cut. */
static bool line_put(struct line *line, const char *bytes, size_t count)
{
    if (line->cut || count > sizeof(line->text) - LINE_TAIL_BYTES - line->bytes) {
        line->cut = true;
        return false;
    }
    memcpy(line->text + line->bytes, bytes, count);
    line->bytes += count;
    return true;
}

static bool line_put_text(struct line *line, const char *text)
{
    return line_put(line, text, strlen(text));
}

/* One character (`count` bytes) of a value, escaped for the line's format. `count` 0: one byte that is not UTF-8. */
static bool line_put_char(struct line *line, const char *bytes, size_t count, uint32_t code)
{
    char escaped[8];
    int length = 0;
    if (count == 0) {
        const unsigned byte = (unsigned char)bytes[0];
        length = line->json ? snprintf(escaped, sizeof(escaped), "\\ufffd")
                            : snprintf(escaped, sizeof(escaped), "\\x%02x", byte);
    } else if (code == '"' || code == '\\') {
        length = snprintf(escaped, sizeof(escaped), "\\%c", (char)code);
    } else if (code == '\n') {
        length = snprintf(escaped, sizeof(escaped), "\\n");
    } else if (code == '\r') {
        length = snprintf(escaped, sizeof(escaped), "\\r");
    } else if (code == '\t') {
        length = snprintf(escaped, sizeof(escaped), "\\t");
    } else if (code < 0x20 || (code >= 0x7f && code <= 0x9f) || code == 0x2028 || code == 0x2029) {
        /* C1 controls and the two line separators too: terminals and viewers act on them. */
        length = snprintf(escaped, sizeof(escaped), "\\u%04x", (unsigned)code);
    } else {
        return line_put(line, bytes, count);
    }
    return line_put(line, escaped, (size_t)length);
}

/* A value in double quotes. It is closed even when it was cut: the tail's room is for that. */
static void line_put_quoted(struct line *line, const char *value, size_t bytes)
{
    if (!line_put(line, "\"", 1)) {
        return;
    }
    size_t at = 0;
    while (at < bytes) {
        uint32_t code = 0;
        const size_t count = rc_utf8_char((const uint8_t *)value + at, bytes - at, &code);
        if (!line_put_char(line, value + at, count, code)) {
            break;
        }
        at += count == 0 ? 1 : count;
    }
    line->text[line->bytes++] = '"';
}

/* Values that need no quotes in text lines. */
static bool value_is_plain(const char *value, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++) {
        const unsigned char byte = (unsigned char)value[i];
        if (byte <= ' ' || byte >= 0x7f || byte == '"' || byte == '=' || byte == '\\') {
            return false;
        }
    }
    return bytes > 0;
}

static void line_start(struct line *line, enum rc_log_level level, const char *event)
{
    static const char *const upper[] = {"DEBUG", "INFO", "WARN", "ERROR"};
    static const char *const lower[] = {"debug", "info", "warn", "error"};
    const uint64_t now_ms = rc_clock_wall_ms();
    const time_t seconds = (time_t)(now_ms / 1000);
    struct tm utc;
    char stamp[48] = "";
    if (gmtime_r(&seconds, &utc) != NULL) {
        const size_t bytes = strftime(stamp, sizeof(stamp), "%Y-%m-%dT%H:%M:%S", &utc);
        (void)snprintf(stamp + bytes, sizeof(stamp) - bytes, ".%03uZ", (unsigned)(now_ms % 1000));
    }
    char process[48];
    if (logger.index >= 0) {
        (void)snprintf(process, sizeof(process), "%s/%d", logger.process, logger.index);
    } else {
        (void)snprintf(process, sizeof(process), "%s", logger.process);
    }
    static const char *const priorities[] = {"<7>", "<6>", "<4>", "<3>"}; /* sd-daemon(3) */
    if (logger.priorities) {
        line_put_text(line, priorities[level]);
    }
    const char *const level_name = (line->json ? lower : upper)[level];
    char start[256];
    if (line->json) {
        (void)snprintf(start, sizeof(start), "{\"time\":\"%s\",\"level\":\"%s\",\"process\":\"%s\",\"event\":", stamp,
                       level_name, process);
    } else {
        (void)snprintf(start, sizeof(start), "%s %s %s ", stamp, level_name, process);
    }
    line_put_text(line, start);
    if (line->json || !value_is_plain(event, strlen(event))) {
        line_put_quoted(line, event, strlen(event));
    } else {
        line_put_text(line, event);
    }
}

/* --- fields ------------------------------------------------------------------------------------------------------ */

static void field_reset(struct field *field)
{
    field->key_bytes = 0;
    field->value_bytes = 0;
    field->in_value = false;
    field->in_quotes = false;
    field->quoted = false;
    field->literal = false;
    field->cut = false;
    field->numbers = 0;
    field->texts = 0;
}

static void field_add(struct field *field, const char *bytes, size_t count)
{
    const size_t room = sizeof(field->value) - field->value_bytes;
    if (count > room) {
        count = room;
        field->cut = true;
    }
    memcpy(field->value + field->value_bytes, bytes, count);
    field->value_bytes += count;
}

/* --- personal data ----------------------------------------------------------------------------------------------- */

/* What the keys of fields say about their values. `shown` are values that name nobody. */
static const struct {
    const char *key;
    enum rc_log_kind kind;
    bool rest; /* only what stands behind the first colon: a channel's name may hold a user's id there */
    const char *shown[2];
} personal[] = {
    {.key = "user", .kind = RC_LOG_USER},
    {.key = "user_id", .kind = RC_LOG_USER},
    {.key = "channel", .kind = RC_LOG_USER, .rest = true},
    {.key = "set", .kind = RC_LOG_USER, .rest = true},
    {.key = "user_name", .kind = RC_LOG_NAME},
    {.key = "email", .kind = RC_LOG_EMAIL},
    {.key = "address", .kind = RC_LOG_ADDRESS, .shown = {"unix", "none"}},
    {.key = "peer", .kind = RC_LOG_ADDRESS, .shown = {"unix", "none"}},
};

static void field_add_hash(struct field *field, const char *value, size_t bytes)
{
    uint8_t digest[EVP_MAX_MD_SIZE];
    char text[2 * HASH_BYTES + 2] = "#";
    if (HMAC(EVP_sha256(), logger.redact_key, (int)logger.redact_key_bytes, (const uint8_t *)value, bytes, digest,
             NULL) == NULL) {
        return; /* no memory: the value is left out, which is what it is about */
    }
    for (size_t i = 0; i < HASH_BYTES; i++) {
        (void)snprintf(text + 1 + 2 * i, 3, "%02x", digest[i]);
    }
    field_add(field, text, strlen(text));
}

static bool value_equals(const char *value, size_t bytes, const char *text)
{
    return text != NULL && strlen(text) == bytes && memcmp(value, text, bytes) == 0;
}

/* The value as it may be shown. False: nothing of it may. */
static bool field_redact(struct field *field)
{
    if (field->key_bytes > 0 && field->key[field->key_bytes - 1] == '!') {
        field->key_bytes--;
        return true;
    }
    size_t at = 0;
    while (at < RC_ARRAY_COUNT(personal) && !value_equals(field->key, field->key_bytes, personal[at].key)) {
        at++;
    }
    if (at == RC_ARRAY_COUNT(personal) || logger.redaction[personal[at].kind] == RC_LOG_KEEP ||
        field->texts + field->numbers == 0 || value_equals(field->value, field->value_bytes, personal[at].shown[0]) ||
        value_equals(field->value, field->value_bytes, personal[at].shown[1])) {
        return true;
    }
    const char *colon = personal[at].rest ? memchr(field->value, ':', field->value_bytes) : NULL;
    const size_t head_bytes = colon != NULL ? (size_t)(colon - field->value) + 1 : 0;
    const size_t rest_bytes = field->value_bytes - head_bytes;
    if ((personal[at].rest && colon == NULL) || rest_bytes == 0) {
        return true;
    }
    char rest[VALUE_MAX_BYTES];
    memcpy(rest, field->value + head_bytes, rest_bytes);
    field->value_bytes = head_bytes;
    field->numbers = 0;
    field->texts = 1;
    if (logger.redaction[personal[at].kind] == RC_LOG_HASH) {
        field_add_hash(field, rest, rest_bytes);
    }
    return field->value_bytes > 0;
}

/* Writes the finished field and makes room for the next. A word without `=` has the key "text". */
static void field_end(struct field *field, struct line *line)
{
    if (field->key_bytes == 0 && field->value_bytes == 0) {
        return;
    }
    if (!field->in_value) {
        field_add(field, field->key, field->key_bytes);
        field->key_bytes = 0;
    }
    if (field->key_bytes == 0) {
        field->key_bytes = (size_t)snprintf(field->key, sizeof(field->key), "text");
    }
    /* rc_log_limited always passes its count; only a count says something. */
    if ((value_equals(field->key, field->key_bytes, "suppressed") &&
         value_equals(field->value, field->value_bytes, "0")) ||
        !field_redact(field)) {
        field_reset(field);
        return;
    }
    char key[KEY_MAX_BYTES + 8];
    const int key_bytes =
        snprintf(key, sizeof(key), line->json ? ",\"%.*s\":" : " %.*s=", (int)field->key_bytes, field->key);
    /* A key without room for any value would be noise. */
    if (line->bytes + (size_t)key_bytes + 8 > sizeof(line->text) - LINE_TAIL_BYTES) {
        line->cut = true;
    }
    if (line_put(line, key, (size_t)key_bytes)) {
        const bool number = field->numbers == 1 && field->texts == 0 && !field->literal && !field->quoted;
        const bool bare = line->json ? number : !field->quoted && value_is_plain(field->value, field->value_bytes);
        if (!bare) {
            line_put_quoted(line, field->value, field->value_bytes);
        } else if (!line_put(line, field->value, field->value_bytes) && line->json) {
            line->bytes += (size_t)snprintf(line->text + line->bytes, 5, "null");
        }
    }
    line->cut = line->cut || field->cut;
    field_reset(field);
}

/* A character of the format itself. */
static void field_literal(struct field *field, struct line *line, char c)
{
    if (field->in_quotes) {
        if (c == '"') {
            field->in_quotes = false;
        } else {
            field->literal = true;
            field_add(field, &c, 1);
        }
    } else if (c == ' ') {
        field_end(field, line);
    } else if (!field->in_value) {
        if (c == '=') {
            field->in_value = true;
        } else if (field->key_bytes < sizeof(field->key)) {
            field->key[field->key_bytes++] = c;
        }
    } else if (c == '"') {
        field->quoted = true;
        field->in_quotes = true;
    } else {
        field->literal = true;
        field_add(field, &c, 1);
    }
}

/* --- the format -------------------------------------------------------------------------------------------------- */

/* One conversion specification, rewritten for the widest type. */
struct spec {
    size_t bytes;
    char text[SPEC_MAX_BYTES];
    int precision; /* -1: none */
    int longs;     /* number of `l`; j, z, t count as 2; h and hh as -1 and -2 */
    char letter;
};

static void spec_put(struct spec *spec, char c)
{
    RC_ASSERT(spec->bytes < sizeof(spec->text) - 4);
    spec->text[spec->bytes++] = c;
    spec->text[spec->bytes] = '\0';
}

static intmax_t signed_argument(int longs, va_list *args)
{
    switch (longs) {
    case 2:
        return va_arg(*args, long long);
    case 1:
        return va_arg(*args, long);
    case -1:
        return (short)va_arg(*args, int);
    case -2:
        return (signed char)va_arg(*args, int);
    default:
        return va_arg(*args, int);
    }
}

static uintmax_t unsigned_argument(int longs, va_list *args)
{
    switch (longs) {
    case 2:
        return va_arg(*args, unsigned long long);
    case 1:
        return va_arg(*args, unsigned long);
    case -1:
        return (unsigned short)va_arg(*args, unsigned);
    case -2:
        return (unsigned char)va_arg(*args, unsigned);
    default:
        return va_arg(*args, unsigned);
    }
}
_Static_assert(sizeof(long long) == sizeof(intmax_t) && sizeof(size_t) == sizeof(long),
               "z, t and j are read as long long");

/* Reads flags, width, precision and length after a '%'; returns the place after the conversion letter. */
static const char *spec_read(struct spec *spec, const char *at, va_list *args)
{
    *spec = (struct spec){.precision = -1};
    spec_put(spec, '%');
    while (*at != '\0' && strchr("-+ #0'", *at) != NULL) {
        spec_put(spec, *at++);
    }
    char number[16];
    bool precision = false;
    for (;; precision = true) {
        int value = -1;
        if (*at == '*') {
            value = va_arg(*args, int);
            at++;
        } else if (*at >= '0' && *at <= '9') {
            for (value = 0; *at >= '0' && *at <= '9'; at++) {
                value = value < 1000 ? value * 10 + (*at - '0') : value;
            }
        } else if (precision) {
            value = 0;
        }
        if (precision) {
            spec->precision = value;
        }
        if (value >= 0) {
            (void)snprintf(number, sizeof(number), "%s%d", precision ? "." : "", value < 512 ? value : 512);
            for (const char *digit = number; *digit != '\0'; digit++) {
                spec_put(spec, *digit);
            }
        }
        if (precision || *at != '.') {
            break;
        }
        at++;
    }
    for (;; at++) {
        if (*at == 'l') {
            spec->longs++;
        } else if (*at == 'h') {
            spec->longs--;
        } else if (*at == 'j' || *at == 'z' || *at == 't') {
            spec->longs = 2;
        } else {
            break;
        }
    }
    spec->letter = *at;
    return *at == '\0' ? at : at + 1;
}

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral" /* the specification is one that spec_read made */
/* Formats the argument that `spec` describes into the field's value. */
static void field_argument(struct field *field, struct spec *spec, va_list *args, int saved_errno)
{
    char text[640];
    int bytes = 0;
    const char letter = spec->letter;
    /* Padding and zeros make something that is not a JSON number. */
    const bool padded = spec->bytes > 1 && (spec->text[1] != '.' || strchr("fFeEgG", letter) == NULL);
    if (letter == 's') {
        const char *const value = va_arg(*args, const char *);
        const char *const shown = value != NULL ? value : "(null)";
        const size_t most = spec->precision >= 0 ? (size_t)spec->precision : sizeof(field->value) + 1;
        field_add(field, shown, strnlen(shown, most));
        field->texts++;
        return;
    }
    if (letter == 'm') {
        const char *const message = strerrordesc_np(saved_errno);
        field_add(field, message != NULL ? message : "unknown error",
                  strlen(message != NULL ? message : "unknown error"));
        field->texts++;
        return;
    }
    if (letter == 'd' || letter == 'i') {
        spec_put(spec, 'j');
        spec_put(spec, 'd');
        bytes = snprintf(text, sizeof(text), spec->text, signed_argument(spec->longs, args));
        *(!padded ? &field->numbers : &field->texts) += 1;
    } else if (letter == 'u' || letter == 'x' || letter == 'X' || letter == 'o') {
        spec_put(spec, 'j');
        spec_put(spec, letter);
        bytes = snprintf(text, sizeof(text), spec->text, unsigned_argument(spec->longs, args));
        *(letter == 'u' && !padded ? &field->numbers : &field->texts) += 1;
    } else if (strchr("fFeEgGaA", letter) != NULL && letter != '\0') {
        spec_put(spec, letter);
        const double value = va_arg(*args, double);
        bytes = snprintf(text, sizeof(text), spec->text, value);
        *(__builtin_isfinite(value) && !padded && letter != 'a' && letter != 'A' ? &field->numbers : &field->texts) +=
            1;
    } else if (letter == 'c') {
        text[0] = (char)va_arg(*args, int);
        bytes = 1;
        field->texts++;
    } else {
        RC_ASSERT(letter == 'p'); /* the last conversion that log lines know */
        bytes = snprintf(text, sizeof(text), "%p", va_arg(*args, void *));
        field->texts++;
    }
    if (bytes > 0) {
        field_add(field, text, (size_t)bytes < sizeof(text) ? (size_t)bytes : sizeof(text) - 1);
    }
}
#pragma GCC diagnostic pop

static void line_fields(struct line *line, const char *format, va_list *args, int saved_errno)
{
    struct field field;
    field_reset(&field);
    const char *at = format;
    while (*at != '\0') {
        if (*at != '%') {
            field_literal(&field, line, *at++);
        } else if (at[1] == '%') {
            field_literal(&field, line, '%');
            at += 2;
        } else {
            struct spec spec;
            at = spec_read(&spec, at + 1, args);
            field.in_value = true; /* an argument is always a value, never a key */
            field_argument(&field, &spec, args, saved_errno);
        }
    }
    field.in_quotes = false;
    field_end(&field, line);
}

static void line_end(struct line *line)
{
    if (line->cut) {
        line->bytes +=
            (size_t)snprintf(line->text + line->bytes, LINE_TAIL_BYTES, line->json ? ",\"cut\":true" : " cut=true");
    }
    if (line->json) {
        line->text[line->bytes++] = '}';
    }
    line->text[line->bytes++] = '\n';
    RC_ASSERT(line->bytes <= sizeof(line->text));
}

/* --- what is not taken ------------------------------------------------------------------------------------------- */

static void counter_add(struct log_counter *counter, uint64_t lines)
{
    counter->uncounted += lines;
    if (counter->value != NULL && counter->uncounted > 0) {
        const uint64_t before = atomic_load_explicit(counter->value, memory_order_relaxed);
        atomic_store_explicit(counter->value, before + counter->uncounted, memory_order_relaxed);
        counter->uncounted = 0;
    }
}

void rc_log_count_dropped(_Atomic uint64_t *counter)
{
    logger.dropped_counter.value = counter;
    counter_add(&logger.dropped_counter, 0);
}

void rc_log_count_suppressed(_Atomic uint64_t *counter)
{
    logger.suppressed_counter.value = counter;
    counter_add(&logger.suppressed_counter, 0);
}

/* True when nothing is left to be told. */
static bool tell_dropped(void)
{
    if (logger.dropped == 0) {
        return true;
    }
    char text[48];
    struct line line;
    line.bytes = 0;
    line.cut = false;
    line.json = logger.format == RC_LOG_JSON;
    line_start(&line, RC_LOG_WARN, "log_dropped");
    (void)snprintf(text, sizeof(text), line.json ? ",\"lines\":%" PRIu64 : " lines=%" PRIu64, logger.dropped);
    line_put_text(&line, text);
    line_end(&line);
    if (rc_sink_write(&logger.sink, line.text, line.bytes)) {
        logger.dropped = 0;
    }
    return logger.dropped == 0;
}

void rc_log_record(struct rc_flight *head, struct rc_flight_entry *entries, uint32_t count)
{
    logger.flight = head;
    logger.flight_entries = entries;
    logger.flight_count = count;
}

static void line_write(struct line *line)
{
    line_end(line);
    if (logger.flight != NULL) { /* without its priority and its line break */
        const size_t from = logger.priorities ? 3 : 0;
        rc_flight_put(logger.flight, logger.flight_entries, logger.flight_count, line->text + from,
                      line->bytes - from - 1);
    }
    if (!tell_dropped() || !rc_sink_write(&logger.sink, line->text, line->bytes)) {
        logger.dropped++;
        counter_add(&logger.dropped_counter, 1);
    }
}

void rc_log_catch_up(void)
{
    if (logger.dropped == 0 && logger.sink.rest_bytes == 0) {
        return;
    }
    const uint64_t now_ms = rc_clock_ms();
    if (now_ms >= logger.try_ms) {
        logger.try_ms = now_ms + RC_LOG_TRY_MS;
        if (rc_sink_write(&logger.sink, "", 0)) {
            (void)tell_dropped();
        }
    }
}

void rc_log_raw(const char *text, size_t bytes)
{
    (void)rc_sink_write(&logger.sink, text, bytes < RC_SINK_LINE_MAX ? bytes : RC_SINK_LINE_MAX);
}

/* ----------------------------------------------------------------------------------------------------------------- */

void rc_log_write(enum rc_log_level level, const char *event, const char *format, ...)
{
    if (!rc_log_enabled(level)) {
        return;
    }
    RC_ASSERT(level < RC_LOG_OFF);
    const int saved_errno = errno;
    struct line line;
    line.bytes = 0;
    line.cut = false;
    line.json = logger.format == RC_LOG_JSON;
    line_start(&line, level, event);
    va_list args;
    va_start(args, format);
    line_fields(&line, format, &args, saved_errno);
    va_end(args);
    line_write(&line);
    errno = saved_errno;
}

bool rc_log_limit_pass(struct rc_log_limit *limit, uint32_t burst, uint32_t *suppressed)
{
    const uint64_t now_ms = rc_clock_ms();
    if (now_ms - limit->window_ms >= 1000) {
        limit->window_ms = now_ms;
        limit->count = 0;
    }
    if (limit->count >= burst) {
        limit->suppressed++;
        counter_add(&logger.suppressed_counter, 1);
        return false;
    }
    limit->count++;
    *suppressed = limit->suppressed;
    limit->suppressed = 0;
    return true;
}
