/* Records and texts of connection state recovery: what is written is read, and what is none is refused, whatever it is cut to. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "common/records/recovery.h"

static const char origin[] = {'a', 'b', 'c', 'd', 'e'};

Test(records_recovery, offsets_are_read_as_they_were_written)
{
    static const uint64_t sequences[] = {0, 1, 63, 64, 4095, 4096, UINT32_MAX, UINT64_MAX >> 1, UINT64_MAX};
    for (size_t i = 0; i < sizeof(sequences) / sizeof(sequences[0]); i++) {
        char text[RC_OFFSET_BYTES_MAX];
        uint64_t sequence = 7;
        const size_t bytes = rc_offset_write(text, origin, sequences[i]);
        cr_assert_leq(bytes, sizeof(text));
        cr_assert_eq(rc_offset_read(rc_span_of(text, bytes), origin, &sequence), RC_OFFSET_OWN);
        cr_assert_eq(sequence, sequences[i]);
        cr_assert_eq(rc_offset_read(rc_span_of(text, bytes), "abcdf", &sequence), RC_OFFSET_FOREIGN);
    }
}

Test(records_recovery, what_is_no_offset_is_refused)
{
    static const char *const texts[] = {
        "", "abcde", "abcde!", "abc", "abcde\"", "abcde___________A", "abcdeQ__________"};
    uint64_t sequence;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        cr_assert_eq(rc_offset_read(rc_span_text(texts[i]), origin, &sequence), RC_OFFSET_INVALID, "%s", texts[i]);
    }
}

Test(records_recovery, origins_tell_boots_apart)
{
    char one[RC_OFFSET_ORIGIN_BYTES];
    char other[RC_OFFSET_ORIGIN_BYTES];
    rc_offset_origin(one, "host-1", 1);
    rc_offset_origin(other, "host-1", 2);
    cr_assert_neq(memcmp(one, other, sizeof(one)), 0);
}

static size_t session_put(uint8_t *out, const char *user, const char *set, struct rc_span rooms)
{
    struct rc_sio_session_head head = {.state = RC_SIO_SESSION_LIVE,
                                       .user_bytes = (uint8_t)strlen(user),
                                       .set_bytes = (uint16_t)strlen(set),
                                       .rooms_bytes = (uint32_t)rooms.count};
    memset(head.pid, 'p', sizeof(head.pid));
    memset(head.sid, 's', sizeof(head.sid));
    size_t used = sizeof(head);
    memcpy(out, &head, sizeof(head));
    memcpy(out + used, user, strlen(user));
    used += strlen(user);
    memcpy(out + used, set, strlen(set));
    used += strlen(set);
    memcpy(out + used, rooms.bytes, rooms.count);
    return used + rooms.count;
}

Test(records_recovery, a_session_has_its_parts_and_a_cut_one_is_none)
{
    uint8_t record[512];
    struct rc_sio_session_head head;
    struct rc_sio_session_parts parts;
    struct rc_span room;
    const size_t bytes = session_put(record, "ann", "{\"a\":1}", rc_span_of("/#\0lobby\0", 9));
    cr_assert_eq(rc_sio_session_read(rc_span_of(record, bytes), &head, &parts), 0);
    cr_assert(rc_span_equal(parts.user, RC_SPAN("ann")));
    cr_assert(rc_span_equal(parts.set, RC_SPAN("{\"a\":1}")));
    cr_assert(rc_sio_session_room_next(&parts.rooms, &room) && rc_span_equal(room, RC_SPAN("/#")));
    cr_assert(rc_sio_session_room_next(&parts.rooms, &room) && rc_span_equal(room, RC_SPAN("lobby")));
    cr_assert_not(rc_sio_session_room_next(&parts.rooms, &room));
    for (size_t cut = 0; cut < bytes; cut++) {
        cr_assert_eq(rc_sio_session_read(rc_span_of(record, cut), &head, &parts), -EBADMSG, "%zu bytes", cut);
    }
    const size_t open = session_put(record, "", "", rc_span_of("lobby", 5));
    cr_assert_eq(rc_sio_session_read(rc_span_of(record, open), &head, &parts), -EBADMSG);
    const size_t nameless = session_put(record, "", "", rc_span_of("\0", 1));
    cr_assert_eq(rc_sio_session_read(rc_span_of(record, nameless), &head, &parts), -EBADMSG);
}

Test(records_recovery, missed_entries_come_off_one_by_one)
{
    uint8_t record[128];
    const struct rc_missed_entry first = {.sequence = 5, .data_bytes = 2, .channel_bytes = 1, .event_bytes = 2};
    struct rc_missed_entry entry;
    struct rc_missed_parts parts;
    memcpy(record, &first, sizeof(first));
    memcpy(record + sizeof(first), "aevhi", 5);
    struct rc_span rest = rc_span_of(record, sizeof(first) + 5);
    cr_assert(rc_missed_next(&rest, &entry, &parts));
    cr_assert_eq(entry.sequence, 5);
    cr_assert(rc_span_equal(parts.channel, RC_SPAN("a")) && rc_span_equal(parts.event, RC_SPAN("ev")) &&
              rc_span_equal(parts.data, RC_SPAN("hi")));
    cr_assert_not(rc_missed_next(&rest, &entry, &parts));
    struct rc_span cut = rc_span_of(record, sizeof(first) + 4);
    cr_assert_not(rc_missed_next(&cut, &entry, &parts));
}

Test(records_recovery, a_claim_is_whole_or_none)
{
    uint8_t record[64];
    const struct rc_sio_session_claim claim = {.user_bytes = 3, .offset_bytes = 2};
    struct rc_sio_session_claim got;
    struct rc_span user;
    struct rc_span offset;
    memcpy(record, &claim, sizeof(claim));
    memcpy(record + sizeof(claim), "annab", 5);
    cr_assert_eq(rc_sio_session_claim_read(rc_span_of(record, sizeof(claim) + 5), &got, &user, &offset), 0);
    cr_assert(rc_span_equal(user, RC_SPAN("ann")) && rc_span_equal(offset, RC_SPAN("ab")));
    for (size_t bytes = 0; bytes < sizeof(claim) + 7; bytes++) {
        const int rc = rc_sio_session_claim_read(rc_span_of(record, bytes), &got, &user, &offset);
        cr_assert_eq(rc, bytes == sizeof(claim) + 5 ? 0 : -EBADMSG, "%zu bytes", bytes);
    }
}
