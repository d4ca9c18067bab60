/*
 * regex: regular expressions of ECMA-262 (with the flag `u`) whose time is bounded, as the keyword `pattern` of JSON Schema wants them.
 *
 * A pattern is compiled once to a program without pointers that may lie in memory which processes share at different addresses. All ways
 * through it are followed at once (Thompson, "Regular Expression Search Algorithm", 1968), so that no pattern and no text makes it go
 * back: at most code_count steps for each character, times the length once more for each lookahead in it. Steps are counted, and the
 * caller says how many there may be. Backtracking engines have no such bound: PCRE2's match_limit begins anew at every starting position,
 * and a step of it may be as long as the text.
 *
 * There are: characters, ".", classes, \d \w \s \D \W \S, \b \B, ^ $, groups (capturing ones, named or not, are plain), alternatives,
 * greedy and lazy quantifiers, (?= ) and (?! ), \t \n \v \f \r \0 \cX \xHH \uHHHH \u{H}, escaped punctuation. Refused with what to do
 * instead: back references, lookbehind and \p{…}.
 *
 * Matching allocates nothing, compiling only for its own time. Any process may call.
 */
#ifndef RC_COMMON_TEXT_REGEX_H
#define RC_COMMON_TEXT_REGEX_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/span.h"
#include "common/text/json_chars.h"

#define RC_REGEX_PATTERN_MAX 1024u /* bytes of a pattern */
#define RC_REGEX_CODE_MAX 1024u    /* instructions: repetitions with a number are as many copies */

struct rc_regex_error {
    size_t at;        /* byte of the pattern */
    const char *what; /* static */
};

/* Writes the program of a pattern (UTF-8) to `out`, which is aligned to 4, and its size to *bytes (a multiple of 4). 0; -EINVAL with
 * what is wrong in `error`; -ENOBUFS more than `capacity`; -ENOMEM. */
int rc_regex_compile(struct rc_span pattern, void *out, size_t capacity, size_t *bytes, struct rc_regex_error *error);

/* Is it found somewhere in the text? 1, 0; -EOVERFLOW when *steps, which go down, were used up. */
int rc_regex_match(const void *program, struct rc_json_chars text, int64_t *steps);

#endif
