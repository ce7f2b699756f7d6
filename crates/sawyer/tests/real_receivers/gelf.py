"""Logs numbered lines through graypy: gelf.py udp|tcp HOST PORT COUNT"""

import logging
import sys

import graypy
from graypy.handler import GELFWarningChunker

way, host, port, count = sys.argv[1:]
if way == "udp":
    # A line of 8000 letters in no order is sent in pieces even when it is packed.
    handler = graypy.GELFUDPHandler(host, int(port), gelf_chunker=GELFWarningChunker(1300))
else:
    handler = graypy.GELFTCPHandler(host, int(port))
logger = logging.getLogger("cart")
logger.setLevel(logging.INFO)
logger.addHandler(handler)
failures = []
handler.handleError = lambda record: failures.append(sys.exc_info())
letters = "".join(f"{(number * 2654435761) % 4294967296:08x}" for number in range(1000))
for number in range(int(count)):
    logger.warning("order %d", number, extra={"pod": f"pod-{way}", "number": number})
logger.error("order %s %s", count, letters, extra={"pod": f"pod-{way}"})
handler.close()
assert not failures, failures
