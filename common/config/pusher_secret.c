/* pusher_secret: see pusher_secret.h. */
#include "common/config/pusher_secret.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SECRET_BYTES_MIN 8u

/* What would be cut is not the secret that the other side has: its signatures are refused, and nobody says why. */
static int secret_too_long(struct rc_err *err, const char *where)
{
    return rc_err_set(err, -EINVAL, "%s: a secret has at most %zu bytes, none of them zero", where,
                      (size_t)RC_CONFIG_TEXT_MAX - 1);
}

static int secret_read(struct rc_config_pusher_app *app, struct rc_err *err)
{
    const char *path = app->secret_file.text;
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    char text[RC_CONFIG_TEXT_MAX + 8]; /* with line breaks at its end */
    const ssize_t bytes = fd < 0 ? -1 : read(fd, text, sizeof(text));
    if (bytes < 0) {
        const int error = errno;
        if (fd >= 0) {
            (void)close(fd);
        }
        return rc_err_set(err, -EINVAL, "secret_file: %s: %s", path, strerror(error));
    }
    (void)close(fd);
    size_t count = (size_t)bytes;
    while (count > 0 && (text[count - 1] == '\n' || text[count - 1] == '\r')) {
        count--;
    }
    const bool fits =
        count < sizeof(app->secret.text) && (size_t)bytes < sizeof(text) && memchr(text, '\0', count) == NULL;
    if (fits) {
        memcpy(app->secret.text, text, count);
        app->secret.text[count] = '\0';
    }
    explicit_bzero(text, sizeof(text));
    return fits ? 0 : secret_too_long(err, path);
}

int rc_pusher_secret_load(struct rc_config_pusher_app *app, struct rc_err *err)
{
    const bool both = app->secret.text[0] != '\0' && app->secret_file.text[0] != '\0';
    int rc = 0;
    if (both) {
        return rc_err_set(err, -EINVAL, "this [[pusher_app]] has secret and secret_file: leave one out");
    }
    if (app->secret_file.text[0] != '\0') {
        rc = secret_read(app, err);
    } else if (app->secret.text[0] == '\0') {
        const char *text = getenv("PUSHER_APP_SECRET");
        const int bytes = snprintf(app->secret.text, sizeof(app->secret.text), "%s", text == NULL ? "" : text);
        if (bytes < 0 || (size_t)bytes >= sizeof(app->secret.text)) {
            return secret_too_long(err, "PUSHER_APP_SECRET");
        }
    }
    if (rc == 0 && strlen(app->secret.text) < SECRET_BYTES_MIN) {
        return rc_err_set(err, -EINVAL,
                          "[[pusher_app]] \"%s\" needs a secret of at least %u bytes: give secret, secret_file or the "
                          "environment variable PUSHER_APP_SECRET",
                          app->id.text, SECRET_BYTES_MIN);
    }
    return rc;
}
