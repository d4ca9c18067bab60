/*
 * config_file: a configuration file of the test's own, without what whoever runs the test has in the environment.
 *
 * Included once by a test file.
 */
#ifndef RC_TESTS_SUPPORT_CONFIG_FILE_H
#define RC_TESTS_SUPPORT_CONFIG_FILE_H

#include <criterion/criterion.h>

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static char path[64];

static inline void write_file(const char *text)
{
    FILE *file = fopen(path, "w");
    cr_assert(file != NULL);
    fputs(text, file);
    fclose(file);
}

static inline void config_file_open(void)
{
    static const char *const names[] = {"INSTANCE_ID",      "SERVER_ID",        "PORT",         "LOG_LEVEL",
                                        "RINGCAST_API_KEY", "RINGCAST_BIN_DIR", "RINGCAST_SEED"};
    snprintf(path, sizeof(path), "/tmp/ringcast-config-%d.toml", (int)getpid());
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        unsetenv(names[i]);
    }
}

static inline void config_file_close(void)
{
    unlink(path);
}

#endif
