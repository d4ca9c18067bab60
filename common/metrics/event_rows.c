/* event_rows: see event_rows.h. */
#include "common/metrics/event_rows.h"

#include <inttypes.h>
#include <string.h>

#include "common/base/hash.h"

static const char *const results[RC_ROW_OUTCOMES] = {
    "done",
    [1 + RC_GUARD_RATE] = "rate",
    [1 + RC_GUARD_WHO] = "who",
    [1 + RC_GUARD_SCHEMA] = "schema",
    [1 + RC_GUARD_INSIDE] = "inside",
    [1 + RC_GUARD_IDENTIFY] = "identify",
    [1 + RC_GUARDS] = "refused",
};

static bool row_same(const struct rc_config_event *a, const struct rc_config_event *b)
{
    return a->from == b->from && strcmp(a->on.text, b->on.text) == 0 && strcmp(a->nsp.text, b->nsp.text) == 0;
}

/* Never 0, and the same in all processes of a host and boot. */
static uint64_t row_key(const struct rc_config *config, uint32_t index)
{
    const struct rc_config_event *row = &config->events[index];
    uint64_t before = 0;
    for (uint32_t i = 0; i < index; i++) {
        before += row_same(&config->events[i], row);
    }
    const uint64_t parts[] = {rc_hash(row->on.text, strlen(row->on.text)),
                              rc_hash(row->nsp.text, strlen(row->nsp.text)), (uint64_t)row->from, before};
    return rc_hash(parts, sizeof(parts)) | 1;
}

static uint64_t value_of(const _Atomic uint64_t *value)
{
    return atomic_load_explicit(value, memory_order_relaxed);
}

static void row_put(struct rc_row_counters *row, uint64_t key, const uint64_t outcomes[RC_ROW_OUTCOMES])
{
    for (uint32_t i = 0; i < RC_ROW_OUTCOMES; i++) {
        if (value_of(&row->outcomes[i]) != outcomes[i]) { /* a page that nobody needs is not touched */
            atomic_store_explicit(&row->outcomes[i], outcomes[i], memory_order_relaxed);
        }
    }
    if (value_of(&row->key) != key) {
        atomic_store_explicit(&row->key, key, memory_order_relaxed);
    }
}

void rc_event_rows_adopt(struct rc_row_counters rows[RC_CONFIG_EVENTS_MAX], const struct rc_config *config)
{
    uint64_t keys[RC_CONFIG_EVENTS_MAX];
    uint64_t kept[RC_CONFIG_EVENTS_MAX][RC_ROW_OUTCOMES];
    memset(kept, 0, sizeof(kept));
    for (uint32_t i = 0; i < config->event_count; i++) {
        keys[i] = row_key(config, i);
        for (uint32_t j = 0; j < RC_CONFIG_EVENTS_MAX; j++) {
            const bool same = value_of(&rows[j].key) == keys[i];
            for (uint32_t outcome = 0; same && outcome < RC_ROW_OUTCOMES; outcome++) {
                kept[i][outcome] = value_of(&rows[j].outcomes[outcome]);
            }
        }
    }
    for (uint32_t i = 0; i < RC_CONFIG_EVENTS_MAX; i++) {
        row_put(&rows[i], i < config->event_count ? keys[i] : 0, kept[i]);
    }
}

void rc_event_rows_render(struct rc_exposition *to, const struct rc_config *config,
                          const struct rc_row_counters *const *rows, size_t count)
{
    static const char name[] = "ringcast_event_rows_total";
    char on[2 * RC_CONFIG_TEXT_MAX];
    char nsp[2 * RC_CONFIG_TEXT_MAX];
    if (config->event_count == 0) {
        return;
    }
    rc_exposition_family(
        to, name, "Events that a row of [[event]] is for: what became of them, or which guard refused them", "counter");
    for (uint32_t at = 0; at < config->event_count * RC_ROW_OUTCOMES; at++) {
        const uint32_t i = at / RC_ROW_OUTCOMES;
        const uint32_t outcome = at % RC_ROW_OUTCOMES;
        const uint64_t key = row_key(config, i);
        uint64_t sum = 0;
        for (size_t n = 0; n < count; n++) { /* a worker that has not reloaded yet has another row there */
            sum += value_of(&rows[n][i].key) == key ? value_of(&rows[n][i].outcomes[outcome]) : 0;
        }
        if (sum > 0) {
            rc_exposition_series(to, name, "row=\"%u\",nsp=\"%s\",on=\"%s\",result=\"%s\"", i + 1,
                                 rc_exposition_label(nsp, sizeof(nsp), config->events[i].nsp.text),
                                 rc_exposition_label(on, sizeof(on), config->events[i].on.text), results[outcome]);
            rc_exposition_put(to, "%" PRIu64 "\n", sum);
        }
    }
}
