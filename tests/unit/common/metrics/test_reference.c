/* docs/metrics.md is made of the table: RC_UPDATE_FILES=1 writes it, otherwise it must be what the table says. */
#include <criterion/criterion.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/metrics/metrics.h"

#define REFERENCE "docs/metrics.md"

struct row {
    const char *kind;
    const char *name;
    const char *help;
};

static const struct row rows[] = {
#define RC_COUNTER(id, name, help) {"counter", name, help},
#define RC_GAUGE(id, name, help) {"gauge", name, help},
#define RC_HISTOGRAM(id, name, scale, help) {"histogram", name, help},
#include "common/metrics/metrics.def"
#undef RC_COUNTER
#undef RC_GAUGE
#undef RC_HISTOGRAM
};

static const char head[] =
    "# Metrics\n\n"
    "Made from `common/metrics/metrics.def`; do not edit. What `/metrics` gives, and how to use it: [operations.md](operations.md#metrics-and-health).\n"
    "Each is the sum of all processes; with more than one worker also `ringcast_worker_…{worker=\"0\"}`.\n\n"
    "| name | type | |\n|---|---|---|\n";

/* A help text in a table: no column of its own. */
static void put_help(FILE *out, const char *help)
{
    for (; *help != '\0'; help++) {
        if (*help == '|') {
            (void)fputc('\\', out);
        }
        (void)fputc(*help, out);
    }
}

static char *reference(void)
{
    char *text = NULL;
    size_t bytes = 0;
    FILE *out = open_memstream(&text, &bytes);
    cr_assert(out != NULL);
    (void)fputs(head, out);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        (void)fprintf(out, "| `%s` | %s | ", rows[i].name, rows[i].kind);
        put_help(out, rows[i].help);
        (void)fputs(" |\n", out);
    }
    cr_assert_eq(fclose(out), 0);
    return text;
}

Test(metrics_reference, the_documentation_is_what_the_table_says)
{
    char *wanted = reference();
    if (getenv("RC_UPDATE_FILES") != NULL) {
        FILE *file = fopen(REFERENCE, "w");
        cr_assert(file != NULL && fputs(wanted, file) >= 0 && fclose(file) == 0);
    }
    FILE *file = fopen(REFERENCE, "r");
    cr_assert(file != NULL, "no " REFERENCE);
    char *text = NULL;
    size_t capacity = 0;
    const ssize_t bytes = getdelim(&text, &capacity, '\0', file);
    cr_assert(bytes > 0 && strcmp(text, wanted) == 0, REFERENCE
              " is not what metrics.def says: RC_UPDATE_FILES=1 build/asan/tests/common/metrics/test_reference -j1");
    (void)fclose(file);
    free(text);
    free(wanted);
}

Test(metrics_reference, every_metric_says_what_it_counts)
{
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        cr_assert_geq(strlen(rows[i].help), 10, "%s", rows[i].name);
    }
}
