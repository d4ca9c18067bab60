/* api_closed: clients that have ended lately, out of the reports of all workers: nobody has to be asked. See api.h. */
#include "worker/api/api.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/records/closed.h"

static int closed_compare(const void *left, const void *right)
{
    const struct rc_closed *a = left;
    const struct rc_closed *b = right;
    return (a->wall_ms < b->wall_ms) - (a->wall_ms > b->wall_ms); /* the newest first */
}

static bool text_is(const char *text, struct rc_span wanted)
{
    return wanted.count == 0 || rc_span_equal(rc_span_text(text), wanted);
}

/* Those of one worker that fit, behind `count` others; how many there are then. */
static uint32_t closed_of(const struct rc_report *report, struct rc_span user, struct rc_span address,
                          struct rc_closed *all, uint32_t count)
{
    uint8_t record[RC_FLIGHT_BYTES];
    const uint64_t last = rc_flight_last(&report->closed.head);
    for (uint64_t number = last; number > 0 && last - number < RC_FLIGHT_CLOSED; number--) {
        struct rc_closed *closed = &all[count];
        if (!rc_flight_get(report->closed.entries, RC_FLIGHT_CLOSED, number, record)) {
            continue;
        }
        memcpy(closed, record, sizeof(*closed));
        closed->user[sizeof(closed->user) - 1] = closed->address[sizeof(closed->address) - 1] =
            closed->protocol[sizeof(closed->protocol) - 1] = '\0';
        count += text_is(closed->user, user) && text_is(closed->address, address) ? 1u : 0u;
    }
    return count;
}

/* What a process wrote; of another one's memory it may be anything, and cut in the middle of a character. */
static void put_string(struct rc_text *text, const char *string)
{
    struct rc_span span = rc_span_text(string);
    while (span.count > 0 && !rc_json_utf8_valid(span)) {
        span.count--;
    }
    rc_text_put_json(text, span);
}

static void put_closed(struct rc_text *text, const struct rc_control *control, const struct rc_closed *closed)
{
    static const char *const by[] = {"nobody", "client", "server"};
    char id[RC_CLIENT_ID_BYTES_MAX];
    const char *reason = closed->code == RC_CLOSED_LOST ? "connection_lost" : rc_close_reason(closed->code);
    const size_t id_bytes = rc_client_id_write(id, control->instance_id, control->boot_nonce, &closed->client);
    rc_text_put(text, "{\"client\":");
    rc_text_put_json(text, rc_span_of(id, id_bytes));
    rc_text_put(text, ",\"user\":");
    if (closed->user[0] != '\0') {
        put_string(text, closed->user);
    } else {
        rc_text_put(text, "null");
    }
    rc_text_put(text, ",\"address\":");
    put_string(text, closed->address);
    rc_text_put(text, ",\"protocol\":");
    put_string(text, closed->protocol);
    rc_text_put(text,
                ",\"worker\":%u,\"closed_at\":%" PRId64 ",\"age_ms\":%" PRIu64
                ",\"code\":%u,\"reason\":\"%s\",\"by\":\"%s\""
                ",\"channels\":%u,\"sent_bytes\":%" PRIu64 ",\"received_bytes\":%" PRIu64 "}",
                closed->client.worker, closed->wall_ms, closed->age_ms, closed->code, reason != NULL ? reason : "",
                closed->by < RC_ARRAY_COUNT(by) ? by[closed->by] : by[0], closed->channels, closed->sent_bytes,
                closed->received_bytes);
}

int rc_api_closed(struct rc_api_call *call, struct rc_api_fault *fault)
{
    const struct rc_control *control = call->api->clients->control;
    char user_text[RC_CLOSED_USER_MAX];
    char address_text[48];
    struct rc_span user;
    struct rc_span address;
    struct rc_text text = {0};
    uint32_t count = 0;
    if (rc_api_query_text(call, "user", user_text, sizeof(user_text) - 1, &user, fault) < 0 ||
        rc_api_query_text(call, "address", address_text, sizeof(address_text) - 1, &address, fault) < 0) {
        return -EINVAL;
    }
    struct rc_closed *all = malloc(((size_t)control->worker_count * RC_FLIGHT_CLOSED + 1) * sizeof(*all));
    for (uint32_t i = 0; all != NULL && i < control->worker_count; i++) {
        count = closed_of(control->workers[i], user, address, all, count);
    }
    text.failed = all == NULL;
    if (all != NULL) {
        qsort(all, count, sizeof(*all), closed_compare);
    }
    const uint32_t shown = count < call->limit ? count : call->limit;
    rc_text_put(&text, "{\"closed\":[");
    for (uint32_t i = 0; all != NULL && i < shown; i++) {
        rc_text_put(&text, i == 0 ? "" : ",");
        put_closed(&text, control, &all[i]);
    }
    rc_text_put(&text, "],\"next\":null,\"more\":%s}\n", count > shown ? "true" : "false");
    free(all);
    rc_api_finish(call, &text);
    return 0;
}
