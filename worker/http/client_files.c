/* client_files: see client_files.h. */
#include "worker/http/client_files.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/hash.h"
#include "common/base/log.h"

/* Does a field name this version (RFC 9110 13.1.2: compared weakly, so "W/" makes no difference), or any? */
static bool names_version(struct rc_http_view field, const char *etag)
{
    struct rc_http_view one;
    while (rc_http_list_next(&field, &one)) {
        if (one.bytes > 2 && memcmp(one.text, "W/", 2) == 0) {
            one.text += 2;
            one.bytes -= 2;
        }
        if (rc_http_view_equals(one, etag) || rc_http_view_equals(one, "*")) {
            return true;
        }
    }
    return false;
}

static bool has_already(const struct rc_http_request *request, const char *etag)
{
    const struct rc_http_view *field;
    uint32_t at = 0;
    while ((field = rc_http_header_next(request, "if-none-match", &at)) != NULL) {
        if (names_version(*field, etag)) {
            return true;
        }
    }
    return false;
}

static void file_asked(void *context, struct rc_exchange *exchange, const struct rc_route *route)
{
    const struct rc_client_file *file = route->detail;
    const bool known = has_already(exchange->request, file->etag);
    char headers[96];
    (void)context;
    (void)snprintf(headers, sizeof(headers), "Cache-Control: public, max-age=0\r\nETag: %s\r\n", file->etag);
    rc_exchange_answer(exchange, &(struct rc_exchange_answer){.status = known ? 304 : 200,
                                                              .content_type = file->content_type,
                                                              .body = file->bytes,
                                                              .body_bytes = known ? 0 : file->count,
                                                              .headers = headers,
                                                              .cacheable = true});
}

/* 0; or what is wrong, -ENOENT: nothing. */
static int file_open(struct rc_client_file *file, const struct rc_config_socketio *config, const char *name,
                     struct rc_err *err)
{
    const char *path = config->path.text;
    const int rc = rc_client_file_read(config->client_files.text, name, &file->bytes, &file->count, err);
    if (rc < 0) {
        return rc;
    }
    const bool slash = path[strlen(path) - 1] == '/';
    (void)snprintf(file->path, sizeof(file->path), "%s%s%s", path, slash ? "" : "/", name);
    (void)snprintf(file->etag, sizeof(file->etag), "\"%016llx\"",
                   (unsigned long long)rc_hash_public(file->bytes, file->count));
    file->content_type =
        strstr(name, ".map") != NULL ? "application/json; charset=utf-8" : "application/javascript; charset=utf-8";
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
