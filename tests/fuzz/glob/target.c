/* A pattern (up to the first line feed) and a text: what the stars stood for lies in the text, in order, and the same every time. */
#include <string.h>

#include "common/base/check.h"
#include "common/text/glob.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
    const uint8_t *line = count == 0 ? NULL : memchr(bytes, '\n', count);
    struct rc_glob_match match;
    struct rc_glob_match again;
    if (line == NULL || (size_t)(line - bytes) > 255 || count > 2048) {
        return 0;
    }
    const struct rc_span pattern = rc_span_of(bytes, (size_t)(line - bytes));
    const struct rc_span text = rc_span_of(line + 1, count - pattern.count - 1);
    const uint32_t stars = rc_glob_stars(pattern);
    if (!rc_glob_match(pattern, text, &match)) {
        RC_ASSERT(!rc_glob_match(pattern, text, &again));
        return 0;
    }
    RC_ASSERT(match.count == (stars < RC_GLOB_STARS_MAX ? stars : RC_GLOB_STARS_MAX));
    const uint8_t *at = text.bytes;
    for (uint32_t i = 0; i < match.count; i++) {
        RC_ASSERT(match.stars[i].bytes >= at && match.stars[i].bytes + match.stars[i].count <= text.bytes + text.count);
        at = match.stars[i].bytes + match.stars[i].count;
    }
    RC_ASSERT(stars > 0 || text.count <= pattern.count);
    return 0;
}
