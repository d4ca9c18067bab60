/* tally: what of links is counted by the address of the application (common/metrics/link_rows). See links.h. */
#include "common/base/check.h"
#include "common/metrics/link_rows.h"
#include "worker/link/links.h"

static struct rc_link_row *row_at(const struct rc_links *links, uint32_t row)
{
    return row == 0 ? NULL : &links->control->own->link_rows[row - 1];
}

uint32_t rc_link_row(const struct rc_links *links, const struct rc_link *link)
{
    if (link == NULL || link->table != links->table) {
        return 0; /* of a former configuration: the rows are of this one's addresses */
    }
    return 1 + (link->target == RC_LINK_NO_TARGET ? RC_LINK_ROW_DIAL : link->table->targets[link->target].url);
}

void rc_link_count_row(const struct rc_links *links, uint32_t row, enum rc_link_number number, uint64_t n)
{
    struct rc_link_row *its = row_at(links, row);
    if (its != NULL) {
        _Atomic uint64_t *value = &its->numbers[number];
        atomic_store_explicit(value, atomic_load_explicit(value, memory_order_relaxed) + n, memory_order_relaxed);
    }
}

void rc_link_count(const struct rc_links *links, const struct rc_link *link, enum rc_link_number number, uint64_t n)
{
    rc_link_count_row(links, rc_link_row(links, link), number, n);
}

void rc_links_rows_adopt(struct rc_links *links)
{
    const struct rc_config_backend *config = links->table == NULL ? NULL : &links->table->config;
    for (uint32_t i = 0; i < RC_LINK_ROWS; i++) {
        struct rc_link_row *row = row_at(links, i + 1);
        const bool used = config != NULL && (i == RC_LINK_ROW_DIAL || i < config->url_count);
        const uint64_t of =
            used ? rc_link_row_of(config->name.text, i == RC_LINK_ROW_DIAL ? NULL : config->urls[i].text) : 0;
        if (atomic_load_explicit(&row->of, memory_order_relaxed) == of) {
            continue; /* a predecessor's, too: it goes on counting */
        }
        for (uint32_t number = 0; number < RC_LINK_NUMBERS; number++) {
            atomic_store_explicit(&row->numbers[number], 0, memory_order_relaxed);
        }
        atomic_store_explicit(&row->of, of, memory_order_relaxed);
        for (uint32_t line = 0; line < RC_LINK_LINES; line++) {
            links->lines[line].row = links->lines[line].row == i + 1 ? 0 : links->lines[line].row;
        }
    }
}

/* Of lines: also of those whose process is not linked now. */
static void unhanded_add(const struct rc_links *links, uint64_t sums[RC_LINK_ROWS + 1][RC_LINK_NUMBER_COUNTERS])
{
    const struct rc_truth *truth = links->clients->truth;
    for (uint32_t i = 1; i < truth->link_lines.high; i++) {
        const struct rc_link_line *line = rc_truth_link_line(truth, i);
        const struct rc_link_line_own *own = &links->lines[i];
        uint64_t *to = sums[own->row];
        if (line->process[0] != '\0') {
            to[RC_LINK_NUMBER_UNHANDED] += line->kept.count;
            to[RC_LINK_NUMBER_UNHANDED_BYTES] += line->kept.bytes;
            to[RC_LINK_NUMBER_LAG_MS] =
                own->lag_ms > to[RC_LINK_NUMBER_LAG_MS] ? own->lag_ms : to[RC_LINK_NUMBER_LAG_MS];
        }
    }
}

void rc_links_rows_gauge(const struct rc_links *links)
{
    uint64_t sums[RC_LINK_ROWS + 1][RC_LINK_NUMBER_COUNTERS] = {0}; /* the first: of no row */
    for (uint32_t i = 0, left = links->ready; i < RC_LINKS_MAX && left > 0; i++) {
        const struct rc_link *link = &links->links[i];
        if (link->state == RC_LINK_IS_READY) {
            uint64_t *to = sums[rc_link_row(links, link)];
            to[RC_LINK_NUMBER_LINKS]++;
            to[RC_LINK_NUMBER_CONNECTIONS] += link->conns;
            to[RC_LINK_NUMBER_WAITING] += link->waiting.count;
            left--;
        }
    }
    unhanded_add(links, sums);
    for (uint32_t row = 1; row <= RC_LINK_ROWS; row++) {
        struct rc_link_row *its = row_at(links, row);
        for (uint32_t number = 0; number < RC_LINK_NUMBER_COUNTERS; number++) {
            atomic_store_explicit(&its->numbers[number], sums[row][number], memory_order_relaxed);
        }
    }
}
