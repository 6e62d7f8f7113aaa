"""The little of AMQP, Redis and HTTP that the faults need, without a package."""

import json
import socket
import struct
import urllib.error
import urllib.request

# How long any answer may take.
ANSWER_LIMIT = 30


def http(url, body=None, token=None, method=None, team=None):
    """One request. Gives status and text, whatever the status is; 0 if nobody answers."""
    headers = {"content-type": "application/json"}
    if token:
        headers["authorization"] = f"Bearer {token}"
    if team:
        headers["collective-team"] = team
    data = json.dumps(body).encode() if body is not None else None
    request = urllib.request.Request(url, data=data, headers=headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=ANSWER_LIMIT) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except OSError as error:
        return 0, str(error)


class Redis:
    """One connection that speaks RESP."""

    def __init__(self, port, password=None):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=ANSWER_LIMIT)
        self.file = self.socket.makefile("rb")
        if password is not None:
            self("AUTH", password)

    def send(self, *words):
        parts = [word if isinstance(word, bytes) else str(word).encode() for word in words]
        text = b"*%d\r\n" % len(parts)
        for part in parts:
            text += b"$%d\r\n%s\r\n" % (len(part), part)
        self.socket.sendall(text)

    def __call__(self, *words):
        self.send(*words)
        return self.answer()

    def answer(self):
        line = self.file.readline().rstrip(b"\r\n")
        if line[:1] == b"$" and line != b"$-1":
            return self.file.read(int(line[1:]) + 2)[:-2].decode(errors="replace")
        if line[:1] == b"*":
            return [self.answer() for _ in range(int(line[1:]))]
        return line.decode(errors="replace")

    def close(self):
        self.file.close()
        self.socket.close()


class AmqpRefused(Exception):
    """The broker closed the connection instead of going on."""


class Amqp:
    """A connection with one channel: declare, publish, get, refuse."""

    def __init__(self, port, user, password, channel=True):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=ANSWER_LIMIT)
        self.socket.sendall(b"AMQP\x00\x00\x09\x01")
        self.expect(10, 10)
        login = f"\0{user}\0{password}".encode()
        start = struct.pack(">I", 0) + short("PLAIN") + long(login) + short("en_US")
        self.method(0, 10, 11, start)
        self.expect(10, 30)
        self.method(0, 10, 31, struct.pack(">HIH", 1, 131072, 0))
        self.method(0, 10, 40, short("/") + short("") + b"\0")
        self.expect(10, 41)
        if channel:
            self.method(1, 20, 10, short(""))
            self.expect(20, 11)

    def method(self, channel, kind, method, arguments):
        self.frame(1, channel, struct.pack(">HH", kind, method) + arguments)

    def frame(self, kind, channel, body):
        self.socket.sendall(frame(kind, channel, body))

    def read(self, count):
        data = b""
        while len(data) < count:
            more = self.socket.recv(count - len(data))
            if not more:
                raise AmqpRefused("the connection was closed")
            data += more
        return data

    def expect(self, *wanted):
        """Reads until this method comes and gives its arguments."""
        while True:
            kind, _, size = struct.unpack(">BHI", self.read(7))
            body = self.read(size + 1)[:-1]
            if kind != 1:
                continue
            got = struct.unpack(">HH", body[:4])
            if got in ((10, 50), (20, 40)):
                raise AmqpRefused(body[6:].decode(errors="replace"))
            if got == wanted or got in wanted:
                return got, body[4:]

    def declare(self, queue, arguments=b""):
        flags = b"\x02"  # durable
        self.method(1, 50, 10, b"\0\0" + short(queue) + flags + long(arguments))
        self.expect(50, 11)

    def publish(self, count, key, exchange="", body=b"drill", mandatory=False):
        """So many messages; returns when the broker has taken all of them."""
        self.method(1, 85, 10, b"\0")
        self.expect(85, 11)
        flags = b"\x01" if mandatory else b"\0"
        publish = struct.pack(">HH", 60, 40) + b"\0\0" + short(exchange) + short(key) + flags
        header = struct.pack(">HHQH", 60, 0, len(body), 0)
        one = frame(1, 1, publish) + frame(2, 1, header) + frame(3, 1, body)
        for start in range(0, count, 1000):
            self.socket.sendall(one * min(1000, count - start))
        confirmed = 0
        while confirmed < count:
            _, arguments = self.expect((60, 80), (60, 81))
            tag, many = struct.unpack(">Q?", arguments[:9])
            confirmed = tag if many else confirmed + 1

    def get(self, queue):
        self.method(1, 60, 70, b"\0\0" + short(queue) + b"\0")
        got, arguments = self.expect((60, 71), (60, 72))
        return struct.unpack(">Q", arguments[:8])[0] if got == (60, 71) else None

    def reject(self, tag):
        self.method(1, 60, 90, struct.pack(">Q?", tag, False))

    def delete(self, queue):
        self.method(1, 50, 40, b"\0\0" + short(queue) + b"\0")
        self.expect(50, 41)

    def close(self):
        self.socket.close()


def frame(kind, channel, body):
    return struct.pack(">BHI", kind, channel, len(body)) + body + b"\xce"


def short(text):
    data = text.encode()
    return struct.pack(">B", len(data)) + data


def long(data):
    return struct.pack(">I", len(data)) + data
