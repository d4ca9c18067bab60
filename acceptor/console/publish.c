/* publish: see publish.h. */
#include "acceptor/console/publish.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "acceptor/console/api.h"
#include "acceptor/console/cli.h"
#include "acceptor/console/option.h"
#include "acceptor/console/which.h"
#include "acceptor/watch/supervisor.h"
#include "common/text/json_scan.h"

#define INPUT_BYTES_MAX (64u << 20)

/* The body of a request, written as it grows. */
struct body {
    FILE *out;
    char *text;
    size_t bytes;
    bool first;
};

static bool body_begin(struct body *body)
{
    *body = (struct body){.first = true};
    body->out = open_memstream(&body->text, &body->bytes);
    if (body->out == NULL) {
        fprintf(stderr, "ringcast: no memory for the message\n");
        return false;
    }
    (void)fputc('{', body->out);
    return true;
}

static void put_name(struct body *body, const char *name)
{
    (void)fprintf(body->out, "%s\"%s\":", body->first ? "" : ",", name);
    body->first = false;
}

static void put_string(struct body *body, struct rc_span text)
{
    const size_t bytes = rc_json_string_encoded_bytes(text);
    uint8_t *encoded = malloc(bytes);
    if (encoded != NULL) {
        (void)fwrite(encoded, 1, rc_json_string_encode(encoded, bytes, text), body->out);
    }
    free(encoded);
}

static void put_text(struct body *body, const char *name, const char *text)
{
    if (text != NULL) {
        put_name(body, name);
        put_string(body, rc_span_text(text));
    }
}

/* JSON as it stands, else a string; false after a line on standard error: it is not even text. */
static bool put_data(struct body *body, struct rc_span data)
{
    struct rc_json_value value;
    if (rc_json_scan(data, RC_JSON_CHECK_UTF8, &value, NULL) == 0) {
        put_name(body, "data");
        (void)fwrite(value.raw.bytes, 1, value.raw.count, body->out);
        return true;
    }
    if (!rc_json_utf8_valid(data)) {
        fprintf(stderr, "ringcast: the message is not UTF-8\n");
        return false;
    }
    put_name(body, "data");
    put_string(body, data);
    return true;
}

/* Sends the body and says what came of it; an exit code. */
static int body_send(const struct rc_cli *cli, const struct rc_which *which, const char *target, struct body *body)
{
    struct rc_console_answer answer;
    struct rc_err err = {{0}};
    (void)fputc('}', body->out);
    if (fclose(body->out) != 0) {
        fprintf(stderr, "ringcast: no memory for the message\n");
        free(body->text);
        return RC_EXIT_FAILED;
    }
    const int rc = rc_console_api_ask(which->socket, target, body->text, body->bytes, &answer, &err);
    free(body->text);
    if (rc < 0) {
        fprintf(stderr, "ringcast: %s\n", err.text);
        return RC_EXIT_FAILED;
    }
    if (answer.status != 200) {
        rc_console_answer_say(&answer);
        if (answer.status == 404 && (cli->command == RC_CLI_DIRECT || cli->command == RC_CLI_KICK)) {
            fprintf(
                stderr,
                "ringcast: `ringcast clients` lists who is here, `ringcast clients --closed` who has gone lately\n");
        }
    } else if (cli->json) {
        (void)fwrite(answer.body, 1, answer.bytes, stdout);
    } else {
        json_t *root = json_loadb(answer.body, answer.bytes, 0, NULL);
        const char *name;
        json_t *value;
        json_object_foreach(root, name, value)
        {
            if (json_is_integer(value)) {
                printf("%s %lld\n", cli->remove ? "removed" : name, (long long)json_integer_value(value));
            }
        }
        json_decref(root);
    }
    const int exit_code = answer.status == 200 ? RC_EXIT_OK : RC_EXIT_FAILED;
    rc_console_answer_free(&answer);
    return exit_code;
}

/* --- messages --- */

static int message_send(const struct rc_cli *cli, const struct rc_which *which, struct rc_span data)
{
    static const char *const targets[] = {
        [RC_CLI_PUB] = "/api/publish", [RC_CLI_RETAIN] = "/api/retain", [RC_CLI_DIRECT] = "/api/direct"};
    const bool everybody = cli->command == RC_CLI_PUB && strcmp(cli->whom, "*") == 0;
    struct body body;
    if (!body_begin(&body)) {
        return RC_EXIT_FAILED;
    }
    if (!everybody) {
        put_text(&body, cli->command == RC_CLI_DIRECT ? "client" : "channel", cli->whom);
    }
    put_text(&body, "event", cli->event);
    put_text(&body, "key", cli->key);
    if (cli->retain) {
        put_name(&body, "retain");
        (void)fputs("true", body.out);
    }
    if (!put_data(&body, data)) {
        (void)fclose(body.out);
        free(body.text);
        return RC_EXIT_FAILED;
    }
    return body_send(cli, which, everybody ? "/api/broadcast" : targets[cli->command], &body);
}

static char *input_failed(char *text)
{
    fprintf(stderr, "ringcast: standard input cannot be read, or is larger than 64 MiB\n");
    free(text);
    return NULL;
}

/* All of standard input, without the line break at its end; owned. NULL after a line on standard error. */
static char *input_all(size_t *count)
{
    size_t capacity = 0;
    char *text = NULL;
    *count = 0;
    while (!feof(stdin)) {
        if (*count == capacity) {
            char *larger = capacity < INPUT_BYTES_MAX ? realloc(text, capacity == 0 ? 65536 : capacity * 2) : NULL;
            if (larger == NULL) {
                return input_failed(text);
            }
            text = larger;
            capacity = capacity == 0 ? 65536 : capacity * 2;
        }
        *count += fread(text + *count, 1, capacity - *count, stdin);
        if (ferror(stdin)) {
            return input_failed(text);
        }
    }
    *count -= *count > 0 && text[*count - 1] == '\n' ? 1u : 0u;
    return text;
}

/* Each line of standard input is a message; ends with the first that is refused. */
static int lines_send(const struct rc_cli *cli, const struct rc_which *which)
{
    char *line = NULL;
    size_t capacity = 0;
    ssize_t bytes;
    unsigned long number = 0;
    int exit_code = RC_EXIT_OK;
    while (exit_code == RC_EXIT_OK && (bytes = getline(&line, &capacity, stdin)) > 0) {
        const size_t count = (size_t)bytes - (line[bytes - 1] == '\n' ? 1u : 0u);
        number++;
        exit_code = message_send(cli, which, rc_span_of(line, count));
    }
    if (exit_code != RC_EXIT_OK) {
        fprintf(stderr, "ringcast: that was line %lu: those before it were sent\n", number);
    }
    free(line);
    return exit_code;
}

static int message_run(const struct rc_cli *cli, const struct rc_which *which)
{
    if (cli->remove) {
        return message_send(cli, which, RC_SPAN("null"));
    }
    if (cli->data != NULL) {
        return message_send(cli, which, rc_span_text(cli->data));
    }
    if (isatty(STDIN_FILENO)) { /* else it would stand there without a word */
        fprintf(stderr, "ringcast: %s is what is typed here, until Ctrl-D\n",
                cli->lines ? "each message" : "the message");
    }
    if (cli->lines) {
        return lines_send(cli, which);
    }
    size_t count;
    char *text = input_all(&count);
    if (text != NULL && count == 0) { /* whatever was to write it has failed, as a rule */
        free(text);
        text = NULL;
        fprintf(stderr, "ringcast: standard input is empty: there is no message ('\"\"' is an empty one)\n");
    }
    const int exit_code = text != NULL ? message_send(cli, which, rc_span_of(text, count)) : RC_EXIT_FAILED;
    free(text);
    return exit_code;
}

static int kick_run(const struct rc_cli *cli, const struct rc_which *which)
{
    struct body body;
    if (!body_begin(&body)) {
        return RC_EXIT_FAILED;
    }
    put_text(&body, "client", cli->whom);
    put_text(&body, "user", cli->user);
    put_text(&body, "reason", cli->reason);
    if (cli->code != NULL) {
        put_name(&body, "code");
        (void)fputs(cli->code, body.out);
    }
    return body_send(cli, which, "/api/disconnect", &body);
}

int rc_publish_run(const struct rc_cli *cli)
{
    struct rc_which which;
    const bool kicks = cli->command == RC_CLI_KICK;
    if (kicks && (cli->whom == NULL) == (cli->user == NULL)) {
        return rc_option_misused(cli, "one of CLIENT and --user is needed", NULL);
    }
    if (cli->code != NULL && (strspn(cli->code, "0123456789") != strlen(cli->code) || strlen(cli->code) != 4)) {
        return rc_option_misused(cli, "a close code is 1000, or a number from 3000 to 4999, and not", cli->code);
    }
    if (!kicks && cli->whom == NULL) {
        return rc_option_misused(cli, cli->command == RC_CLI_DIRECT ? "a CLIENT is needed" : "a CHANNEL is needed",
                                 NULL);
    }
    if (cli->data != NULL && (cli->lines || cli->remove)) {
        return rc_option_misused(cli, "DATA is there, and an option that says where it comes from", NULL);
    }
    const int exit_code = rc_which_broker(&which, cli->socket, cli->config);
    return exit_code != RC_EXIT_OK ? exit_code : kicks ? kick_run(cli, &which) : message_run(cli, &which);
}
