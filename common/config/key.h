/*
 * key: config.def as data: every section and key with its type, bounds, default and help, and what is the same
 * for all of them: to find, compare and copy. Setting: key_set.h, printing: key_print.h.
 *
 * The tables are constant. `item` is always the struct that holds a section's members: a member of struct rc_config,
 * or one entry of a repeated section's array (rc_config_item). Any process may call.
 */
#ifndef RC_COMMON_CONFIG_KEY_H
#define RC_COMMON_CONFIG_KEY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/config/form.h"
#include "common/config/text.h"
#include "common/config/values.h"
#include "common/base/err.h"

enum rc_config_kind {
    RC_CONFIG_BOOL,
    RC_CONFIG_UINT,
    RC_CONFIG_WORKERS,    /* a number, or "auto" kept as 0 */
    RC_CONFIG_SIZE,       /* kept in bytes */
    RC_CONFIG_DURATION,   /* kept in milliseconds */
    RC_CONFIG_RATE,       /* kept as struct rc_config_rate; empty: none */
    RC_CONFIG_RATE_BYTES, /* the same, of bytes */
    RC_CONFIG_WORD,       /* one of a table of words, kept as its enum value */
    RC_CONFIG_TEXT,
    RC_CONFIG_LIST,     /* of texts */
    RC_CONFIG_INCOMING, /* "ignore", "broadcast", "publish:<channel>" */
    RC_CONFIG_RULE,     /* of an [[event]]: compiled by event_build.h, not set, compared or printed here */
};

struct rc_config_key {
    uint32_t section; /* index in rc_config_sections */
    const char *name;
    enum rc_config_kind kind;
    enum rc_config_form form;           /* of TEXT and LIST */
    const struct rc_config_word *words; /* of WORD */
    size_t offset;                      /* of the member in its section's struct */
    size_t bytes;                       /* of the member */
    const char *initial;                /* the default as written, without quotes */
    uint64_t min;
    uint64_t max;
    bool reloadable;
    const char *help;
};

struct rc_config_section {
    const char *name;
    const char *help;
    bool repeated;       /* [[name]] */
    bool named;          /* [name] whose keys are names of items: `repeated`, too */
    bool optional;       /* its `path` is empty unless the file has it */
    const char *within;  /* name of the section whose items have it as [[within.name]], NULL: none */
    size_t offset;       /* of the struct, or of the array, in struct rc_config */
    size_t item_bytes;   /* of the struct */
    size_t count_offset; /* of the array's count in struct rc_config */
    uint32_t items_max;
};

extern const struct rc_config_section rc_config_sections[];
extern const size_t rc_config_section_count;
extern const struct rc_config_key rc_config_keys[]; /* grouped by section, in its order */
extern const size_t rc_config_key_count;

/* NULL when there is none of that name. One within another is found by its own name, too: look at `within`. */
const struct rc_config_section *rc_config_section_find(const char *name, size_t bytes);
const struct rc_config_key *rc_config_key_find(const struct rc_config_section *section, const char *name, size_t bytes);
/* The known name most like an unknown one, or NULL when none is like it. `section` NULL: among the sections' names. */
const char *rc_config_name_nearest(const struct rc_config_section *section, const char *name, size_t bytes);

/* The struct that holds a section's members; `index` is 0 for one that is not repeated. */
void *rc_config_item(struct rc_config *config, const struct rc_config_section *section, uint32_t index);
/* Entries of a repeated section, 1 for others; 0 of one within another, whose entries lie elsewhere. */
uint32_t rc_config_item_count(const struct rc_config *config, const struct rc_config_section *section);

bool rc_config_key_equal(const struct rc_config_key *key, const void *item_a, const void *item_b);
void rc_config_key_copy(const struct rc_config_key *key, void *item, const void *from_item);

#endif
