/* truth_check_channels: channels, their groups and logs, and what waits for them. Private to truth_check.c; see there. */
#ifndef RC_WORKER_STORE_TRUTH_CHECK_CHANNELS_H
#define RC_WORKER_STORE_TRUTH_CHECK_CHANNELS_H

#include "worker/store/truth_found.h"

/* Finds channels with all that hangs on them. */
int rc_truth_check_channels(struct rc_truth_found *found);
/* Once all subscriptions were found: do channels and groups count as many? */
int rc_truth_check_counts(const struct rc_truth_found *found);
/* A log, of the group or (`direct`) the client of that number, that was found just now. */
int rc_truth_check_log(struct rc_truth_found *found, uint32_t log, bool direct, uint32_t number);

#endif
