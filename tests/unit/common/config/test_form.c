/* Forms of texts that have no test of their own elsewhere: what is right, and that what is wrong is told. */
#include "common/config/form.h"

#include <criterion/criterion.h>
#include <string.h>

#include "common/base/check.h"

static bool right(enum rc_config_form form, const char *text)
{
    struct rc_err scratch = {""};
    const char *const problem = rc_config_form_problem(form, text, strlen(text), &scratch);
    cr_expect(problem == NULL || strlen(problem) > 10, "%s", problem);
    return problem == NULL;
}

Test(form, each_form_has_its_letters)
{
    static const struct {
        enum rc_config_form form;
        const char *right;
        const char *wrong;
    } cases[] = {
        {RC_FORM_LISTEN, "127.0.0.1:80", "example.com:80"},
        {RC_FORM_ADVERTISE, "10.0.0.1:80", "*:80"},
        {RC_FORM_ADVERTISE, "[2001:db8::1]:80", "[::]:80"},
        {RC_FORM_ADVERTISE, "unix:/run/x.sock", "0.0.0.0:80"},
        {RC_FORM_ADVERTISE, "127.0.0.1:80", "8080"},
        {RC_FORM_ADVERTISE, "127.0.0.1:80", "example.com:80"},
        {RC_FORM_NETWORK, "10.0.0.0/8", "10.0.0.1/8"},
        {RC_FORM_PATH, "/live", "live"},
        {RC_FORM_PATH, "/live", "/a b"},
        {RC_FORM_INSTANCE_ID, "eu-1.a_b", "a b"},
        {RC_FORM_USER, "www-data", "-x"},
        {RC_FORM_FILE, "/etc/x", "x"},
        {RC_FORM_REDIS_URL, "redis://h", "http://h"},
        {RC_FORM_SECRET, "01234567", "0123456"},
        {RC_FORM_HEADER, "X-User", "X User"},
        {RC_FORM_FORWARD, "X-User", "X User"},
        {RC_FORM_FORWARD, "cookie", "Host"},
        {RC_FORM_FORWARD, "user-agent", "content-length"},
        {RC_FORM_FORWARD, "origin", "Transfer-Encoding"},
        {RC_FORM_FORWARD, "referer", "connection"},
        {RC_FORM_FORWARD, "x-upgrade", "upgrade"},
        {RC_FORM_FORWARD, "x-ringcast", "Ringcast-Signature"},
        {RC_FORM_FORWARD, "accept-language", "accept"},
        {RC_FORM_NAMESPACE, "prices", "a:b"},
        {RC_FORM_NSP_NAME, "/admin", "/a?b"},
        {RC_FORM_NSP_NAME, "/room-*", "/a*b"},
        {RC_FORM_NSP, "/*", "*"},
        {RC_FORM_NSP, "/room-*", "/a#b"},
        {RC_FORM_TRANSPORT, "polling", "webtransport"},
        {RC_FORM_EVENT, "connected", "connect"},
        {RC_FORM_ON, "disconnect", "disconnecting"},
    };
    cr_expect(right(RC_FORM_PHRASE, "keyboard cat \xc3\xa9"), "any text");
    cr_expect(right(RC_FORM_PHRASE, "x"), "of any length");
    for (size_t i = 0; i < RC_ARRAY_COUNT(cases); i++) {
        cr_expect(right(cases[i].form, cases[i].right), "%s", cases[i].right);
        cr_expect_not(right(cases[i].form, cases[i].wrong), "%s", cases[i].wrong);
    }
}
