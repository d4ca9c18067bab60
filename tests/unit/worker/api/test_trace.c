/* GET /api/trace on one worker: what is wanted, the trace in force, and how far a caller has read. */
#include <stdlib.h>

#include "common/shm/tracer.h"
#include "tests/support/api_rig.h"

static void close_all(void)
{
    c.rig.hub.tracing = false;
    api_rig_close();
}

TestSuite(api_trace, .init = api_rig_open, .fini = close_all, .timeout = 20);

static const char *get(const char *method, const char *query)
{
    char request[1024];
    (void)snprintf(request, sizeof(request), "%s /api/trace?%s " API_RIG_HEAD "\r\n", method, query);
    return api_rig_ask(request);
}

/* The trace of a channel is in force here, as the acceptor would have it. */
static void trace_runs(const char *channel)
{
    struct rc_tracer *tracer = &c.clients.hub->traces.tracer;
    tracer->ring = &c.clients.control->own->traced;
    tracer->wanted =
        (struct rc_trace_wanted){.by = RC_TRACE_BY_CHANNEL, .serial = 5, .channel_bytes = (uint16_t)strlen(channel)};
    memcpy(tracer->wanted.channel, channel, strlen(channel));
}

Test(api_trace, it_is_asked_for_in_the_report_where_none_runs)
{
    struct rc_trace_ask *ask = &c.clients.control->own->trace_ask;
    struct rc_tracer asked = {.filter = &ask->wanted};
    cr_assert(strstr(get("GET", ""), "HTTP/1.1 400 ") != NULL, "%s", answer);
    cr_assert(strstr(get("GET", "client=nobody"), "HTTP/1.1 404 ") != NULL, "%s", answer);
    cr_assert_not(rc_tracer_changed(&asked));
    cr_assert(strstr(get("GET", "user=a%20b&channel=x"), "\"state\":\"asked\"") != NULL, "%s", answer);
    cr_assert(rc_tracer_changed(&asked) && rc_tracer_adopt(&asked));
    cr_assert_eq(asked.wanted.by, (uint32_t)(RC_TRACE_BY_USER | RC_TRACE_BY_CHANNEL));
    cr_assert_str_eq(asked.wanted.user, "a b");
    cr_assert_neq(atomic_load(&ask->read_ms), 0);
}

Test(api_trace, stages_come_once_and_another_trace_is_refused)
{
    const struct rc_traced stage = {.stage = RC_TRACE_UP, .time_ns = 1};
    char query[256];
    trace_runs("x");
    rc_tracer_tell(&c.clients.hub->traces.tracer, &stage, RC_SPAN("x"), RC_SPAN("e"), "why \"so\"");
    cr_assert(strstr(get("GET", "channel=y"), "HTTP/1.1 409 ") != NULL, "%s", answer);
    get("GET", "channel=x");
    cr_assert(strstr(answer, "\"state\":\"running\",\"trace\":5,\"lost\":0,\"more\":false") != NULL, "%s", answer);
    cr_assert(strstr(answer, "\"stage\":\"up\"") != NULL && strstr(answer, "\"why\":\"why \\\"so\\\"\"") != NULL);
    cr_assert_eq(atomic_load(&c.clients.control->own->trace_ask.read_serial), 5);
    const char *next = strstr(answer, "\"next\":\"") + strlen("\"next\":\"");
    (void)snprintf(query, sizeof(query), "channel=x&next=%.*s", (int)strcspn(next, "\""), next);
    cr_assert(strstr(get("GET", query), "\"stages\":[]") != NULL, "%s", answer);
    cr_assert(strstr(get("GET", "channel=x&next=5.1"), "HTTP/1.1 400 ") != NULL, "%s", answer);
    cr_assert(strstr(get("GET", "channel=x&next=4.1"), "\"stage\":\"up\"") != NULL,
              "of another trace: from the beginning");
    cr_assert(strstr(get("DELETE", "channel=x"), "\"state\":\"ended\"") != NULL, "%s", answer);
    struct rc_tracer asked = {.filter = &c.clients.control->own->trace_ask.wanted};
    cr_assert(rc_tracer_adopt(&asked) && asked.wanted.by == 0 && asked.wanted.serial == 5);
}
