/*
 * operation: see operation.h.
 */
#include "worker/proto/operation.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "common/text/hex.h"

void rc_operation_reset(struct rc_operation *operation)
{
    operation->type = 0;
    operation->data_kind = RC_DATA_JSON;
    operation->echo = true;
    operation->is_volatile = false;
    operation->retain = operation->retained = operation->snapshot = false;
    operation->delta = operation->presence = false;
    operation->limit = 0;
    operation->has_since = false;
    operation->since = 0;
    operation->recovers = false;
    operation->epoch = rc_span_of(NULL, 0);
    operation->former = rc_span_of(NULL, 0);
    operation->id = rc_span_of(NULL, 0);
    operation->channel = rc_span_of(NULL, 0);
    operation->event = rc_span_of(NULL, 0);
    operation->key = rc_span_of(NULL, 0);
    operation->to = rc_span_of(NULL, 0);
    operation->close_code = 0;
    operation->reason = rc_span_of(NULL, 0);
    operation->data = rc_span_of(NULL, 0);
    operation->nsp = rc_span_of(NULL, 0);
    operation->rooms = rc_span_of(NULL, 0);
    operation->except = rc_span_of(NULL, 0);
    operation->index = NULL;
    operation->attachment_count = 0;
    operation->exclude_count = 0; /* the kilobyte behind it is not worth clearing for each operation */
}

uint64_t rc_epoch_read(struct rc_span text)
{
    uint64_t epoch = 0;
    for (size_t i = 0; i < text.count; i++) {
        const uint8_t digit = text.bytes[i];
        const bool decimal = digit >= '0' && digit <= '9';
        if (i == RC_HEX_BYTES_MAX || (!decimal && (digit < 'a' || digit > 'f')) || (i == 0 && digit == '0')) {
            return 0;
        }
        epoch = epoch << 4 | (uint64_t)(decimal ? digit - '0' : digit - 'a' + 10);
    }
    return epoch;
}

int rc_operation_fail(struct rc_operation_error *error, enum rc_code code, const char *format, ...)
{
    va_list arguments;

    error->code = code;
    va_start(arguments, format);
    (void)vsnprintf(error->message, sizeof(error->message), format, arguments);
    va_end(arguments);
    return -EBADMSG;
}
