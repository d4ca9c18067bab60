/* regex: a program followed through a text; see regex.h. */
#include "common/text/regex.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "common/text/regex_program.h"

/* Where in the text. */
struct place {
    struct rc_json_chars chars; /* what comes */
    bool first;
    bool word_before;
};

/* Ways at one place, about 6 KiB. An instruction is entered once a place, so that each list has room for all. */
struct ways {
    uint64_t seen[RC_REGEX_CODE_MAX / 64];
    uint16_t entered[RC_REGEX_CODE_MAX]; /* from the character before */
    uint16_t open[RC_REGEX_CODE_MAX];    /* to be followed */
    uint16_t taking[RC_REGEX_CODE_MAX];  /* that take the next character */
    uint32_t entered_count;
    uint32_t open_count;
    uint32_t taking_count;
};

static bool is_word(uint32_t point)
{
    return (point >= 'a' && point <= 'z') || (point >= 'A' && point <= 'Z') || (point >= '0' && point <= '9') ||
           point == '_';
}

static bool set_has(const struct rc_regex_program *program, uint32_t word, uint32_t point)
{
    const uint32_t *const words = (const uint32_t *)(const void *)(program->code + program->code_count);
    const struct rc_regex_set *const set = (const struct rc_regex_set *)(const void *)(words + word);
    uint32_t low = 0;
    uint32_t high = set->range_count;
    if (point < 128) {
        return (set->ascii[point / 32] >> (point % 32) & 1) != 0;
    }
    while (low < high) {
        const uint32_t middle = (low + high) / 2;
        if (point < set->ranges[middle].first) {
            high = middle;
        } else if (point > set->ranges[middle].last) {
            low = middle + 1;
        } else {
            return true;
        }
    }
    return false;
}

static void way_open(struct ways *ways, uint32_t pc)
{
    if ((ways->seen[pc / 64] >> (pc % 64) & 1) == 0) {
        ways->seen[pc / 64] |= UINT64_C(1) << (pc % 64);
        ways->open[ways->open_count++] = (uint16_t)pc;
    }
}

static bool at_word_edge(const struct place *place)
{
    struct rc_json_chars after = place->chars;
    uint32_t point;
    return place->word_before != (rc_json_chars_next(&after, &point) && is_word(point));
}

static int follow_from(const struct rc_regex_program *program, uint32_t entry, struct place place, bool anchored,
                       int64_t *steps);

/* Does the instruction, which takes no character, let through at this place? 1, 0, or -EOVERFLOW. */
static int place_passes(const struct rc_regex_program *program, uint32_t pc, const struct place *place, int64_t *steps)
{
    const struct rc_regex_code *const code = &program->code[pc];
    if (code->op == RC_REGEX_BEGIN) {
        return place->first;
    }
    if (code->op == RC_REGEX_END) {
        return place->chars.at == place->chars.end;
    }
    if (code->op == RC_REGEX_WORD) {
        return at_word_edge(place) != (code->value != 0);
    }
    const int found = follow_from(program, pc + 1, *place, true, steps); /* in each other: RC_REGEX_LOOK_DEPTH_MAX */
    return found < 0 ? found : (found == 1) != (code->value != 0);
}

/* Follows what is open up to what takes a character. 1: it matches. */
static int ways_follow(const struct rc_regex_program *program, struct ways *ways, const struct place *place,
                       int64_t *steps)
{
    while (ways->open_count > 0) {
        const uint32_t pc = ways->open[--ways->open_count];
        const struct rc_regex_code *const code = &program->code[pc];
        int rc = 1;
        if (--*steps < 0) {
            return -EOVERFLOW;
        }
        switch ((enum rc_regex_op)code->op) {
        case RC_REGEX_CHAR:
        case RC_REGEX_SET:
            ways->taking[ways->taking_count++] = (uint16_t)pc;
            break;
        case RC_REGEX_SPLIT:
            way_open(ways, pc + 1);
            way_open(ways, (uint32_t)((int32_t)pc + code->to));
            break;
        case RC_REGEX_JUMP:
            way_open(ways, (uint32_t)((int32_t)pc + code->to));
            break;
        case RC_REGEX_BEGIN:
        case RC_REGEX_END:
        case RC_REGEX_WORD:
        case RC_REGEX_LOOK:
            rc = place_passes(program, pc, place, steps);
            if (rc < 0) {
                return rc;
            }
            if (rc == 1) {
                way_open(ways, (uint32_t)((int32_t)pc + (code->op == RC_REGEX_LOOK ? code->to : 1)));
            }
            break;
        case RC_REGEX_MATCH:
            return 1;
        }
    }
    return 0;
}

/* `anchored`: from this place on, not somewhere behind it. */
static int follow_from(const struct rc_regex_program *program, uint32_t entry, struct place place, bool anchored,
                       int64_t *steps)
{
    struct ways ways;
    ways.entered_count = 0;
    for (bool begun = false;; begun = true) {
        memset(ways.seen, 0, (program->code_count + 63) / 64 * sizeof(ways.seen[0]));
        ways.open_count = 0;
        ways.taking_count = 0;
        for (uint32_t i = 0; i < ways.entered_count; i++) {
            way_open(&ways, ways.entered[i]);
        }
        if (!begun || !anchored) {
            way_open(&ways, entry);
        }
        const int rc = ways_follow(program, &ways, &place, steps);
        uint32_t point;
        if (rc != 0) {
            return rc;
        }
        if ((anchored && ways.taking_count == 0) || !rc_json_chars_next(&place.chars, &point)) {
            return 0;
        }
        ways.entered_count = 0;
        for (uint32_t i = 0; i < ways.taking_count; i++) {
            const struct rc_regex_code *const code = &program->code[ways.taking[i]];
            if (code->op == RC_REGEX_CHAR ? code->value == point : set_has(program, code->value, point)) {
                ways.entered[ways.entered_count++] = (uint16_t)(ways.taking[i] + 1);
            }
        }
        place.first = false;
        place.word_before = is_word(point);
    }
}

int rc_regex_match(const void *program, struct rc_json_chars text, int64_t *steps)
{
    return follow_from(program, 0, (struct place){.chars = text, .first = true}, false, steps);
}
