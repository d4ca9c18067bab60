/* keyring: keys from files and from a real server, when they are fetched, and what stays when that fails. Time is what the test says. */
#include <criterion/criterion.h>
#include <errno.h>
#include <netinet/in.h>
#include <openssl/evp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "acceptor/keys/keyring.h"
#include "common/base/clock.h"

#define KEY_A \
    "{\"kty\":\"EC\",\"crv\":\"P-256\",\"kid\":\"a\",\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\",\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\"}"
#define KEY_B \
    "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"kid\":\"b\",\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}"
#define OK "HTTP/1.1 200 OK\r\nConnection: close\r\n"
#define SECRET "a secret of tests with 32 bytes!"

/* Between the test and the server, which is a child. */
struct served {
    _Atomic uint32_t requests;
    char answer[4096];
};

static struct served *served;
static pid_t server;
static uint16_t port;
static struct rc_keyring keyring;
static struct rc_key_board *board;
static struct rc_metrics *metrics;
static struct rc_config *config;
static struct rc_jwt_material got;
static uint32_t missed[RC_CONFIG_IDENTITIES_MAX];
static uint64_t now_ms;

static void serve(int listener)
{
    for (;;) {
        char request[4096];
        const int fd = accept(listener, NULL, NULL);
        if (fd < 0) {
            _exit(1);
        }
        (void)!read(fd, request, sizeof(request));
        atomic_fetch_add(&served->requests, 1);
        (void)!write(fd, served->answer, strlen(served->answer));
        (void)shutdown(fd, SHUT_WR);
        (void)!read(fd, request, sizeof(request)); /* until it has everything: a reset would take it back */
        (void)close(fd);
    }
}

static void answer(const char *head, const char *body)
{
    (void)snprintf(served->answer, sizeof(served->answer), "%sContent-Length: %zu\r\n\r\n%s", head, strlen(body), body);
}

static void set_up(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
    socklen_t bytes = sizeof(address);
    served = mmap(NULL, sizeof(*served), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert(served != MAP_FAILED && bind(listener, (struct sockaddr *)&address, bytes) == 0 &&
              listen(listener, 8) == 0);
    cr_assert_eq(getsockname(listener, (struct sockaddr *)&address, &bytes), 0);
    port = ntohs(address.sin_port);
    server = fork();
    if (server == 0) {
        serve(listener);
    }
    (void)close(listener);
    board = calloc(1, sizeof(*board));
    metrics = calloc(1, sizeof(*metrics));
    config = calloc(1, sizeof(*config));
    now_ms = rc_clock_ms();
    memset(missed, 0, sizeof(missed));
    rc_keyring_open(&keyring, board, NULL, metrics);
}

static void server_end(void)
{
    (void)kill(server, SIGKILL);
    (void)waitpid(server, NULL, 0);
}

static void tear_down(void)
{
    rc_keyring_close(&keyring);
    server_end();
    free(board);
    free(metrics);
    free(config);
}

TestSuite(keyring, .init = set_up, .fini = tear_down);

static struct rc_identity_jwt *row_add(void)
{
    struct rc_config_identity *row = &config->identities[config->identity_count++];
    row->kind = RC_IDENTITY_JWT;
    row->jwt.jwks_refresh_ms = 3600000;
    return &row->jwt;
}

static void url_set(struct rc_identity_jwt *row)
{
    (void)snprintf(row->jwks_url.text, sizeof(row->jwks_url.text), "http://127.0.0.1:%u/", port);
}

static void configure(uint32_t generation)
{
    struct rc_err err = {{0}};
    cr_assert_eq(rc_keyring_configure(&keyring, generation, config, now_ms, &err), 0, "%s", err.text);
}

/* The keys of row 0, as "a b -". */
static const char *kids(uint32_t generation, uint32_t row)
{
    static char text[256];
    struct rc_jwt_key key;
    uint32_t at = 0;
    uint32_t revision;
    text[0] = '\0';
    cr_assert_eq(rc_key_board_read(board, generation, row, &got, &revision), 0);
    while (rc_jwt_material_next(&got, &at, &key) == 1) {
        (void)snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%.*s", text[0] != '\0' ? " " : "",
                       key.kid.count > 0 ? (int)key.kid.count : 1,
                       key.kid.count > 0 ? (const char *)key.kid.bytes : "-");
    }
    return text;
}

/* A tick, and when it began a fetch of the row those until that has ended. Did it fetch? */
static bool tick_row(uint32_t row)
{
    const struct rc_fetch *fetch = &keyring.fetches[row];
    rc_keyring_tick(&keyring, missed, now_ms);
    if (fetch->pid == 0) {
        return false;
    }
    while (fetch->pid != 0) {
        struct pollfd wait = {.fd = fetch->fd, .events = POLLIN};
        cr_assert_eq(poll(&wait, 1, 10000), 1);
        rc_keyring_tick(&keyring, missed, now_ms);
    }
    return true;
}

/* The same of the only row that has a URL. */
static bool tick(void)
{
    bool fetched = false;
    for (uint32_t i = 0; i < config->identity_count; i++) {
        fetched |= tick_row(i);
    }
    return fetched;
}

static uint64_t due_in(void)
{
    return keyring.rows[0].due_ms - now_ms;
}

Test(keyring, files_are_there_at_once)
{
    struct rc_err err;
    struct rc_identity_jwt *row = row_add();
    strcpy(row->secret.text, SECRET);
    configure(0);
    cr_assert_str_eq(kids(0, 0), "-");
    cr_assert(!tick());
    strcpy(row->secret.text, "short");
    cr_assert_eq(rc_keyring_configure(&keyring, 1, config, now_ms, &err), -EINVAL);
    cr_assert_str_eq(kids(0, 0), "-");
    cr_assert_str_eq(kids(1, 0), "");
}

/* A reload writes the other bank, whole: a row that is gone leaves nothing there. */
Test(keyring, every_configuration_has_its_bank)
{
    strcpy(row_add()->secret.text, SECRET);
    strcpy(row_add()->secret.text, SECRET);
    configure(0);
    configure(1);
    cr_assert_str_eq(kids(1, 1), "-");
    config->identity_count = 1;
    configure(2);
    cr_assert_str_eq(kids(2, 1), "");
    cr_assert_str_eq(kids(1, 1), "-");
    config->identities[0].kind = RC_IDENTITY_SESSION;
    configure(3);
    cr_assert_str_eq(kids(3, 0), "");
}

Test(keyring, fetched_at_once_and_again_when_old)
{
    struct rc_identity_jwt *row = row_add();
    url_set(row);
    strcpy(row->secret.text, SECRET);
    answer(OK, "{\"keys\":[" KEY_A "]}");
    configure(0);
    cr_assert_str_eq(kids(0, 0), "-");
    cr_assert(tick());
    cr_assert_str_eq(kids(0, 0), "- a");
    cr_assert(due_in() <= 3600000 && due_in() >= 3240000, "%lu", (unsigned long)due_in());
    cr_assert(!tick());
    answer(OK, "{\"keys\":[" KEY_B "," KEY_A "]}");
    now_ms += due_in() - 1;
    cr_assert(!tick());
    now_ms += 1;
    cr_assert(tick());
    cr_assert_str_eq(kids(0, 0), "- b a");
    cr_assert_eq(atomic_load(&metrics->values[RC_METRIC_JWKS_FETCHES]), 2);
    cr_assert_eq(atomic_load(&served->requests), 2);
}

Test(keyring, the_same_keys_are_no_news)
{
    url_set(row_add());
    answer(OK, KEY_A);
    configure(0);
    cr_assert(tick());
    const uint32_t revision = rc_key_board_revision(board, 0, 0);
    now_ms += due_in();
    cr_assert(tick());
    cr_assert_eq(rc_key_board_revision(board, 0, 0), revision);
}

Test(keyring, cache_control_within_bounds)
{
    static const struct {
        const char *head;
        uint64_t age_ms;
    } rows[] = {
        {OK "Cache-Control: public, max-age=600\r\n", 600000},
        {OK "cache-control: max-age=\"600\"\r\n", 600000},
        {OK "Cache-Control: max-age=1\r\n", 60000},
        {OK "Cache-Control: no-store\r\n", 60000},
        {OK "Cache-Control: max-age=600, no-cache\r\n", 60000},
        {OK "Cache-Control: max-age=999999999999\r\n", 3600000},
        {OK "Cache-Control: s-maxage=5\r\n", 3600000},
        {OK "Pragma: max-age=5\r\n", 3600000},
    };
    url_set(row_add());
    configure(0);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        answer(rows[i].head, KEY_A);
        cr_assert(tick(), "%s", rows[i].head);
        cr_assert(due_in() <= rows[i].age_ms && due_in() >= rows[i].age_ms - rows[i].age_ms / 10, "%s: %lu",
                  rows[i].head, (unsigned long)due_in());
        now_ms += due_in();
    }
}

Test(keyring, failures_keep_the_keys_and_come_later_and_later)
{
    url_set(row_add());
    answer(OK, KEY_A);
    configure(0);
    cr_assert(tick());
    answer("HTTP/1.1 500 No\r\n", "");
    uint64_t least_ms = 5000;
    for (int i = 0; i < 9; i++) {
        now_ms += due_in();
        cr_assert(tick());
        cr_assert(due_in() >= least_ms && due_in() <= least_ms + least_ms / 4, "%lu", (unsigned long)due_in());
        cr_assert_str_eq(kids(0, 0), "a");
        least_ms = least_ms * 2 < 300000 ? least_ms * 2 : 300000;
    }
    cr_assert_eq(atomic_load(&metrics->values[RC_METRIC_JWKS_FAILURES]), 9);
    answer(OK, KEY_B);
    now_ms += due_in();
    cr_assert(tick());
    cr_assert_str_eq(kids(0, 0), "b");
    answer(OK, "{}");
    now_ms += due_in();
    cr_assert(tick());
    cr_assert(due_in() < 10000, "it begins with the shortest again");
    cr_assert_str_eq(kids(0, 0), "b");
}

Test(keyring, a_server_that_is_down)
{
    url_set(row_add());
    configure(0);
    server_end();
    cr_assert(tick());
    cr_assert_str_eq(kids(0, 0), "");
    cr_assert_eq(keyring.rows[0].failures, 1);
}

/* One that takes connections and says nothing holds up no other row: not the first keys, nor those that are looked for later. */
Test(keyring, a_server_that_is_silent_holds_up_its_own_row_alone)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
    socklen_t bytes = sizeof(address);
    const int silent = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert(bind(silent, (struct sockaddr *)&address, bytes) == 0 && listen(silent, 8) == 0);
    cr_assert_eq(getsockname(silent, (struct sockaddr *)&address, &bytes), 0);
    struct rc_identity_jwt *row = row_add();
    (void)snprintf(row->jwks_url.text, sizeof(row->jwks_url.text), "http://127.0.0.1:%u/", ntohs(address.sin_port));
    url_set(row_add());
    answer(OK, KEY_A);
    configure(0);
    cr_assert(tick_row(1));
    cr_assert_str_eq(kids(0, 1), "a");
    const pid_t pid = keyring.fetches[0].pid;
    cr_assert_neq(pid, 0, "the other one waits still");
    missed[1] = 1;
    answer(OK, KEY_B);
    now_ms = keyring.rows[1].tried_ms + RC_KEYRING_MISSED_MS - 1; /* but its deadline is not to pass here */
    keyring.fetches[0].deadline_ms = UINT64_MAX;
    cr_assert(!tick_row(1));
    now_ms++;
    cr_assert(tick_row(1));
    cr_assert_str_eq(kids(0, 1), "b");
    cr_assert_eq(keyring.fetches[0].pid, pid);
    rc_keyring_cancel(&keyring);
    cr_assert(kill(pid, 0) == -1 && errno == ESRCH);
    (void)close(silent);
}

Test(keyring, a_key_that_is_missed_is_looked_for_but_not_all_the_time)
{
    url_set(row_add());
    answer(OK, KEY_A);
    configure(0);
    cr_assert(tick());
    missed[0] = 1;
    cr_assert(!tick());
    cr_assert_eq(due_in(), 30000);
    now_ms += 30000;
    cr_assert(tick());
    now_ms += 100000;
    cr_assert(!tick(), "nobody missed anything since");
    missed[0] = 3;
    answer(OK, KEY_B);
    cr_assert(tick());
    cr_assert_str_eq(kids(0, 0), "b");
    missed[1] = 1; /* no row, and rows without a URL */
    now_ms += 100000;
    cr_assert(!tick());
}

Test(keyring, what_was_fetched_stays_with_its_url)
{
    struct rc_identity_jwt *row = row_add();
    url_set(row);
    answer(OK, KEY_A);
    configure(0);
    cr_assert(tick());
    /* Another row before it, a shorter age. */
    config->identities[1] = config->identities[0];
    config->identities[1].jwt.jwks_refresh_ms = 60000;
    config->identity_count = 2;
    *row = (struct rc_identity_jwt){0};
    strcpy(row->secret.text, SECRET);
    configure(1);
    cr_assert_str_eq(kids(1, 0), "-");
    cr_assert_str_eq(kids(1, 1), "a");
    cr_assert(keyring.rows[1].due_ms <= now_ms + 60000);
    cr_assert(!tick());
    strcat(config->identities[1].jwt.jwks_url.text, "other");
    configure(2);
    cr_assert_str_eq(kids(2, 1), "");
    cr_assert(tick());
    cr_assert_str_eq(kids(2, 1), "a");
}

/* The child that fetches when a reload comes is of a row that may be another now. */
Test(keyring, a_reload_ends_the_fetch)
{
    url_set(row_add());
    answer(OK, KEY_A);
    configure(0);
    rc_keyring_tick(&keyring, missed, now_ms);
    const pid_t pid = keyring.fetches[0].pid;
    cr_assert_neq(pid, 0);
    configure(1);
    cr_assert_eq(kill(pid, 0), -1);
    cr_assert_eq(errno, ESRCH);
    cr_assert(tick());
    cr_assert_str_eq(kids(1, 0), "a");
}
