/* http_get: see http_get.h. */
#include "acceptor/keys/http_get.h"

#include <errno.h>
#include <http_parser.h>
#include <netdb.h>
#include <netinet/in.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "version.h"

#define HEAD_BYTES_MAX 16384u
#define VALUE_BYTES_MAX 256u

/* A connection; `ssl` NULL: without TLS. */
struct line {
    int fd;
    SSL_CTX *context;
    SSL *ssl;
};

/* The answer while it comes. */
struct answer {
    struct rc_http_body *body;
    size_t head_bytes;
    bool complete;
    bool too_long;
    bool in_value;
    char field[VALUE_BYTES_MAX];
    char value[VALUE_BYTES_MAX];
};

/* ----------------------------------------------------------------------------------------------------- connection */

static bool address_private(const struct sockaddr *address)
{
    if (address->sa_family == AF_INET) {
        const struct sockaddr_in *v4 = (const void *)address;
        return (ntohl(v4->sin_addr.s_addr) >> 24) == 127;
    }
    const struct sockaddr_in6 *v6 = (const void *)address;
    return address->sa_family == AF_INET6 && IN6_IS_ADDR_LOOPBACK(&v6->sin6_addr);
}

/* To the first address that answers. The descriptor or negative errno. */
static int line_connect(const struct rc_jwks_url *url, bool insecure, uint32_t timeout_ms, struct rc_err *err)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM,
                                   .ai_flags = url->literal ? AI_NUMERICHOST : AI_ADDRCONFIG};
    const struct timeval timeout = {.tv_sec = timeout_ms / 1000, .tv_usec = timeout_ms % 1000 * 1000};
    struct addrinfo *addresses = NULL;
    const int found = getaddrinfo(url->host, url->port, &hints, &addresses);
    if (found != 0) {
        return rc_err_set(err, -EHOSTUNREACH, "%.200s cannot be looked up: %s", url->host, gai_strerror(found));
    }
    int rc =
        rc_err_set(err, -EHOSTUNREACH, "%.200s has no address of this machine: http:// goes to no other", url->host);
    for (const struct addrinfo *at = addresses; at != NULL && rc < 0; at = at->ai_next) {
        if (!url->tls && !insecure && !address_private(at->ai_addr)) {
            continue;
        }
        const int fd = socket(at->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
        /* Both time-outs also bound each later read and write; all together are bounded by who waits for the child. */
        if (fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout)) == 0 &&
            setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout)) == 0 &&
            connect(fd, at->ai_addr, at->ai_addrlen) == 0) {
            rc = fd;
            break;
        }
        const int error = errno == EINPROGRESS ? ETIMEDOUT : errno;
        rc = rc_err_set(err, -error, "cannot connect to %.200s port %s: %s", url->host, url->port, strerror(error));
        if (fd >= 0) {
            (void)close(fd);
        }
    }
    freeaddrinfo(addresses);
    return rc;
}

static int tls_error(struct rc_err *err, const struct line *line, const char *what)
{
    const long verified = line->ssl != NULL ? SSL_get_verify_result(line->ssl) : X509_V_OK;
    const char *reason = ERR_reason_error_string(ERR_peek_last_error());
    return rc_err_set(err, -EPROTO, "%s: %s", what,
                      verified != X509_V_OK ? X509_verify_cert_error_string(verified)
                      : reason != NULL      ? reason
                                            : "the connection ended");
}

static int line_encrypt(struct line *line, const struct rc_jwks_url *url, const char *ca_file, struct rc_err *err)
{
    line->context = SSL_CTX_new(TLS_client_method());
    if (line->context == NULL || SSL_CTX_set_min_proto_version(line->context, TLS1_2_VERSION) != 1) {
        return tls_error(err, line, "OpenSSL makes no context");
    }
    if ((ca_file[0] != '\0' ? SSL_CTX_load_verify_file(line->context, ca_file)
                            : SSL_CTX_set_default_verify_paths(line->context)) != 1) {
        return tls_error(err, line,
                         ca_file[0] != '\0' ? "no certificates of authorities can be read from jwks_ca"
                                            : "the system's authorities cannot be read (set jwks_ca)");
    }
    SSL_CTX_set_verify(line->context, SSL_VERIFY_PEER, NULL);
    line->ssl = SSL_new(line->context);
    bool good = line->ssl != NULL && SSL_set_fd(line->ssl, line->fd) == 1;
    if (good && url->literal) {
        good = X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(line->ssl), url->host) == 1;
    } else if (good) {
        SSL_set_hostflags(line->ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
        good = SSL_set1_host(line->ssl, url->host) == 1 && SSL_set_tlsext_host_name(line->ssl, url->host) == 1;
    }
    if (!good || SSL_connect(line->ssl) != 1) {
        return tls_error(err, line, "the TLS handshake failed");
    }
    return 0;
}

static void line_close(struct line *line)
{
    SSL_free(line->ssl);
    SSL_CTX_free(line->context);
    (void)close(line->fd);
    ERR_clear_error();
}

/* All of it. */
static bool line_write(const struct line *line, const char *text, size_t count)
{
    size_t done = 0;
    while (done < count) {
        const ssize_t wrote = line->ssl != NULL ? SSL_write(line->ssl, text + done, (int)(count - done))
                                                : send(line->fd, text + done, count - done, MSG_NOSIGNAL);
        if (wrote <= 0 && (line->ssl != NULL || errno != EINTR)) {
            return false;
        }
        done += wrote > 0 ? (size_t)wrote : 0;
    }
    return true;
}

/* The bytes; 0: a clean end; negative: none, or not in time. */
static ssize_t line_read(const struct line *line, char *out, size_t room)
{
    ssize_t got;
    do {
        errno = 0;
        got = line->ssl != NULL ? SSL_read(line->ssl, out, (int)room) : recv(line->fd, out, room, 0);
    } while (got < 0 && errno == EINTR);
    if (line->ssl != NULL && got <= 0) {
        return SSL_get_error(line->ssl, (int)got) == SSL_ERROR_ZERO_RETURN ? 0 : -1;
    }
    return got;
}

/* --------------------------------------------------------------------------------------------------------- answer */

/* RFC 9111 section 5.2.2: max-age, unless it is not to be kept at all. */
static uint32_t max_age_read(const char *value)
{
    uint32_t age = RC_HTTP_NO_AGE;
    while (*value != '\0') {
        value += strspn(value, " \t,");
        const size_t bytes = strcspn(value, ",");
        if (strncasecmp(value, "no-store", 8) == 0 || strncasecmp(value, "no-cache", 8) == 0) {
            return 0;
        }
        if (strncasecmp(value, "max-age=", 8) == 0) {
            const unsigned long seconds = strtoul(value + 8 + (value[8] == '"' ? 1 : 0), NULL, 10);
            age = seconds < RC_HTTP_NO_AGE ? (uint32_t)seconds : RC_HTTP_NO_AGE - 1;
        }
        value += bytes;
    }
    return age;
}

static void header_end(struct answer *answer)
{
    if (strcasecmp(answer->field, "cache-control") == 0) {
        answer->body->max_age_s = max_age_read(answer->value);
    }
    answer->field[0] = answer->value[0] = '\0';
    answer->in_value = false;
}

static void text_append(char text[VALUE_BYTES_MAX], const char *more, size_t count)
{
    const size_t bytes = strlen(text);
    const size_t room = VALUE_BYTES_MAX - 1 - bytes;
    (void)snprintf(text + bytes, room + 1, "%.*s", (int)(count < room ? count : room), more);
}

static int on_field(http_parser *parser, const char *at, size_t count)
{
    struct answer *answer = parser->data;
    if (answer->in_value) {
        header_end(answer);
    }
    text_append(answer->field, at, count);
    return 0;
}

static int on_value(http_parser *parser, const char *at, size_t count)
{
    struct answer *answer = parser->data;
    answer->in_value = true;
    text_append(answer->value, at, count);
    return 0;
}

static int on_headers(http_parser *parser)
{
    header_end(parser->data);
    return 0;
}

static int on_body(http_parser *parser, const char *at, size_t count)
{
    struct answer *answer = parser->data;
    struct rc_http_body *body = answer->body;
    if (count > sizeof(body->bytes) - body->count) {
        answer->too_long = true;
        return 1;
    }
    memcpy(body->bytes + body->count, at, count);
    body->count += count;
    return 0;
}

static int on_complete(http_parser *parser)
{
    struct answer *answer = parser->data;
    answer->complete = true;
    http_parser_pause(parser, 1); /* what follows is nobody's */
    return 0;
}

static int answer_read(const struct line *line, struct rc_http_body *body, struct rc_err *err)
{
    static const http_parser_settings settings = {.on_header_field = on_field,
                                                  .on_header_value = on_value,
                                                  .on_headers_complete = on_headers,
                                                  .on_body = on_body,
                                                  .on_message_complete = on_complete};
    struct answer answer = {.body = body};
    http_parser parser;
    char buffer[8192];
    size_t whole = 0;
    http_parser_init(&parser, HTTP_RESPONSE);
    parser.data = &answer;
    body->count = 0;
    body->max_age_s = RC_HTTP_NO_AGE;
    while (!answer.complete) {
        const ssize_t got = line_read(line, buffer, sizeof(buffer));
        if (got < 0) {
            return rc_err_set(err, -ETIMEDOUT, "the answer did not come, or not to its end");
        }
        whole += (size_t)got;
        (void)http_parser_execute(&parser, &settings, buffer, (size_t)got);
        if (answer.too_long || whole > sizeof(body->bytes) + HEAD_BYTES_MAX + sizeof(body->bytes) / 4) {
            return rc_err_set(err, -EFBIG, "the answer is longer than %zu KiB", sizeof(body->bytes) / 1024);
        }
        if (got == 0 && !answer.complete) {
            return rc_err_set(err, -EPIPE, "the answer ended before it was complete");
        }
        if (HTTP_PARSER_ERRNO(&parser) != HPE_OK && HTTP_PARSER_ERRNO(&parser) != HPE_PAUSED) {
            return rc_err_set(err, -EBADMSG, "the answer is not HTTP: %s",
                              http_errno_description(HTTP_PARSER_ERRNO(&parser)));
        }
    }
    if (parser.status_code >= 300 && parser.status_code < 400) {
        return rc_err_set(err, -EBADMSG, "it answered %u, a redirect, which is not followed: give the URL it leads to",
                          parser.status_code);
    }
    return parser.status_code == 200 ? 0 : rc_err_set(err, -EBADMSG, "it answered %u", parser.status_code);
}

int rc_http_get(const struct rc_jwks_url *url, const char *ca_file, bool insecure, uint32_t timeout_ms,
                struct rc_http_body *body, struct rc_err *err)
{
    char request[3 * RC_CONFIG_TEXT_MAX];
    struct line line = {.fd = line_connect(url, insecure, timeout_ms, err)};
    if (line.fd < 0) {
        return line.fd;
    }
    int rc = url->tls ? line_encrypt(&line, url, ca_file, err) : 0;
    if (rc == 0) {
        const int bytes = snprintf(request, sizeof(request),
                                   "GET %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: ringcast/" RC_VERSION
                                   "\r\nAccept: application/json\r\nConnection: close\r\n\r\n",
                                   url->target, url->authority);
        rc = line_write(&line, request, (size_t)bytes) ? answer_read(&line, body, err)
                                                       : rc_err_set(err, -EPIPE, "the request cannot be sent");
    }
    line_close(&line);
    return rc;
}
