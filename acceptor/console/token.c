/* token: see token.h. */
#include "acceptor/console/token.h"

#include <errno.h>
#include <inttypes.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "acceptor/console/jwt_sign.h"
#include "acceptor/console/option.h"
#include "acceptor/keys/fetch.h"
#include "acceptor/start/settings.h"
#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/config/text.h"
#include "common/identity/jwt.h"
#include "common/identity/members.h"
#include "common/identity/pkey.h"
#include "common/identity/sources.h"
#include "common/text/json_scan.h"

#define EXIT_GOOD 0
#define EXIT_REFUSED 1
#define EXIT_USAGE 2
#define CLAIMS_MAX 32
#define TTL_DEFAULT_MS 3600000u

const char rc_token_help[] =
    "ringcast token: JSON Web Tokens, for tests and for finding out why one is refused\n"
    "\n"
    "  ringcast token make   KEY [--user ID] [--claim NAME=VALUE]... [--ttl 1h] [--alg ALG] [--kid KID]\n"
    "  ringcast token verify KEY [--issuer ISS] [--audience AUD] [--leeway 60s] [TOKEN]\n"
    "  ringcast token keys   KEY\n"
    "\n"
    "KEY is one or more of:\n"
    "  -c FILE [--identity NAME]  an [[identity]] of kind \"jwt\" in a configuration: by name, else the only one\n"
    "  --secret-file FILE         a secret of at least 32 bytes\n"
    "  --key FILE                 PEM: a private key to make; public keys or certificates to verify\n"
    "  --jwks FILE                a JWK Set (not to make)\n"
    "  --jwks-url URL [--jwks-ca FILE] [--jwks-insecure]   the same, fetched (not to make)\n"
    "\n"
    "make writes a token: --user is its claim sub; a VALUE that is JSON (42, true, [\"a\"]) is that, else a text.\n"
    "verify reads TOKEN, or a line of standard input, and writes its claims, or why it is refused.\n"
    "keys writes one line for each key that would be used: kid, type, algorithms.\n"
    "--json, of all three: an answer for programs.\n"
    "Exit codes: 0 well, 1 refused or failed, 2 wrong usage or configuration.\n";

struct options {
    const char *config;
    const char *identity;
    const char *secret_file;
    const char *key;
    const char *jwks;
    const char *jwks_url;
    const char *jwks_ca;
    bool jwks_insecure;
    bool json;
    const char *user;
    const char *ttl;
    const char *alg;
    const char *kid;
    const char *issuer;
    const char *audience;
    const char *leeway;
    const char *token;
    int claim_count;
    const char *claims[CLAIMS_MAX];
};

enum { MAKE = 1, VERIFY = 2, KEYS = 4, ALL = 7 };

static const struct {
    const char *name;
    size_t offset; /* of the text in struct options */
    int who;
} texts[] = {
    {"-c", offsetof(struct options, config), ALL},
    {"--config", offsetof(struct options, config), ALL},
    {"--identity", offsetof(struct options, identity), ALL},
    {"--secret-file", offsetof(struct options, secret_file), ALL},
    {"--key", offsetof(struct options, key), ALL},
    {"--jwks", offsetof(struct options, jwks), VERIFY | KEYS},
    {"--jwks-url", offsetof(struct options, jwks_url), VERIFY | KEYS},
    {"--jwks-ca", offsetof(struct options, jwks_ca), VERIFY | KEYS},
    {"--user", offsetof(struct options, user), MAKE},
    {"--ttl", offsetof(struct options, ttl), MAKE},
    {"--alg", offsetof(struct options, alg), MAKE},
    {"--kid", offsetof(struct options, kid), MAKE},
    {"--issuer", offsetof(struct options, issuer), VERIFY},
    {"--audience", offsetof(struct options, audience), VERIFY},
    {"--leeway", offsetof(struct options, leeway), VERIFY},
};

static int token_failed(int code, const char *format, ...) __attribute__((format(printf, 2, 3)));
static int token_failed(int code, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)fputs("ringcast token: ", stderr);
    (void)vfprintf(stderr, format, args);
    (void)fputc('\n', stderr);
    va_end(args);
    return code;
}

static int token_misused(const char *what, const char *word)
{
    rc_option_wrong("ringcast token", "ringcast token --help", what, word);
    return EXIT_USAGE;
}

/* One option; *at is moved over its value where that is a word of its own. */
static int option_parse(struct options *options, int who, int argc, char **argv, int *at)
{
    const char *word = argv[*at];
    if (strcmp(word, "--jwks-insecure") == 0 && (who & (VERIFY | KEYS)) != 0) {
        options->jwks_insecure = true;
        return 0;
    }
    if (strcmp(word, "--json") == 0) {
        options->json = true;
        return 0;
    }
    const char **place = NULL;
    const char *value = NULL;
    for (size_t i = 0; value == NULL && i < RC_ARRAY_COUNT(texts); i++) {
        if ((texts[i].who & who) != 0 && (value = rc_option_value(word, texts[i].name, argc, argv, at)) != NULL) {
            place = (const char **)(void *)((char *)options + texts[i].offset);
        }
    }
    if (value == NULL && who == MAKE && (value = rc_option_value(word, "--claim", argc, argv, at)) != NULL) {
        if (options->claim_count == CLAIMS_MAX) {
            return token_misused("too many claims", word);
        }
        place = &options->claims[options->claim_count++];
    }
    if (value == NULL && who == VERIFY && word[0] != '-' && options->token == NULL) {
        options->token = word;
        return 0;
    }
    if (value == NULL) {
        return token_misused("unknown argument", word);
    }
    if (value[0] == '\0') {
        return token_misused("a value is missing after", word);
    }
    *place = value;
    return 0;
}

static int text_set(struct rc_config_text *to, const char *option, const char *text)
{
    if (text != NULL && snprintf(to->text, sizeof(to->text), "%s", text) >= (int)sizeof(to->text)) {
        return token_misused("too long", option);
    }
    return 0;
}

/* The row of a configuration. */
static int row_find(const struct options *options, struct rc_identity_jwt *row)
{
    struct rc_config_errors errors = {0};
    struct rc_settings *settings = rc_settings_new(options->config, false);
    if (settings == NULL || rc_settings_load(settings, &errors) != 0) {
        for (uint32_t i = 0; i < errors.count && i < RC_CONFIG_ERRORS_MAX; i++) {
            (void)fprintf(stderr, "%s\n", errors.lines[i].text);
        }
        rc_settings_free(settings);
        return EXIT_USAGE;
    }
    uint32_t count = 0;
    for (uint32_t i = 0; i < settings->config.identity_count; i++) {
        const struct rc_config_identity *its = &settings->config.identities[i];
        if (its->kind == RC_IDENTITY_JWT &&
            (options->identity == NULL || strcmp(options->identity, its->name.text) == 0)) {
            *row = its->jwt;
            count++;
        }
    }
    rc_settings_free(settings);
    if (count == 0 && options->identity == NULL) {
        return token_failed(EXIT_USAGE,
                            "%s has no [[identity]] of kind \"jwt\": give --secret-file or --key, or add one",
                            options->config);
    }
    if (count != 1) {
        return token_failed(EXIT_USAGE, "%s has %u [[identity]] of kind \"jwt\"%s%s; --identity NAME says which",
                            options->config, count, options->identity != NULL ? " named " : "",
                            options->identity != NULL ? options->identity : "");
    }
    return 0;
}

/* What the options say, as a row. */
static int row_make(const struct options *options, int who, struct rc_identity_jwt *row)
{
    *row = (struct rc_identity_jwt){.leeway_ms = 60000};
    int rc = options->config != NULL ? row_find(options, row) : 0;
    if (rc == 0) {
        rc = text_set(&row->secret_file, "--secret-file", options->secret_file);
    }
    if (rc == 0 && options->key != NULL && who != MAKE) {
        row->key_file.count = 1;
        rc = text_set(&row->key_file.items[0], "--key", options->key);
    }
    if (rc == 0) {
        rc = text_set(&row->jwks_file, "--jwks", options->jwks);
    }
    if (rc == 0) {
        rc = text_set(&row->jwks_url, "--jwks-url", options->jwks_url);
    }
    if (rc == 0) {
        rc = text_set(&row->jwks_ca, "--jwks-ca", options->jwks_ca);
    }
    row->jwks_insecure = row->jwks_insecure || options->jwks_insecure;
    if (rc == 0 && options->issuer != NULL) {
        row->issuer.count = 1;
        rc = text_set(&row->issuer.items[0], "--issuer", options->issuer);
    }
    if (rc == 0 && options->audience != NULL) {
        row->audience.count = 1;
        rc = text_set(&row->audience.items[0], "--audience", options->audience);
    }
    struct rc_err err = {{0}};
    if (rc == 0 && options->leeway != NULL &&
        rc_config_duration_parse(options->leeway, strlen(options->leeway), &row->leeway_ms, &err) < 0) {
        rc = token_failed(EXIT_USAGE, "--leeway: %s", err.text);
    }
    return rc;
}

/* ------------------------------------------------------------------------------------------------------------ keys */

static int url_fetch(const struct rc_identity_jwt *row, struct rc_jwt_material *material)
{
    static struct rc_fetch fetch;
    struct rc_jwt_key key;
    struct rc_err err = {{0}};
    uint32_t at = 0;
    if (rc_fetch_start(&fetch, row, NULL, rc_clock_ms(), &err) < 0) {
        return token_failed(EXIT_REFUSED, "%s", err.text);
    }
    while (!rc_fetch_done(&fetch, rc_clock_ms())) {
        struct pollfd wait = {.fd = fetch.fd, .events = POLLIN};
        (void)poll(&wait, 1, 1000);
    }
    if (fetch.answer.rc < 0) {
        return token_failed(EXIT_REFUSED, "%s: %s", row->jwks_url.text, fetch.answer.err.text);
    }
    while (rc_jwt_material_next(&fetch.answer.material, &at, &key) == 1) {
        if (rc_jwt_material_append(material, &key, &err) < 0) {
            return token_failed(EXIT_REFUSED, "%s", err.text);
        }
    }
    return 0;
}

static int keys_load(const struct rc_identity_jwt *row, struct rc_jwt_material *material)
{
    struct rc_err err = {{0}};
    if (rc_jwt_policy_check(row, &err) < 0) {
        return token_failed(EXIT_USAGE, "%s", err.text);
    }
    if (rc_jwt_sources_load(material, row, &err) < 0) {
        return token_failed(EXIT_REFUSED, "%s", err.text);
    }
    return row->jwks_url.text[0] != '\0' ? url_fetch(row, material) : 0;
}

/* A key as a line, or as an object of a list that has `before` in front of it (NULL: a line). */
static void key_print(const struct rc_jwt_key *key, const char *before)
{
    static const char *const types[RC_JWT_KEY_TYPE_COUNT] = {"secret", "RSA", "P-256", "P-384", "P-521", "Ed25519"};
    char kid[RC_JSON_STRING_BYTES_MAX(RC_JWT_KID_BYTES_MAX)];
    const int bytes = (int)rc_json_string_encode((uint8_t *)kid, sizeof(kid), key->kid);
    const bool named = key->kid.count > 0;
    const char *between = "";
    if (before == NULL) {
        printf("%.*s %s", named ? bytes : 1, named ? kid : "-", types[key->type]);
    } else {
        printf("%s{\"kid\":%.*s,\"type\":\"%s\",\"algorithms\":[", before, named ? bytes : 4, named ? kid : "null",
               types[key->type]);
    }
    for (uint32_t alg = 0; alg < RC_JWT_ALG_COUNT; alg++) {
        if ((key->algs & RC_JWT_ALG_BIT(alg)) != 0) {
            const char *quote = before != NULL ? "\"" : "";
            printf("%s%s%s%s", before != NULL ? between : " ", quote, rc_jwt_algs[alg].name, quote);
            between = ",";
        }
    }
    printf(before == NULL ? "\n" : "]}");
}

static int keys_print(const struct options *options, const struct rc_identity_jwt *row)
{
    static struct rc_jwt_material material;
    struct rc_jwt_key key;
    uint32_t at = 0;
    const char *before = options->json ? "[" : NULL;
    const int rc = keys_load(row, &material);
    while (rc == 0 && rc_jwt_material_next(&material, &at, &key) == 1) {
        key_print(&key, before);
        before = options->json ? "," : NULL;
    }
    if (rc == 0 && options->json) {
        printf("%s\n", before[0] == '[' ? "[]" : "]");
    }
    rc_jwt_material_clear(&material);
    return rc;
}

/* ---------------------------------------------------------------------------------------------------------- verify */

/* One line of standard input, which may be cut at RC_JWT_TOKEN_BYTES_MAX + 1: that is too long then. */
static struct rc_span token_read(char text[RC_JWT_TOKEN_BYTES_MAX + 2])
{
    size_t count = fread(text, 1, RC_JWT_TOKEN_BYTES_MAX + 1, stdin);
    while (count > 0 && (text[count - 1] == '\n' || text[count - 1] == '\r' || text[count - 1] == ' ')) {
        count--;
    }
    return rc_span_of(text, count);
}

static int token_verify(const struct options *options, const struct rc_identity_jwt *row)
{
    static struct rc_jwt_material material;
    static struct rc_jwt_result result;
    static char text[RC_JWT_TOKEN_BYTES_MAX + 2];
    struct rc_jwt_keys *keys = NULL;
    struct rc_err err = {{0}};
    int rc = keys_load(row, &material);
    if (rc == 0 && rc_jwt_keys_open(&keys, &material, &err) < 0) {
        rc = token_failed(EXIT_REFUSED, "%s", err.text);
    }
    rc_jwt_material_clear(&material);
    if (rc != 0) {
        return rc;
    }
    const struct rc_jwt_policy policy = rc_jwt_policy_of(row);
    const struct rc_span token = options->token != NULL ? rc_span_text(options->token) : token_read(text);
    if (rc_jwt_verify(&policy, keys, token, (int64_t)(rc_clock_wall_ms() / 1000u), &result) == 0) {
        (void)fwrite(result.claims, 1, result.claims_bytes, stdout);
        (void)fputc('\n', stdout);
    } else if (options->json) {
        printf("{\"refused\":\"%s\"}\n", rc_jwt_refusal_text(result.refusal));
        rc = EXIT_REFUSED;
    } else {
        rc = token_failed(EXIT_REFUSED, "refused: %s", rc_jwt_refusal_text(result.refusal));
    }
    rc_jwt_keys_close(keys);
    return rc;
}

/* ------------------------------------------------------------------------------------------------------------ make */

/* JSON text that grows in a fixed place. */
struct json {
    size_t bytes;
    bool full;
    uint8_t text[RC_JWT_CLAIMS_BYTES_MAX];
};

static void json_put(struct json *json, struct rc_span text, bool quoted)
{
    const size_t room = sizeof(json->text) - json->bytes;
    size_t bytes = text.count;
    if (quoted) {
        bytes = rc_json_string_encode(json->text + json->bytes, room, text);
        json->full = json->full || bytes == 0;
    } else if (bytes <= room) {
        memcpy(json->text + json->bytes, text.bytes, bytes);
    } else {
        json->full = true;
        bytes = 0;
    }
    json->bytes += bytes;
}

/* `quoted`: the value is a text. */
static void json_member(struct json *json, struct rc_span name, struct rc_span value, bool quoted)
{
    json_put(json, json->bytes > 0 ? RC_SPAN(",") : RC_SPAN("{"), false);
    json_put(json, name, true);
    json_put(json, RC_SPAN(":"), false);
    json_put(json, value, quoted);
}

static void json_time(struct json *json, struct rc_span name, int64_t seconds)
{
    char text[24];
    (void)snprintf(text, sizeof(text), "%" PRId64, seconds);
    json_member(json, name, rc_span_text(text), false);
}

/* Ends an object. What is signed must be read as one thing by everybody (members.h): what verify would refuse is not made. */
static int json_end(struct json *json, const char *what)
{
    json_put(json, RC_SPAN("}"), false);
    if (json->full) {
        return token_failed(EXIT_REFUSED, "the %s is longer than a token can be", what);
    }
    const int rc = rc_members_take(rc_span_of(json->text, json->bytes), NULL, 0);
    return rc == 0 ? 0
           : rc == -EEXIST
               ? token_failed(EXIT_USAGE, "the %s has a name twice: each --claim once, and --user is sub", what)
           : rc == -EMSGSIZE ? token_failed(EXIT_USAGE, "the %s has too many names, or too long ones", what)
                             : token_failed(EXIT_USAGE, "the %s is not UTF-8, or nested too deep", what);
}

static bool claim_given(const struct options *options, const char *name)
{
    const size_t bytes = strlen(name);
    for (int i = 0; i < options->claim_count; i++) {
        if (strncmp(options->claims[i], name, bytes) == 0 && options->claims[i][bytes] == '=') {
            return true;
        }
    }
    return false;
}

static int claims_make(const struct options *options, const struct rc_identity_jwt *row, struct json *json)
{
    const int64_t now_s = (int64_t)(rc_clock_wall_ms() / 1000u);
    uint64_t ttl_ms = TTL_DEFAULT_MS;
    struct rc_err err = {{0}};
    if (options->ttl != NULL && rc_config_duration_parse(options->ttl, strlen(options->ttl), &ttl_ms, &err) < 0) {
        return token_failed(EXIT_USAGE, "--ttl: %s", err.text);
    }
    if (options->user != NULL) {
        json_member(json, RC_SPAN("sub"), rc_span_text(options->user), true);
    }
    if (row->issuer.count > 0 && !claim_given(options, "iss")) {
        json_member(json, RC_SPAN("iss"), rc_span_text(row->issuer.items[0].text), true);
    }
    if (row->audience.count > 0 && !claim_given(options, "aud")) {
        json_member(json, RC_SPAN("aud"), rc_span_text(row->audience.items[0].text), true);
    }
    if (!claim_given(options, "iat")) {
        json_time(json, RC_SPAN("iat"), now_s);
    }
    if (!claim_given(options, "exp")) {
        json_time(json, RC_SPAN("exp"), now_s + (int64_t)(ttl_ms / 1000));
    }
    for (int i = 0; i < options->claim_count; i++) {
        const char *equals = strchr(options->claims[i], '=');
        struct rc_json_value value;
        if (equals == NULL || equals == options->claims[i]) {
            return token_misused("--claim is NAME=VALUE", options->claims[i]);
        }
        const bool text = rc_json_scan(rc_span_text(equals + 1), RC_JSON_CHECK_UTF8, &value, NULL) < 0;
        json_member(json, rc_span_of(options->claims[i], (size_t)(equals - options->claims[i])),
                    rc_span_text(equals + 1), text);
    }
    return json_end(json, "set of claims");
}

/* The file's private key, and its usual algorithm. */
static int signer_open(const char *path, struct rc_jwt_signer *signer, enum rc_jwt_alg *alg)
{
    enum rc_jwt_key_type type;
    struct rc_err err = {{0}};
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        return token_failed(EXIT_REFUSED, "--key: %s: cannot be read: %s", path, strerror(errno));
    }
    signer->pkey = PEM_read_PrivateKey(file, NULL, NULL, NULL);
    (void)fclose(file);
    ERR_clear_error();
    if (signer->pkey == NULL) {
        return token_failed(EXIT_REFUSED, "--key: %s: no private key in PEM", path);
    }
    if (rc_pkey_type(signer->pkey, &type, &err) < 0) {
        return token_failed(EXIT_REFUSED, "--key: %s: %s", path, err.text);
    }
    *alg = (enum rc_jwt_alg)__builtin_ctz(rc_jwt_algs_of(type));
    return 0;
}

static int secret_find(const struct rc_identity_jwt *row, struct rc_jwt_material *material,
                       struct rc_jwt_signer *signer)
{
    struct rc_jwt_key key;
    struct rc_err err = {{0}};
    uint32_t at = 0;
    if (rc_jwt_sources_load(material, row, &err) < 0) {
        return token_failed(EXIT_REFUSED, "%s", err.text);
    }
    while (rc_jwt_material_next(material, &at, &key) == 1) {
        if (key.type == RC_JWT_KEY_SECRET) {
            signer->secret = key.key;
            return 0;
        }
    }
    return token_failed(EXIT_USAGE, "nothing to sign with: give -c FILE, --secret-file, or --key with a private key");
}

static int token_make(const struct options *options, const struct rc_identity_jwt *row)
{
    static struct rc_jwt_material material;
    static struct json header;
    static struct json claims;
    static char token[4 * RC_JWT_TOKEN_BYTES_MAX];
    struct rc_jwt_signer signer = {0};
    enum rc_jwt_alg alg = RC_JWT_HS256;
    int rc = options->key != NULL ? signer_open(options->key, &signer, &alg) : secret_find(row, &material, &signer);
    if (rc == 0 && options->alg != NULL) {
        alg = rc_jwt_alg_find(rc_span_text(options->alg));
        rc = alg == RC_JWT_ALG_COUNT ? token_misused("unknown algorithm", options->alg) : 0;
    }
    if (rc == 0) {
        json_member(&header, RC_SPAN("alg"), rc_span_text(rc_jwt_algs[alg].name), true);
        json_member(&header, RC_SPAN("typ"), RC_SPAN("JWT"), true);
        if (options->kid != NULL) {
            json_member(&header, RC_SPAN("kid"), rc_span_text(options->kid), true);
        }
        rc = json_end(&header, "header");
    }
    if (rc == 0) {
        rc = claims_make(options, row, &claims);
    }
    if (rc == 0) {
        if (rc_jwt_sign(alg, &signer, rc_span_of(header.text, header.bytes), rc_span_of(claims.text, claims.bytes),
                        token, sizeof(token)) < 0) {
            rc = token_failed(EXIT_REFUSED, "the key is not one for %s", rc_jwt_algs[alg].name);
        } else {
            printf(options->json ? "{\"token\":\"%s\"}\n" : "%s\n", token);
        }
    }
    EVP_PKEY_free(signer.pkey);
    rc_jwt_material_clear(&material);
    return rc;
}

int rc_token_run(int argc, char **argv)
{
    static const char *const words[] = {"make", "verify", "keys"};
    static struct options options;
    static struct rc_identity_jwt row;
    int who = 0;
    int rc = 0;
    for (int i = 0; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            (void)fputs(rc_token_help, stdout);
            return EXIT_GOOD;
        }
    }
    for (int i = 0; argc > 0 && i < 3; i++) {
        who |= strcmp(argv[0], words[i]) == 0 ? 1 << i : 0;
    }
    if (who == 0) {
        return token_misused("make, verify or keys is expected", argc > 0 ? argv[0] : "nothing was given");
    }
    for (int at = 1; rc == 0 && at < argc; at++) {
        rc = option_parse(&options, who, argc, argv, &at);
    }
    if (rc == 0) {
        rc = row_make(&options, who, &row);
    }
    if (rc == 0) {
        rc = who == MAKE     ? token_make(&options, &row)
             : who == VERIFY ? token_verify(&options, &row)
                             : keys_print(&options, &row);
    }
    OPENSSL_cleanse(&row, sizeof(row));
    return rc;
}
