/* hear: see hear.h. */
#include "acceptor/console/hear.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "acceptor/console/api.h"
#include "acceptor/console/cell.h"
#include "acceptor/console/cli.h"
#include "acceptor/console/option.h"
#include "acceptor/console/which.h"
#include "acceptor/watch/supervisor.h"
#include "common/base/clock.h"

struct source {
    int fd;
    uint64_t until_ms; /* by then there is an answer; 0 = there is one */
};

/* Of a socket with a time-out recv(2) is not begun again behind SIGSTOP and SIGCONT (signal(7)), as of a shell's Ctrl-Z and `fg`: stdio would take that for
 * the end. Each time it has the whole time-out again; who was stopped for longer than that takes what has come. */
static ssize_t source_read(void *cookie, char *bytes, size_t count)
{
    const struct source *source = cookie;
    ssize_t got = recv(source->fd, bytes, count, 0);
    while (got < 0 && errno == EINTR) {
        const bool late = source->until_ms != 0 && rc_clock_ms() >= source->until_ms;
        got = recv(source->fd, bytes, count, late ? MSG_DONTWAIT : 0);
    }
    return got;
}

/* Writes the message as people read it: its channel, its event, its data; or (--json) as it came. */
static void message_print(const struct rc_cli *cli, const char *text)
{
    json_t *message = cli->json ? NULL : json_loads(text, 0, NULL);
    const char *type = json_string_value(json_object_get(message, "type"));
    const char *channel = json_string_value(json_object_get(message, "channel"));
    const char *event = json_string_value(json_object_get(message, "event"));
    const char *base64 = json_string_value(json_object_get(message, "data_base64"));
    json_t *data = json_object_get(message, "data");
    if (message == NULL || type == NULL) {
        printf("%s\n", text);
    } else {
        char *dumped = data != NULL ? json_dumps(data, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;
        rc_cell_write(stdout, channel != NULL ? channel : "*");
        if (event != NULL) {
            putchar(' ');
            rc_cell_write(stdout, event);
        }
        if (strcmp(type, "message") != 0 && strcmp(type, "broadcast") != 0) {
            printf(" %s", type);
        }
        printf("\n  ");
        rc_cell_write(stdout, dumped != NULL ? dumped : base64 != NULL ? base64 : "");
        putchar('\n');
        free(dumped);
    }
    (void)fflush(stdout);
    json_decref(message);
}

/* The status of the answer, whose head is read; of another one than 200 what it says is written, and 0 is that there was none. */
static int head_read(FILE *in)
{
    char *line = NULL;
    size_t capacity = 0;
    int status = 0;
    if (getline(&line, &capacity, in) > 0) {
        (void)sscanf(line, "HTTP/1.%*d %d", &status);
    }
    while (status != 0 && getline(&line, &capacity, in) > 0 && strcmp(line, "\r\n") != 0) {}
    if (status == 0) {
        struct rc_err err = {{0}};
        (void)rc_console_api_silent(&err, ferror(in) ? errno : 0);
        fprintf(stderr, "ringcast: %s\n", err.text);
    } else if (status != 200) {
        struct rc_console_answer answer = {.status = status};
        const ssize_t bytes = getdelim(&line, &capacity, '\0', in);
        answer.body = bytes > 0 ? line : NULL;
        rc_console_answer_say(&answer);
    }
    free(line);
    return status;
}

/* Lines of the body until the stream ends, or as many messages as are wanted; true: they have come. */
static bool stream_read(const struct rc_cli *cli, FILE *in, unsigned long wanted)
{
    char *line = NULL;
    size_t capacity = 0;
    ssize_t bytes;
    unsigned long count = 0;
    while ((wanted == 0 || count < wanted) && (bytes = getline(&line, &capacity, in)) > 0) {
        if (strncmp(line, "data: ", 6) == 0) {
            line[bytes - 1] = '\0';
            message_print(cli, line + 6);
            count++;
        }
    }
    free(line);
    return wanted != 0 && count == wanted;
}

static int channel_hear(const struct rc_cli *cli, const struct rc_which *which, unsigned long wanted)
{
    struct rc_console_target target;
    struct rc_err err = {{0}};
    rc_console_target_begin(&target, cli->path != NULL ? cli->path : "/sse");
    rc_console_target_add(&target, "channel", cli->whom);
    rc_console_target_add(&target, "retained", cli->retained ? "true" : NULL);
    const int fd = target.failed ? rc_err_set(&err, -ENAMETOOLONG, "the channel's name is too long")
                                 : rc_console_api_open(which->socket, target.text, NULL, 0, &err);
    struct source source = {.fd = fd, .until_ms = rc_clock_ms() + RC_CONSOLE_API_MS};
    FILE *in = fd >= 0 ? fopencookie(&source, "r", (cookie_io_functions_t){.read = source_read}) : NULL;
    if (in == NULL) {
        fprintf(stderr, "ringcast: %s\n", fd < 0 ? err.text : strerror(errno));
        if (fd >= 0) {
            close(fd);
        }
        return RC_EXIT_FAILED;
    }
    bool done = false;
    /* Until here there was an answer to wait for, behind it is what is published, whenever that is. */
    const struct timeval forever = {0};
    const int status = head_read(in);
    if (status == 200) {
        fprintf(stderr, "ringcast: listening\n");
        source.until_ms = 0;
        done = setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &forever, sizeof(forever)) == 0 && stream_read(cli, in, wanted);
        if (!done) {
            fprintf(stderr, "ringcast: the broker has ended the stream\n");
        }
    }
    (void)fclose(in);
    (void)close(fd);
    return done ? RC_EXIT_OK : RC_EXIT_FAILED;
}

int rc_hear_run(const struct rc_cli *cli)
{
    struct rc_which which;
    char *end = NULL;
    const unsigned long wanted = cli->count != NULL ? strtoul(cli->count, &end, 10) : 0;
    /* strtoul takes "-1" for the largest number. */
    if (cli->whom == NULL || (end != NULL && (*end != '\0' || wanted == 0 || strchr(cli->count, '-') != NULL))) {
        return rc_option_misused(cli, cli->whom == NULL ? "a CHANNEL is needed" : "--count is a number from 1, and not",
                                 cli->whom == NULL ? NULL : cli->count);
    }
    const int exit_code = rc_which_broker(&which, cli->socket, cli->config);
    return exit_code != RC_EXIT_OK ? exit_code : channel_hear(cli, &which, wanted);
}
