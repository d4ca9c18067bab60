/*
 * interest: what the token of a registration (RC_UP_INTEREST_ADD) says besides whose it is; its acknowledgement carries it back.
 */
#ifndef RC_COMMON_RECORDS_INTEREST_H
#define RC_COMMON_RECORDS_INTEREST_H

#include "common/records/envelope.h"

/* Of a channel whose history all instances share: the copy that this host has is to reach back as far as the stream does, and its namespace has it
 * (relay/cluster/shared_refill.h), before it is acknowledged; or it is known that it cannot. A relay that has no such history acknowledges at once. */
#define RC_INTEREST_FULL (UINT64_C(1) << 62)
#define RC_INTEREST_BITS (RC_INTEREST_RETAINED | RC_INTEREST_FULL)

#endif
