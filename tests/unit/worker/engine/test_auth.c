/* What clients said who they are: by namespace, within its bound, given back. */
#include <criterion/criterion.h>

#include <errno.h>
#include <string.h>

#include "common/base/check.h"
#include "tests/support/engine_rig.h"
#include "worker/engine/auth.h"

static struct engine_rig r;

static void open_all(void)
{
    engine_rig_open(&r);
    engine_rig_begin(&r, true);
    r.engines.keeps_auth = true;
}

static void close_all(void)
{
    engine_rig_close(&r);
}

TestSuite(auth, .init = open_all, .fini = close_all);

static void kept(const char *nsp, const char *auth)
{
    const struct rc_span found = rc_engine_auth(&r.engines, r.session, rc_span_text(nsp));
    cr_assert(rc_span_equal(found, rc_span_text(auth)), "%.*s", (int)found.count, (const char *)found.bytes);
}

Test(auth, each_namespace_has_its_own_until_it_is_forgotten)
{
    cr_assert_eq(rc_engine_auth_keep(&r.engines, r.session, RC_SPAN("/"), RC_SPAN("{\"a\":1}")), 0);
    cr_assert_eq(rc_engine_auth_keep(&r.engines, r.session, RC_SPAN("/b"), RC_SPAN("{\"b\":22}")), 0);
    cr_assert_eq(rc_engine_auth_keep(&r.engines, r.session, RC_SPAN("/c"), RC_SPAN("{}")), 0);
    cr_assert_eq(rc_engine_auth_keep(&r.engines, r.session, RC_SPAN("/none"), (struct rc_span){0}), 0);
    kept("/", "{\"a\":1}");
    kept("/b", "{\"b\":22}");
    kept("/c", "{}");
    kept("/none", "");
    rc_engine_auth_forget(&r.engines, r.session, RC_SPAN("/b"));
    rc_engine_auth_forget(&r.engines, r.session, RC_SPAN("/b"));
    kept("/", "{\"a\":1}");
    kept("/b", "");
    kept("/c", "{}");
    rc_engine_auth_forget(&r.engines, r.session, RC_SPAN("/"));
    rc_engine_auth_forget(&r.engines, r.session, RC_SPAN("/c"));
    cr_assert_eq(rc_engine_of(&r.engines, r.session)->auth, 0);
    cr_assert_eq(r.c.rig.hub.input_bytes, 0);
}

Test(auth, it_is_bounded_over_all_namespaces)
{
    static char text[RC_ENGINE_AUTH_BYTES_MAX];
    memset(text, ' ', sizeof(text));
    const struct rc_span half = rc_span_of(text, sizeof(text) / 2);
    cr_assert(!rc_engine_auth_fits(&r.engines, r.session, RC_SPAN("/"), rc_span_of(text, sizeof(text))));
    cr_assert(rc_engine_auth_fits(&r.engines, r.session, RC_SPAN("/"), half));
    cr_assert_eq(rc_engine_auth_keep(&r.engines, r.session, RC_SPAN("/"), half), 0);
    cr_assert(!rc_engine_auth_fits(&r.engines, r.session, RC_SPAN("/b"), half));
    cr_assert_eq(rc_engine_auth_keep(&r.engines, r.session, RC_SPAN("/b"), half), -EMSGSIZE, "whoever has not looked");
    kept("/b", "");
    r.engines.keeps_auth = false;
    cr_assert(rc_engine_auth_fits(&r.engines, r.session, RC_SPAN("/b"), half), "it is not kept");
}
