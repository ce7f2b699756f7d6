"""An SMTP server (aiosmtpd) that asks for encryption and a login, and prints each mail as a line of JSON.

smtp_server.py starttls|tls CERTIFICATE KEY
The first line it prints is its port. Mail to an address that begins with `nobody` is refused for good, to one that
begins with `busy` for now.
"""

import asyncio
import json
import ssl
import sys
from email import message_from_bytes, policy

from aiosmtpd.smtp import SMTP, AuthResult

mode, certificate, key = sys.argv[1:]
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(certificate, key)


class Handler:
    async def handle_RCPT(self, server, session, envelope, address, options):
        if address.startswith("nobody"):
            return "550 5.1.1 there is no such mailbox"
        if address.startswith("busy"):
            return "451 4.3.0 try again later"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        mail = message_from_bytes(envelope.content, policy=policy.default)
        parts = {part.get_content_type(): part.get_content() for part in mail.walk() if not part.is_multipart()}
        told = {
            "from": envelope.mail_from,
            "to": envelope.rcpt_tos,
            "user": session.auth_data.decode() if session.auth_data else None,
            "encrypted": session.ssl is not None or mode == "tls",
            "headers": {name: str(value) for name, value in mail.items()},
            "parts": parts,
            "longest_line": max(len(line) for line in envelope.content.split(b"\r\n")),
        }
        print(json.dumps(told), flush=True)
        return "250 OK"


def log_in(server, session, envelope, mechanism, data):
    good = (data.login, data.password) == (b"sawyer", b"correct horse")
    session.auth_data = data.login if good else None
    return AuthResult(success=good, handled=False, auth_data=data.login if good else None)


def connection():
    encryption = {"tls_context": context, "require_starttls": True} if mode == "starttls" else {"auth_require_tls": False}
    return SMTP(Handler(), hostname="mx", authenticator=log_in, auth_required=True, **encryption)


async def main():
    ssl_context = context if mode == "tls" else None
    server = await asyncio.get_running_loop().create_server(connection, "127.0.0.1", 0, ssl=ssl_context)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


asyncio.run(main())
