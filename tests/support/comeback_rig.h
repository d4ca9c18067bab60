/*
 * comeback_rig: sessions that change hosts (relay/cluster/comeback), with all that they need of a relay, and the Redis of fake_redis.h. Included by one
 * test, which is one process; open_all and close_all are its fixture.
 */
#ifndef RC_TESTS_SUPPORT_COMEBACK_RIG_H
#define RC_TESTS_SUPPORT_COMEBACK_RIG_H

#include "tests/support/fake_redis.h"

#include <stdlib.h>

#include "common/base/check.h"
#include "relay/cluster/comeback.h"
#include "relay/cluster/comeback_wire.h"
#include "relay/to_sockets.h"
#include "tests/support/recovery_host.h"
#include "tests/support/relay_host.h"

#define BYTES (256u * 1024)
#define PID "pid-of-the-session-1"
#define SID "sid-of-the-session-1"

static struct rc_metrics metrics;
static struct rc_config config;
static struct rc_registry registry;
static struct rc_wire wire;
static struct rc_bridge bridge;
static struct rc_recovery recovery;
static struct rc_direct direct = {.bridge = &bridge};
static struct rc_comeback comeback;
static void *memory;
static uint64_t sequence;
static bool heard;                    /* the rooms are */
static const char *stream_place = ""; /* up to where other servers' stream was read here */

static uint64_t next_sequence(void *context)
{
    (void)context;
    return ++sequence;
}

static int on_send(void *context, uint32_t worker, const struct rc_envelope_view *view)
{
    (void)context;
    (void)worker;
    (void)view;
    return 0;
}

static bool hears(void *context, struct rc_span channel)
{
    (void)context;
    cr_assert(rc_span_equal(channel, RC_SPAN("/#")) || rc_span_equal(channel, RC_SPAN("lobby")));
    return heard;
}

static const char *place(void *context)
{
    (void)context;
    return stream_place;
}

static bool has_read(void *context, struct rc_span id)
{
    (void)context;
    return id.count == 0 || memcmp(stream_place, id.bytes, id.count) >= 0; /* the tests' ids are of one length */
}

static void open_all(void)
{
    struct rc_err err;
    struct rc_recovery_view view;
    memory = calloc(1, BYTES);
    cr_assert_eq(rc_recovery_view_open(&view, memory, BYTES, &err), 0);
    config.socketio.recovery_ms = 60000;
    config.socketio.recovery_max_bytes = 20000;
    const struct rc_recovery_setup its = {.view = &view,
                                          .config = &config,
                                          .metrics = &metrics,
                                          .instance_id = "a",
                                          .boot_nonce = 7,
                                          .record_bytes_max = 4096,
                                          .generation = host_generation,
                                          .sent = host_sent,
                                          .sequence = next_sequence,
                                          .send = on_send};
    cr_assert_eq(rc_recovery_open(&recovery, &its), 0);
    registry = (struct rc_registry){.state = RC_REGISTRY_OWNED, .instance_count = 1};
    cr_assert_eq(rc_wire_open(&wire, "a", 7, 2000, &metrics), 0);
    bridge = (struct rc_bridge){.wire = &wire, .timers = &fake.timers};
    fake.up = true;
    fake.places.count = 1;
    const struct rc_comeback_setup setup = {.bridge = &bridge,
                                            .registry = &registry,
                                            .recovery = &recovery,
                                            .direct = &direct,
                                            .hears = hears,
                                            .place = place,
                                            .has = has_read};
    cr_assert_eq(rc_comeback_open(&comeback, &setup), 0);
}

static void close_all(void)
{
    rc_comeback_close(&comeback);
    rc_recovery_close(&recovery);
    rc_wire_close(&wire);
    free(memory);
}

#endif
