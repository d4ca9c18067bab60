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
        if (broker->silent) {
            fprintf(stderr, "  pid %d, which does not answer: --socket %s\n", (int)broker->pid, broker->socket);
        } else {
            fprintf(stderr, "  pid %d, instance %s, %s%s: --socket %s\n", (int)broker->pid, broker->instance,
                    broker->config[0] != '\0' ? "configuration " : "no configuration file", broker->config,
                    broker->socket);
        }
    }
}

/* Why there is not exactly one broker to ask. */
static void print_not_one(const struct rc_client_brokers *brokers, const char *config, unsigned silent)
{
    if (brokers->count > 1) {
        fprintf(stderr, "ringcast: %u brokers are running%s%s; name one with %s--socket PATH:\n", brokers->count,
                config != NULL ? " with " : "", config != NULL ? config : "", config != NULL ? "" : "-c FILE or ");
        print_brokers(brokers);
        return;
    }
    fprintf(stderr, "ringcast: no running broker found%s%s: start one, or name its socket with --socket PATH\n",
            config != NULL ? " that runs with " : "", config != NULL ? config : "");
    if (silent > 0) {
        fprintf(stderr, "ringcast: %u that may be it did not answer\n", silent);
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
    unsigned silent = 0;
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
    rc_client_find(brokers, config, &silent);
    const bool one = brokers->count == 1;
    if (one) {
        memcpy(socket, brokers->items[0].socket, sizeof(brokers->items[0].socket));
    } else {
        print_not_one(brokers, file, silent);
    }
    free(brokers);
    return one;
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
        struct rc_settings *settings = rc_which_settings(config, false, false);
        if (settings == NULL && access(config, F_OK) != 0) {
            return RC_EXIT_CONFIG; /* which has been said, and a broker is not found by a file that is not there */
        }
        if (settings == NULL) {
            /* What is wrong in the file now, the broker that was started with it has not read: it is there to be asked. */
            fprintf(stderr, "ringcast: looking for the broker that runs with an earlier %s\n", config);
            return find_socket(config, which->socket) ? RC_EXIT_OK : RC_EXIT_CONFIG;
        }
        const char *named = settings->config.server.control_socket.text;
        const bool is_named = named[0] != '\0' && (size_t)snprintf(which->socket, sizeof(which->socket), "%s", named) <
                                                      sizeof(which->socket);
        rc_settings_free(settings);
        if (is_named) {
            return RC_EXIT_OK;
        }
    }
    return find_socket(config, which->socket) ? RC_EXIT_OK : RC_EXIT_FAILED;
}
