"""Logs numbered lines through OpenTelemetry's SDK: otlp.py http|grpc ENDPOINT TOKEN COUNT"""

import logging
import sys

from opentelemetry.sdk._logs import LoggerProvider, LoggingHandler
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.resources import Resource

way, endpoint, token, count = sys.argv[1:]
headers = {"authorization": f"Bearer {token}"}
if way == "http":
    from opentelemetry.exporter.otlp.proto.http import Compression
    from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter

    exporter = OTLPLogExporter(endpoint=f"{endpoint}/v1/logs", headers=headers, compression=Compression.Gzip)
else:
    import grpc
    from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter

    exporter = OTLPLogExporter(
        endpoint=endpoint, headers=headers, insecure=True, compression=grpc.Compression.Gzip
    )
resource = Resource.create({"service.name": "cart", "k8s.namespace.name": "shop", "k8s.pod.name": f"cart-{way}"})
provider = LoggerProvider(resource=resource)
provider.add_log_record_processor(BatchLogRecordProcessor(exporter, schedule_delay_millis=50))
logger = logging.getLogger("shop.cart")
logger.setLevel(logging.INFO)
logger.addHandler(LoggingHandler(logger_provider=provider))
for number in range(int(count)):
    logger.warning("order %d is on its way", number, extra={"number": number, "tags": ["a", "b"]})
provider.force_flush(30000)
provider.shutdown()
