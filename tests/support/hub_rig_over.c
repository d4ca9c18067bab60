/* hub_rig_over: a rig's worker is followed by another one. See hub_rig.h. */
#include "tests/support/hub_rig.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/base/check.h"

uint32_t hub_rig_hand_over(struct hub_rig *rig)
{
    struct rc_err err = {0};
    struct rc_io *old = malloc(sizeof(*old));
    RC_ASSERT(old != NULL);
    rc_io_park(&rig->io);
    rc_io_park_own(&rig->io);
    for (uint32_t tries = 0; !rc_io_parked(&rig->io); tries++) {
        RC_ASSERT(tries < 1000);
        hub_rig_run(rig);
    }
    *old = rig->io;
    (void)close(rig->io_fd);
    rig->io_fd = memfd_create("io", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    struct rc_spawn_args args = {.bell_fd = rig->bell_fd,
                                 .life_fd = rig->life_fd,
                                 .inbox_fd = old->inbox_fd,
                                 .vault_fd = fcntl(rig->vault_fd, F_DUPFD_CLOEXEC, 0),
                                 .io_fd = rig->io_fd,
                                 .listen_count = (int)old->listener_count};
    memcpy(args.listen_fds, old->listen_fds, sizeof(args.listen_fds));
    const struct rc_io_options options = {.args = &args,
                                          .control = rig->control,
                                          .config = rig->config,
                                          .slots_max = rig->slots,
                                          .direct_descriptors = rig->slots,
                                          .receive_buffers_bytes = 64u * (uint64_t)RC_IO_BUFFER_BYTES,
                                          .adopting = true};
    const struct rc_io_handlers handlers = old->handlers;
    const int rc = rc_io_open(&rig->io, &rig->truth, rig->metrics, &handlers, &options, &err);
    RC_ASSERT(rc == 0);
    uint32_t lost = 0;
    const uint32_t adopted = rc_io_adopt(&rig->io, &lost);
    rc_io_go_on(&rig->io);
    rc_io_close(old);
    free(old);
    return adopted;
}
