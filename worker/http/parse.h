/*
 * HTTP/1.x request heads (RFC 9110, RFC 9112), strictly: what two parsers could understand differently is refused,
 * since a proxy in front may be the other one.
 *
 * Works on bytes that the caller accumulates contiguously; a parsed request is views into them and dies with them.
 * Nothing is allocated, nothing is kept between calls but the caller's resume offset. libhttp-parser is used behind
 * this header alone. Any process may call; what fails is what a peer sent, and the result is the status to answer.
 */
#ifndef RC_WORKER_HTTP_PARSE_H
#define RC_WORKER_HTTP_PARSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Text in somebody else's memory, not terminated. text may be NULL when bytes is 0. */
struct rc_http_view {
    const char *text;
    size_t bytes;
};

#define RC_HTTP_HEADERS_MAX 128u             /* room in the table; limits.headers_max is at most this */
#define RC_HTTP_HEAD_BYTES_MAX (64u * 1024u) /* limits.head_bytes_max is at most this */

struct rc_http_limits {
    uint32_t head_bytes_max;   /* request line and headers; 431 beyond. 0 = 16 KiB */
    uint32_t target_bytes_max; /* request target; 414 beyond. 0 = 8 KiB */
    uint32_t headers_max;      /* 431 beyond. 0 = 100 */
};

enum rc_http_method {
    RC_HTTP_METHOD_OTHER = 0, /* known to HTTP, of no use here: see method_text */
    RC_HTTP_GET,
    RC_HTTP_HEAD,
    RC_HTTP_POST,
    RC_HTTP_PUT,
    RC_HTTP_DELETE,
    RC_HTTP_PATCH,
    RC_HTTP_OPTIONS,
};

enum rc_http_version {
    RC_HTTP_0_9 = 9, /* "GET /path" and nothing else: only a headless body could answer it; to be refused */
    RC_HTTP_1_0 = 10,
    RC_HTTP_1_1 = 11, /* also said by HTTP/1.2 to 1.9, which 1.1 answers */
};

struct rc_http_header {
    struct rc_http_view name;
    struct rc_http_view value; /* without surrounding white space */
};

struct rc_http_request {
    enum rc_http_method method;
    enum rc_http_version version;
    struct rc_http_view method_text;
    struct rc_http_view target; /* as sent */
    struct rc_http_view
        path; /* of the target, still percent-encoded; "*" only for OPTIONS, "/" for an absolute form without path */
    struct rc_http_view query; /* after the "?", empty when there is none */
    struct rc_http_view host;  /* the absolute form's authority, or else the Host header */
    bool keep_alive;           /* the client allows another request on this connection */
    bool chunked;
    bool expect_100; /* Expect: 100-continue, in 1.1 */
    bool has_content_length;
    uint64_t content_length;
    uint32_t header_count;
    struct rc_http_header headers[RC_HTTP_HEADERS_MAX];
};

/*
 * Looks for a whole head at the start of `bytes`. Returns its bytes with `*out` filled, 0 when it is not complete, or
 * the negated status to answer before closing: 400, 414, 417, 431, 501 (method or transfer coding unknown), 505.
 * `*why` is then a short static sentence. `*scanned` starts as 0 with a new head and is the function's own between
 * calls with more of the same bytes, so that trickling heads are searched once. One empty line before a head is
 * skipped (RFC 9112 2.2).
 */
int rc_http_request_parse(const uint8_t *bytes, size_t n, size_t *scanned, const struct rc_http_limits *limits,
                          struct rc_http_request *out, const char **why);

/* The first header of that name (case does not matter), or NULL. */
const struct rc_http_view *rc_http_header(const struct rc_http_request *request, const char *name);

/*
 * The next header of that name from table index `*index` (0 at first) on, which is advanced past it; NULL when there
 * is none.
 */
const struct rc_http_view *rc_http_header_next(const struct rc_http_request *request, const char *name,
                                               uint32_t *index);

/* Is `token` (case does not matter) an element of the comma-separated list in all headers of that name together? */
bool rc_http_header_has_token(const struct rc_http_request *request, const char *name, const char *token);

/* Case-insensitive (ASCII) and exact comparison with a terminated string. */
bool rc_http_view_equals_nocase(struct rc_http_view view, const char *text);
bool rc_http_view_equals(struct rc_http_view view, const char *text);
/* Without the white space (blanks and tabs) around it. */
struct rc_http_view rc_http_view_trimmed(struct rc_http_view view);

/* Is it a token of RFC 9110 5.6.2, and not empty? */
bool rc_http_view_is_token(struct rc_http_view view);

/*
 * Takes the next element off a comma-separated list (RFC 9110 5.6.1), empty elements skipped, quoted strings
 * respected. False at the end of the list.
 */
bool rc_http_list_next(struct rc_http_view *list, struct rc_http_view *element);

/*
 * Percent-decodes a path into `out`. Returns the bytes (no terminator is written), -EINVAL for a broken or
 * control-character escape, or -ENOSPC.
 */
int rc_http_path_decode(struct rc_http_view path, char *out, size_t capacity);

/* Takes the next pair off a query string, neither name nor value decoded ("" where there is no "="). False at its end. */
bool rc_http_query_next(struct rc_http_view *query, struct rc_http_view *name, struct rc_http_view *value);
/* Decodes a value of a query ("+" is a space); as rc_http_query_find but for -ENOENT. */
int rc_http_query_decode(struct rc_http_view value, char *out, size_t capacity);

/*
 * Finds the first `name=value` of a query string and decodes the value ("+" is a space) into `out`. Returns its
 * bytes, -ENOENT, -EINVAL or -ENOSPC. `name` is compared with the undecoded name.
 */
int rc_http_query_find(struct rc_http_view query, const char *name, char *out, size_t capacity);

#endif
