/* bridges: see bridges.h. */
#include "common/metrics/bridges.h"

#include <inttypes.h>

#define LABEL_MAX (2 * RC_CONFIG_TEXT_MAX)

static void counter_put(struct rc_exposition *to, const struct rc_config *config,
                        const struct rc_bridge_counters *counters, const char *name, const char *help, size_t offset)
{
    rc_exposition_family(to, name, help, "counter");
    for (uint32_t i = 0; i < config->bridge_count; i++) {
        char redis[LABEL_MAX];
        char room[LABEL_MAX];
        const _Atomic uint64_t *value = (const _Atomic uint64_t *)((const char *)&counters[i] + offset);
        rc_exposition_series(to, name, "bridge=\"%u\",redis=\"%s\",room=\"%s\"", i,
                             rc_exposition_label(redis, sizeof(redis),
                                                 config->bridges[i].redis.text[0] != '\0'
                                                     ? config->bridges[i].redis.text
                                                     : config->bridges[i].pattern.text),
                             rc_exposition_label(room, sizeof(room), config->bridges[i].room.text));
        rc_exposition_put(to, "%" PRIu64 "\n", atomic_load_explicit(value, memory_order_relaxed));
    }
}

void rc_bridge_metrics_render(struct rc_exposition *to, const struct rc_config *config,
                              const struct rc_bridge_counters *counters)
{
    if (config->bridge_count > 0) {
        counter_put(to, config, counters, "ringcast_bridge_messages_total",
                    "Messages that came over a bridge and were handed on",
                    offsetof(struct rc_bridge_counters, messages));
        counter_put(to, config, counters, "ringcast_bridge_errors_total",
                    "Messages of a bridge that were dropped: not JSON, too large, or a field was missing",
                    offsetof(struct rc_bridge_counters, errors));
    }
}
