/* placed: see placed.h. */
#include "relay/bridge/placed.h"

#include <string.h>

#include "common/base/bytes.h"
#include "common/text/decimal.h"

#define EPOCH_MAX (UINT64_MAX / 2)
#define TAIL_MAX 64u /* ,"boot":4294967295,"seq":18446744073709551615} */

static bool take_text(struct rc_span *rest, struct rc_span text)
{
    if (!rc_span_starts_with(*rest, text)) {
        return false;
    }
    *rest = rc_span_of(rest->bytes + text.count, rest->count - text.count);
    return true;
}

bool rc_placed_number(struct rc_span *rest, uint64_t most, uint64_t *number)
{
    size_t digits = 0;
    uint64_t value = 0;
    while (digits < rest->count && rest->bytes[digits] >= '0' && rest->bytes[digits] <= '9') {
        const uint64_t digit = (uint64_t)(rest->bytes[digits] - '0');
        if (value > (most - digit) / 10) {
            return false;
        }
        value = value * 10 + digit;
        digits++;
    }
    if (digits == 0) {
        return false;
    }
    *number = value;
    *rest = rc_span_of(rest->bytes + digits, rest->count - digits);
    return true;
}

static bool read_place(struct rc_span *rest, struct rc_span between, struct rc_placed *placed)
{
    return rc_placed_number(rest, EPOCH_MAX, &placed->epoch) && take_text(rest, between) &&
           rc_placed_number(rest, RC_PLACED_OFFSET_MAX, &placed->offset) && placed->epoch != 0 && placed->offset != 0;
}

bool rc_placed_read(struct rc_span text, struct rc_placed *placed)
{
    struct rc_span rest = text;
    if (take_text(&rest, RC_SPAN("{\"epoch\":\""))) {
        if (!read_place(&rest, RC_SPAN("\",\"offset\":"), placed) || !take_text(&rest, RC_SPAN(","))) {
            return false;
        }
        placed->message = text;
        placed->inner = rest;
        return true;
    }
    if (rest.count < 2 || rest.bytes[0] != RC_PLACED_BINARY || rest.bytes[1] > rest.count - 2) {
        return false;
    }
    struct rc_span place = rc_span_of(rest.bytes + 2, rest.bytes[1]);
    if (!read_place(&place, RC_SPAN(" "), placed) || place.count > 0) {
        return false;
    }
    placed->message = placed->inner = rc_span_of(rest.bytes + 2 + rest.bytes[1], rest.count - 2 - rest.bytes[1]);
    return true;
}

/* 0x01 | flags | n, sourceInstance | boot (4) | seq (8). */
static bool own_binary(const struct rc_wire *wire, struct rc_span rest, uint64_t *sequence)
{
    const size_t source = strlen(wire->instance_id);
    if (rest.count < 3 + source + 12 || rest.bytes[0] != RC_WIRE_BINARY || rest.bytes[2] != source ||
        memcmp(rest.bytes + 3, wire->instance_id, source) != 0) {
        return false;
    }
    *sequence = rc_be_get(rest.bytes + 3 + source + 4, 8);
    return rc_be_get(rest.bytes + 3 + source, 4) == wire->boot_nonce;
}

bool rc_placed_own(const struct rc_wire *wire, const struct rc_placed *placed, uint64_t *sequence)
{
    const struct rc_span inner = placed->inner;
    if (inner.count > 0 && inner.bytes[0] == RC_WIRE_BINARY) {
        return own_binary(wire, inner, sequence);
    }
    /* How our JSON begins, without its brace, and how it ends: known without parsing. */
    if (!rc_span_starts_with(inner, rc_span_of(wire->own_head + 1, wire->own_head_bytes - 1))) {
        return false;
    }
    char tail[TAIL_MAX];
    char *end = tail;
    memcpy(end, ",\"boot\":", 8);
    end = rc_decimal_write(end + 8, wire->boot_nonce);
    memcpy(end, ",\"seq\":", 7);
    end += 7;
    const size_t head = (size_t)(end - tail);
    size_t digits = inner.count > 1 && inner.bytes[inner.count - 1] == '}' ? inner.count - 1 : 0;
    while (digits > 0 && inner.bytes[digits - 1] >= '0' && inner.bytes[digits - 1] <= '9') {
        digits--;
    }
    struct rc_span number = rc_span_of(inner.bytes + digits, inner.count - digits);
    return digits >= head && memcmp(inner.bytes + digits - head, tail, head) == 0 &&
           rc_placed_number(&number, UINT64_MAX, sequence) && number.count == 1;
}
