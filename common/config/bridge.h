/*
 * bridge: what must hold within a [[bridge]] table, and the fields that its texts may have.
 *
 *   {json.name.name}  the text, number or boolean at that place of the message
 *   {json}            the message itself, as an argument of its own
 *   {match.1}         what the first star of `pattern` stood for
 *
 * Pure; any process may call.
 */
#ifndef RC_COMMON_CONFIG_BRIDGE_H
#define RC_COMMON_CONFIG_BRIDGE_H

#ifdef __cplusplus
extern "C" {
#endif

#include <stdbool.h>
#include <stdint.h>

#include "common/base/err.h"
#include "common/config/values.h"

struct rc_span; /* common/base/span.h, which is not for C++ */

/* One of redis and pattern, and stars for all that is said of them. -EINVAL. */
int rc_config_bridge_check(const struct rc_config_bridge *bridge, struct rc_err *err);

/* No stars: there is no pattern. -EINVAL. */
int rc_config_consumer_check(const struct rc_config_consumer *consumer, struct rc_err *err);

/* Is that a field? (rc_template_known) */
bool rc_config_bridge_field(struct rc_span field);
/* Which star a field {match.N} is about, from 1; 0: it is another field. */
uint32_t rc_config_bridge_star(struct rc_span field);

#ifdef __cplusplus
}
#endif

#endif
