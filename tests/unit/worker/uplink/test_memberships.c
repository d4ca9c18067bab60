/* Which memberships a worker tells the relay: what is of interest, in order, completely, and all again when that is needed. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "common/base/check.h"
#include "tests/support/hub_rig.h"
#include "worker/uplink/memberships.h"

#define RING_BYTES 16384u

static struct {
    struct hub_rig rig;
    struct rc_uplink uplink;
    struct rc_memberships members;
    struct rc_port *port;
    struct rc_port_view view;
    struct rc_ring up; /* consumer: the test is the relay */
    int bell_fd;
    uint32_t slots[3];
} b;

static void member_changed(void *context, uint32_t slot, uint32_t channel, bool joined)
{
    (void)context;
    rc_memberships_changed(&b.members, slot, channel, joined);
}

static void set_namespaces(struct rc_config *config)
{
    config->namespace_count = 2;
    config->namespaces[1] = config->namespaces[0];
    (void)snprintf(config->namespaces[1].name, sizeof(config->namespaces[1].name), "room");
    config->namespaces[1].name_bytes = 4;
    config->namespaces[1].presence = true;
}

static void open_all(void)
{
    struct rc_err err = {0};
    hub_rig_open(&b.rig, &(struct hub_rig_options){.slots = 8});
    set_namespaces(b.rig.config);
    b.rig.hub.handlers.member_changed = member_changed;
    RC_ASSERT(posix_memalign((void **)&b.port, 4096, rc_port_bytes(RING_BYTES, RING_BYTES)) == 0);
    memset(b.port, 0, rc_port_bytes(RING_BYTES, RING_BYTES));
    b.view = (struct rc_port_view){.shared = b.port, .ring_bytes = RING_BYTES, .overflow_bytes = RING_BYTES};
    atomic_store(&b.rig.shared->core.workers[0].generation, 1);
    atomic_store(&b.rig.shared->core.relay.generation, 1);
    b.bell_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    RC_ASSERT(rc_uplink_open(&b.uplink, b.rig.control, &b.view, &b.rig.truth, b.rig.metrics, 0, b.bell_fd,
                             &(struct rc_uplink_handlers){0}, &err) == 0);
    RC_ASSERT(rc_ring_attach_consumer(&b.up, &b.port->pairs[1].up, rc_port_data(&b.view, 1, RC_PORT_UP), RING_BYTES) ==
              0);
    rc_memberships_open(&b.members, &b.uplink, &b.rig.truth, &b.rig.hub.clients_high, b.rig.hub.worker, b.rig.config);
    for (uint32_t i = 0; i < RC_ARRAY_COUNT(b.slots); i++) {
        b.slots[i] = hub_rig_connect(&b.rig, HUB_RIG_UNIX, RC_CODEC_JSON, false, 0);
    }
}

static void close_all(void)
{
    b.rig.hub.handlers.member_changed = NULL;
    rc_memberships_close(&b.members);
    for (uint32_t i = 1; i <= b.rig.slots; i++) {
        hub_rig_hang_up(&b.rig, i);
    }
    for (int i = 0; i < 20; i++) {
        hub_rig_run(&b.rig);
    }
    rc_uplink_close(&b.uplink);
    hub_rig_close(&b.rig);
    free(b.port);
    close(b.bell_fd);
}

TestSuite(memberships, .init = open_all, .fini = close_all);

/* What went up, as "+slot:channel -slot:channel ( … )", "!" behind those with presence. At most `most` records. */
static const char *went_up(uint32_t most)
{
    static char text[65536];
    struct rc_envelope_view view;
    uint32_t type;
    uint32_t bytes;
    const void *record;
    size_t at = 0;
    text[0] = '\0';
    for (uint32_t i = 0; i < most && rc_ring_next(&b.up, &type, &record, &bytes) == 1; i++) {
        cr_assert_eq(rc_envelope_read(&view, record, bytes), 0);
        switch (type) {
        case RC_UP_MEMBER_ADD:
        case RC_UP_MEMBER_REMOVE:
            cr_assert_eq(view.head.origin.random, rc_truth_client(&b.rig.truth, view.head.origin.slot)->random);
            at += (size_t)snprintf(text + at, sizeof(text) - at, "%c%u:%.*s%s ", type == RC_UP_MEMBER_ADD ? '+' : '-',
                                   view.head.origin.slot - b.slots[0], view.head.channel_bytes, view.channel,
                                   (view.head.flags & RC_ENVELOPE_PRESENCE) != 0 ? "!" : "");
            break;
        case RC_UP_MEMBERS_BEGIN:
        case RC_UP_MEMBERS_END:
            cr_assert_eq(view.head.token, atomic_load(&b.rig.shared->core.relay.generation));
            at += (size_t)snprintf(text + at, sizeof(text) - at, type == RC_UP_MEMBERS_BEGIN ? "( " : ") ");
            break;
        default:
            cr_assert_fail("a record of type %u went up", type);
        }
    }
    rc_ring_release(&b.up);
    return text;
}

static const char *all(void)
{
    rc_memberships_flush(&b.members);
    return went_up(UINT32_MAX);
}

static void join(uint32_t client, const char *channel)
{
    (void)hub_rig_subscribe(&b.rig, b.slots[client], channel);
}

static void leave(uint32_t client, const char *channel)
{
    hub_rig_unsubscribe(&b.rig, b.slots[client], channel);
}

Test(memberships, only_what_somebody_wants_to_know)
{
    cr_assert_str_eq(all(), "( ) ", "to a relay that is new to us");
    join(0, "room:1");
    join(0, "news");
    join(1, "room:1");
    leave(0, "room:1");
    cr_assert_str_eq(all(), "+0:room:1! +1:room:1! -0:room:1! ");
    cr_assert_str_eq(all(), "");
}

Test(memberships, sets_of_clients_with_redis)
{
    (void)snprintf(b.rig.config->redis.url.text, sizeof(b.rig.config->redis.url.text), "redis://x");
    (void)all();
    join(0, "news");
    join(0, "room:1");
    cr_assert_str_eq(all(), "+0:news +0:room:1! ");
    b.rig.config->cluster.subscription_sets = RC_SUBSCRIPTION_SETS_INSTANCES;
    join(1, "news");
    join(1, "room:1");
    cr_assert_str_eq(all(), "+1:room:1! ");
}

Test(memberships, a_new_relay_is_told_everything)
{
    join(0, "room:1");
    join(0, "room:2");
    join(2, "room:1");
    (void)all();
    atomic_fetch_add(&b.rig.shared->core.relay.generation, 1);
    cr_assert_str_eq(all(), "( +0:room:2! +0:room:1! +2:room:1! ) ");
    cr_assert_str_eq(all(), "");
}

Test(memberships, a_reload_tells_all_that_is_of_interest_now)
{
    static struct rc_config other;
    static struct rc_config none;
    join(0, "room:1");
    join(1, "news");
    (void)all();
    other = *b.rig.config;
    other.namespaces[0].presence = true;
    other.namespaces[1].presence = false;
    rc_memberships_reconfigure(&b.members, &other);
    cr_assert_str_eq(all(), "( +1:news! ) ");
    none = other;
    none.namespaces[0].presence = false;
    rc_memberships_reconfigure(&b.members, &none);
    cr_assert_str_eq(all(), "( ) ", "the relay forgets them");
    rc_memberships_reconfigure(&b.members, &none);
    cr_assert_str_eq(all(), "");
}

Test(memberships, a_full_ring_changes_neither_order_nor_number)
{
    char name[16];
    (void)all();
    for (uint32_t i = 0; i < 500; i++) {
        (void)snprintf(name, sizeof(name), "room:%u", i);
        join(0, name);
        leave(0, name);
    }
    uint32_t count = 0;
    for (uint32_t turn = 0; turn < 100; turn++) {
        rc_memberships_flush(&b.members);
        char *at = strdup(went_up(7)); /* the relay is slow */
        char *rest = NULL;
        for (char *one = strtok_r(at, " ", &rest); one != NULL; one = strtok_r(NULL, " ", &rest), count++) {
            char wanted[24];
            (void)snprintf(wanted, sizeof(wanted), "%c0:room:%u!", count % 2 == 0 ? '+' : '-', count / 2);
            cr_assert_str_eq(one, wanted);
        }
        free(at);
    }
    for (const char *at = all(); *at != '\0'; at = all()) {
        for (; (at = strchr(at, '!')) != NULL; at++) {
            count++;
        }
        if (count == 1000) {
            break;
        }
        cr_assert_lt(count, 1000);
    }
    cr_assert_eq(count, 1000);
    cr_assert_null(b.members.queue);
}

Test(memberships, when_the_queue_is_full_everything_is_told_again)
{
    char name[256];
    (void)all();
    join(1, "room:stays");
    memset(name, 'n', sizeof(name));
    memcpy(name, "room:", 5);
    name[250] = '\0';
    for (uint32_t i = 0; i < RC_MEMBERSHIPS_QUEUE_MAX / 200; i++) {
        join(0, name);
        leave(0, name);
    }
    cr_assert_leq(b.members.queue_capacity, RC_MEMBERSHIPS_QUEUE_MAX);
    join(0, name);
    /* After whatever was written before: all that there is. */
    static char said[4u << 20];
    said[0] = '\0';
    size_t bytes = 0;
    for (uint32_t turn = 0; turn < 100; turn++) {
        const char *some = all();
        memcpy(said + bytes, some, strlen(some) + 1);
        bytes += strlen(some);
        cr_assert_lt(bytes, sizeof(said) - 65536);
    }
    const char *begin = NULL;
    for (const char *at = said; (at = strchr(at, '(')) != NULL; at++) {
        begin = at;
    }
    cr_assert_not_null(begin, "it began again");
    char wanted[512];
    (void)snprintf(wanted, sizeof(wanted), "+0:%s! ", name);
    cr_assert_not_null(strstr(begin, wanted));
    cr_assert_not_null(strstr(begin, "+1:room:stays! "));
    cr_assert_not_null(strstr(begin, ") "));
}

Test(memberships, a_client_that_leaves_while_it_is_told_of_hides_no_other_channel)
{
    char name[256];
    memset(name, 'n', sizeof(name));
    memcpy(name, "room:", 5);
    name[200] = '\0';
    b.rig.hub.handlers.member_changed = NULL;
    for (uint32_t i = 0; i < 100; i++) { /* more than a ring holds */
        (void)snprintf(name + 196, 5, "%04u", i);
        join(0, name);
    }
    b.rig.hub.handlers.member_changed = member_changed;
    rc_memberships_flush(&b.members);
    cr_assert(b.members.telling && b.members.next_subscription > 0);
    /* The newest are told first: it leaves one that was told. */
    leave(0, name);
    bool told[100] = {false};
    for (uint32_t turn = 0; turn < 50; turn++) {
        const char *some = all();
        for (const char *at = some; (at = strstr(at, "+0:room:")) != NULL; at++) {
            told[strtoul(at + 3 + 196, NULL, 10)] = true;
        }
        const char *gone = strstr(some, "-0:room:");
        if (gone != NULL) {
            cr_assert_eq(strtoul(gone + 3 + 196, NULL, 10), 99);
        }
    }
    for (uint32_t i = 0; i < 99; i++) {
        cr_assert(told[i], "channel %u was told", i);
    }
    cr_assert(!b.members.telling);
}
