# A WebSocket over TLS 1.3 whose records are said one by one, and sent in one piece: what no client library lets one do. OpenSSL by its own names.
#   tls_records.py PORT CA ANSWERS ACTION...
#   text:TEXT a message in a record of its own; update, update-asks: a KeyUpdate; end: close_notify; damaged: a record that nobody has sealed.
# Prints what comes, a line for each message, until there are ANSWERS of them, or "closed"; then asks for a pong, under the keys that there are then.
import ctypes
import os
import socket
import struct
import sys

ssl = ctypes.CDLL("libssl.so.3")
crypto = ctypes.CDLL("libcrypto.so.3")
for library, names in ((ssl, ("TLS_client_method", "SSL_CTX_new", "SSL_new")), (crypto, ("BIO_s_mem", "BIO_new"))):
    for name in names:
        getattr(library, name).restype = ctypes.c_void_p
for library, name, kinds in (
    (ssl, "SSL_CTX_new", "p"), (ssl, "SSL_new", "p"), (ssl, "SSL_CTX_load_verify_locations", "pss"), (ssl, "SSL_CTX_set_verify", "pip"),
    (ssl, "SSL_set_bio", "ppp"), (ssl, "SSL_set_connect_state", "p"), (ssl, "SSL_do_handshake", "p"), (ssl, "SSL_write", "psi"), (ssl, "SSL_read", "psi"),
    (ssl, "SSL_key_update", "pi"), (ssl, "SSL_shutdown", "p"), (crypto, "BIO_new", "p"), (crypto, "BIO_read", "psi"), (crypto, "BIO_write", "psi"),
):
    getattr(library, name).argtypes = [{"p": ctypes.c_void_p, "s": ctypes.c_char_p, "i": ctypes.c_int}[kind] for kind in kinds]

port, ca, answers, *actions = sys.argv[1:]
context = ssl.SSL_CTX_new(ssl.TLS_client_method())
assert ssl.SSL_CTX_load_verify_locations(context, ca.encode(), None) == 1
ssl.SSL_CTX_set_verify(context, 1, None)
conn = ssl.SSL_new(context)
incoming, outgoing = (crypto.BIO_new(crypto.BIO_s_mem()) for _ in range(2))
ssl.SSL_set_bio(conn, incoming, outgoing)
ssl.SSL_set_connect_state(conn)
peer = socket.create_connection(("127.0.0.1", int(port)))
room = ctypes.create_string_buffer(65536)


def flush():
    pieces = []
    while (count := crypto.BIO_read(outgoing, room, len(room))) > 0:
        pieces.append(room.raw[:count])
    peer.sendall(b"".join(pieces))


def more():
    """False: there is nothing more."""
    try:
        got = peer.recv(65536)
    except ConnectionError:
        got = b""
    return got != b"" and crypto.BIO_write(incoming, got, len(got)) == len(got)


def say(data):
    assert ssl.SSL_write(conn, data, len(data)) == len(data)


plain = b""


def read():
    """What is there by now is put behind `plain`."""
    global plain
    while (count := ssl.SSL_read(conn, room, len(room))) > 0:
        plain += room.raw[:count]


def frame(opcode, data):
    mask = os.urandom(4)
    size = struct.pack("!B", 128 | len(data)) if len(data) < 126 else struct.pack("!BH", 128 | 126, len(data))
    return bytes([128 | opcode]) + size + mask + bytes(byte ^ mask[i % 4] for i, byte in enumerate(data))


def frames():
    """Whole ones that have come."""
    global plain
    while len(plain) >= 2:
        size, at = plain[1], 2
        if size == 126:
            if len(plain) < 4:
                return
            size, at = struct.unpack("!H", plain[2:4])[0], 4
        if len(plain) < at + size:
            return
        opcode, data, plain = plain[0] & 15, plain[at:at + size], plain[at + size:]
        yield opcode, data


while ssl.SSL_do_handshake(conn) != 1:
    flush()
    assert more()
say(b"GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n")
flush()
while b"\r\n\r\n" not in plain:
    assert more()
    read()
plain = plain[plain.index(b"\r\n\r\n") + 4:]


def until(wanted):
    while not wanted():
        if not more():
            print("closed")
            sys.exit(0)
        read()


def welcomed():
    return any(opcode == 1 for opcode, _ in frames())


read()
until(welcomed)
print("open", flush=True)
sys.stdin.readline()
for action in actions:
    what, _, text = action.partition(":")
    if what == "text":
        say(frame(1, text.encode()))
    elif what == "end":
        ssl.SSL_shutdown(conn)
    elif what == "damaged":
        crypto.BIO_write(outgoing, b"\x17\x03\x03\x00\x20" + b"d" * 32, 37)
    else:
        assert ssl.SSL_key_update(conn, 1 if what == "update-asks" else 0) == 1
        assert ssl.SSL_do_handshake(conn) == 1  # which says it now
flush()
left = int(answers)


def answered():
    global left
    for opcode, data in frames():
        if opcode == 1:
            print(data.decode(), flush=True)
            left -= 1
    return left <= 0


until(answered)
say(frame(9, b"still?"))
flush()
until(lambda: any(opcode == 10 and data == b"still?" for opcode, data in frames()))
print("pong")
