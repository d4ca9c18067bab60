/* truth_check_links: the part of truth_check that looks at what is kept for an application behind links (linked.h). See truth_check.h. */
#ifndef RC_WORKER_STORE_TRUTH_CHECK_LINKS_H
#define RC_WORKER_STORE_TRUTH_CHECK_LINKS_H

#include "worker/store/truth_found.h"

/* Lines, bonds, members and their blocks. Behind the clients. */
int rc_truth_check_links(struct rc_truth_found *found);
/* Of a killed worker: counts and places are made anew, and what no client has any more goes. Behind the clients. */
void rc_truth_repair_links(struct rc_truth *truth);

#endif
