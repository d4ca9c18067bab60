/* tls_settled: after the handshake, OpenSSL's clients on one side and worker/io/tls_record on the other. */
#include <criterion/criterion.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/check.h"
#include "tests/support/certificates.h"
#include "tests/support/hub_rig.h"
#include "tests/support/tls_pair.h"
#include "worker/io/io_internal.h"
#include "worker/io/tls_left.h"

static char file[] = "/tmp/ringcast-tls-settled-XXXXXX";
static struct rc_config_tls config;
static const uint8_t keys[RC_TLS_TICKET_KEYS_BYTES] = {1, 2, 3};
static struct certificate authority;
static struct pair a;

static void setup(void)
{
    const int fd = mkstemp(file);
    cr_assert_geq(fd, 0);
    close(fd);
    authority = certificate_make("test authority", NULL, NULL, true);
    struct certificate made = certificate_make("localhost", "DNS:localhost", &authority, false);
    certificate_write(&made, file, true);
    certificate_free(&made);
    config.listen.count = 1;
    config.min_version = RC_TLS_12;
    config.certificates.count = 1;
    strcpy(config.certificates.items[0].text, file);
    pair_client_open(authority.x509);
}

static void teardown(void)
{
    pair_client_close();
    certificate_free(&authority);
    cr_assert_eq(unlink(file), 0);
}

TestSuite(tls_settled, .init = setup, .fini = teardown, .timeout = 60);

static struct rc_tls *open_tls(void)
{
    struct rc_tls *tls;
    struct rc_err err;
    cr_assert_eq(rc_tls_open(&tls, &config, keys, &err), 0, "%s", err.text);
    return tls;
}

static void speak(int version)
{
    SSL_CTX_set_min_proto_version(client_context, version);
    SSL_CTX_set_max_proto_version(client_context, version);
}

Test(tls_settled, every_suite_goes_on_without_openssls_object)
{
    static const struct {
        const char *name;
        bool settles;
    } suites[] = {{"TLS_AES_128_GCM_SHA256", true},
                  {"TLS_AES_256_GCM_SHA384", true},
                  {"TLS_CHACHA20_POLY1305_SHA256", true},
                  {"TLS_AES_128_CCM_SHA256", false}};
    struct rc_tls *tls = open_tls();
    speak(TLS1_3_VERSION);
    for (size_t i = 0; i < RC_ARRAY_COUNT(suites); i++) {
        for (int resumed = 0; resumed < 2; resumed++) {
            pair_open(&a, tls);
            SSL_set_ciphersuites(a.client, suites[i].name);
            if (resumed) {
                cr_assert_eq(SSL_set_session(a.client, session), 1);
            }
            pair_shake(&a);
            if (!suites[i].settles && !rc_tls_ready(a.server)) {
                pair_close(&a);
                continue; /* the server does not offer it */
            }
            cr_expect_eq(SSL_session_reused(a.client), resumed, "%s, resumed %d", suites[i].name, resumed);
            cr_expect_eq(rc_tls_settled(a.server), suites[i].settles, "%s", suites[i].name);
            for (int round = 0; round < 300; round++) {
                pair_say(&a, "up");
                pair_answer(&a, "and down");
            }
            pair_close(&a);
        }
        forget_session();
    }
    rc_tls_close(tls);
}

Test(tls_settled, tickets_of_any_number_leave_both_sides_in_step)
{
    struct rc_tls *tls = open_tls();
    speak(TLS1_2_VERSION);
    pair_open(&a, tls);
    pair_talk(&a);
    cr_expect_not(rc_tls_settled(a.server), "TLS 1.2 stays OpenSSL's");
    pair_close(&a);
    speak(TLS1_3_VERSION);
    for (size_t i = 0; i < 20;
         i++) { /* one after another with the ticket of the one before: one ticket each, the first has two */
        pair_open(&a, tls);
        if (i > 0) {
            cr_assert_eq(SSL_set_session(a.client, session), 1);
        }
        pair_talk(&a);
        cr_expect_eq(SSL_session_reused(a.client), i > 0);
        cr_expect(rc_tls_settled(a.server));
        pair_close(&a);
    }
    rc_tls_close(tls);
}

Test(tls_settled, records_in_pieces_of_any_size_are_the_same)
{
    struct rc_tls *tls = open_tls();
    speak(TLS1_3_VERSION);
    pair_open(&a, tls);
    pair_shake(&a);
    for (size_t chunk = 1; chunk < 64; chunk++) {
        a.chunk = chunk;
        pair_say(&a, "a message that takes a record of its own");
        cr_assert_eq(SSL_key_update(a.client, SSL_KEY_UPDATE_REQUESTED), 1);
        pair_say(&a, "and one under the next key");
        pair_answer(&a, "as this is");
    }
    pair_close(&a);
    rc_tls_close(tls);
}

/* The number of the next record is of the key that it has: where it stands is known before the first record of another key is opened. */
Test(tls_settled, between_a_key_update_and_what_comes_with_it_is_a_place)
{
    struct rc_tls *tls = open_tls();
    uint8_t plain[RC_TLS_PLAIN_ROOM];
    char *bytes;
    size_t count = 1;
    uint32_t left;
    speak(TLS1_3_VERSION);
    pair_open(&a, tls);
    pair_talk(&a);
    cr_assert_eq(SSL_key_update(a.client, SSL_KEY_UPDATE_NOT_REQUESTED), 1);
    cr_assert_eq(SSL_write(a.client, "next", 4), 4);
    const long both = BIO_get_mem_data(SSL_get_wbio(a.client), &bytes);
    rc_tls_feed(tls, a.server, (const uint8_t *)bytes, (size_t)both);
    cr_assert_eq(rc_tls_read(tls, a.server, plain, &count), RC_TLS_PLAIN);
    cr_assert_eq(count, 0);
    cr_assert_eq(rc_tls_read_to(tls, a.server, &left), 0, "the first of its key");
    cr_assert_eq(left, 4 + RC_TLS_SEALED_MORE);
    cr_assert_eq(rc_tls_read(tls, a.server, plain, &count), RC_TLS_PLAIN);
    cr_assert_eq(count, 4);
    cr_assert_eq(rc_tls_read(tls, a.server, plain, &count), RC_TLS_MORE);
    (void)BIO_reset(SSL_get_wbio(a.client));
    pair_close(&a);
    rc_tls_close(tls);
}

/* --- what a killed process had not read ------------------------------------------------------------------------------- */

static struct hub_rig rig;
static struct {
    char text[64];
    uint32_t blocks[16]; /* of the heap: somebody else's */
    uint32_t count;
} heard;

/* What was free of the heap is somebody else's from the first message on. */
static void hear(void *context, uint32_t client, const uint8_t *bytes, uint32_t count)
{
    (void)context;
    (void)client;
    cr_assert_lt(strlen(heard.text) + count, sizeof(heard.text));
    strncat(heard.text, (const char *)bytes, count);
    while (heard.count < RC_ARRAY_COUNT(heard.blocks)) {
        const uint32_t block = rc_heap_alloc(&rig.truth.heap, 64);
        cr_assert_neq(block, 0);
        memset(rc_heap_at(&rig.truth.heap, block), 0xff, 64);
        heard.blocks[heard.count++] = block;
    }
}

/* `a` is the connection of a client of the rig from here on. */
static uint32_t settle_in_rig(struct rc_tls *tls)
{
    const struct hub_rig_options options = {.slots = 4, .worker_log_bytes = UINT64_C(1) << 20};
    hub_rig_open(&rig, &options);
    const uint32_t socket = hub_rig_socket_of(&rig, hub_rig_connect(&rig, HUB_RIG_UNIX, RC_CODEC_RAW, false, 0));
    rig.received = hear;
    rig.io.tls = tls;
    rig.io.tls_sockets = calloc(options.slots, sizeof(struct rc_io_tls *));
    rig.io.tls_plain = malloc(RC_TLS_PLAIN_ROOM);
    speak(TLS1_3_VERSION);
    pair_open(&a, tls);
    pair_talk(&a);
    cr_assert_eq(rc_io_tls_attach(&rig.io, socket, &(struct rc_io_tls){.conn = a.server}), 0);
    rc_io_tls_left_begin(&rig.io, socket, rig.io.tls_sockets[socket]);
    cr_assert_neq(rig.truth.tls[socket], 0);
    return socket;
}

/* The answer to the KeyUpdate finds no room: what the truth has of the connection is given back, and what is not read yet among it. */
Test(tls_settled, what_was_not_read_is_read_to_its_end_where_there_is_no_room_for_an_answer)
{
    const uint32_t socket = settle_in_rig(open_tls());
    struct rc_heap *heap = &rig.truth.heap;
    uint32_t filling[64];
    uint32_t filling_count = 0;
    char *bytes;
    cr_assert_eq(SSL_key_update(a.client, SSL_KEY_UPDATE_REQUESTED), 1);
    cr_assert(SSL_write(a.client, "one,", 4) == 4 && SSL_write(a.client, "two", 3) == 3);
    const long count = BIO_get_mem_data(SSL_get_wbio(a.client), &bytes);
    struct rc_truth_tls *left = rc_io_tls_left(&rig.truth, socket);
    cr_assert_eq(rc_io_tls_left_put(&rig.truth, &left->unread, bytes, (uint32_t)count, NULL, 0), 0);
    while (heap->used < heap->bytes / 4 * 3) { /* which is all that TLS may have of it */
        cr_assert_lt(filling_count, RC_ARRAY_COUNT(filling));
        filling[filling_count] = rc_heap_alloc(heap, heap->bytes / RC_ARRAY_COUNT(filling));
        cr_assert_neq(filling[filling_count++], 0);
    }
    rc_io_tls_read_left(&rig.io, socket);
    cr_expect_str_eq(heard.text, "one,two");
    cr_expect_eq(rig.truth.tls[socket], 0, "a successor would not have its keys");
    while (filling_count > 0) {
        rc_heap_free(heap, filling[--filling_count]);
    }
    for (uint32_t i = 0; i < heard.count; i++) {
        rc_heap_free(heap, heard.blocks[i]);
    }
    a.server = NULL;
    pair_close(&a);
    hub_rig_close(&rig);
}

static size_t padding_of(SSL *ssl, int type, size_t bytes, void *arg)
{
    (void)ssl;
    (void)type;
    (void)arg;
    return bytes < 16000 ? 300 : 16384 - bytes;
}

Test(tls_settled, padding_is_taken_off)
{
    static uint8_t record[16300];
    struct rc_tls *tls = open_tls();
    speak(TLS1_3_VERSION);
    pair_open(&a, tls);
    pair_talk(&a);
    SSL_set_record_padding_callback(a.client, padding_of);
    pair_say(&a, "short");
    a.plain_bytes = 0;
    memset(record, 'p', sizeof(record));
    cr_assert_eq(SSL_write(a.client, record, sizeof(record)), (int)sizeof(record));
    cr_assert(pair_to_server(&a));
    cr_assert_eq(a.plain_bytes, sizeof(record));
    cr_expect_arr_eq(a.plain, record, sizeof(record));
    pair_close(&a);
    rc_tls_close(tls);
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
/* One has no room for its farewell, which it goes without: the next one is none the wiser. Without memory is a process of its own; sanitizers need too
 * much themselves. */
Test(tls_settled, who_had_no_memory_for_its_end_ends_alone)
{
    static struct pair b;
    struct rc_tls *tls = open_tls();
    speak(TLS1_3_VERSION);
    pair_open(&b, tls);
    pair_talk(&b);
    const pid_t child = fork();
    if (child == 0) {
        const struct rlimit none = {0};
        struct rc_tls *its = open_tls(); /* which has made no output yet */
        a = b;
        a.tls = its;
        setrlimit(RLIMIT_AS, &none);
        for (size_t bytes = 65536; bytes >= 1024; bytes /= 2) {
            while (malloc(bytes) != NULL) {}
        }
        size_t count;
        rc_tls_shutdown(its, a.server);
        (void)rc_tls_output(its, &count);
        uint8_t plain[RC_TLS_PLAIN_ROOM];
        _exit(count != 0 ? 1 : rc_tls_read(its, a.server, plain, &count) != RC_TLS_MORE ? 2 : 0);
    }
    int status = -1;
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert_eq(status, 0, "%d", WEXITSTATUS(status));
    pair_close(&b);
    rc_tls_close(tls);
}
#endif
