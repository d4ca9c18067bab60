/* exposition: see exposition.h. */
#include "common/metrics/exposition.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "common/base/check.h"

#define INSTANCE_MAX_BYTES 512
#define LINE_MAX_BYTES 2048 /* a HELP and TYPE pair is the longest */

void rc_exposition_put(struct rc_exposition *to, const char *format, ...)
{
    char line[LINE_MAX_BYTES];
    va_list list;
    va_start(list, format);
    const int bytes = vsnprintf(line, sizeof(line), format, list);
    va_end(list);
    RC_ASSERT(bytes >= 0 && (size_t)bytes < sizeof(line)); /* names and texts are ours, labels are bounded */
    const size_t room = to->bytes < to->capacity ? to->capacity - to->bytes : 0;
    if (room != 0) {
        memcpy(to->out + to->bytes, line, (size_t)bytes < room ? (size_t)bytes : room);
    }
    to->bytes += (size_t)bytes;
}

void rc_exposition_series(struct rc_exposition *to, const char *name, const char *format, ...)
{
    static const char kept[] = "ws_";
    char instance[INSTANCE_MAX_BYTES] = "";
    char labels[LINE_MAX_BYTES];
    va_list list;
    va_start(list, format);
    const int bytes = vsnprintf(labels, sizeof(labels), format, list);
    va_end(list);
    RC_ASSERT(bytes >= 0 && (size_t)bytes < sizeof(labels));
    const bool told = to->labelled || strncmp(name, kept, sizeof(kept) - 1) == 0;
    if (!told) {
        rc_exposition_put(to, bytes == 0 ? "%s%s " : "%s{%s} ", name, labels);
        return;
    }
    rc_exposition_put(to, "%s{instance=\"%s\"%s%s} ", name,
                      rc_exposition_label(instance, sizeof(instance), to->instance), bytes == 0 ? "" : ",", labels);
}

void rc_exposition_family(struct rc_exposition *to, const char *name, const char *help, const char *type)
{
    rc_exposition_put(to, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

const char *rc_exposition_label(char *out, size_t capacity, const char *text)
{
    size_t used = 0;
    for (; *text != '\0' && used + 3 <= capacity; text++) {
        const char *escaped = *text == '\\' ? "\\\\" : *text == '"' ? "\\\"" : *text == '\n' ? "\\n" : NULL;
        if (escaped != NULL) {
            out[used++] = escaped[0];
            out[used++] = escaped[1];
        } else {
            out[used++] = *text;
        }
    }
    out[used] = '\0';
    return out;
}
