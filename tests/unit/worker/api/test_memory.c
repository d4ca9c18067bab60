/* GET /api/memory: every holder counts what it says it counts. */
#include "tests/support/api_rig.h"

static void open_all(void)
{
    api_rig_open();
    api_rig_count(500000);
}

static void close_all(void)
{
    api_rig_uncount();
    api_rig_close();
}

TestSuite(api_memory, .init = open_all, .fini = close_all);

static void holds(const char *what, uint64_t bytes, const char *rest)
{
    char text[128];
    (void)snprintf(text, sizeof(text), "{\"what\":\"%s\",\"bytes\":%llu,%s", what, (unsigned long long)bytes, rest);
    cr_assert(strstr(answer, text) != NULL, "%s is not in %s", text, answer);
}

Test(api_memory, each_holder_is_there_with_its_bytes_and_its_bound)
{
    (void)api_rig_ask("GET /api/memory " API_RIG_HEAD "\r\n");
    char rest[64];
    (void)snprintf(rest, sizeof(rest), "\"count\":null,\"bytes_max\":%llu,",
                   (unsigned long long)(c.rig.config->limits.worker_log_bytes * c.clients.control->worker_count));
    holds("unread_messages", 1000 + RC_METRIC_LOG_BYTES, rest);
    holds("unread_replies", 1000 + RC_METRIC_REPLY_BYTES, "\"count\":null,\"bytes_max\":null,");
    holds("history", 500000 + RC_METRIC_HISTORY_BYTES, "\"count\":null,\"bytes_max\":");
    holds("redis_outbox", 500000 + RC_METRIC_REDIS_OUTBOX_BYTES, "\"count\":null,\"bytes_max\":");
    (void)snprintf(rest, sizeof(rest), "\"count\":%d,\"bytes_max\":null,", 1000 + RC_METRIC_CONNECTIONS);
    holds("clients", (1000u + RC_METRIC_CONNECTIONS) * sizeof(struct rc_client), rest);
    cr_assert(strstr(answer, "\"processes\":[{\"process\":\"acceptor\",") != NULL);
}
