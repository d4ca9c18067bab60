/* GET /api/memory: every holder counts what it says it counts. */
#include <criterion/criterion.h>

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/support/client_rig.h"
#include "worker/api/api.h"

static struct client_rig c;
static struct rc_api api;
static uint32_t caller;
static int caller_fd;

static void open_all(void)
{
    client_rig_open(&c, 8);
    c.rig.config->http.api_keys.count = 1;
    strcpy(c.rig.config->http.api_keys.items[0].text, "k");
    rc_api_open(&api, &c.clients);
    caller = hub_rig_socket(&c.rig, HUB_RIG_UNIX, 0, &caller_fd);
    for (uint32_t i = 0; i < RC_METRIC_COUNT; i++) {
        rc_metric_set(c.rig.metrics, i, 1000 + i);
        rc_metric_set(rc_banks_own(&c.rig.shared->relay.report.banks), i, 500000 + i);
    }
}

static void close_all(void)
{
    rc_metric_set(c.rig.metrics, RC_METRIC_BEHIND, 0); /* the rig's check counts it */
    rc_socket_terminated(&c.clients, caller);
    rc_api_close(&api);
    client_rig_close(&c);
    (void)close(caller_fd);
}

TestSuite(api_memory, .init = open_all, .fini = close_all);

static void holds(const char *answer, const char *what, uint64_t bytes, const char *rest)
{
    char text[128];
    (void)snprintf(text, sizeof(text), "{\"what\":\"%s\",\"bytes\":%llu,%s", what, (unsigned long long)bytes, rest);
    cr_assert(strstr(answer, text) != NULL, "%s is not in %s", text, answer);
}

Test(api_memory, each_holder_is_there_with_its_bytes_and_its_bound)
{
    static const char request[] = "GET /api/memory HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer k\r\n\r\n";
    char answer[8192];
    char rest[64];
    rc_socket_received(&c.clients, caller, (uint8_t *)request, sizeof(request) - 1);
    hub_rig_drain(&c.rig);
    const ssize_t count = recv(caller_fd, answer, sizeof(answer) - 1, MSG_DONTWAIT);
    cr_assert_gt(count, 0);
    answer[count] = '\0';
    (void)snprintf(rest, sizeof(rest), "\"count\":null,\"bytes_max\":%llu,",
                   (unsigned long long)(c.rig.config->limits.worker_log_bytes * c.clients.control->worker_count));
    holds(answer, "unread_messages", 1000 + RC_METRIC_LOG_BYTES, rest);
    holds(answer, "unread_replies", 1000 + RC_METRIC_REPLY_BYTES, "\"count\":null,\"bytes_max\":null,");
    holds(answer, "history", 500000 + RC_METRIC_HISTORY_BYTES, "\"count\":null,\"bytes_max\":");
    holds(answer, "redis_outbox", 500000 + RC_METRIC_REDIS_OUTBOX_BYTES, "\"count\":null,\"bytes_max\":");
    (void)snprintf(rest, sizeof(rest), "\"count\":%d,\"bytes_max\":null,", 1000 + RC_METRIC_CONNECTIONS);
    holds(answer, "clients", (1000u + RC_METRIC_CONNECTIONS) * sizeof(struct rc_client), rest);
    cr_assert(strstr(answer, "\"processes\":[{\"process\":\"acceptor\",") != NULL);
}
