/*
 * link_rows: what is counted of each address of the application whose clients this broker holds (docs/link.md), for /metrics and `ringcast
 * status`: families whose label is `url`, of which there are as many as [[backend]] has, and one for all processes that dial.
 *
 * Any process may call; nothing fails.
 */
#ifndef RC_COMMON_METRICS_LINK_ROWS_H
#define RC_COMMON_METRICS_LINK_ROWS_H

#include <stddef.h>
#include <stdint.h>

#include "common/metrics/exposition.h"
#include "common/shm/layout.h"

#define RC_LINK_ROW_DIAL_URL "dial" /* the label of those that dial */

enum rc_link_number {
    RC_LINK_NUMBER_LINKS, /* gauges */
    RC_LINK_NUMBER_CONNECTIONS,
    RC_LINK_NUMBER_WAITING,
    RC_LINK_NUMBER_UNHANDED,
    RC_LINK_NUMBER_UNHANDED_BYTES,
    RC_LINK_NUMBER_LAG_MS,
    RC_LINK_NUMBER_FRAMES_IN, /* counters, from here on */
    RC_LINK_NUMBER_FRAMES_OUT,
    RC_LINK_NUMBER_OPENED,
    RC_LINK_NUMBER_CONTINUED,
    RC_LINK_NUMBER_LEFT,
    RC_LINK_NUMBER_RESUMED,
    RC_LINK_NUMBER_LOST,
    RC_LINK_NUMBER_LINKS_LOST,
    RC_LINK_NUMBER_BROKEN,
    RC_LINK_NUMBERS,
};
_Static_assert(RC_LINK_NUMBERS <= RC_LINK_ROW_NUMBERS, "a row has room for them");
#define RC_LINK_NUMBER_COUNTERS RC_LINK_NUMBER_FRAMES_IN

/* Their names in `ringcast status --json`. */
extern const char *const rc_link_number_names[RC_LINK_NUMBERS];

/* What rc_link_row.of says of a row of this backend; `url` NULL: of those that dial. Never 0. */
uint64_t rc_link_row_of(const char *backend, const char *url);
/* The [[backend]] of `config` whose processes are linked; NULL: none is. */
const struct rc_config_backend *rc_link_rows_backend(const struct rc_config *config);
/* What stands in the label; NULL: the backend has no such row. */
const char *rc_link_row_url(const struct rc_config_backend *backend, uint32_t row);
/* The sum over `count` processes; of the lag the worst. */
uint64_t rc_link_rows_number(const struct rc_config_backend *backend, const struct rc_report *const *reports,
                             size_t count, uint32_t row, enum rc_link_number number);
/* Has anything been counted in it? The one of those that dial is not shown before. */
bool rc_link_row_shown(const struct rc_config_backend *backend, const struct rc_report *const *reports, size_t count,
                       uint32_t row);
/* All rows; nothing without a linked backend. */
void rc_link_rows_render(struct rc_exposition *to, const struct rc_config *config,
                         const struct rc_report *const *reports, size_t count);

#endif
