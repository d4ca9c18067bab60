/* truth_repair_lists: the part of truth_repair.h that is links backwards, counts and places among others. */
#ifndef RC_WORKER_STORE_TRUTH_REPAIR_LISTS_H
#define RC_WORKER_STORE_TRUTH_REPAIR_LISTS_H

#include "worker/store/truth.h"

/* -ENOMEM. -EBADMSG: somebody is in a channel that does not count it, which no moment of a worker leaves: nothing was made anew. */
int rc_truth_repair_lists(struct rc_truth *truth);

#endif
