/* link_rows: see link_rows.h. */
#include "common/metrics/link_rows.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/hash.h"

#define LABEL_BYTES (2u * RC_CONFIG_TEXT_MAX + 2u)

const char *const rc_link_number_names[RC_LINK_NUMBERS] = {
    [RC_LINK_NUMBER_LINKS] = "ready",
    [RC_LINK_NUMBER_CONNECTIONS] = "connections",
    [RC_LINK_NUMBER_WAITING] = "waiting",
    [RC_LINK_NUMBER_UNHANDED] = "unhanded",
    [RC_LINK_NUMBER_UNHANDED_BYTES] = "unhanded_bytes",
    [RC_LINK_NUMBER_LAG_MS] = "receipt_lag_ms",
    [RC_LINK_NUMBER_FRAMES_IN] = "frames_in",
    [RC_LINK_NUMBER_FRAMES_OUT] = "frames_out",
    [RC_LINK_NUMBER_OPENED] = "opened",
    [RC_LINK_NUMBER_CONTINUED] = "continued",
    [RC_LINK_NUMBER_LEFT] = "left",
    [RC_LINK_NUMBER_RESUMED] = "resumed",
    [RC_LINK_NUMBER_LOST] = "lost_connections",
    [RC_LINK_NUMBER_LINKS_LOST] = "lost",
    [RC_LINK_NUMBER_BROKEN] = "broken",
};

static const struct {
    const char *name;
    const char *help;
} families[RC_LINK_NUMBERS] = {
    [RC_LINK_NUMBER_LINKS] = {"ringcast_link_url_ready", "Links with this address of the application that are ready"},
    [RC_LINK_NUMBER_CONNECTIONS] = {"ringcast_link_url_connections", "Connections that its processes have"},
    [RC_LINK_NUMBER_WAITING] = {"ringcast_link_url_waiting",
                                "Clients of its that are not read now because it has not taken what is there"},
    [RC_LINK_NUMBER_UNHANDED] = {"ringcast_link_url_unhanded",
                                 "Frames of which it has not said that it has handed them on (RECEIPT)"},
    [RC_LINK_NUMBER_UNHANDED_BYTES] = {"ringcast_link_url_unhanded_bytes", "Bytes of those"},
    [RC_LINK_NUMBER_LAG_MS] = {"ringcast_link_url_receipt_lag_seconds",
                               "For how long it has handed on nothing of what it was sent"},
    [RC_LINK_NUMBER_FRAMES_IN] = {"ringcast_link_url_frames_in_total", "Frames that it has sent"},
    [RC_LINK_NUMBER_FRAMES_OUT] = {"ringcast_link_url_frames_out_total", "Frames that it was sent"},
    [RC_LINK_NUMBER_OPENED] = {"ringcast_link_url_opened_total", "Connections of which it was told as new ones"},
    [RC_LINK_NUMBER_CONTINUED] = {"ringcast_link_url_continued_total",
                                  "Connections that went on there by another link"},
    [RC_LINK_NUMBER_LEFT] = {"ringcast_link_url_left_total",
                             "Connections whose process there was gone, to go on at another one"},
    [RC_LINK_NUMBER_RESUMED] = {"ringcast_link_url_resumed_total",
                                "Connections that went on there from another process"},
    [RC_LINK_NUMBER_LOST] = {"ringcast_link_url_lost_connections_total",
                             "Connections that were closed because their link there ended"},
    [RC_LINK_NUMBER_LINKS_LOST] = {"ringcast_link_url_lost_total", "Links there that were ready and have ended"},
    [RC_LINK_NUMBER_BROKEN] = {"ringcast_link_url_broken_total",
                               "Links there that were ended for what was sent by them"},
};

uint64_t rc_link_row_of(const char *backend, const char *url)
{
    char text[2 * RC_CONFIG_TEXT_MAX];
    const int bytes = snprintf(text, sizeof(text), "%s %s", backend, url == NULL ? "" : url);
    RC_ASSERT(bytes > 0 && bytes < (int)sizeof(text));
    return rc_hash_public(text, (size_t)bytes) | 1u;
}

const struct rc_config_backend *rc_link_rows_backend(const struct rc_config *config)
{
    const char *name = config->socketio.link.text;
    for (uint32_t i = 0; name[0] != '\0' && i < config->backend_count; i++) {
        if (strcmp(config->backends[i].name.text, name) == 0) {
            return &config->backends[i];
        }
    }
    return NULL;
}

const char *rc_link_row_url(const struct rc_config_backend *backend, uint32_t row)
{
    return row == RC_LINK_ROW_DIAL ? RC_LINK_ROW_DIAL_URL : row < backend->url_count ? backend->urls[row].text : NULL;
}

uint64_t rc_link_rows_number(const struct rc_config_backend *backend, const struct rc_report *const *reports,
                             size_t count, uint32_t row, enum rc_link_number number)
{
    const char *url = row == RC_LINK_ROW_DIAL ? NULL : backend->urls[row].text;
    const uint64_t of = rc_link_row_of(backend->name.text, url);
    uint64_t sum = 0;
    for (size_t i = 0; i < count; i++) {
        const struct rc_link_row *its = &reports[i]->link_rows[row];
        if (atomic_load_explicit(&its->of, memory_order_relaxed) == of) { /* else of a former configuration */
            const uint64_t value = atomic_load_explicit(&its->numbers[number], memory_order_relaxed);
            sum = number != RC_LINK_NUMBER_LAG_MS ? sum + value : value > sum ? value : sum;
        }
    }
    return sum;
}

bool rc_link_row_shown(const struct rc_config_backend *backend, const struct rc_report *const *reports, size_t count,
                       uint32_t row)
{
    uint64_t any = row != RC_LINK_ROW_DIAL;
    for (uint32_t number = 0; any == 0 && number < RC_LINK_NUMBERS; number++) {
        any = rc_link_rows_number(backend, reports, count, row, (enum rc_link_number)number);
    }
    return rc_link_row_url(backend, row) != NULL && any != 0;
}

void rc_link_rows_render(struct rc_exposition *to, const struct rc_config *config,
                         const struct rc_report *const *reports, size_t count)
{
    const struct rc_config_backend *backend = rc_link_rows_backend(config);
    char label[LABEL_BYTES];
    for (uint32_t number = 0; backend != NULL && number < RC_LINK_NUMBERS; number++) {
        const char *name = families[number].name;
        rc_exposition_family(to, name, families[number].help, number < RC_LINK_NUMBER_COUNTERS ? "gauge" : "counter");
        for (uint32_t row = 0; row < RC_LINK_ROWS; row++) {
            if (!rc_link_row_shown(backend, reports, count, row)) {
                continue;
            }
            const uint64_t value = rc_link_rows_number(backend, reports, count, row, (enum rc_link_number)number);
            rc_exposition_series(to, name, "backend=\"%s\",url=\"%s\"", backend->name.text,
                                 rc_exposition_label(label, sizeof(label), rc_link_row_url(backend, row)));
            if (number == RC_LINK_NUMBER_LAG_MS) {
                rc_exposition_put(to, "%.3f\n", (double)value / 1000);
            } else {
                rc_exposition_put(to, "%" PRIu64 "\n", value);
            }
        }
    }
}
