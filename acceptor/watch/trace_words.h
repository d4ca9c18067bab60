/*
 * trace_words: what a caller of the console wants traced, read: "client=ID user=ID channel=NAME event=NAME", each at most once, their values
 * percent-encoded, with spaces between them. Outside bytes: every length is bounded. Any thread.
 */
#ifndef RC_ACCEPTOR_WATCH_TRACE_WORDS_H
#define RC_ACCEPTOR_WATCH_TRACE_WORDS_H

#include <stdint.h>

#include "common/base/err.h"
#include "common/records/traced.h"

/* `*wanted` is zero but for its serial, and undefined after an error. Clients are those of this instance and boot. -EINVAL with `err`. */
int rc_trace_words_read(struct rc_trace_wanted *wanted, const char *instance_id, uint32_t boot_nonce, const char *words,
                        struct rc_err *err);

#endif
