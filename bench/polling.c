/* polling: see polling.h. */
#include "bench/polling.h"

#include "bench/conn.h"
#include "bench/engineio.h"
#include "bench/receive.h"

#include "common/base/check.h"

#include <errno.h>
#include <stdlib.h>

struct rc_bench_polling {
    char (*sids)[RC_BENCH_SID_MAX]; /* [slots], owned */
    uint8_t body[RC_BENCH_POLL_BODY_MAX];
    size_t body_bytes; /* 0 except while an answer is taken */
};

int rc_bench_polling_start(struct rc_bench_client *client)
{
    bool polls = false;
    for (unsigned role = 0; role < RC_BENCH_ROLE_COUNT; role++) {
        polls = polls || client->protocol->framing[role] == RC_BENCH_FRAMING_POLLING;
    }
    if (!polls) {
        return 0;
    }
    struct rc_bench_polling *const polling = calloc(1, sizeof(*polling));
    if (polling != NULL) {
        polling->sids = calloc(client->slots, sizeof(*polling->sids));
    }
    if (polling == NULL || polling->sids == NULL) {
        free(polling);
        rc_bench_client_note(client, "no memory for the sessions of %u connections", client->slots);
        return -ENOMEM;
    }
    client->polling = polling;
    return 0;
}

void rc_bench_polling_stop(struct rc_bench_client *client)
{
    if (client->polling != NULL) {
        free(client->polling->sids);
        free(client->polling);
        client->polling = NULL;
    }
}

static char *sid_of(const struct rc_bench_client *client, uint32_t slot)
{
    return client->polling->sids[slot < client->slots ? slot : slot - client->slots];
}

const char *rc_bench_polling_sid(const struct rc_bench_client *client, uint32_t slot)
{
    return sid_of(client, slot);
}

/* Sends the POST of what is to be said, or the next GET. */
static void request_send(struct rc_bench_client *client, uint32_t slot)
{
    struct rc_bench_conn *const conn = &client->conns[slot];
    struct rc_bench_polling *const polling = client->polling;
    char text[RC_BENCH_POLL_REQUEST_MAX];
    const size_t bytes = rc_bench_engineio_request(text, sizeof(text), rc_bench_conn_host(client, slot),
                                                   client->protocol->paths[conn->role], sid_of(client, slot),
                                                   rc_span_of(polling->body, polling->body_bytes));
    RC_ASSERT(bytes > 0);
    conn->posting = polling->body_bytes > 0;
    polling->body_bytes = 0;
    rc_bench_conn_send_plain(client, slot, rc_span_of(text, bytes));
}

void rc_bench_polling_begin(struct rc_bench_client *client, uint32_t slot)
{
    sid_of(client, slot)[0] = '\0';
    request_send(client, slot);
}

void rc_bench_polling_say(struct rc_bench_client *client, uint32_t slot, struct rc_span packet)
{
    struct rc_bench_polling *const polling = client->polling;
    if (!rc_bench_engineio_append(polling->body, &polling->body_bytes, sizeof(polling->body), packet)) {
        rc_bench_client_note(client, "the server makes a client say more than fits into a POST");
        rc_bench_conn_ended(client, slot);
    }
}

/* Judges the packets of an answer to a GET. False when the connection is gone. */
static bool take_payload(struct rc_bench_client *client, uint32_t slot, struct rc_span payload, uint64_t now_ns)
{
    const uint16_t generation = client->conns[slot].generation;
    char *const sid = sid_of(client, slot);
    struct rc_span packet;
    while (rc_bench_engineio_packet(&payload, &packet)) {
        if (sid[0] == '\0') {
            if (!rc_bench_engineio_sid(packet, sid)) {
                rc_bench_client_note(client, "the server opened no session: %.*s",
                                     (int)(packet.count < 100 ? packet.count : 100), (const char *)packet.bytes);
                rc_bench_conn_ended(client, slot);
                return false;
            }
            rc_bench_count(&client->tally->opened, rc_bench_is_opener(client, slot) ? 0 : 1);
        }
        rc_bench_receive_message(client, slot, packet, now_ns);
        if (client->conns[slot].generation != generation) {
            return false;
        }
    }
    return true;
}

int rc_bench_polling_take(struct rc_bench_client *client, uint32_t slot, const uint8_t *bytes, uint32_t count,
                          uint64_t now_ns)
{
    const struct rc_bench_conn *const conn = &client->conns[slot];
    struct rc_bench_poll_answer answer;
    const int whole = rc_bench_engineio_answer(bytes, count, &answer);
    if (whole == 0) {
        return 0;
    }
    const bool refused = whole < 0 || (conn->posting && !rc_span_equal(answer.body, RC_SPAN("ok")));
    if (refused) {
        rc_bench_count(&client->tally->refused, 1);
        rc_bench_client_note(client, "the server answered a %s with: %.*s", conn->posting ? "POST" : "GET",
                             (int)(count < 180 ? count : 180), (const char *)bytes);
        rc_bench_conn_ended(client, slot);
        return -EPROTO;
    }
    client->polling->body_bytes = 0;
    if (!conn->posting && !take_payload(client, slot, answer.body, now_ns)) {
        client->polling->body_bytes = 0;
        return -ECONNRESET;
    }
    if (conn->last_poll && client->polling->body_bytes == 0) {
        rc_bench_receive_upgraded(client, slot - client->slots);
        return -ECONNRESET;
    }
    request_send(client, slot);
    return whole;
}

void rc_bench_polling_probed(struct rc_bench_client *client, uint32_t slot)
{
    /* A request of its always waits, so that there is an answer after which it goes on. */
    client->conns[rc_bench_opener_of(client, slot)].last_poll = true;
}
