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

/* Its authorities cannot be read: no attempt will ever say that it is not there. */
Test(link_dial, who_could_not_be_opened_is_not_well)
{
    const struct rc_report *own = rig.c.rig.control->own;
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
    rc_links_reconfigure(rig.links, config);
    cr_assert_null(rig.links->table);
    cr_expect_neq(rc_backend_health_failed_ms(own, 0), 0);
    rc_links_reconfigure(rig.links, rig.c.rig.config);
    free(config);
}
