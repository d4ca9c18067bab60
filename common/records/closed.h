/*
 * closed: a client that has ended, as it lies in its worker's report (common/shm/layout.h): the last ones are remembered, and outlive the
 * worker. For `ringcast clients --closed`, GET /api/clients?closed=true and `ringcast postmortem`.
 *
 * Comes out of another process's memory when it is read: texts are ended by the reader.
 */
#ifndef RC_COMMON_RECORDS_CLOSED_H
#define RC_COMMON_RECORDS_CLOSED_H

#include <stdint.h>

#include "common/base/flight.h"
#include "common/records/envelope.h"

#define RC_CLOSED_USER_MAX 96u

/* No close frame was sent or came: what RFC 6455 7.1.5 calls 1006. */
#define RC_CLOSED_LOST 1006u

enum rc_closed_by {
    RC_CLOSED_BY_NOBODY, /* the connection broke */
    RC_CLOSED_BY_CLIENT,
    RC_CLOSED_BY_SERVER,
};

struct rc_closed {
    int64_t wall_ms; /* when; CLOCK_REALTIME */
    uint64_t age_ms; /* how long it was connected */
    uint64_t sent_bytes;
    uint64_t received_bytes;
    struct rc_client_ref client;
    uint16_t code; /* of the close frame, or RC_CLOSED_LOST */
    uint8_t by;    /* enum rc_closed_by */
    uint8_t reserved;
    uint32_t channels; /* that it was in */
    char address[48];  /* NUL-terminated, as all texts */
    char protocol[24];
    char user[RC_CLOSED_USER_MAX]; /* cut; "" = nobody in particular */
};
_Static_assert(sizeof(struct rc_closed) <= RC_FLIGHT_BYTES, "a record of the ring");

#endif
