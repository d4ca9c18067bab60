/*
 * identity: what [[identity]] tables mean, beyond single keys.
 *
 * Any process may call; the configuration is only read, but by rc_config_identity_finish.
 */
#ifndef RC_COMMON_CONFIG_IDENTITY_H
#define RC_COMMON_CONFIG_IDENTITY_H

#include <stdbool.h>

#include "common/base/err.h"
#include "common/config/values.h"

struct rc_span; /* C++ reads this file, too */

/* Which values its templates may have, as bits by enum rc_event_source. */
uint32_t rc_config_identity_sources(enum rc_identity_kind kind);
/* The `user` of a table that has none; NULL: it is the credential itself, or comes with the answer. */
const char *rc_config_identity_user(enum rc_identity_kind kind);

/* Where an entry of `from` leads: AUTH, QUERY, HEADER or COOKIE, and the name there. */
enum rc_event_source rc_config_credential(const struct rc_config_text *from, struct rc_span *name);
/* Is a table of that kind? */
bool rc_config_identity_any(const struct rc_config *config, enum rc_identity_kind kind);
/* May its credential come later than the handshake: is it looked for in what the client says when it connects? */
bool rc_config_identity_said_later(const struct rc_config_identity *identity);

/* By which the table `row` (from 1) is known wherever a reload puts it: its name or, without one, its kind and `from`. 0: there is no such
 * table, and 0 alone then. */
uint16_t rc_config_identity_mark(const struct rc_config *config, uint32_t row);
/* The first table with that mark, from 1; 0: none has it any more. */
uint32_t rc_config_identity_marked(const struct rc_config *config, uint16_t mark);

/* Do the templates of as many tables say the same? */
bool rc_config_identities_equal(const struct rc_config *a, const struct rc_config *b);

/* What must hold across keys, and config->handshake_names: all that is named of a request. -EINVAL with the remedy in `err`. */
int rc_config_identity_finish(struct rc_config *config, struct rc_err *err);

#endif
