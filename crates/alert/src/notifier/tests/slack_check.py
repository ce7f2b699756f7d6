"""Judges messages by the models of slack_sdk: one JSON payload a line on standard input."""

import json
import sys

from slack_sdk.models.blocks import Block
from slack_sdk.models.blocks.blocks import ActionsBlock, ContextBlock, HeaderBlock, SectionBlock

KNOWN = (ActionsBlock, ContextBlock, HeaderBlock, SectionBlock)

for line in sys.stdin:
    payload = json.loads(line)
    assert payload["text"] and len(payload["text"]) <= 40000, "text"
    assert 1 <= len(payload["blocks"]) <= 50, f"{len(payload['blocks'])} blocks"
    for raw in payload["blocks"]:
        block = Block.parse(raw)
        assert isinstance(block, KNOWN), raw
        block.validate_json()
        assert block.to_dict() == raw, (block.to_dict(), raw)
        for element in getattr(block, "elements", None) or []:
            element.validate_json()
        for text in [getattr(block, "text", None), *(getattr(block, "fields", None) or [])]:
            if text is not None:
                text.validate_json()
                assert 1 <= len(text.text) <= 3000, "text of a section"
        for field in getattr(block, "fields", None) or []:
            assert len(field.text) <= 2000, "field"
    print("good", flush=True)
