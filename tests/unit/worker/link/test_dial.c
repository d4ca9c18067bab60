/* Who is dialled, and what is known of who cannot be. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/config/key_set.h"
#include "common/metrics/backend_health.h"
#include "tests/support/link_rig.h"
#include "worker/link/link_io.h"

static struct link_rig rig;

static void open_rig(void)
{
    link_rig_open(&rig);
}

static void close_rig(void)
{
    link_rig_close(&rig);
}

TestSuite(link_dial, .init = open_rig, .fini = close_rig);

/* One whose authorities cannot be read: no attempt will ever say that it is not there. Owned by the caller. */
static struct rc_config *unreadable(void)
{
    struct rc_config *config = malloc(sizeof(*config));
    cr_assert_not_null(config);
    *config = *rig.c.rig.config;
    struct rc_config_backend *app = &config->backends[0];
    memset(app, 0, sizeof(*app));
    rc_config_item_defaults(rc_config_section_find("backend", 7), app);
    config->backend_count = 1;
    app->kind = RC_BACKEND_KIND_LINK;
    app->url_count = 1;
    (void)snprintf(app->name.text, sizeof(app->name.text), "app");
    (void)snprintf(app->urls[0].text, sizeof(app->urls[0].text), "https://127.0.0.1:1");
    (void)snprintf(app->tls_ca.text, sizeof(app->tls_ca.text), "/nonexistent/ca.pem");
    (void)snprintf(config->socketio.link.text, sizeof(config->socketio.link.text), "app");
    return config;
}

Test(link_dial, who_could_not_be_opened_is_not_well)
{
    const struct rc_report *own = rig.c.rig.control->own;
    struct rc_config *config = unreadable();
    rc_links_reconfigure(rig.links, config);
    cr_assert_null(rig.links->table);
    cr_expect_neq(rc_backend_health_failed_ms(own, 0), 0);
    rc_links_reconfigure(rig.links, rig.c.rig.config);
    free(config);
}

/* A successor that is refused before it has taken over: its predecessor goes on, and may have opened it long ago. */
Test(link_dial, who_has_not_taken_over_says_nothing_in_the_report)
{
    const struct rc_report *own = rig.c.rig.control->own;
    struct rc_config *config = unreadable();
    const struct rc_engine_link wired = rig.engines.link;
    struct rc_links *successor = rc_links_open(&rig.c.clients, &rig.engines, config);
    cr_assert_not_null(successor);
    cr_assert_null(successor->table);
    cr_expect_eq(rc_backend_health_failed_ms(own, 0), 0);
    rc_links_work(successor); /* it serves */
    cr_expect_neq(rc_backend_health_failed_ms(own, 0), 0);
    rc_links_close(successor);
    rig.engines.link = wired;
    free(config);
}
