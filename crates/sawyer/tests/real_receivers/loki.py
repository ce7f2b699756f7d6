"""Logs numbered lines through python-logging-loki: loki.py URL TOKEN COUNT"""

import logging
import sys

import logging_loki

url, token, count = sys.argv[1:]
handler = logging_loki.LokiHandler(
    url=f"{url}/loki/api/v1/push", tags={"namespace": "shop", "app": "python"}, auth=("anybody", token), version="1"
)
logger = logging.getLogger("cart")
logger.setLevel(logging.INFO)
logger.addHandler(handler)
failures = []
handler.handleError = lambda record: failures.append(sys.exc_info())
for number in range(int(count)):
    logger.warning("order %d", number, extra={"tags": {"pod": "pod-python"}})
assert not failures, failures
