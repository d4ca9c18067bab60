/* dialled: see dialled.h. */
#include "worker/carrier/dialled.h"

#include <errno.h>

#include "common/base/check.h"
#include "common/config/text.h"
#include "common/shm/worker_use.h"
#include "worker/link/hello.h"
#include "worker/link/link_io.h"

static void dialled_refuse(struct rc_exchange *exchange, uint16_t status, const char *why)
{
    struct rc_clients *clients = exchange->exchanges->ops.context;
    rc_metric_add(clients->metrics, RC_METRIC_LINK_NOT_TAKEN, 1);
    exchange->keep_alive = false;
    rc_exchange_error(exchange, (struct rc_exchange_answer){
                                    .status = status, .message = why, .retry_after_s = status == 503 ? 1 : 0});
}

/* The worker that is asked for; -ENOENT: any. -EINVAL: that is no number. */
static int worker_wanted(const struct rc_http_request *request, uint64_t *worker)
{
    char text[12];
    const int bytes = rc_http_query_find(request->query, "worker", text, sizeof(text));
    if (bytes == -ENOENT) {
        return -ENOENT;
    }
    return bytes <= 0 || rc_config_uint_parse(text, (size_t)bytes, worker, NULL) != 0 ? -EINVAL : 0;
}

/* It stays in this worker, and leaves HTTP. */
static void becomes_link(struct rc_handovers *handovers, struct rc_exchange *exchange)
{
    struct rc_clients *clients = handovers->clients;
    const uint32_t index = exchange->connection;
    char backend[RC_CONFIG_TEXT_MAX];
    const int bytes = rc_http_query_find(exchange->request->query, "backend", backend, sizeof(backend));
    const int rc = bytes < 0 && bytes != -ENOENT
                       ? -ENOENT
                       : rc_links_may_take(handovers->links, rc_span_of(backend, bytes < 0 ? 0 : (size_t)bytes));
    if (rc == -ENOENT) {
        dialled_refuse(exchange, 404, "socketio.link is no [[backend]] of that name");
        return;
    }
    if (rc < 0 || clients->draining) {
        dialled_refuse(exchange, 503, "this worker takes no link now: try again");
        return;
    }
    rc_exchange_put_back(exchange);
    clients->truth->sockets[index].state = RC_SOCKET_LEAVING;
    clients->truth->sockets[index].leaving = RC_LEAVING_LINKS;
    rc_socket_deadline(clients, index, clients->config->limits.handshake_timeout_ms);
}

static void dialled_asked(void *context, struct rc_exchange *exchange)
{
    struct rc_handovers *handovers = context;
    const struct rc_http_request *request = exchange->request;
    const struct rc_control *control = handovers->clients->control;
    struct rc_http_view nonce;
    uint64_t worker = handovers->clients->worker;
    const char *why = rc_link_request_judge(request, &nonce);
    if (!rc_http_view_equals(request->path, RC_LINK_PATH)) {
        dialled_refuse(exchange, 404, "nothing but links is answered here: GET " RC_LINK_PATH);
        return;
    }
    if (why != NULL) {
        dialled_refuse(exchange, 400, why);
        return;
    }
    int rc = worker_wanted(request, &worker);
    if (rc == -EINVAL || worker >= rc_workers_used(control->core, control->worker_count)) {
        dialled_refuse(exchange, 404, "there is no such worker");
        return;
    }
    if (worker == handovers->clients->worker) {
        becomes_link(handovers, exchange);
        return;
    }
    rc = rc_handover_begin(exchange, (uint32_t)worker);
    if (rc < 0) {
        dialled_refuse(exchange, 503, "that worker does not run now: try again");
    }
}

void rc_dialled_open(struct rc_handovers *handovers, struct rc_links *links)
{
    handovers->links = links;
    handovers->clients->dialled = dialled_asked;
    handovers->clients->dialled_context = handovers;
}
