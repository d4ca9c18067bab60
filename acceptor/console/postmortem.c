/* postmortem: see postmortem.h. */
#include "acceptor/console/postmortem.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "acceptor/console/print_json.h"
#include "acceptor/watch/last_words.h"
#include "common/records/closed.h"
#include "common/records/envelope.h"
#include "common/text/utf8_char.h"

#define LINES_SHOWN 100u
#define CLOSED_SHOWN 40u

struct line {
    char process[24];
    char text[RC_FLIGHT_BYTES + 1];
};

/* What is collected of all processes. */
struct found {
    struct line *lines;
    uint32_t line_count;
    struct rc_closed *closed;
    uint32_t closed_count;
};

/* Lines begin with their time, which is as long in all of them. */
static int line_compare(const void *left, const void *right)
{
    const struct line *a = left;
    const struct line *b = right;
    return strcmp(a->text, b->text);
}

static int closed_compare(const void *left, const void *right)
{
    const struct rc_closed *a = left;
    const struct rc_closed *b = right;
    return (a->wall_ms > b->wall_ms) - (a->wall_ms < b->wall_ms);
}

/* As it can be shown, in JSON, too: characters of another process's memory, cut at the end of the room. */
static void text_clean(char *text, size_t room)
{
    text[room - 1] = '\0';
    for (size_t at = 0; text[at] != '\0';) {
        uint32_t code = 0;
        const size_t bytes = rc_utf8_char((const uint8_t *)text + at, strlen(text + at), &code);
        if (bytes == 0 || code < 0x20 || (code >= 0x7f && code <= 0x9f)) {
            memset(text + at, '?', bytes == 0 ? 1 : bytes);
        }
        at += bytes == 0 ? 1 : bytes;
    }
}

static void found_take(struct found *found, const struct rc_report *report, const char *name)
{
    uint8_t record[RC_FLIGHT_BYTES];
    uint64_t last = rc_flight_last(&report->lines.head);
    for (uint64_t number = last > RC_FLIGHT_LINES ? last - RC_FLIGHT_LINES + 1 : 1; number <= last; number++) {
        struct line *line = &found->lines[found->line_count];
        (void)snprintf(line->process, sizeof(line->process), "%s", name);
        if (rc_last_words_line(report, number, line->text)) {
            text_clean(line->text, sizeof(line->text));
            found->line_count++;
        }
    }
    last = rc_flight_last(&report->closed.head);
    for (uint64_t number = last > RC_FLIGHT_CLOSED ? last - RC_FLIGHT_CLOSED + 1 : 1; number <= last; number++) {
        if (rc_flight_get(report->closed.entries, RC_FLIGHT_CLOSED, number, record)) {
            struct rc_closed *closed = &found->closed[found->closed_count++];
            memcpy(closed, record, sizeof(*closed));
            text_clean(closed->user, sizeof(closed->user));
            text_clean(closed->address, sizeof(closed->address));
            text_clean(closed->protocol, sizeof(closed->protocol));
        }
    }
}

static void time_print(char text[32], int64_t wall_ms)
{
    const time_t seconds = (time_t)(wall_ms / 1000);
    struct tm parts;
    char date[24];
    if (gmtime_r(&seconds, &parts) == NULL || strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S", &parts) == 0) {
        (void)snprintf(date, sizeof(date), "?");
    }
    (void)snprintf(text, 32, "%.19s.%03dZ", date, (int)(wall_ms >= 0 ? wall_ms % 1000 : 0));
}

static const char *by_name(uint8_t by)
{
    return by == RC_CLOSED_BY_CLIENT ? "client" : by == RC_CLOSED_BY_SERVER ? "server" : "nobody";
}

/* As everybody else calls it. */
static void client_print(char id[RC_CLIENT_ID_MAX + 1], const struct rc_core *core, const struct rc_closed *one)
{
    id[rc_client_id_write(id, core->instance_id, core->boot_nonce, &one->client)] = '\0';
}

static void found_print(FILE *out, const struct rc_core *core, const struct found *found)
{
    const uint32_t lines = found->line_count < LINES_SHOWN ? found->line_count : LINES_SHOWN;
    const uint32_t closed = found->closed_count < CLOSED_SHOWN ? found->closed_count : CLOSED_SHOWN;
    for (uint32_t i = found->line_count - lines; i < found->line_count; i++) {
        (void)fprintf(out, "%s\n", found->lines[i].text);
    }
    (void)fprintf(out, closed > 0 ? "\nthe clients that ended last\n" : "\nno client has ended\n");
    for (uint32_t i = found->closed_count - closed; i < found->closed_count; i++) {
        const struct rc_closed *one = &found->closed[i];
        char text[32];
        char id[RC_CLIENT_ID_MAX + 1];
        time_print(text, one->wall_ms);
        client_print(id, core, one);
        (void)fprintf(out,
                      "%s worker/%u client=%s code=%u by=%s user=\"%s\" address=%s protocol=%s age_ms=%" PRIu64
                      " channels=%u sent_bytes=%" PRIu64 " received_bytes=%" PRIu64 "\n",
                      text, one->client.worker, id, one->code, by_name(one->by), one->user, one->address, one->protocol,
                      one->age_ms, one->channels, one->sent_bytes, one->received_bytes);
    }
}

static void found_dump(FILE *out, const struct rc_core *core, const struct found *found)
{
    json_t *lines = json_array();
    json_t *closed = json_array();
    for (uint32_t i = 0; i < found->line_count; i++) {
        json_array_append_new(
            lines, json_pack("{s:s, s:s}", "process", found->lines[i].process, "line", found->lines[i].text));
    }
    for (uint32_t i = 0; i < found->closed_count; i++) {
        const struct rc_closed *one = &found->closed[i];
        char id[RC_CLIENT_ID_MAX + 1];
        client_print(id, core, one);
        json_array_append_new(closed, json_pack("{s:s, s:I, s:i, s:i, s:s, s:s, s:s, s:s, s:I, s:i}", "client", id,
                                                "closed_at", (json_int_t)one->wall_ms, "worker",
                                                (int)one->client.worker, "code", (int)one->code, "by", by_name(one->by),
                                                "user", one->user, "address", one->address, "protocol", one->protocol,
                                                "age_ms", (json_int_t)one->age_ms, "channels", (int)one->channels));
    }
    json_t *root = json_pack("{s:o, s:o}", "lines", lines, "closed", closed);
    if (!rc_json_print(out, root)) {
        (void)fprintf(out, "{}\n");
    }
    json_decref(root);
}

void rc_postmortem_print(FILE *out, const struct rc_segments *segments, uint32_t worker_count, bool json)
{
    const size_t processes = worker_count + 2u;
    struct found found = {.lines = malloc(processes * RC_FLIGHT_LINES * sizeof(*found.lines)),
                          .closed = malloc(processes * RC_FLIGHT_CLOSED * sizeof(*found.closed))};
    if (found.lines == NULL || found.closed == NULL) {
        (void)fprintf(out, "no memory to collect it\n");
    } else {
        char name[24];
        found_take(&found, segments->acceptor, "acceptor");
        found_take(&found, &segments->relay->report, "relay");
        for (uint32_t i = 0; i < worker_count; i++) {
            (void)snprintf(name, sizeof(name), "worker %u", i);
            found_take(&found, segments->workers[i], name);
        }
        qsort(found.lines, found.line_count, sizeof(*found.lines), line_compare);
        qsort(found.closed, found.closed_count, sizeof(*found.closed), closed_compare);
        (json ? found_dump : found_print)(out, segments->core, &found);
    }
    free(found.lines);
    free(found.closed);
}
