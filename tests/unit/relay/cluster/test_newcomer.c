/* A number that no worker took, because their rings were full, is told when one takes it. The rest: tests/e2e/pusher_redis.test.mjs. */
#include "tests/support/fake_redis.h"

#include "common/base/check.h"
#include "common/config/pusher.h"
#include "relay/cluster/newcomer.h"

#define LATER (RC_RECOUNT_MS + 10u)
#define CHANNEL "pusher-7:news"

static struct rc_newcomers newcomers;
static struct rc_control control;
static struct rc_config_segment configs;
static struct rc_report reports[2];
static bool full; /* all rings are */
static char told[256];

bool rc_pusher_roster(const struct rc_config *config, struct rc_span channel)
{
    (void)config;
    (void)channel;
    return true;
}

bool rc_roster_announce(struct rc_roster *roster, struct rc_span channel, const struct rc_span *user,
                        struct rc_client_ref *ref, struct rc_span *info)
{
    (void)roster;
    (void)channel;
    (void)user;
    *ref = (struct rc_client_ref){0};
    *info = (struct rc_span){0};
    return false;
}

int rc_router_send(struct rc_router *router, uint32_t worker, enum rc_record_type type,
                   const struct rc_envelope_view *view)
{
    struct rc_member_told its;
    (void)router;
    (void)worker;
    cr_assert_eq(type, RC_DOWN_MEMBER);
    cr_assert_geq(view->head.data_bytes, sizeof(its));
    if (full) {
        return -EAGAIN;
    }
    memcpy(&its, view->data, sizeof(its));
    (void)snprintf(told + strlen(told), sizeof(told) - strlen(told), "%.*s=%u ", (int)view->head.channel_bytes,
                   view->channel, its.clients);
    return 0;
}

static void open_all(void)
{
    static int link;
    fake.up = true;
    control.worker_count = RC_ARRAY_COUNT(reports);
    control.configs = &configs;
    for (uint32_t i = 0; i < RC_ARRAY_COUNT(reports); i++) {
        control.workers[i] = &reports[i];
        atomic_store(&reports[i].process.state, RC_PROCESS_READY);
    }
    rc_newcomers_open(&newcomers, &control, NULL, NULL, (struct rc_redis_link *)&link, &fake.timers);
}

static void close_all(void)
{
    rc_newcomers_close(&newcomers);
}

TestSuite(newcomer, .init = open_all, .fini = close_all);

static void counted(uint32_t clients)
{
    rc_newcomers_counted(&newcomers, RC_SPAN(CHANNEL), (struct rc_span){0}, 0, clients);
}

/* A moment later Redis says who has how many. */
static void looked(const char *text)
{
    fake_pass(LATER);
    fake_string("HGET ws:presence:members:" CHANNEL " ", text);
}

Test(newcomer, a_number_that_was_taken_is_told_once)
{
    counted(5);
    looked("a:5");
    cr_assert_str_eq(told, CHANNEL "=5 ");
    cr_assert_eq(newcomers.recounts.count, 0);
}

Test(newcomer, a_number_that_nobody_took_is_told_when_somebody_does)
{
    full = true;
    counted(5);
    looked("a:5");
    cr_assert_str_eq(told, "");
    full = false;
    looked("a:5");
    cr_assert_str_eq(told, CHANNEL "=5 ");
    looked("a:5");
    cr_assert_eq(newcomers.recounts.count, 0);
}

Test(newcomer, so_is_one_of_a_dead_instance)
{
    full = true;
    rc_newcomers_cleaned(&newcomers, RC_SPAN(CHANNEL), (struct rc_span){0}, RC_MEMBER_COUNTED, 3);
    full = false;
    looked("a:3");
    cr_assert_str_eq(told, CHANNEL "=3 ");
}

Test(newcomer, so_is_one_that_was_found)
{
    counted(5);
    looked("a:6");
    full = true;
    looked("a:6");
    cr_assert_str_eq(told, CHANNEL "=5 ");
    full = false;
    looked("a:6");
    cr_assert_str_eq(told, CHANNEL "=5 " CHANNEL "=6 ");
    looked("a:6");
    cr_assert_eq(newcomers.recounts.count, 0);
}
