/* Which namespaces a session has joined. */
#include <criterion/criterion.h>

#include <string.h>

#include "tests/support/engine_rig.h"
#include "worker/engine/namespaces.h"

static struct engine_rig r;
static char told[64];

static void open_all(void)
{
    engine_rig_open(&r);
    engine_rig_begin(&r, false);
}

static void close_all(void)
{
    engine_rig_close(&r);
}

TestSuite(namespaces, .init = open_all, .fini = close_all);

static void tell(struct rc_engines *engines, uint32_t client, struct rc_span nsp)
{
    cr_assert(engines == &r.engines && client == r.session);
    strncat(strncat(told, (const char *)nsp.bytes, nsp.count), " ", 2);
}

static const char *all(void)
{
    told[0] = '\0';
    rc_namespaces_each(&r.engines, r.session, tell);
    return told;
}

Test(namespaces, the_root_is_first_and_others_are_in_the_order_of_joining)
{
    cr_assert_str_eq(all(), "");
    cr_assert_eq(rc_namespaces_add(&r.engines, r.session, RC_SPAN("/b")), 0);
    cr_assert_eq(rc_namespaces_add(&r.engines, r.session, RC_SPAN("/long/name")), 0);
    cr_assert_eq(rc_namespaces_add(&r.engines, r.session, RC_SPAN("/")), 0);
    cr_assert_eq(rc_namespaces_add(&r.engines, r.session, RC_SPAN("/c")), 0);
    cr_assert_str_eq(all(), "/ /b /long/name /c ");
    cr_assert(rc_engine_has_joined(&r.engines, r.session, RC_SPAN("/c")));
}

Test(namespaces, one_that_is_left_goes_and_the_last_with_the_list)
{
    struct rc_engine *engine = rc_engine_of(&r.engines, r.session);
    cr_assert_eq(rc_namespaces_add(&r.engines, r.session, RC_SPAN("/")), 0);
    cr_assert_eq(rc_namespaces_add(&r.engines, r.session, RC_SPAN("/a")), 0);
    cr_assert_eq(rc_namespaces_add(&r.engines, r.session, RC_SPAN("/b")), 0);
    rc_namespaces_remove(&r.engines, r.session, RC_SPAN("/a"));
    cr_assert_str_eq(all(), "/ /b ");
    rc_namespaces_remove(&r.engines, r.session, RC_SPAN("/"));
    rc_namespaces_remove(&r.engines, r.session, RC_SPAN("/b"));
    cr_assert_str_eq(all(), "");
    cr_assert(engine->namespaces == 0 && engine->namespaces_bytes == 0);
    cr_assert_eq(engine->left, 3, "who joins one again is another socket");
}
