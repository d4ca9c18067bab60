/*
 * glob: patterns of channels as Redis has them (PSUBSCRIBE), and what their stars stood for.
 *
 *   *  any bytes    ?  one byte    [abc] [a-z] [^a]  one of these, none of these    \x  x itself
 *
 * Of several ways to match, stars take as little as they can, from the left. Pure; any process may call. Takes at most as many steps as
 * pattern times text has bytes.
 */
#ifndef RC_COMMON_TEXT_GLOB_H
#define RC_COMMON_TEXT_GLOB_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/span.h"

#define RC_GLOB_STARS_MAX 16u /* of which it is told; further ones match all the same */

struct rc_glob_match {
    uint32_t count;                          /* stars of the pattern, RC_GLOB_STARS_MAX at most */
    struct rc_span stars[RC_GLOB_STARS_MAX]; /* in the text */
};

bool rc_glob_match(struct rc_span pattern, struct rc_span text, struct rc_glob_match *match);

/* How many stars a pattern has, whatever it is matched with. */
uint32_t rc_glob_stars(struct rc_span pattern);

#endif
