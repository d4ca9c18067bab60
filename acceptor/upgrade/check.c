/* check: see check.h. */
#include "acceptor/upgrade/check.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "acceptor/upgrade/ask_program.h"
#include "acceptor/upgrade/image.h"
#include "acceptor/upgrade/resume.h"
#include "common/base/check.h"
#include "common/base/fail.h"
#include "common/shm/numbers.h"
#include "version.h"

#define NUMBERS_MAX 1024u

/* What is compared. The number of a part that one process has for itself may differ. */
static const struct {
    const char *number;
    bool of_worker; /* only workers say it */
    bool own;
    bool carried; /* by name, from one to the other */
    const char *what;
} parts[] = {
    {"core", false, false, false, "identity, listeners, processes"},
    {"port", false, false, false, "rings"},
    {"records", false, false, false, "what lies in rings"},
    {"history", false, false, false, "what is kept of channels"},
    {"report", false, false, false, "what processes say of themselves"},
    {"limits", false, false, false, "what limits have counted"},
    {"build", false, false, true, "configuration, keys, metrics"},
    {"truth", true, false, false, "connections of workers"},
    {"io", true, true, false, "ring memory of one process"},
};

__attribute__((format(printf, 4, 5))) static bool part_say(FILE *out, const char *part, bool fine, const char *format,
                                                           ...)
{
    va_list list;
    (void)fprintf(out, "%-14s  %-8s", part, fine ? "in place" : "refused");
    if (format[0] != '\0') {
        (void)fprintf(out, "  ");
        va_start(list, format);
        (void)vfprintf(out, format, list);
        va_end(list);
    }
    (void)fputc('\n', out);
    return fine;
}

/* `running` of the programs that run, `ours` of those that lie beside this one. */
static bool compare_part(FILE *out, size_t i, const char *running, const char *ours)
{
    uint32_t was = 0;
    uint32_t is = 0;
    if (!rc_numbers_find(running, parts[i].number, &was)) {
        return part_say(out, parts[i].number, false, "%s: the running program does not say its number", parts[i].what);
    }
    if (!rc_numbers_find(ours, parts[i].number, &is)) {
        return part_say(out, parts[i].number, false, "%s: the new program does not say its number", parts[i].what);
    }
    if (was != is && parts[i].carried) {
        return part_say(out, parts[i].number, true, "%s: of another version, go over by their names", parts[i].what);
    }
    if (was != is && !parts[i].own) {
        return part_say(out, parts[i].number, false,
                        "%s: %" PRIu32 " runs, the new one has %" PRIu32 ": restart instead", parts[i].what, was, is);
    }
    return part_say(out, parts[i].number, true, "%s", parts[i].what);
}

/* Are the programs beside this one of this build? */
static bool same_build(FILE *out, const char *name, const char *numbers)
{
    for (size_t i = 0; i < rc_numbers_count; i++) {
        uint32_t value = 0;
        if (!rc_numbers_find(numbers, rc_numbers[i].name, &value) || value != rc_numbers[i].value) {
            return part_say(out, name, false, "it is not of the build of the new ringcast beside it (%s)",
                            rc_numbers[i].name);
        }
    }
    return true;
}

/* All numbers, as far as they can be found out. */
static bool compare_numbers(FILE *out, struct rc_supervisor *supervisor, const char *running)
{
    char worker_was[NUMBERS_MAX] = "";
    char worker_is[NUMBERS_MAX] = "";
    char relay_is[NUMBERS_MAX] = "";
    char own[NUMBERS_MAX] = "";
    struct rc_err err = {{0}};
    struct rc_program worker = {.fd = -1};
    struct rc_program relay = {.fd = -1};
    FILE *text = fmemopen(own, sizeof(own), "w");
    bool fine = text != NULL;
    if (text != NULL) {
        rc_numbers_write(text, NULL, 0);
        (void)fclose(text);
    }
    fine = (rc_program_open(&worker, "ringcast-worker", &err) == 0 &&
            rc_ask_program(worker.fd, "ringcast-worker", worker_is, sizeof(worker_is), &err) == 0) ||
           part_say(out, "worker", false, "%s", err.text);
    fine = ((rc_program_open(&relay, "ringcast-relay", &err) == 0 &&
             rc_ask_program(relay.fd, "ringcast-relay", relay_is, sizeof(relay_is), &err) == 0) ||
            part_say(out, "relay", false, "%s", err.text)) &&
           fine;
    fine = (rc_ask_program(supervisor->broker.worker_program.fd, "ringcast-worker", worker_was, sizeof(worker_was),
                           &err) == 0 ||
            part_say(out, "worker", false, "the one that runs: %s", err.text)) &&
           fine;
    rc_program_close(&worker);
    rc_program_close(&relay);
    if (!fine || !same_build(out, "worker", worker_is) || !same_build(out, "relay", relay_is)) {
        return false;
    }
    for (size_t i = 0; i < RC_ARRAY_COUNT(parts); i++) {
        fine = compare_part(out, i, parts[i].of_worker ? worker_was : running, parts[i].of_worker ? worker_is : own) &&
               fine;
    }
    return fine;
}

static bool check_all(struct rc_supervisor *supervisor, int state_fd, FILE *out)
{
    char version[64];
    char numbers[NUMBERS_MAX];
    struct rc_state state;
    struct rc_err err = {{0}};
    if (rc_fail_here("check")) {
        return part_say(out, "acceptor", false, "it is to fail here");
    }
    if (rc_state_load(&state, state_fd, &err) != 0) {
        return part_say(out, "state", false, "%s", err.text);
    }
    rc_image_origin(&state, version, numbers);
    const int rc = rc_image_read(supervisor, &state, &err);
    rc_state_close(&state);
    (void)part_say(out, "configuration", true, "%s",
                   supervisor->settings->path != NULL ? "the file is correct"
                                                      : "there is no file: the defaults and variables");
    if (rc != 0) {
        return part_say(out, "acceptor", false, "%s", err.text);
    }
    if (!compare_numbers(out, supervisor, numbers)) {
        return false;
    }
    /* Again, whole, as it will be after the exec. */
    struct rc_supervisor *whole = calloc(1, sizeof(*whole));
    struct rc_resume resume = {.state_fd = state_fd, .fallback_fd = -1, .old_programs = {-1, -1}};
    if (whole == NULL) {
        return part_say(out, "acceptor", false, "no memory");
    }
    whole->settings = supervisor->settings;
    const bool fine = rc_resume_read(whole, &resume, &err) == 0;
    if (fine) {
        (void)part_say(out, "acceptor", true, "version %s, %s runs", RC_VERSION, version);
        if (rc_steer_renew(&whole->broker.steer, false, &err) == 0) {
            (void)part_say(out, "steering", true, "which worker gets a connection");
        } else {
            (void)part_say(out, "steering", true, "with the program that runs: %s", err.text);
        }
    } else {
        (void)part_say(out, "acceptor", false, "%s", err.text);
    }
    rc_image_forget(whole);
    free(whole); /* the process ends: descriptors and mappings with it */
    return fine;
}

bool rc_upgrade_check(struct rc_settings *settings, int state_fd, FILE *out)
{
    struct rc_supervisor *supervisor = calloc(1, sizeof(*supervisor));
    if (supervisor == NULL) {
        return part_say(out, "acceptor", false, "no memory");
    }
    supervisor->settings = settings;
    const bool fine = check_all(supervisor, state_fd, out);
    if (fine) {
        (void)fprintf(out, RC_UPGRADE_CHECKED);
    }
    rc_image_forget(supervisor);
    free(supervisor);
    return fine;
}
