/* bridges: see bridges.h. */
#include "common/metrics/bridges.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define LABEL_MAX (2 * RC_CONFIG_TEXT_MAX)
#define LINE_MAX_BYTES (2 * LABEL_MAX + RC_INSTANCE_ID_MAX + 128)

struct writer {
    char *out;
    size_t capacity;
    size_t bytes;
};

static void writer_put(struct writer *w, const char *text, size_t bytes)
{
    if (w->bytes < w->capacity) {
        const size_t room = w->capacity - w->bytes;
        memcpy(w->out + w->bytes, text, bytes < room ? bytes : room);
    }
    w->bytes += bytes;
}

/* A label's value: backslash and quote are escaped; a name of the configuration has no line feed. */
static const char *value_escape(char out[LABEL_MAX], const char *text)
{
    size_t at = 0;
    for (; *text != '\0' && at + 3 < LABEL_MAX; text++) {
        if (*text == '"' || *text == '\\') {
            out[at++] = '\\';
        }
        out[at++] = *text;
    }
    out[at] = '\0';
    return out;
}

static void counter_put(struct writer *w, const struct rc_config *config, const struct rc_bridge_counters *counters,
                        const char *instance, const char *name, const char *help, size_t offset)
{
    char line[LINE_MAX_BYTES];
    int bytes = snprintf(line, sizeof(line), "# HELP %s %s\n# TYPE %s counter\n", name, help, name);
    writer_put(w, line, (size_t)bytes);
    for (uint32_t i = 0; i < config->bridge_count; i++) {
        char redis[LABEL_MAX];
        char room[LABEL_MAX];
        const _Atomic uint64_t *value = (const _Atomic uint64_t *)((const char *)&counters[i] + offset);
        bytes = snprintf(line, sizeof(line), "%s{instance=\"%s\",bridge=\"%u\",redis=\"%s\",room=\"%s\"} %" PRIu64 "\n",
                         name, instance, i, value_escape(redis, config->bridges[i].redis.text),
                         value_escape(room, config->bridges[i].room.text),
                         atomic_load_explicit(value, memory_order_relaxed));
        writer_put(w, line, (size_t)bytes < sizeof(line) ? (size_t)bytes : sizeof(line) - 1);
    }
}

size_t rc_bridge_metrics_render(const struct rc_config *config, const struct rc_bridge_counters *counters,
                                const char *instance, char *out, size_t capacity)
{
    struct writer w = {.out = out, .capacity = capacity};
    if (config->bridge_count > 0) {
        counter_put(&w, config, counters, instance, "ringcast_bridge_messages_total",
                    "Messages that came over a bridge and were handed on",
                    offsetof(struct rc_bridge_counters, messages));
        counter_put(&w, config, counters, instance, "ringcast_bridge_errors_total",
                    "Messages of a bridge that were dropped: not JSON, too large, or a field was missing",
                    offsetof(struct rc_bridge_counters, errors));
    }
    return w.bytes;
}
