/* regex_build: a pattern read and written down as a program; see regex.h. */
#include "common/text/regex.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/text/regex_program.h"

#define GROUPS_MAX 32u  /* in each other */
#define RANGES_MAX 512u /* of one class */
#define SET_WORDS_MAX 4096u
#define REPEAT_MAX 1000u
#define POINT_MAX 0x10ffffu
#define UNBOUNDED UINT32_MAX

/* While a pattern is read; about 40 KiB. */
struct build {
    const uint8_t *begin; /* borrowed, as the next two: the pattern */
    const uint8_t *at;
    const uint8_t *end;
    uint32_t code_count;
    struct rc_regex_code code[RC_REGEX_CODE_MAX];
    struct rc_regex_code copy[RC_REGEX_CODE_MAX]; /* of what is repeated */
    uint32_t set_words;
    uint32_t sets[SET_WORDS_MAX];
    uint32_t range_count; /* of the class that is read */
    struct rc_regex_range ranges[RANGES_MAX];
    uint32_t groups; /* open */
    uint32_t looks;  /* open */
    struct rc_regex_error *error;
};

static int pattern_refuse(struct build *build, const char *what)
{
    build->error->at = (size_t)(build->at - build->begin);
    build->error->what = what;
    return -EINVAL;
}

/* --- characters and sets --------------------------------------------------------------------------------------------- */

/* ECMA-262, CharacterClassEscape: \s is WhiteSpace and LineTerminator. */
static const struct rc_regex_range digits[] = {{'0', '9'}};
static const struct rc_regex_range words[] = {{'0', '9'}, {'A', 'Z'}, {'_', '_'}, {'a', 'z'}};
static const struct rc_regex_range spaces[] = {{9, 13},          {32, 32},         {0xa0, 0xa0},     {0x1680, 0x1680},
                                               {0x2000, 0x200a}, {0x2028, 0x2029}, {0x202f, 0x202f}, {0x205f, 0x205f},
                                               {0x3000, 0x3000}, {0xfeff, 0xfeff}};
static const struct rc_regex_range line_ends[] = {{'\n', '\n'}, {'\r', '\r'}, {0x2028, 0x2029}};

static int range_add(struct build *build, uint32_t first, uint32_t last)
{
    if (build->range_count == RANGES_MAX) {
        return pattern_refuse(build, "a class with too many characters");
    }
    build->ranges[build->range_count++] = (struct rc_regex_range){first, last};
    return 0;
}

/* `inverse`: all but these, which are in order. */
static int ranges_add(struct build *build, const struct rc_regex_range *ranges, size_t count, bool inverse)
{
    uint32_t from = 0;
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < count; i++) {
        if (!inverse) {
            rc = range_add(build, ranges[i].first, ranges[i].last);
        } else if (ranges[i].first > from) {
            rc = range_add(build, from, ranges[i].first - 1);
        }
        from = ranges[i].last + 1;
    }
    return rc == 0 && inverse && from <= POINT_MAX ? range_add(build, from, POINT_MAX) : rc;
}

static bool class_letter(uint8_t letter, const struct rc_regex_range **ranges, size_t *count)
{
    switch (letter | 0x20) {
    case 'd':
        *ranges = digits;
        *count = RC_ARRAY_COUNT(digits);
        return true;
    case 'w':
        *ranges = words;
        *count = RC_ARRAY_COUNT(words);
        return true;
    case 's':
        *ranges = spaces;
        *count = RC_ARRAY_COUNT(spaces);
        return true;
    default:
        return false;
    }
}

/* \d, \D, … at the letter: true when it is one of them. */
static bool class_escape(struct build *build, int *rc)
{
    const struct rc_regex_range *ranges = NULL;
    size_t count = 0;
    if (!class_letter(*build->at, &ranges, &count)) {
        return false;
    }
    *rc = ranges_add(build, ranges, count, (*build->at & 0x20) == 0);
    build->at++;
    return true;
}

static int ranges_order(const void *a, const void *b)
{
    const uint32_t left = ((const struct rc_regex_range *)a)->first;
    const uint32_t right = ((const struct rc_regex_range *)b)->first;
    return left < right ? -1 : left > right;
}

/* In order, without overlaps. */
static void ranges_join(struct build *build)
{
    uint32_t count = 0;
    qsort(build->ranges, build->range_count, sizeof(build->ranges[0]), ranges_order);
    for (uint32_t i = 0; i < build->range_count; i++) {
        struct rc_regex_range *const last = count > 0 ? &build->ranges[count - 1] : NULL;
        if (last != NULL && build->ranges[i].first <= last->last + 1) {
            last->last = last->last > build->ranges[i].last ? last->last : build->ranges[i].last;
        } else {
            build->ranges[count++] = build->ranges[i];
        }
    }
    build->range_count = count;
}

static int code_add(struct build *build, enum rc_regex_op op, int32_t to, uint32_t value)
{
    if (build->code_count == RC_REGEX_CODE_MAX) {
        return pattern_refuse(build,
                              "the pattern is too large: numbers of repetitions are as many copies, keep them small "
                              "or use maxLength");
    }
    build->code[build->code_count++] = (struct rc_regex_code){.op = op, .to = to, .value = value};
    return 0;
}

/* The class that was read, or all but it, becomes an instruction. */
static int set_add(struct build *build, bool inverse)
{
    struct rc_regex_range others[RANGES_MAX];
    ranges_join(build);
    if (inverse) {
        const uint32_t count = build->range_count;
        memcpy(others, build->ranges, count * sizeof(others[0]));
        build->range_count = 0;
        const int rc = ranges_add(build, others, count, true);
        if (rc != 0) {
            return rc;
        }
    }
    const uint32_t need = (uint32_t)(sizeof(struct rc_regex_set) / 4) + build->range_count * 2;
    if (need > SET_WORDS_MAX - build->set_words) {
        return pattern_refuse(build, "too many classes of characters");
    }
    struct rc_regex_set *const set = (struct rc_regex_set *)(void *)(build->sets + build->set_words);
    memset(set, 0, sizeof(*set));
    set->range_count = build->range_count;
    memcpy(set->ranges, build->ranges, build->range_count * sizeof(build->ranges[0]));
    for (uint32_t i = 0; i < build->range_count; i++) {
        for (uint32_t point = set->ranges[i].first; point <= set->ranges[i].last && point < 128; point++) {
            set->ascii[point / 32] |= 1u << (point % 32);
        }
    }
    const int rc = code_add(build, RC_REGEX_SET, 0, build->set_words);
    build->set_words += need;
    return rc;
}

/* --- escapes --------------------------------------------------------------------------------------------------------- */

static bool byte_is_next(const struct build *build, char byte)
{
    return build->at < build->end && *build->at == (uint8_t)byte;
}

static bool text_is_next(const struct build *build, const char *text)
{
    return rc_span_starts_with(rc_span_of(build->at, (size_t)(build->end - build->at)), rc_span_text(text));
}

static int hex_digit(uint8_t byte)
{
    if (byte >= '0' && byte <= '9') {
        return byte - '0';
    }
    return (byte | 0x20) >= 'a' && (byte | 0x20) <= 'f' ? (byte | 0x20) - 'a' + 10 : -1;
}

/* Hexadecimal digits, exactly `least` to `most` of them. */
static int hex_read(struct build *build, unsigned least, unsigned most, uint32_t *value)
{
    unsigned count = 0;
    *value = 0;
    while (count < most && build->at < build->end && hex_digit(*build->at) >= 0) {
        *value = *value * 16 + (uint32_t)hex_digit(*build->at);
        build->at++;
        count++;
    }
    return count >= least && *value <= POINT_MAX
               ? 0
               : pattern_refuse(build, "expected hexadecimal digits: \\xHH, \\uHHHH, \\u{H}");
}

/* Behind \u. */
static int unicode_read(struct build *build, uint32_t *point)
{
    uint32_t low;
    if (byte_is_next(build, '{')) {
        build->at++;
        const int rc = hex_read(build, 1, 6, point);
        if (rc != 0 || !byte_is_next(build, '}')) {
            return rc != 0 ? rc : pattern_refuse(build, "expected \"}\" behind \\u{");
        }
        build->at++;
        return 0;
    }
    int rc = hex_read(build, 4, 4, point);
    if (rc != 0 || *point < 0xd800 || *point > 0xdbff || !text_is_next(build, "\\u")) {
        return rc;
    }
    const uint8_t *const behind = build->at;
    build->at += 2;
    rc = hex_read(build, 4, 4, &low);
    if (rc == 0 && low >= 0xdc00 && low <= 0xdfff) {
        *point = 0x10000 + ((*point - 0xd800) << 10) + (low - 0xdc00);
        return 0;
    }
    build->at = behind;
    return 0;
}

/* Behind the backslash: one character. */
static int escape_read(struct build *build, bool in_class, uint32_t *point)
{
    static const char letters[] = "tnvfr";
    static const char meant[] = "\t\n\v\f\r";
    if (build->at == build->end) {
        return pattern_refuse(build, "a backslash at the end");
    }
    const uint8_t letter = *build->at;
    const char *const found = letter != 0 ? strchr(letters, letter) : NULL;
    if (found != NULL) {
        *point = (uint8_t)meant[found - letters];
    } else if (letter == 'b' && in_class) {
        *point = '\b';
    } else if (letter == '0' && !(build->at + 1 < build->end && build->at[1] >= '0' && build->at[1] <= '9')) {
        *point = 0;
    } else if (letter == 'x' || letter == 'u') {
        build->at++;
        return letter == 'x' ? hex_read(build, 2, 2, point) : unicode_read(build, point);
    } else if (letter == 'c' && build->at + 1 < build->end && (build->at[1] | 0x20) >= 'a' &&
               (build->at[1] | 0x20) <= 'z') {
        build->at++;
        *point = *build->at & 0x1f;
    } else if (letter == 'p' || letter == 'P') {
        return pattern_refuse(build, "\\p{…} is not supported: write the characters as a class, as in [a-zA-ZÀ-ÿ]");
    } else if ((letter >= '0' && letter <= '9') || letter == 'k') {
        return pattern_refuse(build, "references to groups are not supported: they cannot be matched in bounded time");
    } else if (letter <= ' ' || letter >= 0x7f || ((letter | 0x20) >= 'a' && (letter | 0x20) <= 'z')) {
        return pattern_refuse(build, "unknown escape");
    } else {
        *point = letter;
    }
    build->at++;
    return 0;
}

static int char_read(struct build *build, uint32_t *point)
{
    const size_t bytes = rc_utf8_char(build->at, (size_t)(build->end - build->at), point);
    if (bytes == 0) {
        return pattern_refuse(build, "not UTF-8");
    }
    build->at += bytes;
    return 0;
}

/* --- classes --------------------------------------------------------------------------------------------------------- */

/* One character of a class, or a whole class in it (*single false), which is added. */
static int class_item(struct build *build, uint32_t *point, bool *single)
{
    int rc = 0;
    *single = true;
    if (!byte_is_next(build, '\\')) {
        return char_read(build, point);
    }
    build->at++;
    if (build->at < build->end && class_escape(build, &rc)) {
        *single = false;
        return rc;
    }
    return escape_read(build, true, point);
}

/* Behind "[". */
static int class_read(struct build *build)
{
    const bool inverse = byte_is_next(build, '^');
    int rc = 0;
    build->at += inverse;
    build->range_count = 0;
    while (rc == 0 && build->at < build->end && *build->at != ']') {
        uint32_t first = 0;
        uint32_t last = 0;
        bool single;
        bool single_too = true;
        rc = class_item(build, &first, &single);
        last = first;
        if (rc == 0 && byte_is_next(build, '-') && build->at + 1 < build->end && build->at[1] != ']') {
            build->at++;
            rc = class_item(build, &last, &single_too);
            if (rc == 0 && (!single || !single_too || first > last)) {
                rc = pattern_refuse(build,
                                    "a range in a class goes from one character up to another; a hyphen is \"\\-\"");
            }
        }
        if (rc == 0 && single) {
            rc = range_add(build, first, last);
        }
    }
    if (rc == 0 && build->at == build->end) {
        rc = pattern_refuse(build, "\"[\" without \"]\"");
    }
    if (rc != 0) {
        return rc;
    }
    build->at++;
    return set_add(build, inverse);
}

/* --- structure ------------------------------------------------------------------------------------------------------- */

static int alternatives_read(struct build *build);

/* Puts an instruction before those from `start` on. */
static int code_insert(struct build *build, uint32_t start, enum rc_regex_op op, int32_t to)
{
    const int rc = code_add(build, RC_REGEX_JUMP, 0, 0);
    if (rc != 0) {
        return rc;
    }
    memmove(build->code + start + 1, build->code + start, (build->code_count - 1 - start) * sizeof(build->code[0]));
    build->code[start] = (struct rc_regex_code){.op = op, .to = to};
    return 0;
}

/* Behind "(?<": a name and ">". */
static int group_name_pass(struct build *build)
{
    if (byte_is_next(build, '=') || byte_is_next(build, '!')) {
        return pattern_refuse(build, "lookbehind is not supported");
    }
    while (build->at < build->end && *build->at != '>') {
        if (hex_digit(*build->at) < 0 && (*build->at < 0x80) && *build->at != '_' && *build->at != '$' &&
            !((*build->at | 0x20) >= 'a' && (*build->at | 0x20) <= 'z')) {
            break;
        }
        build->at++;
    }
    if (!byte_is_next(build, '>')) {
        return pattern_refuse(build, "expected a group's name and \">\" behind \"(?<\"");
    }
    build->at++;
    return 0;
}

static int group_end(struct build *build)
{
    if (!byte_is_next(build, ')')) {
        return pattern_refuse(build, "\"(\" without \")\"");
    }
    build->at++;
    build->groups--;
    return 0;
}

/* Behind "(?=" or "(?!". */
static int look_read(struct build *build, bool negated)
{
    const uint32_t start = build->code_count;
    if (build->looks == RC_REGEX_LOOK_DEPTH_MAX) {
        return pattern_refuse(build, "too many lookaheads in each other");
    }
    build->looks++;
    int rc = code_add(build, RC_REGEX_LOOK, 0, negated);
    if (rc == 0) {
        rc = alternatives_read(build);
    }
    if (rc == 0) {
        rc = code_add(build, RC_REGEX_MATCH, 0, 0);
    }
    build->looks--;
    if (rc != 0) {
        return rc;
    }
    build->code[start].to = (int32_t)(build->code_count - start);
    return group_end(build);
}

/* Behind "(". *repeats: a quantifier may follow. */
static int group_read(struct build *build, bool *repeats)
{
    int rc = 0;
    if (++build->groups > GROUPS_MAX) {
        return pattern_refuse(build, "too many groups in each other");
    }
    if (text_is_next(build, "?=") || text_is_next(build, "?!")) {
        build->at += 2;
        *repeats = false;
        return look_read(build, build->at[-1] == '!');
    }
    if (text_is_next(build, "?:")) {
        build->at += 2;
    } else if (text_is_next(build, "?<")) {
        build->at += 2;
        rc = group_name_pass(build);
    } else if (byte_is_next(build, '?')) {
        rc = pattern_refuse(build, "there are (…), (?:…), (?<name>…), (?=…) and (?!…)");
    }
    if (rc == 0) {
        rc = alternatives_read(build); /* in each other: GROUPS_MAX */
    }
    return rc == 0 ? group_end(build) : rc;
}

/* What a quantifier may follow, and assertions (*repeats false). */
static int atom_read(struct build *build, bool *repeats)
{
    uint32_t point = 0;
    int rc = 0;
    const uint8_t byte = *build->at;
    *repeats = true;
    build->range_count = 0;
    switch (byte) {
    case '^':
    case '$':
        build->at++;
        *repeats = false;
        return code_add(build, byte == '^' ? RC_REGEX_BEGIN : RC_REGEX_END, 0, 0);
    case '.':
        build->at++;
        rc = ranges_add(build, line_ends, RC_ARRAY_COUNT(line_ends), true);
        return rc == 0 ? set_add(build, false) : rc;
    case '[':
        build->at++;
        return class_read(build);
    case '(':
        build->at++;
        return group_read(build, repeats);
    case '*':
    case '+':
    case '?':
        return pattern_refuse(build, "nothing to repeat");
    case '{':
    case '}':
    case ']':
        return pattern_refuse(build, "\"{\", \"}\" and \"]\" are written \"\\{\", \"\\}\" and \"\\]\"");
    case '\\':
        build->at++;
        if (byte_is_next(build, 'b') || byte_is_next(build, 'B')) {
            *repeats = false;
            build->at++;
            return code_add(build, RC_REGEX_WORD, 0, build->at[-1] == 'B');
        }
        if (build->at < build->end && class_escape(build, &rc)) {
            return rc == 0 ? set_add(build, false) : rc;
        }
        rc = escape_read(build, false, &point);
        break;
    default:
        rc = char_read(build, &point);
        break;
    }
    return rc == 0 ? code_add(build, RC_REGEX_CHAR, 0, point) : rc;
}

static int number_read(struct build *build, uint32_t *number)
{
    const uint8_t *const begin = build->at;
    *number = 0;
    while (build->at < build->end && *build->at >= '0' && *build->at <= '9' && *number <= REPEAT_MAX) {
        *number = *number * 10 + (uint32_t)(*build->at++ - '0');
    }
    return build->at > begin && *number <= REPEAT_MAX
               ? 0
               : pattern_refuse(build, "expected {N}, {N,} or {N,M} of at most 1000");
}

/* *there: a quantifier was read. */
static int quantifier_read(struct build *build, uint32_t *least, uint32_t *most, bool *there)
{
    int rc = 0;
    *there = true;
    *least = byte_is_next(build, '+') ? 1 : 0;
    *most = byte_is_next(build, '?') ? 1 : UNBOUNDED;
    if (byte_is_next(build, '*') || byte_is_next(build, '+') || byte_is_next(build, '?')) {
        build->at++;
    } else if (byte_is_next(build, '{')) {
        build->at++;
        rc = number_read(build, least);
        *most = *least;
        if (rc == 0 && byte_is_next(build, ',')) {
            build->at++;
            *most = UNBOUNDED;
            rc = byte_is_next(build, '}') ? 0 : number_read(build, most);
        }
        if (rc == 0 && (!byte_is_next(build, '}') || *most < *least)) {
            rc = pattern_refuse(build, "expected {N}, {N,} or {N,M}, M not below N");
        }
        build->at += rc == 0;
    } else {
        *there = false;
        return 0;
    }
    if (rc == 0 && byte_is_next(build, '?')) { /* lazy: as what is found does not matter, all the same */
        build->at++;
    }
    return rc;
}

static int copy_add(struct build *build, uint32_t count)
{
    int rc = 0;
    for (uint32_t i = 0; rc == 0 && i < count; i++) {
        rc = code_add(build, build->copy[i].op, build->copy[i].to, build->copy[i].value);
    }
    return rc;
}

/* What was read from `start` on, so often. */
static int code_repeat(struct build *build, uint32_t start, uint32_t least, uint32_t most)
{
    const uint32_t count = build->code_count - start;
    int rc = 0;
    memcpy(build->copy, build->code + start, count * sizeof(build->copy[0]));
    build->code_count = start;
    for (uint32_t i = 0; rc == 0 && i < least; i++) {
        rc = copy_add(build, count);
    }
    if (rc == 0 && most == UNBOUNDED) {
        rc = code_add(build, RC_REGEX_SPLIT, (int32_t)count + 2, 0);
        if (rc == 0) {
            rc = copy_add(build, count);
        }
        return rc == 0 ? code_add(build, RC_REGEX_JUMP, -(int32_t)(count + 1), 0) : rc;
    }
    for (uint32_t i = least; rc == 0 && i < most; i++) {
        rc = code_add(build, RC_REGEX_SPLIT, (int32_t)((count + 1) * (most - i)), 0);
        if (rc == 0) {
            rc = copy_add(build, count);
        }
    }
    return rc;
}

static int sequence_read(struct build *build)
{
    int rc = 0;
    while (rc == 0 && build->at < build->end && *build->at != '|' && *build->at != ')') {
        const uint32_t start = build->code_count;
        uint32_t least = 1;
        uint32_t most = 1;
        bool repeats = false;
        bool there = false;
        rc = atom_read(build, &repeats);
        if (rc == 0 && repeats) {
            rc = quantifier_read(build, &least, &most, &there);
        }
        if (rc == 0 && there) {
            rc = code_repeat(build, start, least, most);
        }
    }
    return rc;
}

/* Up to the end or a ")". */
static int alternatives_read(struct build *build)
{
    uint32_t start = build->code_count;
    uint32_t jump = UINT32_MAX; /* the last one behind an alternative; its `value` is the one before */
    int rc = sequence_read(build);
    while (rc == 0 && byte_is_next(build, '|')) {
        build->at++;
        rc = code_insert(build, start, RC_REGEX_SPLIT, (int32_t)(build->code_count - start) + 2);
        if (rc == 0) {
            rc = code_add(build, RC_REGEX_JUMP, 0, jump);
        }
        if (rc == 0) {
            jump = build->code_count - 1;
            start = build->code_count;
            rc = sequence_read(build);
        }
    }
    while (rc == 0 && jump != UINT32_MAX) {
        struct rc_regex_code *const code = &build->code[jump];
        code->to = (int32_t)(build->code_count - jump);
        jump = code->value;
        code->value = 0;
    }
    return rc;
}

int rc_regex_compile(struct rc_span pattern, void *out, size_t capacity, size_t *bytes, struct rc_regex_error *error)
{
    static const uint8_t nothing[1];
    struct build *const build = calloc(1, sizeof(*build));
    if (build == NULL) {
        return -ENOMEM;
    }
    *error = (struct rc_regex_error){.what = "no pattern"};
    build->error = error;
    build->begin = pattern.count > 0 ? pattern.bytes : nothing;
    build->at = build->begin;
    build->end = build->begin + pattern.count;
    int rc =
        pattern.count > RC_REGEX_PATTERN_MAX ? pattern_refuse(build, "more than 1024 bytes") : alternatives_read(build);
    if (rc == 0 && build->at < build->end) {
        rc = pattern_refuse(build, "\")\" without \"(\"");
    }
    if (rc == 0) {
        rc = code_add(build, RC_REGEX_MATCH, 0, 0);
    }
    const size_t code_bytes = build->code_count * sizeof(build->code[0]);
    *bytes = sizeof(struct rc_regex_program) + code_bytes + build->set_words * sizeof(build->sets[0]);
    if (rc == 0 && *bytes > capacity) {
        rc = -ENOBUFS;
    }
    if (rc == 0) {
        struct rc_regex_program *const program = out;
        program->code_count = build->code_count;
        program->set_words = build->set_words;
        memcpy(program->code, build->code, code_bytes);
        memcpy((uint8_t *)out + sizeof(*program) + code_bytes, build->sets, build->set_words * sizeof(build->sets[0]));
    }
    free(build);
    return rc;
}
