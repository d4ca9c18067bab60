/* What anybody may ask, of a worker whose report says what the test wants: the health of session backends. */
#include "common/metrics/backend_health.h"
#include "tests/support/api_rig.h"

static void open_all(void)
{
    api_rig_open();
    rc_resources_add_routes(&api, &c.clients.routes);
}

TestSuite(resources, .init = open_all, .fini = api_rig_close);

/* Without a key. */
static const char *ask(const char *path)
{
    char request[128];
    (void)snprintf(request, sizeof(request), "GET %s HTTP/1.1\r\nHost: a\r\n\r\n", path);
    return api_rig_ask(request);
}

static void expect_database(const char *status, const char *body)
{
    (void)ask("/health/database");
    char line[32];
    (void)snprintf(line, sizeof(line), "HTTP/1.1 %s ", status);
    cr_expect_eq(strncmp(answer, line, strlen(line)), 0, "%s", answer);
    cr_expect_not_null(strstr(answer, body), "%s is not in %s", body, answer);
}

Test(resources, health_of_session_backends)
{
    struct rc_report *worker = &c.rig.shared->worker;
    expect_database("200", "{\"healthy\":true,\"status\":\"not_configured\",\"backends\":[],\"timestamp\":");
    rc_backend_health_register(worker, 0, "sessions");
    expect_database(
        "200",
        "{\"healthy\":true,\"status\":\"healthy\",\"backends\":[{\"backend\":\"sessions\",\"status\":\"healthy\","
        "\"failures\":0,\"last_success_ms\":null,\"last_failure_ms\":null}],\"timestamp\":");
    rc_backend_health_register(worker, 1, "web");
    rc_backend_health_note(worker, 0, true);
    rc_backend_health_note(worker, 1, false);
    expect_database(
        "503",
        "{\"healthy\":false,\"status\":\"unhealthy\",\"backends\":[{\"backend\":\"sessions\",\"status\":\"healthy\",\"failures\":0,"
        "\"last_success_ms\":");
    expect_database(
        "503",
        "\"last_failure_ms\":null},{\"backend\":\"web\",\"status\":\"unhealthy\",\"failures\":1,\"last_success_ms\":null,"
        "\"last_failure_ms\":");
    rc_backend_health_retire(worker, 1);
    expect_database("200", "\"status\":\"healthy\"");
}
