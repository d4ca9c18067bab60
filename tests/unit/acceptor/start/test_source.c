/* acceptor/start/source: the text of a configuration, as it was read. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <criterion/criterion.h>

#include "acceptor/start/source.h"

static struct rc_config_errors errors;

Test(source, is_the_file_as_it_was)
{
    char path[] = "/tmp/ringcast-source-XXXXXX";
    const int fd = mkstemp(path);
    struct rc_source source;
    cr_assert_geq(fd, 0);
    cr_assert_eq(write(fd, "workers\0 = 2\n", 13), 13);
    cr_assert_eq(rc_source_read(&source, path, &errors), 0);
    cr_assert_eq(source.bytes, 13u);
    cr_assert_eq(memcmp(source.text, "workers\0 = 2\n", 14), 0, "and a NUL behind it");
    rc_source_free(&source);
    cr_assert_null(source.text);
    /* Of a file that is too long there is enough to know it. */
    cr_assert_eq(ftruncate(fd, RC_CONFIG_FILE_MAX + 100), 0);
    cr_assert_eq(rc_source_read(&source, path, &errors), 0);
    cr_assert_eq(source.bytes, RC_CONFIG_FILE_MAX + 1u);
    rc_source_free(&source);
    close(fd);
    unlink(path);
}

Test(source, file_that_cannot_be_read_is_told)
{
    struct rc_source source;
    cr_assert_eq(rc_source_read(&source, "/nonexistent/x.toml", &errors), -ENOENT);
    cr_assert_str_eq(errors.lines[0].text,
                     "/nonexistent/x.toml: cannot read the configuration: No such file or directory");
    errors.count = 0;
    cr_assert_eq(rc_source_read(&source, "/", &errors), -EISDIR);
    cr_assert_str_eq(errors.lines[0].text, "/: cannot read the configuration: Is a directory");
    cr_assert_null(source.text);
}

Test(source, none_is_an_empty_text)
{
    struct rc_source source;
    cr_assert_eq(rc_source_read(&source, NULL, &errors), 0);
    cr_assert_str_eq(source.text, "");
    cr_assert_eq(source.bytes, 0u);
    cr_assert_eq(rc_source_set(&source, "ab", 2), 0, "in its place");
    cr_assert_str_eq(source.text, "ab");
    rc_source_free(&source);
}
