/*
 * survey: who is connected to this worker, or which of its channels are hot: found out a step in each pass of the loop.
 *
 * Part of the API (api.h), owned by it. A survey looks at some thousands of clients or channels in a pass and writes some tens of them
 * into its reply, so that a worker with 100,000 clients goes on with messages in between. Bounded: RC_API_SURVEYS_MAX at a time, beyond
 * which who asks is told RC_REPLY_BUSY; a reply holds what fits one record.
 */
#ifndef RC_WORKER_API_SURVEY_H
#define RC_WORKER_API_SURVEY_H

#include <stdbool.h>

#include "common/base/span.h"

struct rc_api;
struct rc_call_head;
struct rc_envelope_view;

/* Another worker's call, or this one's: answered when all has been looked at. */
void rc_survey_begin(struct rc_api *api, const struct rc_envelope_view *view, const struct rc_call_head *head,
                     struct rc_span user, struct rc_span text);
/* A step of the oldest one; true while there is more to do. */
bool rc_survey_work(struct rc_api *api);
void rc_surveys_free(struct rc_api *api);

#endif
