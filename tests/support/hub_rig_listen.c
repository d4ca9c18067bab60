/* hub_rig_listen: see hub_rig_listen.h. */
#include "tests/support/hub_rig_listen.h"

#include <arpa/inet.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/check.h"

int hub_rig_listen_open(struct hub_rig *rig, uint32_t slots, struct sockaddr_in *address)
{
    socklen_t bytes = sizeof(*address);
    const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    *address = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    RC_ASSERT(listener >= 0 && bind(listener, (struct sockaddr *)address, bytes) == 0 && listen(listener, 64) == 0 &&
              getsockname(listener, (struct sockaddr *)address, &bytes) == 0);
    hub_rig_open(rig, &(struct hub_rig_options){.slots = slots, .listen_fd = listener});
    hub_rig_run(rig);
    return listener;
}

void hub_rig_listen_close(struct hub_rig *rig, int listener)
{
    hub_rig_close(rig);
    close(listener);
}

void hub_rig_say(const struct hub_rig *rig, uint32_t client, const char *text)
{
    RC_ASSERT(send(rig->peers[client].fd, text, strlen(text), MSG_NOSIGNAL) == (ssize_t)strlen(text));
}
