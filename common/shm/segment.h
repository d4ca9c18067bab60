/*
 * segment: memfd segments, sealed in size. The acceptor makes them, children map the inherited descriptors.
 */
#ifndef RC_COMMON_SHM_SEGMENT_H
#define RC_COMMON_SHM_SEGMENT_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/err.h"

/* A new memfd of `bytes` zero bytes (0 = not sized yet and not sealed), close-on-exec. The descriptor, or negative
 * errno. */
int rc_segment_create(const char *name, uint64_t bytes, struct rc_err *err);

/* Sizes a memfd made with 0 bytes and seals it; a memfd that already has this size is left alone; another size is
 * -EBADMSG. */
int rc_segment_size(int fd, uint64_t bytes, struct rc_err *err);

/* A second descriptor of a segment, close-on-exec, by which it can be mapped for reading only; who is not root cannot open
 * a writable one through it either. The descriptor, or negative errno. */
int rc_segment_reader(int fd, struct rc_err *err);

/* Maps the whole of a segment shared and writable; *bytes = its size. NULL with `err` set, and errno: ENOMEM where memory is short, EBADMSG when it
 * is none. */
void *rc_segment_map(int fd, uint64_t *bytes, struct rc_err *err);

/* The same for reading only: a store is SIGSEGV. */
const void *rc_segment_map_read(int fd, uint64_t *bytes, struct rc_err *err);

/* The same of a segment that may lie in a file: nothing keeps others from making that shorter, which is SIGBUS for who has it mapped. */
void *rc_segment_map_file(int fd, bool writable, uint64_t *bytes, struct rc_err *err);

/*
 * Whole pages of a mapping that core dumps leave out, or (`dump`) hold again. The kernel writes every page of a memfd, those that were
 * never touched too, and makes them for it: the reserved gigabytes would be memory and disk while the process that died is waited for.
 * So what is reserved is left out until it is used, and bytes of users and secrets always; what explains a crash is in. A kernel that
 * refuses is logged: larger dumps are no reason not to run.
 */
void rc_segment_dump(void *memory, uint64_t bytes, bool dump);

#endif
