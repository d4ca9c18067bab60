/* source: see source.h. */
#include "acceptor/start/source.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* One byte more than a configuration may have, so that rc_config_load_text refuses what is longer. */
#define READ_BYTES_MAX (RC_CONFIG_FILE_MAX + 1u)

static ssize_t read_whole(int fd, char *text)
{
    size_t bytes = 0;
    while (bytes < READ_BYTES_MAX) {
        const ssize_t got = read(fd, text + bytes, READ_BYTES_MAX - bytes);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            return -errno;
        }
        if (got == 0) {
            break;
        }
        bytes += (size_t)got;
    }
    return (ssize_t)bytes;
}

int rc_source_read(struct rc_source *source, const char *path, struct rc_config_errors *errors)
{
    int rc = 0;
    *source = (struct rc_source){0};
    if (path == NULL) {
        rc = rc_source_set(source, "", 0);
        if (rc < 0) {
            rc_config_errors_add(errors, "no memory for a configuration");
        }
        return rc;
    }
    char *text = malloc(READ_BYTES_MAX);
    const int fd = text == NULL ? -1 : open(path, O_RDONLY | O_CLOEXEC);
    rc = text == NULL ? -ENOMEM : fd < 0 ? -errno : 0;
    if (rc == 0) {
        const ssize_t bytes = read_whole(fd, text);
        close(fd);
        rc = bytes < 0 ? (int)bytes : rc_source_set(source, text, (size_t)bytes);
        explicit_bzero(text, bytes > 0 ? (size_t)bytes : 0);
    }
    free(text);
    if (rc < 0) {
        rc_config_errors_add(errors, "%s: cannot read the configuration: %s", path, strerror(-rc));
    }
    return rc;
}

int rc_source_set(struct rc_source *source, const void *bytes, size_t count)
{
    rc_source_free(source);
    source->text = malloc(count + 1);
    if (source->text == NULL) {
        return -ENOMEM;
    }
    memcpy(source->text, bytes, count);
    source->text[count] = '\0';
    source->bytes = count;
    return 0;
}

void rc_source_free(struct rc_source *source)
{
    if (source->text != NULL) {
        explicit_bzero(source->text, source->bytes);
    }
    free(source->text);
    *source = (struct rc_source){0};
}
