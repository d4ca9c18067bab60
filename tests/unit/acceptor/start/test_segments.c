/* acceptor/segments: what children find in the shared memory. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <criterion/criterion.h>

#include "acceptor/start/segments.h"
#include "tests/support/smaps.h"
#include "common/shm/control.h"
#include "common/shm/segment.h"

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

Test(segments, core_is_complete_and_ready_only_when_published)
{
    const struct rc_core *core = segments.core;
    cr_assert_eq(atomic_load(&core->ready), 0);
    rc_segments_publish(&segments);
    cr_assert_eq(atomic_load(&core->ready), RC_CORE_READY);
    cr_assert_eq(core->abi, RC_CORE_ABI);
    cr_assert_eq(core->worker_count, 3);
    cr_assert_neq(core->boot_nonce, 0);
    cr_assert_eq(memcmp(core->hash_secret, rc_hash_secret(), RC_HASH_SECRET_BYTES), 0);
    cr_assert_eq(core->bytes, sizeof(struct rc_core));
    cr_assert_str_eq(core->instance_id, config->server.instance_id.text);
    cr_assert_eq(atomic_load(&segments.keep->truth.next_sequence), 1);
    cr_assert_eq(memcmp(&segments.configs->copies[0], config, sizeof(*config)), 0);
}

Test(segments, ports_have_their_sizes)
{
    rc_segments_publish(&segments);
    for (uint32_t i = 0; i < 3; i++) {
        const struct rc_port *port = segments.ports[i];
        cr_assert_eq(atomic_load(&port->ready), RC_PORT_READY);
        cr_assert_eq(port->ring_bytes, config->server.ring_bytes);
        cr_assert_eq(port->overflow_bytes, config->server.overflow_bytes);
    }
}

Test(segments, core_dumps_hold_neither_messages_nor_passwords)
{
    cr_assert_not(smaps_dumped(segments.configs));
    cr_assert_not(smaps_dumped(segments.keys));
    cr_assert(smaps_dumped(segments.core) && smaps_dumped(segments.keep));
    for (uint32_t i = 0; i < 3; i++) {
        const uint8_t *port = (const uint8_t *)segments.ports[i];
        cr_assert(smaps_dumped(port));
        cr_assert_not(smaps_dumped(port + RC_PORT_DATA_OFFSET));
        cr_assert_not(smaps_dumped(port + segments.port_segments[i].bytes - 1));
    }
}

/* --- what a child gets ------------------------------------------------------------------------------------------------ */

/* As inherited: duplicates, since a child closes what it attached. */
static void args_of(int index, struct rc_spawn_args *args)
{
    rc_spawn_args_clear(args, index);
    rc_segments_args(&segments, args);
    int *const singles[] = {&args->core_fd, &args->config_fd, &args->own_fd,    &args->acceptor_fd, &args->relay_fd,
                            &args->keep_fd, &args->keys_fd,   &args->limits_fd, &args->history_fd};
    for (size_t i = 0; i < sizeof(singles) / sizeof(singles[0]); i++) {
        *singles[i] = *singles[i] < 0 ? -1 : dup(*singles[i]);
    }
    for (int i = 0; i < args->worker_count; i++) {
        args->worker_fds[i] = dup(args->worker_fds[i]);
    }
    if (index >= 0) {
        args->listen_count = (int)segments.core->listener_count;
    } else {
        args->worker_bell_count = args->worker_count;
    }
}

static bool maps_writable(int fd)
{
    uint64_t bytes;
    struct rc_err err;
    void *memory = rc_segment_map(fd, &bytes, &err);
    if (memory != NULL) {
        munmap(memory, bytes);
    }
    return memory != NULL;
}

Test(segments, child_can_write_its_own_and_nothing_else)
{
    struct rc_spawn_args args;
    rc_segments_publish(&segments);
    args_of(1, &args);
    cr_assert(maps_writable(args.own_fd));
    const int others[] = {args.core_fd,       args.config_fd,     args.acceptor_fd,   args.relay_fd,
                          args.worker_fds[0], args.worker_fds[1], args.worker_fds[2], args.keys_fd};
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        cr_assert_not(maps_writable(others[i]), "%zu", i);
    }
    cr_assert_eq(args.keep_fd, -1);
    args_of(-1, &args);
    cr_assert(maps_writable(args.own_fd));
    cr_assert(maps_writable(args.keep_fd));
    cr_assert_not(maps_writable(args.core_fd));
    cr_assert_not(maps_writable(args.config_fd));
    cr_assert_not(maps_writable(args.worker_fds[0]));
    cr_assert_eq(args.relay_fd, -1);
    cr_assert_lt(args.keys_fd, 0, "secrets are for those who verify");
}

Test(segments, attached_child_has_copies_and_read_only_mappings)
{
    struct rc_spawn_args args;
    struct rc_control control;
    struct rc_err err = {""};
    segments.core->listener_count = 2;
    segments.core->slots_per_worker = 10;
    segments.core->direct_descriptors = 20;
    rc_segments_publish(&segments);
    args_of(1, &args);
    cr_assert_eq(rc_control_attach(&control, &args, &err), 0, "%s", err.text);
    cr_assert_eq(args.config_fd, -1, "nothing is left to map it again by");
    cr_assert_eq(control.worker_count, 3);
    segments.core->worker_count = 1000; /* nobody can; and if: */
    cr_assert_eq(control.worker_count, 3);
    cr_assert_str_eq(control.instance_id, config->server.instance_id.text);
    rc_metric_add(control.metrics, RC_METRIC_TURNS, 5);
    cr_assert_eq(rc_report_value(control.workers[1], RC_METRIC_TURNS), 5);
    cr_assert_eq(rc_report_value(control.workers[2], RC_METRIC_TURNS), 0);
    const void *const shared[] = {control.core,       control.configs,    control.acceptor, control.relay,
                                  control.workers[0], control.workers[1], control.keys};
    for (size_t i = 0; i < sizeof(shared) / sizeof(shared[0]); i++) {
        cr_assert_neq(mprotect((void *)(uintptr_t)shared[i], 4096, PROT_READ | PROT_WRITE), 0, "%zu", i);
    }
    config->limits.max_channels = 77;
    const uint32_t generation = rc_segments_configure(&segments, config);
    cr_assert_eq(rc_control_config_generation(&control), generation);
    cr_assert_eq(rc_control_config(&control, generation)->limits.max_channels, 77);
}

Test(segments, damaged_or_foreign_segments_are_refused)
{
    struct rc_spawn_args args;
    struct rc_control control;
    struct rc_err err;
    rc_segments_publish(&segments);
    uint32_t *const numbers[] = {
        &segments.core->abi,         &segments.core->records_abi,    &segments.core->worker_count,
        &segments.core->boot_nonce,  &segments.core->listener_count, &segments.configs->build,
        &segments.workers[1]->abi,   &segments.workers[1]->layout,   &segments.workers[2]->layout,
        &segments.relay->report.abi, &segments.acceptor->layout,
    };
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        const uint32_t right = *numbers[i];
        const uint32_t wrong = numbers[i] == &segments.core->boot_nonce ? 0 : right + 200;
        *numbers[i] = wrong;
        args_of(1, &args);
        cr_expect_lt(rc_control_attach(&control, &args, &err), 0, "number %zu", i);
        *numbers[i] = right;
    }
    args_of(1, &args);
    cr_assert_eq(rc_control_attach(&control, &args, &err), 0, "%s", err.text);
    /* What a dead child left behind is no reason for its successor not to start. */
    segments.workers[1]->layout = 0;
    segments.ports[1]->ring_bytes = 3;
    segments.limits->windows.abi = 0;
    atomic_store(&segments.workers[1]->ready, 0);
    rc_segments_renew(&segments, 1);
    args_of(1, &args);
    cr_assert_eq(rc_control_attach(&control, &args, &err), 0, "%s", err.text);
    struct rc_port_view view;
    cr_assert_eq(
        rc_port_view_open(&view, segments.ports[1], rc_port_bytes(segments.ring_bytes, segments.overflow_bytes), &err),
        0);
    args_of(-1, &args);
    segments.keep->abi++;
    cr_assert_lt(rc_control_attach(&control, &args, &err), 0);
    rc_segments_renew(&segments, -1);
    args_of(-1, &args);
    cr_assert_eq(rc_control_attach(&control, &args, &err), 0, "%s", err.text);
    cr_assert_eq((const void *)control.relay, (const void *)control.own_relay);
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

/* As after an exec: the same descriptors. */
static struct rc_segments *adopter(void)
{
    struct rc_segments *next = calloc(1, sizeof(*next));
    cr_assert_not_null(next);
    rc_segments_clear(next);
    next->worker_count = segments.worker_count;
    next->ring_bytes = segments.ring_bytes;
    next->overflow_bytes = segments.overflow_bytes;
    next->history_bytes = segments.history_bytes;
    next->recovery_bytes = segments.recovery_bytes;
    for (uint32_t i = 0; i < RC_SEGMENTS_SHARED + 2 * segments.worker_count; i++) {
        const struct rc_segment *from = rc_segments_at(&segments, i);
        struct rc_segment *to = rc_segments_at(next, i);
        to->fd = dup(from->fd);
        to->reader_fd = from->reader_fd >= 0 ? dup(from->reader_fd) : -1;
    }
    return next;
}

Test(segments, a_program_of_the_same_build_goes_on_with_all_of_them)
{
    struct rc_err err = {{0}};
    rc_segments_publish(&segments);
    rc_metric_add(segments.metrics, RC_METRIC_RELOADS, 3);
    struct rc_segments *next = adopter();
    cr_assert_eq(rc_segments_adopt(next, &err), 0, "%s", err.text);
    rc_segments_count(next);
    cr_assert_eq(rc_metric_get(next->metrics, RC_METRIC_RELOADS), 3u);
    rc_segments_settle(next);
    cr_assert_eq(next->configs->build, RC_BUILD_ID);
    cr_assert_not(rc_segments_foreign(next, 0), "nobody was ever started");
    rc_segments_close(next);
    free(next);
}

Test(segments, of_another_build_configuration_and_keys_are_made_anew_under_the_same_generation)
{
    struct rc_err err = {{0}};
    rc_segments_publish(&segments);
    (void)rc_segments_configure(&segments, config);
    segments.configs->build ^= 1;
    /* As that build has them: nothing but the head is read. */
    memset(segments.configs->copies, 0xee, sizeof(segments.configs->copies));
    struct rc_segments *next = adopter();
    cr_assert_eq(rc_segments_adopt(next, &err), 1, "%s", err.text);
    config->limits.max_channels = 4321;
    rc_segments_fill(next, config);
    cr_assert_eq(atomic_load(&next->configs->generation), 1u);
    cr_assert_eq(rc_segments_config(next)->limits.max_channels, 4321u);
    cr_assert_eq(segments.configs->build, RC_BUILD_ID ^ 1, "what it goes back with stays as it is");
    cr_assert_geq(next->former_config_segment.fd, 0);
    rc_segments_count(next);
    rc_segments_settle(next);
    cr_assert_eq(next->former_config_segment.fd, -1);
    cr_assert_eq(next->former_keys_segment.fd, -1);
    /* A worker of the former build runs; then one of this build. */
    atomic_store(&next->workers[1]->banks.banks[0].build, RC_BUILD_ID ^ 1);
    cr_assert(rc_segments_foreign(next, 1));
    (void)rc_banks_own(&next->workers[1]->banks);
    cr_assert_not(rc_segments_foreign(next, 1));
    rc_segments_close(next);
    free(next);
}

Test(segments, of_another_kind_they_are_refused)
{
    struct rc_err err = {{0}};
    rc_segments_publish(&segments);
    uint32_t *const numbers[] = {&segments.workers[2]->layout, &segments.core->abi, &segments.limits->windows.abi,
                                 &segments.keep->abi};
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        *numbers[i] ^= 1;
        struct rc_segments *next = adopter();
        cr_assert_eq(rc_segments_adopt(next, &err), -EBADMSG, "number %zu", i);
        rc_segments_close(next);
        free(next);
        *numbers[i] ^= 1;
    }
}
