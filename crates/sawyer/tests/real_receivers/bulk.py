"""Writes numbered documents with the bulk helpers: bulk.py elasticsearch-VERSION|opensearch-VERSION URL TOKEN COUNT

Prints what the helper says, as JSON: how many were taken, and the errors.
"""

import json
import sys

client, url, token, count = sys.argv[1:]
is_opensearch = client.startswith("opensearch")
if not is_opensearch:
    import elasticsearch as library
    from elasticsearch import Elasticsearch, helpers

    es = Elasticsearch(url, basic_auth=("anybody", token), http_compress=True, retry_on_timeout=True, max_retries=5)
else:
    import opensearchpy as library
    from opensearchpy import OpenSearch, helpers

    es = OpenSearch(url, http_auth=("anybody", token), http_compress=True)


def documents():
    for number in range(int(count)):
        document = {"@timestamp": "2026-11-20T10:00:00Z", "message": f"order {number}", "number": number}
        document["kubernetes"] = {"namespace": "shop", "pod": {"name": f"pod-{client}"}}
        yield {"_op_type": "create", "_index": "logs-shop", "_id": f"{client}-{number}", "_source": document}


info = es.info()
es.indices.put_index_template(name="logs", body={"index_patterns": ["logs-*"]}) if is_opensearch else (
    es.indices.put_index_template(name="logs", index_patterns=["logs-*"])
)
exists = bool(es.indices.exists(index="logs-none"))
taken, errors = helpers.bulk(es, documents(), chunk_size=300, raise_on_error=False)
# Everything once more: it is there already.
_, refused = helpers.bulk(es, documents(), chunk_size=1000, raise_on_error=False)
again = sum(item["create"]["error"]["type"] == "version_conflict_engine_exception" for item in refused)
conflicts = {item["create"]["status"] for item in refused}
# A document that is none: its item says so, and the others are taken.
body = '{"index":{"_index":"logs-shop"}}\n{"message":"good","number":-1}\n{"index":{"_index":"logs-shop"}}\n[1]\n'
answer = es.bulk(body=body)
one = es.index(index="logs-shop", body={"message": "single", "number": -2}) if is_opensearch else (
    es.index(index="logs-shop", document={"message": "single", "number": -2})
)
wrong = None
try:
    es.search(index="logs-shop", body={})
except library.exceptions.TransportError as error:
    wrong = error.status_code
except library.ApiError as error:
    wrong = error.meta.status
print(json.dumps({
    "version": info["version"]["number"], "exists": exists, "taken": taken, "errors": errors, "again": again, "conflicts": sorted(conflicts),
    "item_errors": answer["errors"], "statuses": [item["index"]["status"] for item in answer["items"]],
    "one": one["result"], "search": wrong,
}))
