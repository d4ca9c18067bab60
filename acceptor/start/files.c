/*
 * files: see files.h.
 */
#include "acceptor/start/files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

#include "common/base/check.h"
#include "common/tls/context.h"

#define FILE_BYTES_MAX (1u << 20)
#define CERTIFICATES "tls.certificates"

/* What has certificates that expire; `authorities`: each of them counts, else the first one. */
static const struct {
    const char *key;
    bool authorities;
} expiring[] = {
    {CERTIFICATES, false},  {"tls.client_ca", true},  {"redis.tls_certificate", false},
    {"redis.tls_ca", true}, {"backend.tls_ca", true}, {"identity.jwks_ca", true},
};

static int64_t file_not_after_s(const struct rc_file *file, const char *buffer, size_t bytes)
{
    for (size_t i = 0; i < sizeof(expiring) / sizeof(expiring[0]); i++) {
        if (strcmp(file->key, expiring[i].key) == 0) {
            return rc_tls_not_after_in(buffer, bytes, expiring[i].authorities);
        }
    }
    return 0;
}

static void file_read(struct rc_file *file, char *buffer)
{
    /* O_NONBLOCK: a named pipe in the place of a file must not stop the acceptor. */
    const int fd = open(file->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    size_t bytes = 0;
    ssize_t got = -1;
    if (fd < 0) {
        return;
    }
    do {
        got = read(fd, buffer + bytes, FILE_BYTES_MAX - bytes);
        bytes += got > 0 ? (size_t)got : 0;
    } while (got > 0 || (got < 0 && errno == EINTR));
    (void)close(fd);
    if (got == 0) {
        const uint64_t digest = XXH3_64bits(buffer, bytes);
        file->digest = digest == 0 ? 1 : digest;
        file->not_after_s = file_not_after_s(file, buffer, bytes);
    }
}

static void files_add(struct rc_files *files, const char *key, const char *path, const char *suffix)
{
    if (path[0] != '\0') {
        RC_ASSERT(files->count < RC_FILES_MAX);
        struct rc_file *file = &files->items[files->count++];
        *file = (struct rc_file){.key = key};
        (void)snprintf(file->path, sizeof(file->path), "%s%s", path, suffix);
    }
}

void rc_files_read(struct rc_files *files, const struct rc_config *config)
{
    files->count = 0;
    const bool tls = rc_config_serves_tls(config);
    for (uint32_t i = 0; tls && i < config->tls.certificates.count; i++) {
        files_add(files, CERTIFICATES, config->tls.certificates.items[i].text, "");
        files_add(files, CERTIFICATES, config->tls.certificates.items[i].text, ".ocsp");
    }
    if (tls) {
        files_add(files, "tls.client_ca", config->tls.client_ca.text, "");
    }
    if (config->redis.url.text[0] != '\0') {
        files_add(files, "redis.tls_ca", config->redis.tls_ca.text, "");
        files_add(files, "redis.tls_certificate", config->redis.tls_certificate.text, "");
        files_add(files, "redis.tls_key", config->redis.tls_key.text, "");
    }
    for (uint32_t i = 0; i < config->identity_count; i++) {
        const struct rc_identity_jwt *jwt = &config->identities[i].jwt;
        files_add(files, "identity.secret_file", jwt->secret_file.text, "");
        for (uint32_t key = 0; key < jwt->key_file.count; key++) {
            files_add(files, "identity.key_file", jwt->key_file.items[key].text, "");
        }
        files_add(files, "identity.jwks_file", jwt->jwks_file.text, "");
        files_add(files, "identity.jwks_ca", jwt->jwks_ca.text, "");
    }
    for (uint32_t i = 0; i < config->backend_count; i++) {
        files_add(files, "backend.tls_ca", config->backends[i].tls_ca.text, "");
    }
    char *buffer = malloc(FILE_BYTES_MAX);
    for (uint32_t i = 0; buffer != NULL && i < files->count; i++) {
        file_read(&files->items[i], buffer);
    }
    free(buffer);
}

static const struct rc_file *files_find(const struct rc_files *files, const struct rc_file *wanted)
{
    for (uint32_t i = 0; i < files->count; i++) {
        if (strcmp(files->items[i].key, wanted->key) == 0 && strcmp(files->items[i].path, wanted->path) == 0) {
            return &files->items[i];
        }
    }
    return NULL;
}

unsigned rc_files_changed(const struct rc_files *old, const struct rc_files *next, char *text, size_t capacity)
{
    unsigned count = 0;
    size_t at = 0;
    text[0] = '\0';
    for (uint32_t i = 0; i < next->count; i++) {
        const struct rc_file *is = &next->items[i];
        const struct rc_file *was = files_find(old, is);
        if (was == NULL || was->digest == is->digest) {
            continue;
        }
        const int added =
            at < capacity ? snprintf(text + at, capacity - at, "%s%s", count > 0 ? ", " : "", is->path) : 0;
        at += added > 0 ? (size_t)added : 0;
        count++;
    }
    return count;
}
