/* Cookies of express-session, keys, and when sessions say that they end. */
#include "worker/identity/session_id.h"

#include <criterion/criterion.h>
#include <string.h>

/* As cookie-signature 1.2.2 of npm signs them: sign("abc-123", "keyboard-cat"), sign("abc-123", "an-older-one"). */
#define SIGNED "s:abc-123.qISY3kQMaH68AeL/bO7n2V72crEK7x1cC3V5TglZyVc"
#define SIGNED_OLDER "s:abc-123.RUBhdKnaL3T4FESPlyO90HZ532YC49XfR6f2zxyZdIc"

static struct rc_config_identity row;

static void with_secrets(const char *first, const char *second)
{
    memset(&row, 0, sizeof(row));
    const char *const all[] = {first, second};
    for (size_t i = 0; i < 2; i++) {
        if (all[i] != NULL) {
            (void)strcpy(row.secrets.items[row.secrets.count++].text, all[i]);
        }
    }
}

static void expect_id(const char *credential, bool is_cookie, const char *expected)
{
    struct rc_span id;
    const char *why = "";
    const int rc = rc_session_id(&row, rc_span_text(credential), is_cookie, &id, &why);
    cr_assert_eq(rc == 0, expected != NULL, "%s: %s", credential, why);
    cr_assert(expected == NULL ? why[0] != '\0' : rc_span_equal(id, rc_span_text(expected)), "%s", credential);
}

Test(session_id, a_signature_is_of_one_of_the_secrets)
{
    with_secrets("keyboard-cat", NULL);
    expect_id(SIGNED, true, "abc-123");
    expect_id(SIGNED, false, "abc-123");
    expect_id(SIGNED_OLDER, true, NULL);
    expect_id("abc-123", true, NULL);
    expect_id("abc-123", false, "abc-123"); /* not a cookie: nobody signs it */
    expect_id("s:", true, NULL);
    expect_id("s:abc-123", true, NULL);
    expect_id("s:.qISY3kQMaH68AeL/bO7n2V72crEK7x1cC3V5TglZyVc", true, NULL);
    expect_id("s:abc-123_qISY3kQMaH68AeL/bO7n2V72crEK7x1cC3V5TglZyVc", true, NULL);
    expect_id(SIGNED "=", true, NULL);
    with_secrets("the-newer-one", "keyboard-cat");
    expect_id(SIGNED, true, "abc-123");
    with_secrets("the-newer-one", NULL);
    expect_id(SIGNED, true, NULL);
}

Test(session_id, every_byte_of_a_signature_counts)
{
    char text[sizeof(SIGNED)];
    with_secrets("keyboard-cat", NULL);
    for (size_t i = 0; i < sizeof(SIGNED) - 1; i++) {
        memcpy(text, SIGNED, sizeof(text));
        text[i] = text[i] == 'A' ? 'B' : 'A';
        struct rc_span id;
        const char *why;
        cr_assert(rc_session_id(&row, rc_span_text(text), true, &id, &why) < 0, "%s", text);
    }
}

Test(session_id, ids_are_made_of_what_means_nothing_in_a_key)
{
    char text[RC_SESSION_ID_MAX + 2];
    with_secrets(NULL, NULL);
    expect_id("AZaz09-_,.~", true, "AZaz09-_,.~");
    expect_id(SIGNED, true, NULL);
    memset(text, 'a', sizeof(text));
    text[RC_SESSION_ID_MAX] = '\0';
    expect_id(text, true, text);
    text[RC_SESSION_ID_MAX] = 'a';
    text[RC_SESSION_ID_MAX + 1] = '\0';
    expect_id(text, true, NULL);
    for (const char *c = " :/{}*?[]\\\"'%+=\n\x7f\xc3"; *c != '\0'; c++) {
        const char one[] = {'a', *c, '\0'};
        expect_id(one, true, NULL);
    }
    struct rc_span id;
    const char *why;
    cr_assert(rc_session_id(&row, rc_span_of("a\0b", 3), false, &id, &why) < 0);
    expect_id("", true, NULL);
}

static void expect_key(const char *template, const char *id, const char *expected)
{
    char key[RC_QUERY_KEY_MAX];
    (void)strcpy(row.key.text, template);
    const int bytes = rc_session_key(&row, rc_span_text(id), key);
    cr_assert(bytes >= 0 && rc_span_equal(rc_span_of(key, (size_t)bytes), rc_span_text(expected)), "%s", template);
}

Test(session_id, keys)
{
    char key[RC_QUERY_KEY_MAX];
    expect_key("sess:{id}", "42", "sess:42");
    expect_key("{id}", "42", "42");
    expect_key("a{id}b{id}c{i", "42", "a42b42c{i");
    memset(row.key.text, 'k', 250);
    (void)strcpy(row.key.text + 250, "{id}");
    char id[RC_SESSION_ID_MAX + 1] = {0};
    memset(id, 'i', RC_SESSION_ID_MAX);
    cr_assert_eq(rc_session_key(&row, rc_span_text(id), key), 250 + (int)RC_SESSION_ID_MAX);
    (void)strcpy(row.key.text, "{id}{id}{id}{id}");
    cr_assert_lt(rc_session_key(&row, rc_span_text(id), key), 0);
}

Test(session_id, when_sessions_say_that_they_end)
{
    static const struct {
        const char *json;
        uint64_t at_ms;
    } cases[] = {
        {"{\"cookie\":{\"expires\":\"2026-11-29T00:35:00.250Z\"}}", 1795912500250},
        {"{\"cookie\":{\"expires\":\"2026-11-29T00:35:00Z\"},\"expires\":1}", 1795912500000},
        {"{\"cookie\":{\"expires\":\"2024-02-29T23:59:59.999Z\"}}", 1709251199999},
        {"{\"cookie\":{\"expires\":\"2000-03-01T00:00:00.000Z\"}}", 951868800000},
        {"{\"cookie\":{\"expires\":null},\"expires\":1795912500}", 1795912500000},
        {"{\"expires\":1795912500250}", 1795912500250},
        {"{\"expires_at\":1795912500.75}", 1795912500000},
        {"{\"cookie\":{\"expires\":false}}", 0},
        {"{\"cookie\":{\"expires\":\"tomorrow\"}}", 0},
        {"{\"cookie\":{\"expires\":\"2026-13-29T00:35:00.250Z\"}}", 0},
        {"{\"cookie\":{\"expires\":\"2026-11-29T00:35:00.250+01:00\"}}", 0},
        {"{\"cookie\":{\"expires\":\"1969-11-29T00:35:00.250Z\"}}", 0},
        {"{\"expires\":-1}", 0},
        {"{\"expires\":1e300}", 0},
        {"{\"expires\":99999999999999999999999}", 0},
        {"{}", 0},
        {"[]", 0},
        {"", 0},
        {"no json", 0},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        cr_expect_eq(rc_session_says_expires(rc_span_text(cases[i].json)), cases[i].at_ms, "%s: %llu", cases[i].json,
                     (unsigned long long)rc_session_says_expires(rc_span_text(cases[i].json)));
    }
}
