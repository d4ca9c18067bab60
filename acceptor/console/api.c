/* api: see api.h. */
#include "acceptor/console/api.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "acceptor/console/client.h"

/* --- targets --- */

void rc_console_target_begin(struct rc_console_target *target, const char *path)
{
    target->bytes = (size_t)snprintf(target->text, sizeof(target->text), "%s", path);
    target->failed = target->bytes >= sizeof(target->text);
}

static void target_put(struct rc_console_target *target, const char *text, size_t bytes)
{
    if (target->failed || bytes >= sizeof(target->text) - target->bytes) {
        target->failed = true;
        return;
    }
    memcpy(target->text + target->bytes, text, bytes);
    target->bytes += bytes;
    target->text[target->bytes] = '\0';
}

static void target_pair(struct rc_console_target *target, const char *between, const char *name, const char *value)
{
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
    target_put(target, between, strlen(between));
    target_put(target, name, strlen(name));
    target_put(target, "=", 1);
    for (const char *at = value; *at != '\0'; at++) {
        char code[4];
        if (strchr(plain, *at) != NULL) {
            target_put(target, at, 1);
        } else {
            (void)snprintf(code, sizeof(code), "%%%02X", (unsigned)(unsigned char)*at);
            target_put(target, code, 3);
        }
    }
}

void rc_console_target_add(struct rc_console_target *target, const char *name, const char *value)
{
    if (value != NULL) {
        target_pair(target, strchr(target->text, '?') == NULL ? "?" : "&", name, value);
    }
}

void rc_console_target_word(struct rc_console_target *target, const char *name, const char *value)
{
    if (value != NULL) {
        target_pair(target, " ", name, value);
    }
}

/* --- requests --- */

static int send_all(int fd, const char *bytes, size_t count)
{
    for (size_t sent = 0; sent < count;) {
        const ssize_t rc = send(fd, bytes + sent, count - sent, MSG_NOSIGNAL);
        if (rc < 0 && errno == EINTR) {
            continue;
        }
        if (rc <= 0) {
            return rc < 0 ? -errno : -EPIPE;
        }
        sent += (size_t)rc;
    }
    return 0;
}

/* The acceptor answers for itself (rc_client_ask): here a worker may be the one that hangs. */
int rc_console_api_silent(struct rc_err *err, int error)
{
    if (error == 0) {
        return rc_err_set(err, -EPROTO, "the broker has closed the connection without an answer: try again");
    }
    return error == EAGAIN ? rc_err_set(err, -ETIMEDOUT,
                                        "no answer in %u s: the broker, or the worker that was to answer, hangs or is "
                                        "stopped (`ringcast status` says which); try again for another worker",
                                        RC_CONSOLE_API_MS / 1000)
                           : rc_err_set(err, -error, "the broker does not answer: %s", strerror(error));
}

/* The acceptor's first line, byte by byte: what follows it is somebody else's. */
static int read_verdict(int fd, struct rc_err *err)
{
    char line[256];
    size_t bytes = 0;
    unsigned lines = 0;
    while (bytes < sizeof(line) - 1) {
        const ssize_t rc = recv(fd, line + bytes, 1, 0);
        if (rc < 0 && errno == EINTR) {
            continue;
        }
        if (rc < 0) {
            return rc_console_api_silent(err, errno);
        }
        lines += rc == 1 && line[bytes] == '\n' ? 1u : 0u;
        bytes += (size_t)rc;
        if (lines == 1 && bytes == 3 && memcmp(line, "ok\n", 3) == 0) {
            return 0;
        }
        if (rc == 0 || lines == 2) {
            break;
        }
    }
    line[bytes] = '\0';
    const char *why = strchr(line, '\n');
    return rc_err_set(err, -EPROTO, "the broker refuses: %.*s",
                      (int)strcspn(why != NULL ? why + 1 : "it does not say why", "\n"),
                      why != NULL ? why + 1 : "it does not say why");
}

int rc_console_api_open(const char *socket, const char *target, const char *body, size_t body_bytes, struct rc_err *err)
{
    char head[RC_CONSOLE_API_TARGET_MAX + 256];
    const int fd = rc_client_connect(socket, RC_CONSOLE_API_MS);
    if (fd == -EAGAIN) {
        return rc_console_api_silent(err, EAGAIN);
    }
    if (fd < 0) {
        return rc_client_unreached(err, socket, fd);
    }
    const int bytes =
        body == NULL
            ? snprintf(head, sizeof(head), "GET %s HTTP/1.1\r\nHost: console\r\nConnection: close\r\n\r\n", target)
            : snprintf(head, sizeof(head),
                       "POST %s HTTP/1.1\r\nHost: console\r\nConnection: close\r\nContent-Length: %zu\r\n\r\n", target,
                       body_bytes);
    int rc = send_all(fd, "api\n", 4);
    rc = rc < 0 && rc != -EPIPE ? rc_err_set(err, rc, "the broker does not listen: %s", strerror(-rc))
                                : read_verdict(fd, err);
    if (rc == 0) {
        rc = send_all(fd, head, (size_t)bytes);
        rc = rc == 0 && body_bytes > 0 ? send_all(fd, body, body_bytes) : rc;
        /* A worker that does not want all of a body answers, and closes: that is read. */
        rc = rc == -EPIPE || rc == -ECONNRESET ? 0 : rc;
        if (rc < 0) {
            (void)rc_err_set(err, rc, "the broker does not take the request: %s", strerror(-rc));
        }
    }
    if (rc < 0) {
        close(fd);
        return rc;
    }
    return fd;
}

/* How many bytes an answer has from its first one on, or SIZE_MAX while that is not known: then it ends with the connection, which a worker
 * that has much to do closes later than it answers. */
static size_t answer_bytes(const char *text)
{
    const char *end = strstr(text, "\r\n\r\n");
    const char *length = end == NULL ? NULL : strcasestr(text, "\r\nContent-Length:");
    if (length == NULL || length > end) {
        return SIZE_MAX;
    }
    return (size_t)(end + 4 - text) + (size_t)strtoull(length + strlen("\r\nContent-Length:"), NULL, 10);
}

/* The whole answer, NUL-terminated. NULL with `err`. */
static char *read_all(int fd, size_t *count, struct rc_err *err)
{
    size_t capacity = 65536;
    char *text = malloc(capacity);
    *count = 0;
    while (text != NULL) {
        if (*count + 1 == capacity) {
            char *larger = capacity < RC_CONSOLE_API_BYTES_MAX ? realloc(text, capacity * 2) : NULL;
            if (larger == NULL) {
                break;
            }
            text = larger;
            capacity *= 2;
        }
        const ssize_t rc = recv(fd, text + *count, capacity - 1 - *count, 0);
        if (rc < 0 && errno == EINTR) {
            continue;
        }
        if (rc < 0) {
            (void)rc_console_api_silent(err, errno);
            free(text);
            return NULL;
        }
        *count += (size_t)rc;
        text[*count] = '\0';
        if (rc == 0 || *count >= answer_bytes(text)) {
            return text;
        }
    }
    free(text);
    (void)rc_err_set(err, -ENOMEM, "no memory for the answer");
    return NULL;
}

int rc_console_api_ask(const char *socket, const char *target, const char *body, size_t body_bytes,
                       struct rc_console_answer *answer, struct rc_err *err)
{
    *answer = (struct rc_console_answer){.status = 0};
    const int fd = rc_console_api_open(socket, target, body, body_bytes, err);
    if (fd < 0) {
        return fd;
    }
    size_t count;
    char *text = read_all(fd, &count, err);
    close(fd);
    if (text == NULL) {
        return -EIO;
    }
    char *end = strstr(text, "\r\n\r\n");
    if (sscanf(text, "HTTP/1.%*d %d", &answer->status) != 1 || end == NULL) {
        free(text);
        return rc_console_api_silent(err, 0);
    }
    answer->bytes = count - (size_t)(end + 4 - text);
    memmove(text, end + 4, answer->bytes + 1);
    answer->body = text;
    return 0;
}

void rc_console_answer_free(struct rc_console_answer *answer)
{
    free(answer->body);
    answer->body = NULL;
}

/* What an answer other than 200 says: the negative errno that it is as. */
static int answer_refused(const struct rc_console_answer *answer, struct rc_err *err)
{
    json_t *root = json_loads(answer->body != NULL ? answer->body : "", 0, NULL);
    const char *message = json_string_value(json_object_get(json_object_get(root, "error"), "message"));
    const int rc =
        rc_err_set(err, -EPROTO, "%s (%d)", message != NULL ? message : "the broker has refused", answer->status);
    json_decref(root);
    return rc;
}

void rc_console_answer_say(const struct rc_console_answer *answer)
{
    struct rc_err err;
    (void)answer_refused(answer, &err);
    fprintf(stderr, "ringcast: %s\n", err.text);
}

json_t *rc_console_api_get(const char *socket, const struct rc_console_target *target, struct rc_err *err)
{
    struct rc_console_answer answer;
    json_t *root = NULL;
    if (target->failed) {
        (void)rc_err_set(err, -E2BIG, "what is asked for is too long");
        return NULL;
    }
    if (rc_console_api_ask(socket, target->text, NULL, 0, &answer, err) < 0) {
        return NULL;
    }
    if (answer.status != 200) {
        (void)answer_refused(&answer, err);
    } else if ((root = json_loadb(answer.body, answer.bytes, 0, NULL)) == NULL) {
        (void)rc_err_set(err, -EPROTO, "the answer of the broker is not JSON");
    }
    rc_console_answer_free(&answer);
    return root;
}

json_t *rc_console_api_json(const char *socket, const struct rc_console_target *target)
{
    struct rc_err err = {{0}};
    json_t *root = rc_console_api_get(socket, target, &err);
    if (root == NULL) {
        fprintf(stderr, "ringcast: %s\n", err.text);
    }
    return root;
}

bool rc_console_incomplete_say(FILE *out, const char *before, const json_t *answer)
{
    size_t i;
    json_t *worker;
    if (!json_is_true(json_object_get(answer, "incomplete"))) {
        return false;
    }
    fputs(before, out);
    json_array_foreach(json_object_get(answer, "silent"), i, worker)
    {
        fprintf(out, "%s%" JSON_INTEGER_FORMAT, i == 0 ? "worker " : ", ", json_integer_value(worker));
    }
    fprintf(out, "%s not answered: what is there is missing here",
            i == 0   ? "another instance has"
            : i == 1 ? " has"
                     : " have");
    return true;
}

void rc_console_incomplete_copy(json_t *to, const json_t *answer)
{
    static const char *const members[] = {"incomplete", "silent"};
    for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++) {
        json_t *member = json_object_get(answer, members[i]);
        if (member != NULL) {
            (void)json_object_set(to, members[i], member);
        }
    }
}
