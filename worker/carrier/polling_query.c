/* polling_query: what a request of Engine.IO asks for, and whether it may. See polling.h. */
#include "worker/carrier/polling.h"

#include <errno.h>
#include <string.h>

#include "common/config/socketio.h"
#include "common/shm/worker_use.h"
#include "worker/carrier/crossing.h"
#include "worker/engine/moving.h"
#include "worker/link/opening.h"

#define QUERY_VALUE_MAX 64u

/* --- errors ---------------------------------------------------------------------------------------------------------- */

void rc_polling_refuse(struct rc_exchange *exchange, enum rc_eio_error error, bool upgrade)
{
    char text[RC_EIO_ERROR_BYTES_MAX];
    const char *message = rc_eio_error_message(error);
    const size_t bytes = upgrade ? strlen(message) : rc_eio_error_write(text, sizeof(text), error);
    exchange->keep_alive &= !upgrade;
    rc_exchange_answer(exchange,
                       &(struct rc_exchange_answer){.status = error == RC_EIO_FORBIDDEN ? 403 : 400,
                                                    .content_type = upgrade ? "text/html" : "application/json",
                                                    .body = upgrade ? message : text,
                                                    .body_bytes = bytes});
}

/* --- what is asked for ----------------------------------------------------------------------------------------------- */

/* Its bytes, 0: there is none. One that cannot be decoded, or is longer than any that means something, is "?". */
static size_t query_value(const struct rc_exchange *exchange, const char *name, char out[QUERY_VALUE_MAX + 1])
{
    int bytes = rc_http_query_find(exchange->request->query, name, out, QUERY_VALUE_MAX);
    if (bytes < 0 && bytes != -ENOENT) {
        out[0] = '?';
        bytes = 1;
    }
    out[bytes > 0 ? bytes : 0] = '\0';
    return bytes > 0 ? (size_t)bytes : 0;
}

/* Is the session (0: one that may be coming) being moved, so that its request has to wait? */
static bool polling_held(const struct rc_engines *engines, uint32_t session)
{
    const struct rc_move_ops *move = &engines->clients->move;
    return move->holds != NULL && move->holds(move->context, session);
}

/* A session that is not here: its connection goes to the worker, or is piped to the instance, that has it. False: it is nobody's. */
static bool polling_hand_over(struct rc_polling *polling, struct rc_exchange *exchange,
                              const struct rc_engine_query *query)
{
    const struct rc_engines *engines = polling->engines;
    if (!query->known) {
        return false;
    }
    if (!rc_sid_is_of(&query->sid, engines->instance)) {
        return rc_crossing_begin(polling->handovers, exchange, query->sid.instance) == 0;
    }
    const uint32_t worker = rc_engine_place(engines, &query->sid);
    if (worker == engines->clients->worker && polling_held(engines, 0)) {
        rc_handover_wait(polling->handovers, exchange);
        return true;
    }
    const int rc = rc_handover_begin(exchange, worker);
    const bool comes_back = rc == -ESRCH && rc_worker_use(engines->clients->control->core, worker) != RC_WORKER_UNUSED;
    return rc == 0 || (comes_back && rc_handover_later(exchange));
}

/* Is it for the end point whose clients are an application's? */
static bool polling_is_linked(const struct rc_polling *polling, const struct rc_exchange *exchange)
{
    enum rc_codec_id codec;
    char path[RC_ROUTE_PATH_BYTES_MAX];
    const int bytes = rc_http_path_decode(exchange->request->path, path, sizeof(path) - 1);
    path[bytes < 0 ? 0 : bytes] = '\0';
    return rc_socket_endpoint(polling->engines->clients->config, path, &codec) >= 0 && rc_codec_is_link(codec);
}

/* What engine.io verifies of a request that names a session, beyond that there is one. -1: it may go on. */
static int session_refusal(const struct rc_engines *engines, const struct rc_engine_query *query, bool upgrade)
{
    const uint8_t its = rc_engine_is_3(engines, query->session) ? 3 : 4;
    return upgrade != query->websocket || query->revision != its ? RC_EIO_BAD_REQUEST : -1;
}

/* The same of one that begins a session, in engine.io's order. */
static int handshake_refusal(const struct rc_polling *polling, const struct rc_exchange *exchange,
                             const struct rc_engine_query *query, bool upgrade)
{
    const bool allowed = query->revision == 4 || (query->revision == 3 && polling_is_linked(polling, exchange) &&
                                                  rc_engine_settings(polling->engines)->allow_eio3);
    return exchange->request->method != RC_HTTP_GET ? RC_EIO_BAD_HANDSHAKE_METHOD
           : upgrade != query->websocket            ? RC_EIO_BAD_REQUEST
           : !allowed                               ? RC_EIO_UNSUPPORTED_VERSION
                                                    : -1;
}

/* Reads the query. False: it names no transport that is allowed. */
static bool query_read(const struct rc_engines *engines, const struct rc_exchange *exchange,
                       struct rc_engine_query *query)
{
    char transport[QUERY_VALUE_MAX + 1];
    char sid[QUERY_VALUE_MAX + 1];
    char revision[QUERY_VALUE_MAX + 1];
    *query = (struct rc_engine_query){0};
    if (query_value(exchange, "transport", transport) == 0 ||
        !rc_config_transport_allowed(rc_engine_settings(engines), transport)) {
        return false;
    }
    query->websocket = strcmp(transport, RC_CONFIG_WEBSOCKET) == 0;
    if (query_value(exchange, "EIO", revision) == 1 && (revision[0] == '3' || revision[0] == '4')) {
        query->revision = (uint8_t)(revision[0] - '0');
    }
    query->base64 = query->revision == 3 && query_value(exchange, "b64", revision) > 0;
    const size_t sid_bytes = query_value(exchange, "sid", sid);
    query->has_sid = sid_bytes > 0;
    if (query->has_sid) {
        query->session = rc_engine_find(engines, rc_span_of(sid, sid_bytes), &query->sid, &query->known);
    }
    return true;
}

bool rc_polling_query(struct rc_polling *polling, struct rc_exchange *exchange, bool upgrade,
                      struct rc_engine_query *query)
{
    int error = RC_EIO_UNKNOWN_TRANSPORT;
    const bool read = query_read(polling->engines, exchange, query);
    if (!read || query->session == 0 || polling_held(polling->engines, query->session)) {
        rc_exchange_begun(exchange); /* it begins a session, or goes elsewhere, or waits */
    }
    if (read) {
        if (!query->has_sid) {
            error = handshake_refusal(polling, exchange, query, upgrade);
        } else if (query->session != 0 && (upgrade || exchange->request->method != RC_HTTP_GET) &&
                   polling_held(polling->engines, query->session)) {
            rc_handover_wait(polling->handovers, exchange);
            return false;
        } else if (query->session != 0) {
            error = session_refusal(polling->engines, query, upgrade);
        } else if (polling_hand_over(polling, exchange, query)) {
            return false;
        } else {
            error = RC_EIO_UNKNOWN_SID;
        }
    }
    if (error < 0) {
        return true;
    }
    rc_metric_add(polling->engines->clients->metrics, RC_METRIC_ENGINE_REVISION_REFUSED,
                  error == RC_EIO_UNSUPPORTED_VERSION);
    if (polling_is_linked(polling, exchange)) {
        rc_link_failed(polling->engines->link.context, exchange, (unsigned)error,
                       rc_eio_error_message((enum rc_eio_error)error));
    }
    rc_polling_refuse(exchange, (enum rc_eio_error)error, upgrade);
    return false;
}
