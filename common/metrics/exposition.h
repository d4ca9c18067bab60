/*
 * exposition: Prometheus' text format 0.0.4, for everything that /metrics shows.
 *
 * Counts what was wanted and keeps what fits: who asks with no room learns how much is needed. Any process; nothing fails.
 */
#ifndef RC_COMMON_METRICS_EXPOSITION_H
#define RC_COMMON_METRICS_EXPOSITION_H

#include <stdbool.h>
#include <stddef.h>

struct rc_exposition {
    char *out; /* borrowed; without a NUL */
    size_t capacity;
    size_t bytes;         /* wanted so far; may exceed capacity */
    const char *instance; /* borrowed: the instance's id */
    bool labelled;        /* each series has the label `instance` (http.metrics_instance_label) */
};

/* At most 2 KiB at a time. */
void rc_exposition_put(struct rc_exposition *to, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The beginning of a line: the name with its labels, and a blank; the value and a line feed follow. `format`: labels as the text format has
 * them, without braces, "" = none. `instance` comes before them where every series has it; the names of requirements.md (ws_...) always do. At
 * most 2 KiB. */
void rc_exposition_series(struct rc_exposition *to, const char *name, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The two lines before a family's values. `type`: counter, gauge, histogram. */
void rc_exposition_family(struct rc_exposition *to, const char *name, const char *help, const char *type);

/* A label's value: backslash, double quote and line feed are escaped ("Comments, help text, and type"). Cut where it does not fit.
 * Returns `out`. */
const char *rc_exposition_label(char *out, size_t capacity, const char *text);

#endif
