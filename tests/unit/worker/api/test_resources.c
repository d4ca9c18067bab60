/* What anybody may ask, of a worker whose report says what the test wants: the health of session backends. */
#include <criterion/criterion.h>

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/metrics/backend_health.h"
#include "tests/support/client_rig.h"
#include "worker/api/api.h"

static struct client_rig c;
static struct rc_api api;
static uint32_t caller; /* a socket that speaks HTTP */
static int caller_fd;

static void open_all(void)
{
    client_rig_open(&c, 8);
    rc_api_open(&api, &c.clients);
    rc_resources_add_routes(&api, &c.clients.routes);
    caller = hub_rig_socket(&c.rig, HUB_RIG_UNIX, 0, &caller_fd);
}

static void close_all(void)
{
    rc_socket_terminated(&c.clients, caller);
    rc_api_close(&api);
    client_rig_close(&c);
    (void)close(caller_fd);
}

TestSuite(resources, .init = open_all, .fini = close_all);

static const char *ask(const char *path)
{
    static char answer[8192];
    char request[128];
    const int bytes = snprintf(request, sizeof(request), "GET %s HTTP/1.1\r\nHost: a\r\n\r\n", path);
    rc_socket_received(&c.clients, caller, (uint8_t *)request, (uint32_t)bytes);
    hub_rig_drain(&c.rig);
    const ssize_t count = recv(caller_fd, answer, sizeof(answer) - 1, MSG_DONTWAIT);
    cr_assert_gt(count, 0);
    answer[count] = '\0';
    return answer;
}

static void expect_database(const char *status, const char *body)
{
    const char *answer = ask("/health/database");
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
