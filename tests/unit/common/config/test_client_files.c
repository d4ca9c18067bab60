/* The folder of socket.io-client's scripts: what is read, and what is wrong with it. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <criterion/criterion.h>

#include "common/config/client_files.h"

static char folder[64];
static struct rc_err err;

static void path_of(char out[128], const char *name)
{
    (void)snprintf(out, 128, "%s/%s", folder, name);
}

static void write_file(const char *name, const char *text, off_t bytes)
{
    char path[128];
    path_of(path, name);
    FILE *file = fopen(path, "w");
    cr_assert(file != NULL);
    fputs(text, file);
    fclose(file);
    cr_assert_eq(truncate(path, bytes), 0);
}

static void set_up(void)
{
    (void)snprintf(folder, sizeof(folder), "/tmp/ringcast-client-files-XXXXXX");
    cr_assert(mkdtemp(folder) != NULL);
    err.text[0] = '\0';
}

static void tear_down(void)
{
    char path[128];
    for (size_t i = 0; i < RC_CLIENT_FILES_MAX; i++) {
        path_of(path, rc_client_file_names[i]);
        (void)remove(path);
    }
    path_of(path, "other.js");
    (void)remove(path);
    cr_assert_eq(rmdir(folder), 0);
}

TestSuite(client_files, .init = set_up, .fini = tear_down);

Test(client_files, a_folder_needs_one_script)
{
    cr_assert_eq(rc_client_files_check("/nonexistent/dist", &err), -ENOENT);
    cr_assert(strstr(err.text, "socketio.client_files: /nonexistent/dist has no socket.io.js") != NULL, "%s", err.text);
    cr_assert_eq(rc_client_files_check(folder, &err), -ENOENT);
    write_file("other.js", "x", 1);
    write_file("socket.io.js.map", "{}", 2);
    cr_assert_eq(rc_client_files_check(folder, &err), -ENOENT);
    write_file("socket.io.esm.min.js", "x", 1);
    cr_assert_eq(rc_client_files_check(folder, &err), 0);
}

Test(client_files, files_are_read_whole)
{
    uint8_t *bytes = NULL;
    size_t count = 9;
    write_file("socket.io.js", "let x;\n", 7);
    write_file("socket.io.min.js", "", 0);
    write_file("socket.io.js.map", "", RC_CLIENT_FILE_BYTES_MAX);
    cr_assert_eq(rc_client_file_read(folder, "socket.io.js", &bytes, &count, &err), 0);
    cr_assert_eq(count, 7);
    cr_assert_eq(memcmp(bytes, "let x;\n", 7), 0);
    free(bytes);
    cr_assert_eq(rc_client_file_read(folder, "socket.io.min.js", &bytes, &count, &err), 0);
    cr_assert_eq(count, 0);
    free(bytes);
    cr_assert_eq(rc_client_file_read(folder, "socket.io.js.map", &bytes, &count, &err), 0);
    cr_assert_eq(count, RC_CLIENT_FILE_BYTES_MAX);
    free(bytes);
    cr_assert_eq(rc_client_file_read(folder, "socket.io.esm.js", &bytes, &count, &err), -ENOENT);
}

Test(client_files, what_is_no_file_or_too_large_is_named)
{
    char path[128];
    write_file("socket.io.js", "x", 1);
    write_file("socket.io.min.js", "x", (off_t)RC_CLIENT_FILE_BYTES_MAX + 1);
    cr_assert_eq(rc_client_files_check(folder, &err), -EFBIG);
    cr_assert(strstr(err.text, "socket.io.min.js is larger than 4 MiB") != NULL, "%s", err.text);
    path_of(path, "socket.io.min.js");
    cr_assert_eq(remove(path), 0);
    cr_assert_eq(mkfifo(path, 0600), 0); /* nobody writes: it must not be waited for */
    cr_assert_eq(rc_client_files_check(folder, &err), -EINVAL);
    cr_assert(strstr(err.text, "socket.io.min.js is not a file") != NULL, "%s", err.text);
    cr_assert_eq(remove(path), 0);
    cr_assert_eq(mkdir(path, 0700), 0);
    cr_assert_eq(rc_client_files_check(folder, &err), -EINVAL);
    char long_folder[600];
    memset(long_folder, 'x', sizeof(long_folder));
    long_folder[0] = '/';
    long_folder[sizeof(long_folder) - 1] = '\0';
    cr_assert_eq(rc_client_files_check(long_folder, &err), -ENAMETOOLONG);
}
