/* scenario_file: see scenario_file.h. */
#include "bench/scenario_file.h"

#include "common/base/check.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FILE_BYTES_MAX (1u << 20)
#define VALUE_BYTES_MAX 1024u
#define KEY_BYTES_MAX 64u

struct parser {
    struct rc_bench_file *file;
    struct rc_bench_file_run common; /* keys before the first run */
    const char *name;
    const char *at;
    unsigned line;
    struct rc_err *err;
    char scenario[KEY_BYTES_MAX]; /* of the current run */
    bool floor;
};

static int fail(struct parser *parser, const char *what)
{
    return rc_err_set(parser->err, -EINVAL, "%s:%u: %s", parser->name, parser->line, what);
}

static void skip_blanks(struct parser *parser)
{
    while (*parser->at == ' ' || *parser->at == '\t' || *parser->at == '\r') {
        parser->at++;
    }
}

/* Keys before the first [[run]] go to `common`, later ones to the run. */
static struct rc_bench_file_run *current(struct parser *parser)
{
    return parser->file->run_count == 0 ? &parser->common : &parser->file->runs[parser->file->run_count - 1];
}

static int add(struct parser *parser, struct rc_bench_file_run *run, const char *text)
{
    if (run->count == RC_BENCH_FILE_ARGUMENTS_MAX) {
        return fail(parser, "too many keys in one run");
    }
    run->arguments[run->count] = strdup(text);
    RC_ASSERT(run->arguments[run->count] != NULL);
    run->count++;
    return 0;
}

/* One string, number or boolean, as text. */
static int scalar(struct parser *parser, char *value)
{
    size_t bytes = 0;
    const char quote = *parser->at == '"' || *parser->at == '\'' ? *parser->at++ : '\0';
    for (;; parser->at++) {
        char c = *parser->at;
        if (c == '\0' || c == '\n') {
            if (quote != '\0') {
                return fail(parser, "the string does not end on its line");
            }
            break;
        }
        if (quote != '\0' && c == quote) {
            parser->at++;
            break;
        }
        if (quote == '\0' && (isspace((unsigned char)c) != 0 || c == ',' || c == ']' || c == '#')) {
            break;
        }
        if (quote == '"' && c == '\\') {
            c = *++parser->at;
            if (c != '"' && c != '\\') {
                return fail(parser, "only \\\" and \\\\ are known in strings");
            }
        }
        if (quote == '\0' && c == '_') {
            continue; /* 10_000 */
        }
        if (bytes + 1 == VALUE_BYTES_MAX) {
            return fail(parser, "the value is too long");
        }
        value[bytes++] = c;
    }
    value[bytes] = '\0';
    return bytes > 0 || quote != '\0' ? 0 : fail(parser, "a value is missing");
}

static int set(struct parser *parser, const char *key, const char *value)
{
    char option[KEY_BYTES_MAX + 2];
    if (strcmp(key, "scenario") == 0) {
        if (parser->file->run_count == 0) {
            return fail(parser, "scenario belongs into a [[run]]");
        }
        if (strlen(value) >= sizeof(parser->scenario)) {
            return fail(parser, "there is no such scenario");
        }
        memcpy(parser->scenario, value, strlen(value) + 1);
        return 0;
    }
    if (strcmp(key, "floor") == 0) {
        parser->floor = strcmp(value, "true") == 0;
        return parser->floor || strcmp(value, "false") == 0 ? 0 : fail(parser, "floor is true or false");
    }
    if (strcmp(value, "false") == 0) {
        return 0;
    }
    snprintf(option, sizeof(option), "--%s", key);
    const int failed = add(parser, current(parser), option);
    return failed != 0 || strcmp(value, "true") == 0 ? failed : add(parser, current(parser), value);
}

/* `key = value` or `key = [value, value]`; an array is the option several times. */
static int pair(struct parser *parser)
{
    char key[KEY_BYTES_MAX], value[VALUE_BYTES_MAX];
    size_t bytes = 0;
    for (; isalnum((unsigned char)*parser->at) != 0 || *parser->at == '-' || *parser->at == '_'; parser->at++) {
        if (bytes + 1 == sizeof(key)) {
            return fail(parser, "the key is too long");
        }
        key[bytes++] = *parser->at == '_' ? '-' : *parser->at;
    }
    key[bytes] = '\0';
    skip_blanks(parser);
    if (bytes == 0 || *parser->at != '=') {
        return fail(parser, "expected key = value or [[run]]");
    }
    parser->at++;
    skip_blanks(parser);
    const bool array = *parser->at == '[';
    parser->at += array ? 1 : 0;
    for (;;) {
        skip_blanks(parser);
        if (array && *parser->at == ']') {
            parser->at++;
            return 0;
        }
        int failed = scalar(parser, value);
        failed = failed == 0 ? set(parser, key, value) : failed;
        if (failed != 0 || !array) {
            return failed;
        }
        skip_blanks(parser);
        if (*parser->at == ',') {
            parser->at++;
        } else if (*parser->at != ']') {
            return fail(parser, "the array does not end on its line");
        }
    }
}

/* Puts the command in front of a finished run's options, and the common ones between them. */
static int finish_run(struct parser *parser)
{
    if (parser->file->run_count == 0) {
        return 0;
    }
    struct rc_bench_file_run *const run = current(parser);
    struct rc_bench_file_run whole = {0};
    if (parser->scenario[0] == '\0') {
        return fail(parser, "the [[run]] above has no scenario");
    }
    int failed = add(parser, &whole, "ringcast-bench");
    if (failed == 0 && parser->floor) {
        failed = add(parser, &whole, "compare-floor");
    }
    if (failed == 0) {
        failed = add(parser, &whole, parser->scenario);
    }
    for (uint32_t i = 0; i < parser->common.count && failed == 0; i++) {
        failed = add(parser, &whole, parser->common.arguments[i]);
    }
    for (uint32_t i = 0; i < run->count; i++) {
        failed = failed == 0 ? add(parser, &whole, run->arguments[i]) : failed;
        free(run->arguments[i]);
    }
    *run = whole;
    parser->scenario[0] = '\0';
    parser->floor = false;
    return failed;
}

static int line_of(struct parser *parser)
{
    skip_blanks(parser);
    int failed = 0;
    if (strncmp(parser->at, "[[run]]", 7) == 0) {
        parser->at += 7;
        failed = finish_run(parser);
        if (failed == 0 && parser->file->run_count == RC_BENCH_FILE_RUNS_MAX) {
            failed = fail(parser, "too many runs in one file");
        }
        parser->file->run_count += failed == 0 ? 1 : 0;
    } else if (*parser->at != '\n' && *parser->at != '#' && *parser->at != '\0') {
        failed = pair(parser);
    }
    skip_blanks(parser);
    if (failed == 0 && *parser->at == '#') {
        parser->at += strcspn(parser->at, "\n");
    }
    if (failed == 0 && *parser->at != '\n' && *parser->at != '\0') {
        failed = fail(parser, "nothing may follow here on the line");
    }
    return failed;
}

int rc_bench_file_parse(struct rc_bench_file *file, const char *name, const char *text, struct rc_err *err)
{
    struct parser parser = {.file = file, .name = name, .at = text, .line = 1, .err = err};
    *file = (struct rc_bench_file){0};
    file->runs = calloc(RC_BENCH_FILE_RUNS_MAX, sizeof(*file->runs));
    RC_ASSERT(file->runs != NULL);
    int failed = 0;
    for (; failed == 0; parser.line++) {
        failed = line_of(&parser);
        if (*parser.at == '\0' || failed != 0) {
            break;
        }
        parser.at++;
    }
    failed = failed == 0 ? finish_run(&parser) : failed;
    if (failed == 0 && file->run_count == 0) {
        failed = fail(&parser, "there is no [[run]]");
    }
    for (uint32_t i = 0; i < parser.common.count; i++) {
        free(parser.common.arguments[i]);
    }
    if (failed != 0) {
        rc_bench_file_free(file);
    }
    return failed;
}

int rc_bench_file_read(struct rc_bench_file *file, const char *path, struct rc_err *err)
{
    FILE *const in = fopen(path, "re");
    if (in == NULL) {
        return rc_err_set(err, -errno, "cannot read %s: %s", path, strerror(errno));
    }
    char *const text = malloc(FILE_BYTES_MAX + 1);
    RC_ASSERT(text != NULL);
    const size_t bytes = fread(text, 1, FILE_BYTES_MAX + 1, in);
    fclose(in);
    int failed =
        bytes > FILE_BYTES_MAX ? rc_err_set(err, -EFBIG, "%s is longer than %u bytes", path, FILE_BYTES_MAX) : 0;
    if (failed == 0) {
        text[bytes] = '\0';
        failed = strlen(text) != bytes ? rc_err_set(err, -EINVAL, "%s is not text", path)
                                       : rc_bench_file_parse(file, path, text, err);
    }
    free(text);
    return failed;
}

int rc_bench_file_add(struct rc_bench_file *file, const char *argument, struct rc_err *err)
{
    for (uint32_t i = 0; i < file->run_count; i++) {
        struct rc_bench_file_run *const run = &file->runs[i];
        if (run->count == RC_BENCH_FILE_ARGUMENTS_MAX) {
            return rc_err_set(err, -E2BIG, "too many options");
        }
        run->arguments[run->count] = strdup(argument);
        RC_ASSERT(run->arguments[run->count] != NULL);
        run->count++;
    }
    return 0;
}

void rc_bench_file_free(struct rc_bench_file *file)
{
    for (uint32_t i = 0; file->runs != NULL && i < RC_BENCH_FILE_RUNS_MAX; i++) {
        for (uint32_t j = 0; j < file->runs[i].count; j++) {
            free(file->runs[i].arguments[j]);
        }
    }
    free(file->runs);
    *file = (struct rc_bench_file){0};
}
