/* The hash of strings that others choose: no collisions to be had, one secret in all processes, another in every boot. */
#include <criterion/criterion.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include <xxhash.h>

#include "common/base/hash.h"
#include "common/base/hashmap.h"
#include "tests/support/colliding.h"

Test(hash, what_collides_without_a_secret_does_not_collide)
{
    struct rc_hashmap map;
    cr_assert_eq(rc_hashmap_init(&map, 64, 1 << 20), 0);
    char name[COLLIDING_BYTES];
    for (uint32_t i = 0; i < 20000; i++) {
        colliding_name(name, i);
        cr_assert_eq(XXH3_64bits(name, sizeof(name)), XXH3_64bits(colliding_name((char[COLLIDING_BYTES]){0}, 0), 32));
        cr_assert_eq(rc_hashmap_insert(&map, rc_hash(name, sizeof(name)), i), 0);
    }
    cr_assert_lt(rc_hashmap_probe_max(&map), 64);
    rc_hashmap_free(&map);
}

Test(hash, is_never_zero_and_takes_everything)
{
    uint8_t bytes[600] = {0};
    for (size_t count = 0; count <= sizeof(bytes); count++) {
        cr_assert_neq(rc_hash(bytes, count), 0);
    }
    cr_assert_neq(rc_hash(NULL, 0), 0);
}

/* What a process of its own makes of a name, under the secret that it is given (NULL = its own). */
static uint64_t elsewhere(const uint8_t *secret)
{
    uint64_t *result = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    cr_assert(result != MAP_FAILED);
    const pid_t pid = fork();
    if (pid == 0) {
        if (secret != NULL) {
            rc_hash_adopt(secret);
        }
        *result = rc_hash("prices:BTC", 10);
        _exit(0);
    }
    cr_assert_gt(pid, 0);
    cr_assert_eq(waitpid(pid, NULL, 0), pid);
    const uint64_t hash = *result;
    cr_assert_neq(hash, 0);
    (void)munmap(result, 4096);
    return hash;
}

Test(hash, a_process_that_adopts_the_secret_agrees)
{
    static uint8_t secret[RC_HASH_SECRET_BYTES];
    for (size_t i = 0; i < sizeof(secret); i++) {
        secret[i] = (uint8_t)(i * 151 + 7);
    }
    const uint64_t first = elsewhere(NULL); /* while this process has drawn none yet: a child would inherit it */
    cr_assert_neq(first, elsewhere(NULL));
    cr_assert_eq(elsewhere(secret), elsewhere(secret));
    rc_hash_adopt(secret);
    cr_assert_eq(rc_hash("prices:BTC", 10), elsewhere(secret));
    cr_assert_eq(memcmp(rc_hash_secret(), secret, sizeof(secret)), 0);
    rc_hash_adopt(secret); /* the same once more changes nothing */
}

Test(hash, a_secret_of_zeros_is_none, .signal = SIGABRT)
{
    static const uint8_t zeros[RC_HASH_SECRET_BYTES];
    rc_hash_adopt(zeros);
}

Test(hash, adopting_too_late_is_noticed, .signal = SIGABRT)
{
    static const uint8_t other[RC_HASH_SECRET_BYTES] = {1};
    (void)rc_hash("a", 1);
    rc_hash_adopt(other);
}
