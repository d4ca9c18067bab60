/* acceptor/files: which files are others now under the same name. */
#include "acceptor/start/files.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct rc_config config;
static struct rc_files before;
static struct rc_files after;
static char names[1024];
static char folder[] = "/tmp/ringcast-files-XXXXXX";

static const char *put(const char *name, const char *text)
{
    static char path[128];
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    FILE *file = fopen(path, "w");
    cr_assert(file != NULL);
    fputs(text, file);
    fclose(file);
    return path;
}

static void set_up(void)
{
    cr_assert(mkdtemp(folder) != NULL);
    rc_config_defaults(&config);
    config.tls.listen.count = 1;
    config.tls.certificates.count = 2;
    strcpy(config.tls.certificates.items[0].text, put("a.pem", "a"));
    strcpy(config.tls.certificates.items[1].text, put("b.pem", "b"));
    strcpy(config.redis.url.text, "rediss://host");
    strcpy(config.redis.tls_ca.text, put("ca.pem", "ca"));
    rc_files_read(&before, &config);
}

static void tear_down(void)
{
    static const char *const made[] = {"a.pem", "b.pem", "ca.pem", "a.pem.ocsp"};
    char path[128];
    for (size_t i = 0; i < sizeof(made) / sizeof(made[0]); i++) {
        snprintf(path, sizeof(path), "%s/%s", folder, made[i]);
        unlink(path);
    }
    rmdir(folder);
}

TestSuite(files, .init = set_up, .fini = tear_down);

static unsigned changed(void)
{
    rc_files_read(&after, &config);
    return rc_files_changed(&before, &after, names, sizeof(names));
}

Test(files, the_same_content_is_no_change)
{
    put("a.pem", "a"); /* written again */
    cr_expect_eq(changed(), 0);
    cr_expect_str_eq(names, "");
}

Test(files, a_renewed_certificate_and_a_new_ocsp_response_are_named)
{
    char wanted[256];
    put("b.pem", "B");
    put("a.pem.ocsp", "response");
    cr_expect_eq(changed(), 2);
    snprintf(wanted, sizeof(wanted), "%s/a.pem.ocsp, %s/b.pem", folder, folder);
    cr_expect_str_eq(names, wanted);
    before = after;
    cr_expect_eq(changed(), 0);
    char path[128];
    snprintf(path, sizeof(path), "%s/a.pem.ocsp", folder);
    unlink(path);
    cr_expect_eq(changed(), 1, "one that goes away is a change");
}

Test(files, what_redis_is_spoken_to_with_counts_too)
{
    put("ca.pem", "CA");
    cr_expect_eq(changed(), 1);
    cr_expect(strstr(names, "ca.pem") != NULL);
}

Test(files, another_name_is_the_configurations_change_not_the_files)
{
    strcpy(config.tls.certificates.items[0].text, config.tls.certificates.items[1].text);
    cr_expect_eq(changed(), 0);
}

Test(files, without_tls_listeners_nothing_is_read)
{
    config.tls.listen.count = 0;
    config.redis.url.text[0] = '\0';
    rc_files_read(&after, &config);
    cr_expect_eq(after.count, 0);
}

Test(files, names_are_cut_and_a_pipe_is_not_waited_for)
{
    char path[128];
    put("a.pem", "x");
    put("b.pem", "x");
    rc_files_read(&after, &config);
    cr_expect_eq(rc_files_changed(&before, &after, names, 10), 2);
    cr_expect_eq(strlen(names), 9);
    snprintf(path, sizeof(path), "%s/a.pem", folder);
    unlink(path);
    cr_assert_eq(mkfifo(path, 0600), 0);
    rc_files_read(&after, &config);
}
