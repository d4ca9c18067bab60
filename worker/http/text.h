/*
 * text: a text that grows while it is written: bodies of HTTP answers, JSON of links.
 *
 * Owned by whoever declared it, freed with rc_text_free. Private memory, bounded: what does not fit, or finds no memory, sets
 * `failed`, and later writes do nothing; the writer looks once, at the end.
 */
#ifndef RC_WORKER_HTTP_TEXT_H
#define RC_WORKER_HTTP_TEXT_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/span.h"

#define RC_TEXT_BYTES_MAX (8u * 1024 * 1024)

struct rc_text {
    char *bytes; /* owned; not terminated */
    size_t count;
    size_t capacity;
    bool failed; /* true exactly when something was left out */
};

void rc_text_put(struct rc_text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* As a JSON string with its quotes; `string` is UTF-8. */
void rc_text_put_json(struct rc_text *text, struct rc_span string);
void rc_text_put_bytes(struct rc_text *text, const void *bytes, size_t count);
void rc_text_free(struct rc_text *text);

#endif
