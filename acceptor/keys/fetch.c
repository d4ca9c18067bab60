/* fetch: see fetch.h. */
#include "acceptor/keys/fetch.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "acceptor/keys/http_get.h"
#include "common/identity/jwks_url.h"
#include "common/identity/sources.h"

_Static_assert(sizeof(struct rc_fetch_answer) <= 65536, "a pipe takes it whole: the child never waits for its reader");
_Static_assert(RC_HTTP_NO_AGE == RC_FETCH_NO_AGE, "handed on as it is");

/* In the child. */
static void answer_get(struct rc_fetch_answer *answer, const struct rc_identity_jwt *jwt)
{
    struct rc_jwks_url url;
    struct rc_http_body *body = malloc(sizeof(*body));
    answer->rc = rc_jwks_url_parse(&url, jwt->jwks_url.text, jwt->jwks_insecure, &answer->err);
    if (body == NULL) {
        answer->rc = rc_err_set(&answer->err, -ENOMEM, "no memory for an answer");
    }
    if (answer->rc == 0) {
        answer->rc = rc_http_get(&url, jwt->jwks_ca.text, jwt->jwks_insecure, RC_FETCH_TIMEOUT_MS, body, &answer->err);
    }
    if (answer->rc == 0) {
        answer->max_age_s = body->max_age_s;
        answer->rc = rc_jwt_sources_jwks(&answer->material, rc_span_of(body->bytes, body->count), true, &answer->err);
    }
    free(body);
}

__attribute__((noreturn)) static void child_main(const struct rc_identity_jwt *jwt, const struct rc_identity *identity,
                                                 int fd, pid_t parent)
{
    static struct rc_fetch_answer answer;
    sigset_t none;
    sigemptyset(&none);
    for (int number = 1; number < NSIG; number++) {
        (void)signal(number, SIG_DFL);
    }
    (void)signal(SIGPIPE, SIG_IGN); /* a server that closes early is an answer, too */
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    /* Nothing of the acceptor's is to be held open by a child that hangs, or lie in the hands of one that was taken over. */
    if (getppid() != parent || dup2(fd, STDIN_FILENO) < 0 || close_range(STDERR_FILENO + 1, ~0u, 0) != 0 ||
        (identity != NULL && rc_identity_assume(identity) != 0)) {
        _exit(1);
    }
    (void)alarm(RC_FETCH_TIMEOUT_MS / 1000 + 1);
    answer.max_age_s = RC_FETCH_NO_AGE;
    answer_get(&answer, jwt);
    const ssize_t wrote = write(STDIN_FILENO, &answer, sizeof(answer));
    _exit(wrote == (ssize_t)sizeof(answer) ? 0 : 1);
}

int rc_fetch_start(struct rc_fetch *fetch, const struct rc_identity_jwt *jwt, const struct rc_identity *identity,
                   uint64_t now_ms, struct rc_err *err)
{
    int fds[2];
    memset(fetch, 0, sizeof(*fetch));
    fetch->fd = -1;
    if (pipe2(fds, O_CLOEXEC | O_NONBLOCK) != 0) {
        return rc_err_set(err, -errno, "cannot make a pipe: %s", strerror(errno));
    }
    const pid_t parent = getpid();
    const pid_t pid = fork();
    if (pid == 0) {
        child_main(jwt, identity, fds[1], parent);
    }
    const int error = errno;
    (void)close(fds[1]);
    if (pid < 0) {
        (void)close(fds[0]);
        return rc_err_set(err, -error, "cannot fork: %s", strerror(error));
    }
    fetch->pid = pid;
    fetch->fd = fds[0];
    fetch->deadline_ms = now_ms + RC_FETCH_TIMEOUT_MS + 2000;
    return 0;
}

void rc_fetch_cancel(struct rc_fetch *fetch)
{
    if (fetch->pid == 0) {
        return;
    }
    (void)kill(fetch->pid, SIGKILL); /* it has nothing to tidy up */
    while (waitpid(fetch->pid, NULL, 0) < 0 && errno == EINTR) {}
    (void)close(fetch->fd);
    fetch->fd = -1;
    fetch->pid = 0;
}

bool rc_fetch_done(struct rc_fetch *fetch, uint64_t now_ms)
{
    uint8_t *to = (uint8_t *)&fetch->answer;
    ssize_t got = -1;
    while (fetch->got < sizeof(fetch->answer) &&
           ((got = read(fetch->fd, to + fetch->got, sizeof(fetch->answer) - fetch->got)) > 0 ||
            (got < 0 && errno == EINTR))) {
        fetch->got += got > 0 ? (size_t)got : 0;
    }
    const bool whole = fetch->got == sizeof(fetch->answer);
    if (!whole && got < 0 && errno == EAGAIN && now_ms < fetch->deadline_ms) {
        return false;
    }
    rc_fetch_cancel(fetch);
    fetch->answer.err.text[sizeof(fetch->answer.err.text) - 1] = '\0';
    if (!whole) {
        fetch->answer.rc =
            rc_err_set(&fetch->answer.err, -ETIMEDOUT, "no answer within %u s", RC_FETCH_TIMEOUT_MS / 1000);
    }
    return true;
}
