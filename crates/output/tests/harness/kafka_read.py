"""Reads a topic from its beginning, by an implementation of the protocol in Python alone.

Usage: kafka_read.py TOPIC COUNT SETTINGS, the settings being kafka-python's, in JSON, and `token` for OAUTHBEARER. Reads that many messages, and
then for half a second more, in which none should come. Prints key, tab, value. The broker is not asked for the end of
a partition: Tansu gives the first offset of the last batch for it.
"""

import json
import sys
import time

from kafka import KafkaConsumer, TopicPartition
from kafka.net.sasl.oauth import AbstractTokenProvider

PATIENCE_SECONDS = 60


class Given(AbstractTokenProvider):
    def token(self):
        return TOKEN



topic, count, settings = sys.argv[1], int(sys.argv[2]), json.loads(sys.argv[3])
if settings.get("sasl_mechanism") == "OAUTHBEARER":
    TOKEN = settings.pop("token")
    settings["sasl_oauth_token_provider"] = Given()
consumer = KafkaConsumer(group_id=None, enable_auto_commit=False, **settings)
partitions = [TopicPartition(topic, number) for number in consumer.partitions_for_topic(topic)]
consumer.assign(partitions)
consumer.seek_to_beginning()
deadline = time.monotonic() + PATIENCE_SECONDS
while time.monotonic() < deadline:
    messages = [message for some in consumer.poll(timeout_ms=500).values() for message in some]
    for message in messages:
        print(message.key.decode(), message.value.decode(), sep="\t")
    count -= len(messages)
    if not messages and count <= 0:
        break
