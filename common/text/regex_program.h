/*
 * regex_program: what rc_regex_compile makes and rc_regex_match runs: instructions, and behind them the sets of characters.
 *
 *   struct rc_regex_program │ struct rc_regex_code[code_count] │ uint32_t[set_words]: struct rc_regex_set, …
 *
 * Ways between instructions are relative, so that code can be moved and repeated. No pointers: it may lie anywhere, aligned to 4.
 */
#ifndef RC_COMMON_TEXT_REGEX_PROGRAM_H
#define RC_COMMON_TEXT_REGEX_PROGRAM_H

#include <stdint.h>

#define RC_REGEX_LOOK_DEPTH_MAX 4u /* lookaheads in each other */

enum rc_regex_op {
    RC_REGEX_CHAR,  /* `value` */
    RC_REGEX_SET,   /* one of those in the set at word `value` */
    RC_REGEX_SPLIT, /* both the next and `to` */
    RC_REGEX_JUMP,  /* `to` */
    RC_REGEX_BEGIN,
    RC_REGEX_END,
    RC_REGEX_WORD, /* \b; value 1: \B */
    RC_REGEX_LOOK, /* what follows, up to its MATCH, must match from here; value 1: must not. Then `to` */
    RC_REGEX_MATCH,
};

struct rc_regex_code {
    uint32_t op; /* enum rc_regex_op */
    int32_t to;  /* relative to this one */
    uint32_t value;
};

struct rc_regex_range {
    uint32_t first;
    uint32_t last;
};

struct rc_regex_set {
    uint32_t ascii[4]; /* bits: members below 128 */
    uint32_t range_count;
    struct rc_regex_range ranges[]; /* in order, without overlaps */
};

struct rc_regex_program {
    uint32_t code_count;
    uint32_t set_words;
    struct rc_regex_code code[];
};

#endif
