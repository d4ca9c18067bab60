/* regex: syntax, what is found, what is refused, and that time is bounded. Expected answers are those of ECMA-262 with the flag u. */
#include "common/text/regex.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"

static uint32_t program[16384];

static int compile(const char *pattern, struct rc_regex_error *error)
{
    size_t bytes = 0;
    return rc_regex_compile(rc_span_text(pattern), program, sizeof(program), &bytes, error);
}

/* `text` as within a JSON string. */
static int found_in(const char *text, int64_t *steps)
{
    const uint8_t *const bytes = (const uint8_t *)text;
    return rc_regex_match(program, (struct rc_json_chars){.at = bytes, .end = bytes + strlen(text)}, steps);
}

static const struct {
    const char *pattern;
    const char *text; /* within a JSON string: escapes */
    int found;
} cases[] = {
    {"", "", 1},
    {"", "x", 1},
    {"abc", "xabcx", 1},
    {"abc", "xabx", 0},
    {"^abc$", "abc", 1},
    {"^abc$", "abcd", 0},
    {"^abc$", "abc\\n", 0}, /* not at a line's end */
    {"^b", "a\\nb", 0},
    {"a|b|c", "c", 1},
    {"^(a|b|c)$", "b", 1},
    {"^(a|b|c)$", "bb", 0},
    {"^(?:a|)b$", "b", 1},
    {"^a||b$", "zzz", 1},
    {"^a*$", "", 1},
    {"^a*$", "aaaa", 1},
    {"^a*$", "aaab", 0},
    {"^a+?$", "", 0},
    {"^a?b$", "b", 1},
    {"^a?b$", "aab", 0},
    {"^a{2}$", "aa", 1},
    {"^a{2}$", "aaa", 0},
    {"^a{2,}$", "aaaaa", 1},
    {"^a{2,}$", "a", 0},
    {"^a{2,3}$", "aaa", 1},
    {"^a{2,3}$", "aaaa", 0},
    {"^a{0}$", "", 1},
    {"^(ab){1,2}c$", "ababc", 1},
    {"^(ab){1,2}c$", "abababc", 0},
    {"^(a*)*$", "aaa", 1},
    {"^(a*)*b$", "aaa", 0},
    {"^(?:a|ab)(?:c|bcd)$", "abcd", 1},
    {"^.$", "\\u00e9", 1},
    {"^.$", "é", 1},
    {"^.$", "😀", 1},
    {"^.$", "\\ud83d\\ude00", 1},
    {"^.$", "\\ud83d", 1},
    {"^.$", "\\n", 0},
    {"^.$", "\\u2028", 0},
    {"^[abc]$", "b", 1},
    {"^[^abc]$", "b", 0},
    {"^[^abc]$", "\\n", 1},
    {"^[a-cx-z]+$", "abcxyz", 1},
    {"^[a-cx-z]+$", "d", 0},
    {"^[-a]$", "-", 1},
    {"^[a-]$", "-", 1},
    {"^[a\\-z]$", "-", 1},
    {"^[a\\-z]$", "b", 0},
    {"^[]$", "", 0},
    {"^[]$", "a", 0},
    {"^[^]$", "\\n", 1},
    {"^[.]$", "a", 0},
    {"^[[]$", "[", 1},
    {"^[\\]]$", "]", 1},
    {"^[\\s\\S]$", "\\n", 1},
    {"^[\\d_]+$", "12_", 1},
    {"^[^\\d]$", "5", 0},
    {"^[\\W]$", "-", 1},
    {"^[\\b]$", "\\b", 1},
    {"^[α-ω]+$", "λόγ", 0}, /* ό is beyond ω */
    {"^[α-ώ]+$", "λόγος", 1},
    {"^\\d\\D$", "5a", 1},
    {"^\\d$", "٣", 0},
    {"^\\w+$", "aZ_9", 1},
    {"^\\w$", "é", 0},
    {"^\\W$", "é", 1},
    {"^\\s$", "\\t", 1},
    {"^\\s$", "\\u00a0", 1},
    {"^\\s$", "\\ufeff", 1},
    {"^\\S$", "\\u3000", 0},
    {"\\bcat\\b", "a cat!", 1},
    {"\\bcat\\b", "concat", 0},
    {"^\\Bx", "x", 0},
    {"a\\B", "ab", 1},
    {"^\\t\\n\\v\\f\\r\\0$", "\\t\\n\\u000b\\f\\r\\u0000", 1},
    {"^\\x41\\u0042\\u{43}\\u{1F600}$", "ABC😀", 1},
    {"^\\ud83d\\ude00$", "😀", 1},
    {"^\\cA$", "\\u0001", 1},
    {"^\\.\\/\\@\\-$", "./@-", 1},
    {"^(?=.*\\d)(?=.*[a-z]).{4,}$", "abc1", 1},
    {"^(?=.*\\d)(?=.*[a-z]).{4,}$", "abcd", 0},
    {"^(?!admin$)\\w+$", "admin", 0},
    {"^(?!admin$)\\w+$", "admins", 1},
    {"a(?=b(?!c))", "abd", 1},
    {"a(?=b(?!c))", "abc", 0},
    {"^(?<year>\\d{4})-(?<month>\\d\\d)$", "2026-11", 1},
    {"x$|^y", "yz", 1},
};

Test(regex, finds_what_ecmascript_does)
{
    struct rc_regex_error error;
    for (size_t i = 0; i < RC_ARRAY_COUNT(cases); i++) {
        int64_t steps = 100000;
        cr_assert_eq(compile(cases[i].pattern, &error), 0, "%s: %s", cases[i].pattern, error.what);
        cr_expect_eq(found_in(cases[i].text, &steps), cases[i].found, "%s in %s", cases[i].pattern, cases[i].text);
    }
}

Test(regex, refuses_what_it_does_not_have_and_says_where)
{
    static const struct {
        const char *pattern;
        size_t at;
        const char *word;
    } bad[] = {
        {"a)", 1, "without \"(\""},
        {"(a", 2, "without \")\""},
        {"[a", 2, "without \"]\""},
        {"*a", 0, "nothing to repeat"},
        {"a**", 2, "nothing to repeat"},
        {"a++", 2, "nothing to repeat"},
        {"^*", 1, "nothing to repeat"},
        {"(?=a)*", 5, "nothing to repeat"},
        {"a{2", 3, "expected {N}"},
        {"a{3,2}", 5, "expected {N}"},
        {"a{,2}", 2, "expected {N}"},
        {"a{1001}", 6, "expected {N}"},
        {"{", 0, "are written"},
        {"}", 0, "are written"},
        {"]", 0, "are written"},
        {"[z-a]", 4, "range"},
        {"[\\d-z]", 5, "range"},
        {"(a)\\1", 4, "references"},
        {"\\k<a>", 1, "references"},
        {"(?<=a)b", 3, "lookbehind"},
        {"(?<!a)b", 3, "lookbehind"},
        {"(?i)a", 1, "there are"},
        {"(?>a)", 1, "there are"},
        {"(?<a", 4, "name"},
        {"\\p{L}", 1, "\\p{"},
        {"\\q", 1, "unknown escape"},
        {"\\A", 1, "unknown escape"},
        {"\\", 1, "backslash"},
        {"\\u12", 4, "hexadecimal"},
        {"\\u{110000}", 9, "hexadecimal"},
        {"\\xg0", 2, "hexadecimal"},
        {"\\c1", 1, "unknown escape"},
        {"\xff", 0, "UTF-8"},
        {"(a{1000}){2}", 12, "too large"},
        {"(?=(?=(?=(?=(?=a)))))", 15, "lookaheads"},
    };
    for (size_t i = 0; i < RC_ARRAY_COUNT(bad); i++) {
        struct rc_regex_error error = {0};
        cr_expect_eq(compile(bad[i].pattern, &error), -EINVAL, "%s", bad[i].pattern);
        cr_expect_eq(error.at, bad[i].at, "%s: at %zu", bad[i].pattern, error.at);
        cr_expect_not_null(strstr(error.what, bad[i].word), "%s: %s", bad[i].pattern, error.what);
    }
}

Test(regex, sizes_are_bounded)
{
    struct rc_regex_error error = {0};
    char *const text = malloc(4096);
    cr_assert_not_null(text);
    memset(text, 'a', RC_REGEX_PATTERN_MAX + 1);
    text[RC_REGEX_PATTERN_MAX + 1] = '\0';
    cr_expect_eq(compile(text, &error), -EINVAL);
    memset(text, '(', 40);
    memset(text + 40, ')', 40);
    text[80] = '\0';
    cr_expect_eq(compile(text, &error), -EINVAL);
    size_t bytes = 0;
    cr_expect_eq(rc_regex_compile(RC_SPAN("abc"), program, 16, &bytes, &error), -ENOBUFS);
    cr_expect_eq(rc_regex_compile(RC_SPAN("abc"), program, bytes, &bytes, &error), 0);
    free(text);
}

/* What takes backtracking engines exponential or quadratic time is linear here: the steps say so. */
Test(regex, time_is_linear_in_the_text)
{
    static const char *const patterns[] = {"^(a+)+$", "^(a|aa)+$", "(.*)*x", "[a-z]*[a-z]*[a-z]*[0-9]", "^(.*?,){11}P"};
    struct rc_regex_error error;
    char *const text = malloc(20001);
    cr_assert_not_null(text);
    memset(text, 'a', 20000);
    text[19999] = '!';
    text[20000] = '\0';
    for (size_t i = 0; i < RC_ARRAY_COUNT(patterns); i++) {
        int64_t steps = 20000 * 40;
        cr_assert_eq(compile(patterns[i], &error), 0);
        cr_expect_eq(found_in(text, &steps), 0, "%s", patterns[i]);
    }
    free(text);
}

Test(regex, used_up_steps_are_told)
{
    struct rc_regex_error error;
    int64_t steps = 20;
    cr_assert_eq(compile("(a|b)*c", &error), 0);
    cr_expect_eq(found_in("abababababababababab", &steps), -EOVERFLOW);
    steps = 20;
    cr_assert_eq(compile("(?=(a|b)*c)", &error), 0);
    cr_expect_eq(found_in("abababababababababab", &steps), -EOVERFLOW);
}

Test(regex, a_program_may_lie_anywhere)
{
    struct rc_regex_error error;
    size_t bytes = 0;
    int64_t steps = 1000;
    cr_assert_eq(rc_regex_compile(RC_SPAN("^[a-fα-ω]{2}$"), program, sizeof(program), &bytes, &error), 0);
    uint32_t *const moved = malloc(bytes);
    cr_assert_not_null(moved);
    memcpy(moved, program, bytes);
    memset(program, 0xff, sizeof(program));
    const struct rc_span text = RC_SPAN("aλ");
    const struct rc_json_chars chars = {.at = text.bytes, .end = text.bytes + text.count};
    cr_expect_eq(rc_regex_match(moved, chars, &steps), 1);
    free(moved);
}
