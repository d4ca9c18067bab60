/* What [[identity]] tables mean beyond single keys: what must hold across them, and which parts of a request are kept. */
#include <criterion/criterion.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "acceptor/config/toml.h"
#include "common/base/span.h"
#include "common/config/identity.h"

static struct rc_config *config;

static void open_all(void)
{
    config = calloc(1, sizeof(*config));
    cr_assert_not_null(config);
}

static void close_all(void)
{
    free(config);
}

TestSuite(identity, .init = open_all, .fini = close_all);

static int finish(const char *text, struct rc_err *err)
{
    struct rc_config_errors errors = {.count = 0};
    rc_config_defaults(config);
    cr_assert_eq(rc_config_load_text(config, text, strlen(text), "x.toml", &errors), 0, "%s", errors.lines[0].text);
    return rc_config_identity_finish(config, err);
}

Test(identity, what_does_not_go_together_is_told)
{
    static const struct {
        const char *text;
        const char *why;
    } wrong[] = {
        {"[[identity]]\nsecret = \"0123456789abcdef0123456789abcdef\"\n", "[[identity]] 1: kind \"jwt\" needs from"},
        {"[[identity]]\nfrom = [\"auth.token\"]\n", "[[identity]] 1: kind \"jwt\" needs keys"},
        {"[[identity]]\nkind = \"session\"\nfrom = [\"cookie.sid\"]\n",
         "[[identity]] 1: kind \"session\" needs redis.url"},
        {"[redis]\nurl = \"redis://x\"\n[[identity]]\nkind = \"session\"\nfrom = [\"cookie.sid\"]\nkey = \"s\"\n",
         "[[identity]] 1: key needs {id}"},
        {"[[identity]]\nkind = \"backend\"\nfrom = [\"cookie.sid\"]\n",
         "[[identity]] 1: kind \"backend\" needs backend"},
        {"[[identity]]\nkind = \"backend\"\nbackend = \"app\"\nfrom = [\"cookie.sid\"]\n",
         "[[identity]] 1: kind \"backend\" needs backend, the name of a [[backend]]; there is none named \"app\""},
        {"[[backend]]\nname = \"app\"\nurl = [\"http://127.0.0.1:1/\"]\nforward = [\"x-0123456789012345678901234567890123456789012345678901234567890123456789\"]\n"
         "[[identity]]\nkind = \"backend\"\nbackend = \"app\"\nfrom = [\"cookie.sid\"]\n",
         "[[backend]] \"app\": forward: \"x-0123456789012345678901234567890123456789012345678901234567890123456789\" is longer"},
        {"[[identity]]\nkind = \"proxy\"\nfrom = [\"query.user\"]\n",
         "[[identity]] 1: kind \"proxy\" is about headers"},
        {"[[identity]]\nkind = \"proxy\"\nfrom = [\"header.x-user\"]\n",
         "[[identity]] 1: kind \"proxy\" needs http.trusted"},
        {"[[identity]]\nkind = \"certificate\"\n", "[[identity]] 1: kind \"certificate\" needs tls.client_ca"},
        {"[[identity]]\nkind = \"certificate\"\nfrom = [\"cookie.sid\"]\n",
         "[[identity]] 1: kind \"certificate\" has no from"},
        {"[[identity]]\nat = \"handshake\"\nfrom = [\"auth.token\"]\nkey_file = [\"/k\"]\n",
         "[[identity]] 1: at = \"handshake\" knows no auth.NAME"},
        {"[[identity]]\nname = \"a\"\nfrom = [\"auth.token\"]\nkey_file = [\"/k\"]\n"
         "[[identity]]\nname = \"a\"\nfrom = [\"auth.token\"]\nkey_file = [\"/k\"]\n",
         "there are two [[identity]] named \"a\""},
        {"[[identity]]\nfrom = [\"auth.token\"]\nkey_file = [\"/k\"]\nrefused_data = '{\"a\":1,}'\n",
         "[[identity]] 1: refused_data is no JSON from character 8 on"},
    };
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        struct rc_err err = {.text = ""};
        cr_assert_eq(finish(wrong[i].text, &err), -EINVAL, "%s", wrong[i].text);
        cr_assert(strncmp(err.text, wrong[i].why, strlen(wrong[i].why)) == 0, "%s\ninstead of %s", err.text,
                  wrong[i].why);
    }
}

Test(identity, what_is_named_of_requests_is_kept_once)
{
    struct rc_err err = {.text = ""};
    const char *const text =
        "[[identity]]\nfrom = [\"auth.token\", \"cookie.connect.sid\", \"header.Authorization\"]\n"
        "key_file = [\"/k\"]\nattributes = { agent = \"{header.user-agent}\", q = \"{query.q}\" }\n"
        "same = { \"auth.userId\" = \"{claims.sub}\" }\n"
        "[[event]]\non = \"a\"\nack = [\"{header.AUTHORIZATION}\", \"{query.q}\", \"{cookie.Q}\"]\n";
    static const struct {
        enum rc_event_source source;
        const char *name;
    } want[] = {{RC_EVENT_SOURCE_HEADER, "user-agent"},
                {RC_EVENT_SOURCE_QUERY, "q"},
                {RC_EVENT_SOURCE_COOKIE, "connect.sid"},
                {RC_EVENT_SOURCE_HEADER, "Authorization"},
                {RC_EVENT_SOURCE_COOKIE, "Q"}};
    cr_assert_eq(finish(text, &err), 0, "%s", err.text);
    cr_assert_eq(config->handshake_name_count, 5);
    for (size_t i = 0; i < 5; i++) {
        cr_assert_eq(config->handshake_names[i].source, want[i].source);
        cr_assert_str_eq(config->handshake_names[i].text, want[i].name);
    }
    cr_assert(rc_config_identity_said_later(&config->identities[0]));
    cr_assert_gt(config->identities[0].user.piece_count, 0, "{claims.sub}");
    cr_assert_eq(config->identities[0].user.source_bytes, 0, "as the default");
}
