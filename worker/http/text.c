/* text: see text.h. */
#include "worker/http/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/text/json_scan.h"

static bool text_reserve(struct rc_text *text, size_t bytes)
{
    if (text->failed || bytes > RC_TEXT_BYTES_MAX - text->count) {
        text->failed = true;
        return false;
    }
    if (text->count + bytes <= text->capacity) {
        return true;
    }
    size_t capacity = text->capacity == 0 ? 1024 : text->capacity;
    while (capacity < text->count + bytes) {
        capacity *= 2;
    }
    char *larger = realloc(text->bytes, capacity);
    if (larger == NULL) {
        text->failed = true;
        return false;
    }
    text->bytes = larger;
    text->capacity = capacity;
    return true;
}

void rc_text_put(struct rc_text *text, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    const int bytes = vsnprintf(NULL, 0, format, list);
    va_end(list);
    if (bytes < 0 || !text_reserve(text, (size_t)bytes + 1)) {
        text->failed = true;
        return;
    }
    va_start(list, format);
    (void)vsnprintf(text->bytes + text->count, (size_t)bytes + 1, format, list);
    va_end(list);
    text->count += (size_t)bytes;
}

void rc_text_put_json(struct rc_text *text, struct rc_span string)
{
    const size_t bytes = rc_json_string_encoded_bytes(string);
    if (text_reserve(text, bytes)) {
        text->count += rc_json_string_encode((uint8_t *)text->bytes + text->count, bytes, string);
    }
}

void rc_text_put_bytes(struct rc_text *text, const void *bytes, size_t count)
{
    if (count > 0 && text_reserve(text, count)) {
        memcpy(text->bytes + text->count, bytes, count);
        text->count += count;
    }
}

void rc_text_free(struct rc_text *text)
{
    free(text->bytes);
    *text = (struct rc_text){0};
}
