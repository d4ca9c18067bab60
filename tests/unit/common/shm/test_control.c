/* What a child copies of the core and port segments: looked at once, checked, and refused where it cannot be. */
#include <criterion/criterion.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "common/shm/control.h"
#include "common/shm/segment.h"
#include "tests/support/smaps.h"

#define RING_BYTES 65536u
#define OVERFLOW_BYTES 131072u

static struct rc_core core;
static struct rc_control control;
static struct rc_err err;

static void good_core(void)
{
    memset(&core, 0, sizeof(core));
    memset(&control, 0, sizeof(control));
    core.abi = RC_CORE_ABI;
    core.records_abi = RC_RECORDS_ABI;
    core.worker_count = 3;
    core.boot_nonce = 7;
    core.boot_ms = 11;
    core.boot_wall_ms = 13;
    core.listener_count = 2;
    core.slots_per_worker = 100;
    core.direct_descriptors = 120;
    strcpy(core.instance_id, "here");
    strcpy(core.listeners[1].address, "127.0.0.1:80");
    memset(core.tls_ticket_keys, 5, sizeof(core.tls_ticket_keys));
    atomic_store(&core.ready, RC_CORE_READY);
}

TestSuite(control, .init = good_core);

static int copy(void)
{
    return rc_control_copy(&control, &core, sizeof(core), &err);
}

Test(control, copies_the_constants)
{
    cr_assert_eq(copy(), 0, "%s", err.text);
    cr_assert(control.worker_count == 3 && control.boot_nonce == 7 && control.boot_ms == 11 &&
              control.boot_wall_ms == 13 && control.listener_count == 2 && control.slots_per_worker == 100 &&
              control.direct_descriptors == 120);
    cr_assert_str_eq(control.instance_id, "here");
    cr_assert_str_eq(control.listeners[1].address, "127.0.0.1:80");
    cr_assert_eq(memcmp(control.tls_ticket_keys, core.tls_ticket_keys, sizeof(core.tls_ticket_keys)), 0);
    core.worker_count = 9;
    cr_assert_eq(control.worker_count, 3, "what is written later is nothing to it");
}

Test(control, of_another_version_or_not_ready_is_refused)
{
    cr_assert_eq(rc_control_copy(&control, &core, sizeof(core) - 1, &err), -EBADMSG);
    core.abi++;
    cr_assert_eq(copy(), -EBADMSG);
    good_core();
    core.records_abi++;
    cr_assert_eq(copy(), -EBADMSG);
    cr_assert(strstr(err.text, "install acceptor, worker and relay together") != NULL, "%s", err.text);
    good_core();
    atomic_store(&core.ready, 0);
    cr_assert_eq(copy(), -EBADMSG);
}

Test(control, numbers_that_are_bounds_of_loops_are_checked)
{
    static uint32_t *const fields[] = {&core.worker_count, &core.worker_count, &core.listener_count,
                                       &core.slots_per_worker};
    static const uint32_t values[] = {0, RC_WORKERS_MAX + 1, RC_LISTENERS_MAX + 1, 121};
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        good_core();
        *fields[i] = values[i];
        cr_assert_eq(copy(), -EBADMSG, "row %zu", i);
        cr_assert(strstr(err.text, "damaged") != NULL, "%s", err.text);
    }
    good_core();
    core.boot_nonce = 0;
    cr_assert_eq(copy(), -EBADMSG);
}

Test(control, texts_end)
{
    memset(core.instance_id, 'x', sizeof(core.instance_id));
    memset(core.listeners, 'y', sizeof(core.listeners));
    cr_assert_eq(copy(), 0);
    cr_assert_eq(strlen(control.instance_id), RC_INSTANCE_ID_MAX);
    for (size_t i = 0; i < RC_LISTENERS_MAX; i++) {
        cr_assert_eq(strlen(control.listeners[i].address), sizeof(control.listeners[i].address) - 1);
    }
}

/* --- ports ----------------------------------------------------------------------------------------------------------- */

static int view_of(uint64_t ring_bytes, uint64_t overflow_bytes, uint64_t bytes)
{
    static struct rc_port port;
    struct rc_port_view view;
    memset(&port, 0, sizeof(port));
    port.abi = RC_PORT_ABI;
    port.ring_bytes = ring_bytes;
    port.overflow_bytes = overflow_bytes;
    atomic_store(&port.ready, RC_PORT_READY);
    const int rc = rc_port_view_open(&view, &port, bytes, &err);
    cr_assert(rc < 0 ||
              (view.shared == &port && view.ring_bytes == ring_bytes && view.overflow_bytes == overflow_bytes));
    return rc;
}

Test(control, sizes_of_rings_must_be_powers_of_two_that_fit)
{
    const uint64_t bytes = rc_port_bytes(RING_BYTES, OVERFLOW_BYTES);
    cr_assert_eq(view_of(RING_BYTES, OVERFLOW_BYTES, bytes), 0);
    cr_assert_eq(view_of(RING_BYTES, OVERFLOW_BYTES, bytes + 4096), 0);
    cr_assert_eq(view_of(RING_BYTES, OVERFLOW_BYTES, bytes - 1), -EBADMSG);
    cr_assert_eq(view_of(RING_BYTES, OVERFLOW_BYTES, RC_PORT_DATA_OFFSET - 1), -EBADMSG);
    cr_assert_eq(view_of(0, OVERFLOW_BYTES, bytes), -EBADMSG);
    cr_assert_eq(view_of(RING_BYTES + 64, OVERFLOW_BYTES, UINT64_MAX), -EBADMSG);
    cr_assert_eq(view_of(RING_BYTES, 2048, bytes), -EBADMSG);
    cr_assert_eq(view_of(RING_BYTES, UINT64_C(1) << 63, UINT64_MAX), -EBADMSG, "no sum may overflow");
    cr_assert_eq(view_of(UINT64_C(1) << 41, OVERFLOW_BYTES, UINT64_MAX), -EBADMSG);
}

Test(control, a_port_is_mapped_without_its_messages_in_core_dumps)
{
    uint64_t bytes = 0;
    const int fd = rc_segment_create("port", rc_port_bytes(RING_BYTES, OVERFLOW_BYTES), &err);
    cr_assert_geq(fd, 0, "%s", err.text);
    struct rc_port *mapped;
    cr_assert_eq(rc_port_map(&mapped, fd, &bytes, &err), 0, "%s", err.text);
    const uint8_t *port = (const uint8_t *)mapped;
    cr_assert_eq(bytes, rc_port_bytes(RING_BYTES, OVERFLOW_BYTES));
    cr_assert(smaps_dumped(port));
    cr_assert_not(smaps_dumped(port + RC_PORT_DATA_OFFSET));
    cr_assert_not(smaps_dumped(port + bytes - 1));
    (void)close(fd);
    cr_assert_eq(rc_port_map(&mapped, -1, &bytes, &err), -EBADF);
}

/* Nothing more can be mapped while it is so: as where memory is short. */
static struct rlimit address_space_end(void)
{
    struct rlimit before;
    cr_assert_eq(getrlimit(RLIMIT_AS, &before), 0);
    const struct rlimit none = {.rlim_cur = 4096, .rlim_max = before.rlim_max};
    cr_assert_eq(setrlimit(RLIMIT_AS, &none), 0);
    return before;
}

/* Who is short of memory is started again; who was given what is none is not. */
Test(control, that_memory_is_short_is_told_from_what_is_no_segment)
{
    struct rc_spawn_args args = {.core_fd = rc_segment_create("core", sizeof(struct rc_core), &err), .config_fd = -1};
    struct rc_control attached;
    struct rc_port *port;
    uint64_t bytes = 0;
    const int fd = rc_segment_create("port", rc_port_bytes(RING_BYTES, OVERFLOW_BYTES), &err);
    cr_assert(fd >= 0 && args.core_fd >= 0, "%s", err.text);
    const struct rlimit before = address_space_end();
    const int of_port = rc_port_map(&port, fd, &bytes, &err);
    const int of_all = rc_control_attach(&attached, &args, &err);
    cr_assert_eq(setrlimit(RLIMIT_AS, &before), 0);
    cr_expect_eq(of_port, -ENOMEM);
    cr_expect_eq(of_all, -ENOMEM);
    cr_expect(rc_err_is_short(of_port));
    args.core_fd = rc_segment_create("core", 4096, &err); /* of another release */
    cr_expect_eq(rc_control_attach(&attached, &args, &err), -EBADMSG);
    (void)close(fd);
}
