/* acceptor/segments: what children find in the shared memory. */
#include <stdlib.h>
#include <string.h>

#include <criterion/criterion.h>

#include "acceptor/start/segments.h"

static struct rc_segments segments;
static struct rc_config *config;

static void set_up(void)
{
    struct rc_err err;
    config = calloc(1, sizeof(*config));
    rc_config_defaults(config);
    cr_assert_eq(rc_config_finish(config, &err), 0, "%s", err.text);
    cr_assert_eq(rc_segments_create(&segments, config, 3, &err), 0, "%s", err.text);
}

static void tear_down(void)
{
    rc_segments_close(&segments);
    free(config);
}

TestSuite(segments, .init = set_up, .fini = tear_down);

Test(segments, control_is_complete_and_ready_only_when_published)
{
    const struct rc_control *control = segments.control;
    cr_assert_eq(atomic_load(&control->ready), 0);
    rc_segments_publish(&segments);
    cr_assert_eq(atomic_load(&control->ready), RC_CONTROL_READY);
    cr_assert_eq(control->version, RC_SHM_VERSION);
    cr_assert_eq(control->worker_count, 3);
    cr_assert_neq(control->boot_nonce, 0);
    cr_assert_eq(memcmp(control->hash_secret, rc_hash_secret(), RC_HASH_SECRET_BYTES), 0);
    cr_assert_eq(control->bytes, sizeof(struct rc_control));
    cr_assert_str_eq(control->instance_id, config->server.instance_id.text);
    cr_assert_eq(atomic_load(&control->relay_truth.next_sequence), 1);
    cr_assert_eq(memcmp(&control->config[0], config, sizeof(*config)), 0);
}

Test(segments, ports_have_their_sizes)
{
    for (uint32_t i = 0; i < 3; i++) {
        const struct rc_port *port = segments.ports[i];
        cr_assert_eq(atomic_load(&port->ready), RC_PORT_READY);
        cr_assert_eq(port->ring_bytes, config->server.ring_bytes);
        cr_assert_eq(port->overflow_bytes, config->server.overflow_bytes);
        cr_assert_geq(segments.port_fds[i], 0);
    }
    cr_assert_eq(segments.port_fds[3], -1);
}

Test(segments, configure_writes_the_copy_that_is_not_in_force)
{
    const struct rc_config *first = rc_segments_config(&segments);
    config->limits.ping_interval_ms = 1234;
    cr_assert_eq(rc_segments_configure(&segments, config), 1);
    const struct rc_config *second = rc_segments_config(&segments);
    cr_assert_neq(first, second);
    cr_assert_eq(second->limits.ping_interval_ms, 1234);
    cr_assert_neq(first->limits.ping_interval_ms, 1234);
    cr_assert_eq(rc_segments_configure(&segments, config), 2);
    cr_assert_eq(rc_segments_config(&segments), first);
}
