/* The scripts as routes: where they are, what is said of their version. */
#include <criterion/criterion.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/support/exchange_rig.h"
#include "worker/http/client_files.h"

static char folder[64];
static char script[96];
static struct rc_routes routes;
static struct rc_client_files files;

static void conn_begin(void *context, struct rc_exchange *exchange)
{
    (void)context;
    rc_routes_begin(&routes, exchange);
}

static void open_all(void)
{
    (void)snprintf(folder, sizeof(folder), "/tmp/ringcast-client-files-XXXXXX");
    cr_assert(mkdtemp(folder) != NULL);
    (void)snprintf(script, sizeof(script), "%s/socket.io.js", folder);
    FILE *file = fopen(script, "w");
    cr_assert(file != NULL);
    fputs("let io;\n", file);
    fclose(file);
    (void)snprintf(config.socketio.client_files.text, sizeof(config.socketio.client_files.text), "%s", folder);
    (void)snprintf(config.socketio.path.text, sizeof(config.socketio.path.text), "/chat");
    rc_client_files_open(&files, &config, &routes);
    exchange_rig_open(conn_begin);
}

static void close_all(void)
{
    rc_exchanges_close(&exchanges);
    rc_client_files_close(&files);
    (void)remove(script);
    (void)rmdir(folder);
}

TestSuite(client_files, .init = open_all, .fini = close_all);

static int ask(const char *method, const char *path, const char *headers)
{
    char text[2048];
    const int bytes = snprintf(text, sizeof(text), "%s %s HTTP/1.1\r\nHost: a\r\n%s\r\n", method, path, headers);
    exchange_rig_feed(text, (size_t)bytes);
    return atoi(conn.out + strlen("HTTP/1.1 "));
}

static int ask_version(const char *name, const char *before, const char *after)
{
    char headers[256];
    (void)snprintf(headers, sizeof(headers), "%s: %s%s%s\r\n", name, before, files.items[0].cached.etag, after);
    return ask("GET", "/chat/socket.io.js", headers);
}

Test(client_files, a_script_is_served_with_its_version)
{
    cr_assert_eq(ask("GET", "/chat/socket.io.js?x=1", ""), 200);
    cr_assert(strstr(conn.out, "\r\nContent-Type: application/javascript; charset=utf-8\r\n") != NULL);
    cr_assert(strstr(conn.out, "\r\nCache-Control: public, max-age=0\r\n") != NULL);
    cr_assert(strstr(conn.out, "no-store") == NULL);
    cr_assert(strstr(conn.out, files.items[0].cached.etag) != NULL);
    cr_assert(strstr(conn.out, "\r\n\r\nlet io;\n") != NULL);
    cr_assert_eq(ask("HEAD", "/chat/socket.io.js", ""), 200);
    cr_assert(strstr(conn.out, "\r\nContent-Length: 8\r\n") != NULL);
    cr_assert_str_eq(conn.out + conn.out_bytes - 4, "\r\n\r\n");
}

Test(client_files, what_the_client_has_is_not_sent_again)
{
    cr_assert_eq(ask_version("If-None-Match", "", ""), 304);
    cr_assert(strstr(conn.out, files.items[0].cached.etag) != NULL);
    cr_assert(strstr(conn.out, "Cache-Control: public, max-age=0") != NULL);
    cr_assert(strstr(conn.out, "Content-Length") == NULL);
    cr_assert_eq(ask_version("If-None-Match", "W/", ""), 304);
    cr_assert_eq(ask_version("If-None-Match", "\"a,b\", W/\"x\" ,W/", ", \"c\""), 304);
    cr_assert_eq(ask_version("If-None-Match: \"x\"\r\nIf-None-Match", "", ""), 304);
    cr_assert_eq(ask("GET", "/chat/socket.io.js", "If-None-Match: *\r\n"), 304);
    cr_assert_eq(ask("GET", "/chat/socket.io.js", "If-None-Match: \"4.8.4\", W/\"\"\r\n"), 200);
    cr_assert_eq(ask("GET", "/chat/socket.io.js", "If-None-Match: W/\r\n"), 200);
    cr_assert_eq(ask_version("If-None-Match", "x", ""), 200);
}

Test(client_files, nothing_else_is_there)
{
    const char *paths[] = {
        "/chat/socket.io.min.js", "/chat/socket.io.js/",     "/chat/../socket.io.js", "/socket.io.js",
        "/chat/socket.io.jsx",    "/chat/%2e%2e/etc/passwd", "/chatsocket.io.js",     "/chat/",
        "/chat//socket.io.js",    "/chat/SOCKET.IO.JS",      "/chat/socket.io.js%00"};
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        const int status = ask("GET", paths[i], "");
        cr_assert(status == 404 || status == 400, "%s: %d", paths[i], status);
    }
    cr_assert_eq(ask("POST", "/chat/socket.io.js", ""), 405);
    cr_assert_eq(ask("GET", "/chat/%73ocket.io.js", ""), 200);
}

Test(client_files, without_a_folder_there_are_none)
{
    struct rc_client_files none;
    config.socketio.client_files.text[0] = '\0';
    const size_t sets = routes.count;
    rc_client_files_open(&none, &config, &routes);
    cr_assert_eq(routes.count, sets);
    rc_client_files_close(&none);
}
