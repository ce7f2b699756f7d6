"""ClickHouse's HTTP interface as far as qryn uses it, in front of chdb: clickhouse.py FOLDER

A statement comes as the parameter `query`, as the body, or its beginning as the one and the rest as the other.
Prints the port it listens on.
"""
import gzip
import http.server
import sys
import threading
import urllib.parse

from chdb import session

clickhouse = session.Session(sys.argv[1])
# As ClickHouse had it when qryn was written: without the quotes, times lose their last digits in JavaScript.
clickhouse.query("SET output_format_json_quote_64bit_integers = 1")
# A session does one thing at a time.
lock = threading.Lock()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.statement(b"")

    def do_POST(self):
        self.statement(self.body())

    def body(self):
        if self.headers.get("transfer-encoding", "").lower() == "chunked":
            body = b""
            while size := int(self.rfile.readline().strip() or b"0", 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        else:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
        return gzip.decompress(body) if self.headers.get("content-encoding") == "gzip" else body

    def statement(self, body):
        parameters = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(self.path).query))
        text = "\n".join(part for part in (parameters.get("query", ""), body.decode()) if part.strip())
        if not text:
            return self.answer(200, b"Ok.\n")
        with lock:
            try:
                if "database" in parameters and not text.upper().startswith("CREATE DATABASE"):
                    clickhouse.query(f"USE `{parameters['database']}`")
                result = clickhouse.query(text, "TabSeparated")
                status, data = 200, b"" if result is None else result.bytes()
            except Exception as error:
                status, data = 500, str(error).encode()
        self.answer(status, data)

    def answer(self, status, data):
        self.send_response(status)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(f"listening on http://127.0.0.1:{server.server_port}", flush=True)
server.serve_forever()
