/* A CONNECT that waits for a lost session while the configuration is read again: what has begun to be kept of it has the bound of all others. */
#include <criterion/criterion.h>

#include <stdio.h>
#include <string.h>

#include "common/base/check.h"
#include "common/records/recovery.h"
#include "tests/support/engine_rig.h"
#include "worker/engine/auth.h"
#include "worker/engine/recoverable.h"
#include "worker/engine/returning.h"

#define AUTH_BYTES 70000 /* more than is kept, and than 16 bits say */

static const char pid[RC_PID_BYTES + 1] = "01234567890123456789";
static struct engine_rig r;
static struct engine_rig_wire *post;
static struct engine_rig_wire *get;

static void open_all(void)
{
    static struct rc_recoverable objects[4];
    engine_rig_open(&r);
    struct rc_config_socketio *settings = &r.c.rig.config->socketio;
    settings->recovery_ms = 60000;
    settings->namespace_count = 1;
    strcpy(settings->namespaces[0].text, "/");
    rc_pool_init(&r.c.rig.truth.recoverables, objects, sizeof(objects[0]), RC_ARRAY_COUNT(objects));
    RC_ASSERT(rc_recoverable_open(&r.engines) == 0 && rc_returnings_open(&r.engines) == 0);
    engine_rig_rows(&r, "[[event]]\non = \"say\"\nemit = [{to = \"*\"}]\n");
    engine_rig_begin(&r, false);
    post = engine_rig_wire(&r);
    get = engine_rig_wire(&r);
}

static void close_all(void)
{
    engine_rig_close(&r);
}

TestSuite(returning, .init = open_all, .fini = close_all, .timeout = 20);

static const struct rc_returning *its(void)
{
    return rc_returning_of(&r.engines, r.session);
}

/* Its CONNECT, which waits. */
static void comes_back(void)
{
    static char packet[AUTH_BYTES];
    const int head = snprintf(packet, sizeof(packet), "40{\"pid\":\"%s\",\"x\":\"", pid);
    memset(packet + head, 'a', sizeof(packet) - (size_t)head);
    memcpy(packet + sizeof(packet) - 3, "\"}", 3);
    cr_assert_not(r.engines.keeps_auth);
    engine_rig_request(&r, post, r.sid, packet);
    cr_assert(its() != NULL && its()->token != 0);
}

static void reload(void)
{
    engine_rig_rows(&r, "[[event]]\non = \"say\"\nemit = [{to = \"{auth.x}\"}]\n");
    cr_assert(r.engines.keeps_auth);
}

static void answered(uint16_t code, const void *data, size_t bytes)
{
    const struct rc_envelope_view view = {.head = {.token = its()->token, .code = code, .data_bytes = (uint32_t)bytes},
                                          .data = data};
    rc_asks_answered(&r.c.asks, RC_DOWN_QUERY, &view);
    engine_rig_settle(&r);
    rc_returnings_work(&r.engines);
}

static const char *polled(void)
{
    engine_rig_request(&r, get, r.sid, NULL);
    cr_assert_eq(engine_rig_answer(&r, get), 200);
    return get->text;
}

static void is_out(void)
{
    cr_assert_eq(rc_engine_auth_whole(&r.engines, r.session).count, 0, "nothing of it is kept");
    cr_assert_null(its());
    cr_assert_not(rc_engine_has_joined(&r.engines, r.session, RC_SPAN("/")));
    cr_assert(engine_rig_lives(&r, r.session));
    cr_assert_eq(engine_rig_answer(&r, post), 200);
}

Test(returning, who_is_new_after_all_is_refused_when_a_reload_makes_its_auth_too_large)
{
    comes_back();
    reload();
    answered(RC_SIO_SESSION_UNKNOWN, NULL, 0);
    cr_assert_str_eq(polled(), "44{\"message\":\"the auth payload is too large\"}");
    is_out();
}

Test(returning, who_came_back_is_dismissed_when_a_reload_makes_its_auth_too_large)
{
    struct {
        struct rc_sio_session_head head;
        char rooms[3];
    } session = {.head = {.state = RC_SIO_SESSION_LOST, .rooms_bytes = 3}, .rooms = "/#"};
    const struct rc_missed_head missed = {.flags = RC_MISSED_LAST};
    memcpy(session.head.pid, pid, RC_PID_BYTES);
    memcpy(session.head.sid, pid, RC_SID_BYTES);
    comes_back();
    answered(RC_SIO_SESSION_FOUND, &session, sizeof(session.head) + sizeof(session.rooms));
    cr_assert(its()->takes);
    reload();
    answered(RC_SIO_SESSION_FOUND, &missed, sizeof(missed));
    const char *text = polled();
    cr_assert(strncmp(text, "40{\"sid\":", 9) == 0 && strstr(text, "\x1e"
                                                                   "41") != NULL,
              "%s", text);
    is_out();
}
