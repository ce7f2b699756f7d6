"""The names of services, as a cluster's DNS has them; the node of these tests has none of its own.

Owns: a socket and a thread. Invariant: nobody but the node's own network reaches it.
"""

import ipaddress
import socket
import struct
import threading

ADDRESS = ("10.244.7.1", 53)
TYPE_A = 1
NAME_ERROR = 3


class Names:
    """Answers for `service.namespace`, with and without `.svc.cluster.local`, with the addresses of its pods."""

    def __init__(self, node):
        self.node = node
        self.asked = []
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(ADDRESS)
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def close(self):
        self.socket.close()

    def serve(self):
        while True:
            try:
                question, peer = self.socket.recvfrom(4096)
                self.socket.sendto(self.answer(question), peer)
            except (OSError, IndexError, struct.error):
                if self.socket.fileno() < 0:
                    return

    def answer(self, question):
        labels, at = [], 12
        while length := question[at]:
            labels.append(question[at + 1 : at + 1 + length].decode())
            at += 1 + length
        at += 1
        (kind,) = struct.unpack_from(">H", question, at)
        asked = question[12 : at + 4]
        name = ".".join(labels).lower().removesuffix(".svc.cluster.local")
        self.asked.append(name)
        addresses = self.addresses(name)
        found = (addresses or []) if kind == TYPE_A else []
        code = NAME_ERROR if addresses is None else 0
        head = question[:2] + struct.pack(">HHHHH", 0x8580 | code, 1, len(found), 0, 0)
        records = [
            struct.pack(">HHHIH", 0xC00C, TYPE_A, 1, 1, 4) + ipaddress.ip_address(address).packed for address in found
        ]
        return head + asked + b"".join(records)

    def addresses(self, name):
        """None where there is no such service."""
        service, _, namespace = name.partition(".")
        if not namespace or "." in namespace:
            return None
        try:
            subsets = self.node.get(f"/api/v1/namespaces/{namespace}/endpoints/{service}").get("subsets") or []
        except OSError:
            return None
        there = [each for subset in subsets for each in subset.get("addresses", []) + subset.get("notReadyAddresses", [])]
        return [each["ip"] for each in there]
