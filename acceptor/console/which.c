/* which: see which.h. */
#include "acceptor/console/which.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "acceptor/console/client.h"
#include "acceptor/watch/supervisor.h"

static void print_errors(const struct rc_config_errors *errors)
{
    for (uint32_t i = 0; i < errors->count && i < RC_CONFIG_ERRORS_MAX; i++) {
        fprintf(stderr, "%s\n", errors->lines[i].text);
    }
    if (errors->count > RC_CONFIG_ERRORS_MAX) {
        fprintf(stderr, "and %u more\n", errors->count - RC_CONFIG_ERRORS_MAX);
    }
}

struct rc_settings *rc_which_settings_told(const char *path, bool quickstart, bool files,
                                           struct rc_config_errors *errors)
{
    struct rc_settings *settings = rc_settings_new(path, quickstart);
    if (settings == NULL) {
        rc_config_errors_add(errors, "ringcast: no memory for the configuration");
        return NULL;
    }
    if (rc_settings_load(settings, errors) != 0 ||
        (files && rc_settings_check_files(settings, &settings->config, &settings->files, errors) != 0)) {
        rc_settings_free(settings);
        return NULL;
    }
    return settings;
}

struct rc_settings *rc_which_settings(const char *path, bool quickstart, bool files)
{
    struct rc_config_errors errors = {0};
    struct rc_settings *settings = rc_which_settings_told(path, quickstart, files, &errors);
    if (settings == NULL) {
        print_errors(&errors);
    }
    return settings;
}

struct rc_settings *rc_which_settings_none(const char *path, bool quickstart)
{
    struct rc_settings *settings = rc_settings_new(path, quickstart);
    if (settings == NULL) {
        fprintf(stderr, "ringcast: no memory for the configuration\n");
        return NULL;
    }
    rc_config_defaults(&settings->config);
    return settings;
}

static void print_brokers(const struct rc_client_brokers *brokers)
{
    for (unsigned i = 0; i < brokers->count; i++) {
        const struct rc_client_broker *broker = &brokers->items[i];
        if (broker->silent || broker->busy) {
            fprintf(stderr, "  pid %d, which %s: --socket %s\n", (int)broker->pid,
                    broker->busy ? "is answering as many commands as it can" : "does not answer", broker->socket);
        } else {
            fprintf(stderr, "  pid %d, instance %s, %s%s: --socket %s\n", (int)broker->pid, broker->instance,
                    broker->config[0] != '\0' ? "configuration " : "no configuration file", broker->config,
                    broker->socket);
        }
    }
}

/* Why there is not exactly one broker to ask. */
static void print_not_one(const struct rc_client_brokers *brokers, const char *config)
{
    if (brokers->count > 1) {
        fprintf(stderr, "ringcast: %u brokers are running%s%s; name one with %s--socket PATH:\n", brokers->count,
                config != NULL ? " with " : "", config != NULL ? config : "", config != NULL ? "" : "-c FILE or ");
        print_brokers(brokers);
        return;
    }
    if (brokers->busy > 0) { /* it most probably runs: nobody is to start one */
        fprintf(stderr, "ringcast: %u that may be the broker%s%s %s answering as many commands as can be: try again\n",
                brokers->busy, config != NULL ? " of " : "", config != NULL ? config : "",
                brokers->busy == 1 ? "is" : "are");
    } else {
        fprintf(stderr, "ringcast: no running broker found%s%s: start one, or name its socket with --socket PATH\n",
                config != NULL ? " that runs with " : "", config != NULL ? config : "");
    }
    if (brokers->silent > 0) {
        fprintf(stderr, "ringcast: %u that may be it did not answer\n", brokers->silent);
    }
    if (brokers->foreign > 0) {
        fprintf(stderr, "ringcast: a broker of another user is running: ask as that user or as root\n");
    }
    if (brokers->doubtful > 0) {
        fprintf(stderr, "ringcast: %u in /tmp of another user not asked: with --socket PATH, if it is to be trusted\n",
                brokers->doubtful);
    }
}

/* The one broker that is meant: that of `file` (NULL = whichever runs). Never another one instead. False after lines on standard
 * error. */
static bool find_socket(const char *file, char socket[sizeof(((struct sockaddr_un *)0)->sun_path)])
{
    char real[PATH_MAX];
    const char *config = file == NULL ? NULL : realpath(file, real);
    if (file != NULL && config == NULL) {
        fprintf(stderr, "ringcast: %s: %s\n", file, strerror(errno));
        return false;
    }
    struct rc_client_brokers *brokers = malloc(sizeof(*brokers));
    if (brokers == NULL) {
        fprintf(stderr, "ringcast: no memory to look for brokers\n");
        return false;
    }
    rc_client_find(brokers, config);
    const bool one = brokers->count == 1;
    if (one) {
        memcpy(socket, brokers->items[0].socket, sizeof(brokers->items[0].socket));
    } else {
        print_not_one(brokers, file);
    }
    free(brokers);
    return one;
}

/* Does the configuration, or what could be read of it, say where the control socket is? */
static bool socket_named(struct rc_which *which, const struct rc_settings *settings)
{
    const char *named = settings->config.server.control_socket.text;
    return named[0] != '\0' &&
           (size_t)snprintf(which->socket, sizeof(which->socket), "%s", named) < sizeof(which->socket);
}

/* The broker of a file in which something is wrong now, which is none of what it was started with: it is there to be asked. */
static int find_earlier(struct rc_which *which, const struct rc_settings *settings, const char *config)
{
    if (socket_named(which, settings)) {
        fprintf(stderr, "ringcast: looking for the broker that runs with an earlier %s, at %s as it says\n", config,
                which->socket);
        return RC_EXIT_OK;
    }
    fprintf(stderr, "ringcast: looking for the broker that runs with an earlier %s\n", config);
    if (find_socket(config, which->socket)) {
        return RC_EXIT_OK;
    }
    fprintf(stderr, "ringcast: a server.control_socket that could be read in %s would have been tried, too\n", config);
    return RC_EXIT_CONFIG;
}

int rc_which_broker(struct rc_which *which, const char *socket, const char *config)
{
    if (socket != NULL) {
        if ((size_t)snprintf(which->socket, sizeof(which->socket), "%s", socket) >= sizeof(which->socket)) {
            fprintf(stderr, "ringcast: %s is longer than a socket's path may be\n", socket);
            return RC_EXIT_FAILED;
        }
        return RC_EXIT_OK;
    }
    if (config != NULL) {
        struct rc_config_errors errors = {0};
        struct rc_settings *settings = rc_settings_new(config, false);
        if (settings == NULL) {
            fprintf(stderr, "ringcast: no memory for the configuration\n");
            return RC_EXIT_FAILED;
        }
        const int rc = rc_settings_load(settings, &errors);
        const bool is_named = rc == 0 && socket_named(which, settings);
        print_errors(&errors);
        int code = RC_EXIT_OK;
        if (rc != 0) { /* a broker is not found by a file that is not there */
            code = access(config, R_OK) != 0 ? RC_EXIT_CONFIG : find_earlier(which, settings, config);
        }
        rc_settings_free(settings);
        if (is_named || rc != 0) {
            return code;
        }
    }
    return find_socket(config, which->socket) ? RC_EXIT_OK : RC_EXIT_FAILED;
}
