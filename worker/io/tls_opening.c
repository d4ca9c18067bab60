/* tls_opening: see tls_opening.h. */
#include "worker/io/tls_opening.h"

#include <stddef.h>
#include <string.h>

#include "worker/io/io_internal.h"
#include "worker/store/receiving.h"
#include "worker/store/taking.h"

#define OPENING_PLACE 1u /* of rc_truth_opening.state */

bool rc_io_tls_opening_begin(struct rc_truth *truth, const struct rc_tls *tls, const struct rc_tls_conn *conn,
                             uint32_t index, uint32_t of_unread, uint32_t from)
{
    struct rc_truth_opening *opening = &truth->layout->opening;
    const struct rc_truth_tls *left = rc_io_tls_left(truth, index);
    uint32_t bytes;
    if (left == NULL || opening->socket != 0) {
        return false;
    }
    opening->state = 0;
    opening->part = left->part;
    opening->of_unread = of_unread;
    opening->places[0] = (struct rc_truth_opening_place){.sequence = rc_tls_read_to(tls, conn, &bytes), .from = from};
    RC_STORE_ORDER();
    opening->socket = index + 1;
    RC_STORE_ORDER();
    return true;
}

void rc_io_tls_opening_at(struct rc_truth *truth, const struct rc_tls *tls, const struct rc_tls_conn *conn,
                          uint32_t total, bool says)
{
    struct rc_truth_opening *opening = &truth->layout->opening;
    const uint32_t place = opening->state & OPENING_PLACE;
    uint32_t bytes;
    opening->places[place ^ 1].sequence = rc_tls_read_to(tls, conn, &bytes);
    opening->places[place ^ 1].from = total - bytes;
    if (says) {
        rc_taking_begin(truth, opening->socket - 1);
    }
    RC_STORE_ORDER();
    opening->state = says ? place | RC_OPENING_HANDED : place ^ 1;
    RC_STORE_ORDER();
}

void rc_io_tls_opening_handled(struct rc_truth *truth)
{
    struct rc_truth_opening *opening = &truth->layout->opening;
    RC_STORE_ORDER();
    opening->state = (opening->state & OPENING_PLACE) ^ 1;
    RC_STORE_ORDER();
    rc_receiving_over(truth); /* what is to be known of it stands in the socket's input */
    rc_taking_over(truth);
}

void rc_io_tls_opening_end(struct rc_truth *truth)
{
    RC_STORE_ORDER();
    truth->layout->opening.socket = 0;
    RC_STORE_ORDER();
}

/* --- of a killed process ----------------------------------------------------------------------------------------------- */

uint32_t rc_io_tls_opening_of(const struct rc_truth *truth)
{
    const uint32_t index = truth->layout->opening.socket - 1;
    const struct rc_truth_tls *left = index < truth->socket_count ? rc_io_tls_left(truth, index) : NULL;
    return left == NULL || left->changing || left->generation != truth->sockets[index].generation ? RC_SOCKET_NONE
                                                                                                  : index;
}

bool rc_io_tls_opening_was_handed(const struct rc_truth *truth)
{
    return (truth->layout->opening.state & RC_OPENING_HANDED) != 0;
}

static const struct rc_truth_opening_place *opening_place(const struct rc_truth *truth, bool behind)
{
    const struct rc_truth_opening *opening = &truth->layout->opening;
    return &opening->places[(opening->state & OPENING_PLACE) ^ (behind ? 1 : 0)];
}

void rc_io_tls_opening_back(struct rc_truth *truth, bool behind)
{
    const uint64_t sequence = opening_place(truth, behind)->sequence;
    memcpy(rc_io_tls_left(truth, truth->layout->opening.socket - 1)->keys + offsetof(struct rc_tls_keys, in.sequence),
           &sequence, sizeof(sequence));
}

int rc_io_tls_opening_keep(struct rc_truth *truth, bool behind, const uint8_t *bytes, uint32_t count)
{
    const struct rc_truth_opening *opening = &truth->layout->opening;
    struct rc_truth_tls *left = rc_io_tls_left(truth, opening->socket - 1);
    const struct rc_truth_block *part = rc_io_tls_left_bytes(truth, left->part);
    const uint32_t from = opening_place(truth, behind)->from;
    const bool over = left->part != opening->part; /* all is read, and what there is of the next record is `part` */
    const bool kept = opening->of_unread != 0 ? left->unread != opening->of_unread : bytes == NULL;
    if (opening->of_unread != 0) {
        bytes = rc_io_tls_left_bytes(truth, left->unread)->bytes;
        count = rc_io_tls_left_bytes(truth, left->unread)->count;
    }
    const uint32_t of_part = from < part->count ? part->count - from : 0;
    const uint32_t passed = from - (part->count - of_part);
    const uint32_t rest = passed < count ? count - passed : 0;
    int rc = 0;
    if (!kept && !over && of_part + rest > 0) {
        rc = rc_io_tls_left_put(truth, &left->unread, part->bytes + part->count - of_part, of_part,
                                bytes + count - rest, rest);
    } else if (!kept && opening->of_unread != 0) {
        rc_heap_give(&truth->heap, &left->unread);
    }
    if (rc == 0 && !over && left->part != 0) {
        RC_STORE_ORDER();
        rc_heap_give(&truth->heap, &left->part); /* it is among the unread ones */
    }
    return rc;
}
