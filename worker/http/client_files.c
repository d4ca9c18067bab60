/* client_files: see client_files.h. */
#include "worker/http/client_files.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/log.h"

static void file_asked(void *context, struct rc_exchange *exchange, const struct rc_route *route)
{
    const struct rc_client_file *file = route->detail;
    (void)context;
    rc_cached_answer(exchange, &file->cached);
}

/* 0; or what is wrong, -ENOENT: nothing. */
static int file_open(struct rc_client_file *file, const struct rc_config_socketio *config, const char *name,
                     struct rc_err *err)
{
    const char *path = config->path.text;
    size_t count = 0;
    const int rc = rc_client_file_read(config->client_files.text, name, &file->bytes, &count, err);
    if (rc < 0) {
        return rc;
    }
    const bool slash = path[strlen(path) - 1] == '/';
    (void)snprintf(file->path, sizeof(file->path), "%s%s%s", path, slash ? "" : "/", name);
    file->cached =
        (struct rc_cached){.bytes = {file->bytes, count},
                           .content_type = strstr(name, ".map") != NULL ? "application/json; charset=utf-8"
                                                                        : "application/javascript; charset=utf-8",
                           .cache_control = "public, max-age=0"};
    rc_cached_open(&file->cached);
    return 0;
}

void rc_client_files_open(struct rc_client_files *files, const struct rc_config *config, struct rc_routes *routes)
{
    const struct rc_config_socketio *settings = &config->socketio;
    *files = (struct rc_client_files){0};
    if (settings->client_files.text[0] == '\0' || settings->path.text[0] == '\0') {
        return;
    }
    for (size_t i = 0; i < RC_CLIENT_FILES_MAX; i++) {
        struct rc_client_file *file = &files->items[files->count];
        struct rc_err err = {{0}};
        const int rc = file_open(file, settings, rc_client_file_names[i], &err);
        if (rc == 0) {
            files->routes[files->count++] = (struct rc_route){.path = file->path,
                                                              .methods = "GET, HEAD",
                                                              .allow = "GET, HEAD, OPTIONS",
                                                              .wrong = "this resource can only be read",
                                                              .run = file_asked,
                                                              .detail = file};
        } else if (rc != -ENOENT) {
            rc_log_error("client_file", "reason=\"%s\"", err.text);
        }
    }
    const struct rc_route_set set = {.below = "", .routes = files->routes, .count = files->count};
    rc_routes_add(routes, &set);
}

void rc_client_files_close(struct rc_client_files *files)
{
    for (size_t i = 0; i < files->count; i++) {
        free(files->items[i].bytes);
    }
    *files = (struct rc_client_files){0};
}
