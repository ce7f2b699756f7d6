"""The door of a Kafka broker that has none: TLS and SASL in front of a broker that speaks neither.

Usage: kafka_gate.py WORLD. The file WORLD is JSON, read for every connection:
    upstream   port of the broker
    tls        null, or {"cert", "key"} and, where clients must have a certificate, "client_ca"
    mechanism  null, or the one that is offered: PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, OAUTHBEARER
    users      {user: password}
    tokens     for OAUTHBEARER: those that are good
    aws        or the account whose signed tokens are: {"id", "key", "session", "region"}

TLS is OpenSSL's, SCRAM is scramp's, signatures are checked by botocore. Frames are those of the protocol guide: SaslHandshake (17) and SaslAuthenticate
(36) are answered here, ApiVersions (18) goes through before, anything else only after it.
"""

import base64
import datetime
import json
import socket
import socketserver
import ssl
import struct
import sys
import threading
import urllib.parse

import scramp

API_VERSIONS, HANDSHAKE, AUTHENTICATE = 18, 17, 36
UNSUPPORTED_MECHANISM, AUTHENTICATION_FAILED = 33, 58


class Refused(Exception):
    pass


class Closed(Exception):
    pass


def exactly(peer, count):
    data = b""
    while len(data) < count:
        more = peer.recv(count - len(data))
        if not more:
            raise Closed
        data += more
    return data


def frame(peer):
    return exactly(peer, struct.unpack(">i", exactly(peer, 4))[0])


def send(peer, body):
    peer.sendall(struct.pack(">i", len(body)) + body)


def text(data):
    return struct.pack(">h", len(data)) + data.encode()


def varint(number):
    out = b""
    while number >= 0x80:
        out += bytes([number & 0x7F | 0x80])
        number >>= 7
    return out + bytes([number])


def read_varint(data):
    number = shift = at = 0
    while True:
        number |= (data[at] & 0x7F) << shift
        shift, at = shift + 7, at + 1
        if data[at - 1] < 0x80:
            return number, data[at:]


class Plain:
    def __init__(self, users):
        self.users = users
        self.is_done = False

    def step(self, message):
        parts = message.split(b"\0")
        if len(parts) != 3 or self.users.get(parts[1].decode()) != parts[2].decode():
            raise Refused("Authentication failed: Invalid username or password")
        self.is_done = True
        return b""


class Scram:
    def __init__(self, mechanism, users):
        known = scramp.ScramMechanism(mechanism)
        self.mechanism = mechanism
        # An unknown user has a password that nobody knows, so that it takes as long.
        self.server = known.make_server(lambda user: known.make_auth_info(users.get(user, "\u2603 nobody's")))
        self.is_first = True
        self.is_done = False

    def step(self, message):
        try:
            if self.is_first:
                self.is_first = False
                self.server.set_client_first(message.decode())
                return self.server.get_server_first().encode()
            self.server.set_client_final(message.decode())
            self.is_done = True
            return self.server.get_server_final().encode()
        except scramp.ScramException as error:
            why = "Authentication failed during authentication due to invalid credentials with SASL mechanism "
            raise Refused(why + self.mechanism) from error


class Bearer:
    """RFC 7628: what is wrong with a token is told first; the client nods, and then it is over."""

    def __init__(self, world):
        self.world = world
        self.is_refused = self.is_done = False

    def step(self, message):
        if self.is_refused:
            raise Refused('{"status":"invalid_token"}')
        parts = message.split(b"\1")
        token = next((part[12:] for part in parts if part.startswith(b"auth=Bearer ")), b"").decode()
        aws = self.world.get("aws")
        is_good = is_signed(token, aws) if aws else token in self.world.get("tokens", [])
        if not is_good:
            self.is_refused = True
            return b'{"status":"invalid_token"}'
        self.is_done = True
        return b""


def is_signed(token, aws):
    """Whether it is a URL that this account has signed for Amazon MSK, and that is good now."""
    import botocore.auth
    import botocore.awsrequest
    import botocore.credentials

    url = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)).decode()
    parts = urllib.parse.urlsplit(url)
    pairs = urllib.parse.parse_qsl(parts.query)
    told = dict(pairs)
    start = datetime.datetime.strptime(told["X-Amz-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=datetime.timezone.utc)
    age = (datetime.datetime.now(datetime.timezone.utc) - start).total_seconds()
    signed = [pair for pair in pairs if pair[0] not in ("X-Amz-Signature", "User-Agent")]
    query = urllib.parse.urlencode(signed, quote_via=urllib.parse.quote, safe="-_.~")
    request = botocore.awsrequest.AWSRequest("GET", f"https://{parts.netloc}{parts.path}?{query}")
    request.context["timestamp"] = told["X-Amz-Date"]
    credentials = botocore.credentials.Credentials(aws["id"], aws["key"], aws["session"])
    signer = botocore.auth.SigV4QueryAuth(credentials, "kafka-cluster", aws["region"], expires=900)
    text = signer.string_to_sign(request, signer.canonical_request(request))
    return (
        parts.netloc == f"kafka.{aws['region']}.amazonaws.com"
        and told["Action"] == "kafka-cluster:Connect"
        and -60 < age < int(told["X-Amz-Expires"]) <= 900
        and told.get("X-Amz-Security-Token") == aws["session"]
        and told["X-Amz-Signature"] == signer.signature(text, request)
        and told["User-Agent"].startswith("sawyer/")
    )


def authenticated(version, error, why, data):
    """The body of an answer to SaslAuthenticate."""
    head = struct.pack(">h", error)
    if version >= 2:
        why = b"\0" if why is None else varint(len(why) + 1) + why.encode()
        return b"\0" + head + why + varint(len(data) + 1) + data + struct.pack(">q", 0) + b"\0"
    why = struct.pack(">h", -1) if why is None else text(why)
    life = struct.pack(">q", 0) if version == 1 else b""
    return head + why + struct.pack(">i", len(data)) + data + life


def method_of(mechanism, world):
    if mechanism == "PLAIN":
        return Plain(world["users"])
    return Bearer(world) if mechanism == "OAUTHBEARER" else Scram(mechanism, world["users"])


class Gate(socketserver.BaseRequestHandler):
    def handle(self):
        with open(WORLD) as file:
            world = json.load(file)
        try:
            client = self.request
            if world["tls"]:
                client = self.with_tls(world["tls"])
            with client, socket.create_connection(("127.0.0.1", world["upstream"])) as broker:
                if world["mechanism"]:
                    self.authenticate(client, broker, world)
                back = threading.Thread(target=pump, args=(broker, client), daemon=True)
                back.start()
                pump(client, broker)
                back.join()
        except (Closed, OSError):
            pass

    def with_tls(self, tls):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(tls["cert"], tls["key"])
        if tls.get("client_ca"):
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(tls["client_ca"])
        return context.wrap_socket(self.request, server_side=True)

    def authenticate(self, client, broker, world):
        method = None
        while method is None or not method.is_done:
            request = frame(client)
            key, version, _ = struct.unpack(">hhi", request[:8])
            correlation, rest = request[4:8], request[8:]
            size = max(struct.unpack(">h", rest[:2])[0], 0)
            rest = rest[2 + size :]
            if key == API_VERSIONS:
                send(broker, request)
                send(client, frame(broker))
            elif key == HANDSHAKE:
                size = struct.unpack(">h", rest[:2])[0]
                offered = world["mechanism"]
                is_known = rest[2 : 2 + size].decode() == offered
                error = 0 if is_known else UNSUPPORTED_MECHANISM
                send(client, correlation + struct.pack(">hi", error, 1) + text(offered))
                if not is_known:
                    raise Closed
                method = method_of(offered, world)
            elif key == AUTHENTICATE and method is not None:
                if version >= 2:
                    size, rest = read_varint(rest[1:])
                    message = rest[: size - 1]
                else:
                    message = rest[4 : 4 + struct.unpack(">i", rest[:4])[0]]
                try:
                    answer = authenticated(version, 0, None, method.step(message))
                except Refused as why:
                    send(client, correlation + authenticated(version, AUTHENTICATION_FAILED, str(why), b""))
                    raise Closed from why
                send(client, correlation + answer)
            else:
                raise Closed


def pump(source, sink):
    try:
        while data := source.recv(1 << 16):
            sink.sendall(data)
    except OSError:
        pass
    for end in (source, sink):
        try:
            end.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass


class Server(socketserver.ThreadingTCPServer):
    daemon_threads = True


WORLD = sys.argv[1]
with Server(("127.0.0.1", 0), Gate) as server:
    print(f"listening on http://127.0.0.1:{server.server_address[1]}", flush=True)
    server.serve_forever()
