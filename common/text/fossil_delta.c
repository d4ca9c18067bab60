/* fossil_delta: see fossil_delta.h. */
#include "common/text/fossil_delta.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define MATCH_BYTES 8u         /* equal bytes that are looked for */
#define EVERY_PLACE_MAX 16384u /* of longer sources every MATCH_BYTES-th place is indexed */
#define CANDIDATES_MAX 16u     /* places of the source that are compared for one of the target */
#define BUDGET_MIN 4096u       /* such places for a whole target, and one more for each of its bytes */
#define COPY_BYTES_MIN 10u     /* shorter copies are not worth their numbers */
#define HEADS_MIN 256u
#define NUMBER_DIGITS_MAX 6u /* of 32 bits */

static const char digits[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz~";

/* --- the format ------------------------------------------------------------------------------------------------------ */

static uint32_t fossil_checksum(struct rc_span text)
{
    uint32_t sum = 0;
    size_t at = 0;
    for (; at + 4 <= text.count; at += 4) {
        sum += (uint32_t)text.bytes[at] << 24 | (uint32_t)text.bytes[at + 1] << 16 | (uint32_t)text.bytes[at + 2] << 8 |
               text.bytes[at + 3];
    }
    for (uint32_t shift = 24; at < text.count; at++, shift -= 8) {
        sum += (uint32_t)text.bytes[at] << shift;
    }
    return sum;
}

static uint8_t *fossil_number_put(uint8_t *out, uint32_t number)
{
    uint32_t count = 1;
    while (count < NUMBER_DIGITS_MAX && number >> (6 * count) != 0) {
        count++;
    }
    while (count-- > 0) {
        *out++ = (uint8_t)digits[number >> (6 * count) & 63u];
    }
    return out;
}

static int digit_value(uint8_t digit)
{
    return digit >= '0' && digit <= '9'   ? digit - '0'
           : digit >= 'A' && digit <= 'Z' ? digit - 'A' + 10
           : digit == '_'                 ? 36
           : digit >= 'a' && digit <= 'z' ? digit - 'a' + 37
           : digit == '~'                 ? 63
                                          : -1;
}

/* Takes a number and the character behind it off. -EBADMSG: there is none, or it is too large. */
static int fossil_number_take(struct rc_span *rest, uint32_t *number, uint8_t *behind)
{
    uint64_t value = 0;
    size_t at = 0;
    while (at < rest->count && digit_value(rest->bytes[at]) >= 0) {
        value = value << 6 | (uint64_t)digit_value(rest->bytes[at]);
        if (value > UINT32_MAX) {
            return -EBADMSG;
        }
        at++;
    }
    if (at == 0 || at == rest->count) {
        return -EBADMSG;
    }
    *number = (uint32_t)value;
    *behind = rest->bytes[at];
    *rest = rc_span_of(rest->bytes + at + 1, rest->count - at - 1);
    return 0;
}

size_t rc_fossil_target_bytes(struct rc_span delta)
{
    uint32_t bytes;
    uint8_t behind;
    return fossil_number_take(&delta, &bytes, &behind) == 0 && behind == '\n' ? bytes : SIZE_MAX;
}

int rc_fossil_apply(struct rc_span source, struct rc_span delta, uint8_t *out, size_t out_bytes)
{
    uint32_t number;
    uint32_t offset;
    uint8_t behind;
    size_t made = 0;
    if (fossil_number_take(&delta, &number, &behind) < 0 || behind != '\n' || number != out_bytes) {
        return -EBADMSG;
    }
    while (fossil_number_take(&delta, &number, &behind) == 0) {
        const uint8_t *from;
        if (behind == ';') {
            return delta.count == 0 && made == out_bytes && number == fossil_checksum(rc_span_of(out, made)) ? 0
                                                                                                             : -EBADMSG;
        }
        if (number > out_bytes - made) {
            return -EBADMSG;
        }
        if (behind == ':' && number <= delta.count) {
            from = delta.bytes;
            delta = rc_span_of(delta.bytes + number, delta.count - number);
        } else if (behind == '@' && fossil_number_take(&delta, &offset, &behind) == 0 && behind == ',' &&
                   offset <= source.count && number <= source.count - offset) {
            from = source.bytes + offset;
        } else {
            return -EBADMSG;
        }
        if (number > 0) {
            memcpy(out + made, from, number);
        }
        made += number;
    }
    return -EBADMSG;
}

/* --- what is equal --------------------------------------------------------------------------------------------------- */

void rc_fossil_encoder_close(struct rc_fossil_encoder *encoder)
{
    free(encoder->heads);
    free(encoder->older);
    *encoder = (struct rc_fossil_encoder){0};
}

struct encoding {
    struct rc_fossil_encoder *encoder;
    struct rc_span source;
    struct rc_span target;
    uint32_t step;      /* between two places of the source that are indexed */
    uint32_t head_mask; /* of the hashes in use for this source */
    uint32_t budget;    /* places that may still be compared: whoever chooses both texts does not choose our time */
    bool utf8;
    uint8_t *out;
    size_t used;
    size_t room;
};

static uint32_t place_hash(const struct encoding *e, const uint8_t *bytes)
{
    uint64_t word;
    memcpy(&word, bytes, sizeof(word));
    return (uint32_t)((word * UINT64_C(0x9e3779b97f4a7c15)) >> 40) & e->head_mask;
}

static bool encoder_room(struct rc_fossil_encoder *encoder, uint32_t heads, uint32_t places)
{
    if (heads > encoder->head_count) {
        uint32_t *more = realloc(encoder->heads, heads * sizeof(*more));
        if (more == NULL) {
            return false;
        }
        encoder->heads = more;
        encoder->head_count = heads;
    }
    if (places > encoder->place_count) {
        uint32_t *more = realloc(encoder->older, places * sizeof(*more));
        if (more == NULL) {
            return false;
        }
        encoder->older = more;
        encoder->place_count = places;
    }
    return true;
}

/* Makes the index of the source. False: no memory. */
static bool source_index(struct encoding *e)
{
    const uint32_t bytes = (uint32_t)e->source.count;
    uint32_t heads = HEADS_MIN;
    e->step = bytes <= EVERY_PLACE_MAX ? 1 : MATCH_BYTES;
    const uint32_t places = bytes < MATCH_BYTES ? 0 : (bytes - MATCH_BYTES) / e->step + 1;
    while (heads < places) {
        heads *= 2;
    }
    if (!encoder_room(e->encoder, heads, places)) {
        return false;
    }
    e->head_mask = heads - 1;
    memset(e->encoder->heads, 0, heads * sizeof(*e->encoder->heads));
    for (uint32_t place = 0; place < places; place++) {
        uint32_t *head = &e->encoder->heads[place_hash(e, e->source.bytes + (size_t)place * e->step)];
        e->encoder->older[place] = *head;
        *head = place + 1;
    }
    return true;
}

struct match {
    uint32_t source; /* where it begins in either */
    uint32_t target;
    uint32_t bytes;
};

static bool cuts_character(struct rc_span text, uint32_t at)
{
    return at < text.count && (text.bytes[at] & 0xc0) == 0x80;
}

/* The longest of the places compared that is equal to the target around `at`, from `least` on. */
static struct match match_at(struct encoding *e, uint32_t at, uint32_t least)
{
    struct match best = {0};
    const uint8_t *target = e->target.bytes;
    const uint8_t *source = e->source.bytes;
    uint32_t place = e->encoder->heads[place_hash(e, target + at)];
    for (uint32_t tries = 0; place != 0 && tries < CANDIDATES_MAX && e->budget > 0; tries++) {
        const uint32_t from = (place - 1) * e->step;
        place = e->encoder->older[place - 1];
        e->budget--;
        if (memcmp(source + from, target + at, MATCH_BYTES) != 0) {
            continue;
        }
        uint32_t end = MATCH_BYTES;
        while (at + end < e->target.count && from + end < e->source.count && source[from + end] == target[at + end]) {
            end++;
        }
        uint32_t before = 0;
        while (at - before > least && from - before > 0 && source[from - before - 1] == target[at - before - 1]) {
            before++;
        }
        if (before + end > best.bytes) {
            best = (struct match){.source = from - before, .target = at - before, .bytes = before + end};
        }
    }
    while (e->utf8 && best.bytes > 0 && cuts_character(e->target, best.target)) {
        best.source++;
        best.target++;
        best.bytes--;
    }
    while (e->utf8 && best.bytes > 0 && cuts_character(e->target, best.target + best.bytes)) {
        best.bytes--;
    }
    return best;
}

/* --- writing --------------------------------------------------------------------------------------------------------- */

static bool literal_put(struct encoding *e, uint32_t from, uint32_t to)
{
    if (from == to) {
        return true;
    }
    if (e->room - e->used < (size_t)(to - from) + NUMBER_DIGITS_MAX + 1) {
        return false;
    }
    uint8_t *out = fossil_number_put(e->out + e->used, to - from);
    *out++ = ':';
    memcpy(out, e->target.bytes + from, to - from);
    e->used = (size_t)(out - e->out) + (to - from);
    return true;
}

static bool copy_put(struct encoding *e, const struct match *match)
{
    if (e->room - e->used < 2 * NUMBER_DIGITS_MAX + 2) {
        return false;
    }
    uint8_t *out = fossil_number_put(e->out + e->used, match->bytes);
    *out++ = '@';
    out = fossil_number_put(out, match->source);
    *out++ = ',';
    e->used = (size_t)(out - e->out);
    return true;
}

size_t rc_fossil_encode(struct rc_fossil_encoder *encoder, struct rc_span source, struct rc_span target, bool utf8,
                        uint8_t *out, size_t room)
{
    struct encoding e = {
        .encoder = encoder, .source = source, .target = target, .utf8 = utf8, .out = out, .room = room};
    const uint32_t bytes = (uint32_t)target.count;
    e.budget = BUDGET_MIN + bytes;
    uint32_t done = 0; /* of the target, what is written */
    if (source.count > RC_FOSSIL_BYTES_MAX || target.count > RC_FOSSIL_BYTES_MAX || room < NUMBER_DIGITS_MAX + 1 ||
        !source_index(&e)) {
        return 0;
    }
    uint8_t *end = fossil_number_put(out, bytes);
    *end++ = '\n';
    e.used = (size_t)(end - out);
    for (uint32_t at = 0; bytes >= MATCH_BYTES && at <= bytes - MATCH_BYTES;) {
        const struct match match = match_at(&e, at, done);
        if (match.bytes < COPY_BYTES_MIN) {
            at++;
            if (at - done > e.room) {
                return 0; /* the literal alone is too long: the rest need not be looked at */
            }
            continue;
        }
        if (!literal_put(&e, done, match.target) || !copy_put(&e, &match)) {
            return 0;
        }
        done = match.target + match.bytes;
        at = done;
    }
    if (!literal_put(&e, done, bytes) || e.room - e.used < NUMBER_DIGITS_MAX + 1) {
        return 0;
    }
    end = fossil_number_put(out + e.used, fossil_checksum(target));
    *end++ = ';';
    return (size_t)(end - out);
}
