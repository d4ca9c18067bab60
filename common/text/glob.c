/* glob: see glob.h. */
#include "common/text/glob.h"

/* One byte that has to match: takes it off the pattern; `c`: the byte, or -1: it is only passed over. */
static bool glob_byte(struct rc_span pattern, size_t *at, int c)
{
    const uint8_t *const p = pattern.bytes;
    size_t i = *at;
    if (p[i] != '[') {
        const bool any = p[i] == '?';
        i += p[i] == '\\' && i + 1 < pattern.count ? 1 : 0;
        *at = i + 1;
        return any || p[i] == c;
    }
    i++;
    const bool inverse = i < pattern.count && p[i] == '^';
    i += inverse ? 1 : 0;
    bool among = false;
    for (; i < pattern.count && p[i] != ']'; i++) {
        if (p[i] == '\\' && i + 1 < pattern.count) {
            i++;
            among |= p[i] == c;
        } else if (i + 2 < pattern.count && p[i + 1] == '-') {
            const uint8_t low = p[i] < p[i + 2] ? p[i] : p[i + 2];
            const uint8_t high = p[i] < p[i + 2] ? p[i + 2] : p[i];
            among |= c >= low && c <= high;
            i += 2;
        } else {
            among |= p[i] == c;
        }
    }
    *at = i < pattern.count ? i + 1 : i; /* one that is not closed ends with the pattern, as in Redis */
    return among != inverse;
}

/* The star that was met last: where the pattern goes on, and what it has taken. */
struct star {
    bool met;
    size_t behind;
    size_t from;
    size_t to;
};

static void star_end(struct rc_glob_match *match, const struct star *star, struct rc_span text)
{
    if (star->met && match->count < RC_GLOB_STARS_MAX) {
        match->stars[match->count++] = rc_span_of(text.bytes + star->from, star->to - star->from);
    }
}

bool rc_glob_match(struct rc_span pattern, struct rc_span text, struct rc_glob_match *match)
{
    struct star star = {.met = false};
    size_t p = 0;
    size_t t = 0;
    match->count = 0;
    for (;;) {
        size_t next = p;
        if (p < pattern.count && pattern.bytes[p] == '*') {
            star_end(match, &star, text);
            star = (struct star){.met = true, .behind = ++p, .from = t, .to = t};
        } else if (p == pattern.count && t == text.count) {
            star_end(match, &star, text);
            return true;
        } else if (p < pattern.count && t < text.count && glob_byte(pattern, &next, text.bytes[t])) {
            p = next;
            t++;
        } else if (star.met && star.to < text.count) { /* it takes one more */
            t = ++star.to;
            p = star.behind;
        } else {
            return false;
        }
    }
}

uint32_t rc_glob_stars(struct rc_span pattern)
{
    uint32_t count = 0;
    for (size_t at = 0; at < pattern.count;) {
        if (pattern.bytes[at] == '*') {
            count++;
            at++;
        } else {
            (void)glob_byte(pattern, &at, -1);
        }
    }
    return count;
}
