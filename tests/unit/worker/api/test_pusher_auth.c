/* Requests of server SDKs, with the example of pusher.com/docs/channels, "HTTP API", "Worked authentication example". */
#include "worker/api/pusher_auth.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

static struct rc_config_pusher_app app;
static char md5[RC_PUSHER_MD5_DIGITS];
static bool has_md5;

static void begin(void)
{
    (void)snprintf(app.key.text, sizeof(app.key.text), "278d425bdf160c739803");
    (void)snprintf(app.secret.text, sizeof(app.secret.text), "7ad3773142a6692b25b8");
}

TestSuite(pusher_auth, .init = begin);

static struct rc_http_view view(const char *text)
{
    return (struct rc_http_view){text, strlen(text)};
}

static const char *refusal(const char *method, const char *path, const char *query, uint64_t now_s)
{
    const struct rc_pusher_signed_request request = {.method = view(method), .path = view(path), .query = view(query)};
    return rc_pusher_request_refusal(&request, &app, now_s, md5, &has_md5);
}

#define QUERY                                                                            \
    "auth_key=278d425bdf160c739803&auth_timestamp=1353088179&auth_version=1.0&body_md5=" \
    "ec365a775a4cd0599faeb73354201b6f&auth_signature="                                   \
    "da454824c97ba181a32ccc17a72625ba02771f50b50e1e7430e47a1f3f457e6c"
#define PATH "/apps/3/events"
#define NOW 1353088179u

Test(pusher_auth, as_documented)
{
    const struct rc_span body =
        RC_SPAN("{\"name\":\"foo\",\"channels\":[\"project-3\"],\"data\":\"{\\\"some\\\":\\\"data\\\"}\"}");
    cr_assert_null(refusal("POST", PATH, QUERY, NOW));
    cr_assert(has_md5 && rc_pusher_body_is(body, md5));
    cr_assert(!rc_pusher_body_is(rc_span_of(body.bytes, body.count - 1), md5));
}

Test(pusher_auth, in_another_order_and_with_escapes)
{
    cr_assert_null(refusal("POST", PATH,
                           "auth_signature=da454824c97ba181a32ccc17a72625ba02771f50b50e1e7430e47a1f3f457e6c&body_md5="
                           "ec365a775a4cd0599faeb73354201b6f&AUTH_version=1%2E0&auth_timestamp=1353088179&auth_key="
                           "278d425bdf160c739803",
                           NOW));
}

#define NO_BODY(signature) \
    "auth_key=278d425bdf160c739803&auth_timestamp=1353088179&auth_version=1.0&auth_signature=" signature

Test(pusher_auth, a_path_that_was_escaped_once_it_was_signed)
{
    /* "/apps/3/users/a b/terminate_connections" is signed, and "/apps/3/users/a/b/terminate_connections" */
    const char *space = NO_BODY("3323cda59350aa5b27c8be698f770cf55f525e8f9b7bde39372981c4b989ae02");
    const char *slash = NO_BODY("d7c2f9f86a39e42f49d0c5fe63873a2a9d8f88ac51053025a0745bb5d2b464af");
    cr_assert_null(refusal("POST", "/apps/3/users/a%20b/terminate_connections", space, NOW));
    cr_assert_not_null(refusal("POST", "/apps/3/users/a%21b/terminate_connections", space, NOW));
    cr_assert_null(refusal("POST", "/apps/3/users/a/b/terminate_connections", slash, NOW));
    cr_assert_not_null(refusal("POST", "/apps/3/users/a%2Fb/terminate_connections", slash, NOW), "another user");
}

Test(pusher_auth, what_differs_is_refused)
{
    cr_assert_not_null(refusal("GET", PATH, QUERY, NOW));
    cr_assert_not_null(refusal("POST", "/apps/4/events", QUERY, NOW));
    cr_assert_not_null(refusal("POST", PATH, QUERY "&info=user_count", NOW));
    cr_assert_not_null(refusal("POST", PATH, "", NOW));
    cr_assert_null(refusal("POST", PATH, QUERY, NOW + RC_PUSHER_CLOCK_S));
    cr_assert_not_null(refusal("POST", PATH, QUERY, NOW + RC_PUSHER_CLOCK_S + 1));
    cr_assert_null(refusal("POST", PATH, QUERY, NOW - RC_PUSHER_CLOCK_S));
    cr_assert_not_null(refusal("POST", PATH, QUERY, NOW - RC_PUSHER_CLOCK_S - 1));
    (void)snprintf(app.secret.text, sizeof(app.secret.text), "another");
    cr_assert_not_null(refusal("POST", PATH, QUERY, NOW));
}

Test(pusher_auth, more_than_it_looks_at)
{
    static char query[RC_PUSHER_QUERY_MAX + 64];
    size_t at = 0;
    for (uint32_t i = 0; i <= RC_PUSHER_PAIRS_MAX; i++) {
        at += (size_t)snprintf(query + at, sizeof(query) - at, "a=%u&", i);
    }
    cr_assert_not_null(refusal("POST", PATH, query, NOW));
    memset(query, 'x', sizeof(query) - 1);
    cr_assert_not_null(refusal("POST", PATH, query, NOW));
    cr_assert_not_null(refusal("POST", PATH, "a=%zz", NOW));
}
