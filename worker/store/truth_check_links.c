/* truth_check_links: see truth_check_links.h. */
#include "worker/store/truth_check_links.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* --- checking -------------------------------------------------------------------------------------------------------- */

/* The entries of one chunk, each of which ends where the next one begins, and is a frame as long as it says. */
static int check_entries(struct rc_truth_found *found, const struct rc_chunk *chunk, struct rc_chunks *sum,
                         const char *of, uint32_t number)
{
    for (uint32_t at = chunk->begin; at < chunk->end;) {
        uint32_t bytes;
        uint32_t length = 0; /* of the frame, behind its head */
        RC_FOUND_MUST(found, chunk->end - at >= RC_CHUNKS_ENTRY_HEAD, "%s %u keeps half an entry", of, number);
        memcpy(&bytes, (const uint8_t *)chunk + at, sizeof(bytes));
        RC_FOUND_MUST(found, bytes <= chunk->end - at - RC_CHUNKS_ENTRY_HEAD,
                      "%s %u keeps an entry of %u bytes beyond its chunk", of, number, bytes);
        if (bytes >= RC_LINK_HEAD_BYTES) {
            memcpy(&length, (const uint8_t *)chunk + at + RC_CHUNKS_ENTRY_HEAD, sizeof(length));
        }
        RC_FOUND_MUST(found, bytes >= RC_LINK_HEAD_BYTES && length == bytes - RC_LINK_HEAD_BYTES,
                      "%s %u keeps an entry of %u bytes, which is no frame", of, number, bytes);
        at += RC_CHUNKS_ENTRY_HEAD + bytes;
        sum->count++;
        sum->bytes += RC_CHUNKS_ENTRY_HEAD + bytes;
    }
    return 0;
}

/* Blocks are claimed, so that a queue which goes in a circle ends. */
static int check_chunks(struct rc_truth_found *found, const struct rc_chunks *chunks, const char *of, uint32_t number)
{
    struct rc_chunks sum = {.first = chunks->first};
    for (uint32_t block = chunks->first; block != 0;) {
        RC_FOUND_TRY(rc_truth_found_block(found, block, sizeof(struct rc_chunk), RC_TRUTH_BYTES_LINKS, of, number));
        const struct rc_chunk *chunk = rc_heap_at(&found->truth->heap, block);
        RC_FOUND_MUST(found,
                      chunk->begin >= sizeof(*chunk) && chunk->begin <= chunk->end &&
                          chunk->end <= rc_heap_block_bytes(&found->heap, block),
                      "%s %u keeps %u to %u in a chunk", of, number, chunk->begin, chunk->end);
        RC_FOUND_TRY(check_entries(found, chunk, &sum, of, number));
        sum.last = block;
        block = chunk->next;
    }
    RC_FOUND_MUST(found, sum.last == chunks->last && sum.count == chunks->count && sum.bytes == chunks->bytes,
                  "%s %u keeps %u entries, %u bytes, up to block %u, and says %u, %u and %u", of, number, sum.count,
                  sum.bytes, sum.last, chunks->count, chunks->bytes, chunks->last);
    return 0;
}

static int check_lines(struct rc_truth_found *found)
{
    for (uint32_t i = 1; i < found->highs[RC_TRUTH_POOL_link_lines]; i++) {
        const struct rc_link_line *line = rc_truth_link_line(found->truth, i);
        struct rc_chunks_entry first;
        if (line->process[0] == '\0') {
            continue;
        }
        RC_FOUND_TRY(rc_truth_found_object(found, RC_TRUTH_POOL_link_lines, i, "link", i));
        RC_FOUND_MUST(found, memchr(line->process, '\0', sizeof(line->process)) != NULL,
                      "link %u is of a process whose name has no end", i);
        RC_FOUND_TRY(check_chunks(found, &line->kept, "link", i));
        RC_FOUND_MUST(found,
                      !rc_chunks_first(&found->truth->heap, &line->kept, &first) ||
                          first.number == (uint32_t)line->handed + 1,
                      "link %u keeps frames from %u on, and %llu were handed on", i, first.number,
                      (unsigned long long)line->handed);
    }
    return 0;
}

/* `bonded`: a bit for each client that has one. */
static int check_bonds(struct rc_truth_found *found, uint8_t *bonded)
{
    for (uint32_t i = 1; i < found->highs[RC_TRUTH_POOL_link_bonds]; i++) {
        const struct rc_link_bond *bond = rc_truth_link_bond(found->truth, i);
        const uint32_t client = bond->client;
        if (client == 0) {
            continue;
        }
        RC_FOUND_TRY(rc_truth_found_object(found, RC_TRUTH_POOL_link_bonds, i, "connection of a link", i));
        RC_FOUND_MUST(found, rc_truth_found_is_client(found, client),
                      "connection %u of a link is client %u's, who is not there", i, client);
        RC_FOUND_MUST(found, (bonded[client / 8] & (1u << (client % 8))) == 0,
                      "connection %u of a link is client %u's, who has another one", i, client);
        bonded[client / 8] |= (uint8_t)(1u << (client % 8));
        RC_FOUND_MUST(found, (bond->id & ((1u << RC_LINK_SLOT_BITS) - 1)) == client,
                      "connection %u of a link is client %u's, and is called %llu", i, client,
                      (unsigned long long)bond->id);
        RC_FOUND_MUST(found, bond->line == 0 || rc_truth_was_found(found, RC_TRUTH_POOL_link_lines, bond->line),
                      "connection %u is of link %u, which is not there", i, bond->line);
        RC_FOUND_TRY(rc_truth_found_block(found, bond->request, bond->request_bytes, RC_TRUTH_BYTES_LINKS,
                                          "connection of a link", i));
        RC_FOUND_TRY(check_chunks(found, &bond->held, "connection of a link", i));
        RC_FOUND_TRY(check_chunks(found, &bond->rest, "connection of a link", i));
    }
    return 0;
}

static int check_member(struct rc_truth_found *found, uint32_t i, const struct rc_link_member *member)
{
    RC_FOUND_TRY(rc_truth_found_object(found, RC_TRUTH_POOL_link_members, i, "socket of a link", i));
    RC_FOUND_MUST(found, rc_truth_found_is_client(found, member->client),
                  "socket %u of a link is client %u's, who is not there", i, member->client);
    RC_FOUND_MUST(found,
                  member->nsp_bytes > 0 && member->nsp_bytes <= RC_LINK_NSP_MAX && member->sid_bytes <= RC_LINK_SID_MAX,
                  "socket %u of a link has names of %u and %u bytes", i, member->nsp_bytes, member->sid_bytes);
    RC_FOUND_TRY(rc_truth_found_block(found, member->text, (uint64_t)member->nsp_bytes + member->sid_bytes,
                                      RC_TRUTH_BYTES_LINKS, "socket of a link", i));
    RC_FOUND_TRY(
        rc_truth_found_block(found, member->rooms, member->rooms_bytes, RC_TRUTH_BYTES_LINKS, "socket of a link", i));
    for (uint32_t at = 0; at < member->rooms_bytes;) {
        uint16_t bytes = UINT16_MAX;
        if (member->rooms_bytes - at >= sizeof(bytes)) {
            memcpy(&bytes, (const uint8_t *)rc_heap_at(&found->truth->heap, member->rooms) + at, sizeof(bytes));
        }
        RC_FOUND_MUST(found, sizeof(bytes) + bytes <= member->rooms_bytes - at,
                      "a room of socket %u of a link does not end where it says", i);
        at += (uint32_t)sizeof(bytes) + bytes;
    }
    if (member->session == 0) {
        return 0;
    }
    RC_FOUND_TRY(rc_truth_found_block(found, member->session, sizeof(struct rc_link_session), RC_TRUTH_BYTES_LINKS,
                                      "socket of a link", i));
    const struct rc_link_session *session = rc_heap_at(&found->truth->heap, member->session);
    RC_FOUND_MUST(found,
                  (uint64_t)session->pid_bytes + session->auth_bytes + session->data_bytes <=
                      rc_heap_block_bytes(&found->heap, member->session) - sizeof(*session),
                  "what is known of socket %u of a link is more than its block", i);
    return 0;
}

int rc_truth_check_links(struct rc_truth_found *found)
{
    uint8_t *bonded = calloc(found->highs[RC_TRUTH_POOL_clients] / 8 + 1, 1);
    RC_FOUND_TRY(bonded == NULL ? rc_err_set(found->err, -ENOMEM, "no memory to look at connections of links") : 0);
    int rc = check_lines(found);
    rc = rc < 0 ? rc : check_bonds(found, bonded);
    free(bonded);
    RC_FOUND_TRY(rc);
    for (uint32_t i = 1; i < found->highs[RC_TRUTH_POOL_link_members]; i++) {
        const struct rc_link_member *member = rc_truth_link_member(found->truth, i);
        if (member->client != 0) {
            RC_FOUND_TRY(check_member(found, i, member));
        }
    }
    return 0;
}

/* --- repairing ------------------------------------------------------------------------------------------------------- */

static bool links_is_client(const struct rc_truth *truth, uint32_t index)
{
    return index > 0 && index < truth->clients.high && rc_truth_client(truth, index)->random != 0;
}

void rc_truth_repair_links(struct rc_truth *truth)
{
    for (uint32_t i = 1; i < truth->link_lines.high; i++) {
        struct rc_link_line *line = rc_truth_link_line(truth, i);
        struct rc_chunks_entry first;
        if (line->process[0] == '\0') {
            continue;
        }
        rc_chunks_repair(&truth->heap, &line->kept);
        if (rc_chunks_first(&truth->heap, &line->kept, &first)) { /* one may have gone, and was not counted */
            line->handed += (uint64_t)(int64_t)(int32_t)(first.number - 1u - (uint32_t)line->handed);
        }
    }
    for (uint32_t i = 1; i < truth->link_bonds.high; i++) {
        struct rc_link_bond *bond = rc_truth_link_bond(truth, i);
        if (bond->client == 0 || !links_is_client(truth, bond->client)) {
            bond->client = 0; /* its client was just going */
            continue;
        }
        bond->request_bytes = bond->request == 0 ? 0 : bond->request_bytes;
        rc_chunks_repair(&truth->heap, &bond->held);
        rc_chunks_repair(&truth->heap, &bond->rest);
        if (bond->line >= truth->link_lines.high ||
            (bond->line != 0 && rc_truth_link_line(truth, bond->line)->process[0] == '\0')) {
            bond->line = 0;
        }
    }
    for (uint32_t i = 1; i < truth->link_members.high; i++) {
        struct rc_link_member *member = rc_truth_link_member(truth, i);
        if (!links_is_client(truth, member->client)) {
            member->client = 0;
        }
        member->rooms_bytes = member->rooms == 0 ? 0 : member->rooms_bytes;
    }
}
