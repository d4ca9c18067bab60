/* Templates: what is a field, what is an error, and what does not fit. */
#include "common/text/template.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/base/check.h"

static bool known(struct rc_span field)
{
    return field.count == 4 && memcmp(field.bytes, "name", 4) == 0;
}

static int value(void *context, struct rc_span field, char *out, size_t room)
{
    const char *const text = context;
    cr_assert(known(field));
    if (text == NULL) {
        return -ENOENT;
    }
    if (strlen(text) > room) {
        return -EMSGSIZE;
    }
    memcpy(out, text, strlen(text));
    return (int)strlen(text);
}

Test(template, fields_are_filled_in_between_the_text)
{
    static const char *const cases[][2] = {
        {"", ""}, {"plain", "plain"}, {"{name}", "BTC"}, {"a:{name}:{name}z", "a:BTC:BTCz"}, {"{name}{name}", "BTCBTC"},
    };
    for (size_t i = 0; i < RC_ARRAY_COUNT(cases); i++) {
        struct rc_template template;
        struct rc_err err;
        char name[] = "BTC";
        char out[32];
        cr_assert_eq(rc_template_compile(&template, cases[i][0], known, &err), 0, "%s", cases[i][0]);
        const int bytes = rc_template_fill(&template, value, name, out, sizeof(out));
        cr_assert_eq(bytes, (int)strlen(cases[i][1]), "%s: %d", cases[i][0], bytes);
        cr_expect_eq(memcmp(out, cases[i][1], (size_t)bytes), 0);
    }
}

Test(template, what_is_no_field_is_an_error)
{
    static const char *const wrong[] = {"{", "{name", "{}", "{nam}", "{names}", "a{other}b", "{{name}}"};
    for (size_t i = 0; i < RC_ARRAY_COUNT(wrong); i++) {
        struct rc_template template;
        struct rc_err err = {""};
        cr_expect_eq(rc_template_compile(&template, wrong[i], known, &err), -EINVAL, "%s", wrong[i]);
        cr_expect_neq(err.text[0], '\0', "%s", wrong[i]);
    }
}

Test(template, parts_are_bounded)
{
    struct rc_template template;
    struct rc_err err;
    char text[RC_TEMPLATE_PARTS_MAX * 7 + 8] = "";
    for (unsigned i = 0; i < RC_TEMPLATE_PARTS_MAX; i++) {
        memcpy(text + 6 * i, "{name}", 7);
    }
    cr_expect_eq(rc_template_compile(&template, text, known, &err), 0);
    cr_expect_eq(template.part_count, RC_TEMPLATE_PARTS_MAX);
    memcpy(text + 6 * RC_TEMPLATE_PARTS_MAX, "x", 2);
    cr_expect_eq(rc_template_compile(&template, text, known, &err), -EINVAL);
}

Test(template, what_does_not_fit_or_has_no_value_is_told)
{
    struct rc_template template;
    struct rc_err err;
    char name[] = "BTC";
    char out[8];
    cr_assert_eq(rc_template_compile(&template, "ab{name}cd", known, &err), 0);
    cr_expect_eq(rc_template_fill(&template, value, name, out, 7), 7);
    for (size_t room = 0; room < 7; room++) {
        cr_expect_eq(rc_template_fill(&template, value, name, out, room), -EMSGSIZE, "%zu", room);
    }
    cr_expect_eq(rc_template_fill(&template, value, NULL, out, sizeof(out)), -ENOENT);
}
