/*
 * Writing HTTP/1.1 responses. Pure functions into caller-owned memory; can only fail for want of room. Any process
 * may call.
 */
#ifndef RC_WORKER_HTTP_RESPOND_H
#define RC_WORKER_HTTP_RESPOND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RC_HTTP_DATE_BYTES 29u /* "Sun, 06 Nov 1994 08:49:37 GMT" */

/* The Date header's value, rewritten when the second changes. Zeroed = nothing cached. */
struct rc_http_date {
    int64_t second;
    char text[RC_HTTP_DATE_BYTES + 1];
};

/* The date text (RFC 9110 5.6.7) for this second since 1970; owned by the cache, valid until the next call. */
const char *rc_http_date_at(struct rc_http_date *cache, int64_t unix_second);

/* Everything borrowed for the call; zeroed members are left out of the response. */
struct rc_http_response {
    uint16_t status;
    const char *content_type;
    const void
        *body; /* appended to the head; NULL with body_bytes set writes the head alone, and the caller sends the body */
    size_t body_bytes;      /* becomes Content-Length (left out for 1xx, 204 and 304) */
    bool keep_alive;        /* Connection: keep-alive or close */
    bool head;              /* the request was HEAD: as without, but no body */
    bool stream;            /* the body follows, and ends with the connection: no Content-Length (RFC 9112 6.3, 8.) */
    bool cacheable;         /* leave out Cache-Control: no-store */
    const char *allow;      /* methods, for 405 */
    uint32_t retry_after_s; /* 0 = none */
    const char *date;       /* rc_http_date_at() */
    const char *headers;    /* further header lines, each ending in CRLF */
};

/* "Not Found" for 404; "Unknown" for what is not in the table. Static. */
const char *rc_http_status_text(uint16_t status);

/* "not_found" for 404: the machine-readable reason in error bodies. Static. */
const char *rc_http_status_reason(uint16_t status);

/* Writes the response. Returns its bytes, or 0 when `capacity` is too small. */
size_t rc_http_respond(char *buffer, size_t capacity, const struct rc_http_response *response);

/*
 * Writes the response with a JSON body `{"error":{"code":404,"reason":"not_found","message":"…"}}` in place of its
 * body and content type. `message` (valid UTF-8; NULL = the status text) is escaped, and cut if longer than 512
 * bytes. Returns its bytes, or 0 when `capacity` is too small; 4 KiB are enough unless `headers` is long.
 */
size_t rc_http_respond_error(char *buffer, size_t capacity, const struct rc_http_response *response,
                             const char *message);

#endif
