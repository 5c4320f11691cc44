"""Print each message that is posted to this machine, to try `tidecast notify`: python examples/inbox.py PORT."""

import json
import sys
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, HTTPServer


class Inbox(BaseHTTPRequestHandler):
    """A receiver of messages in the plain form."""

    def do_POST(self) -> None:
        """Print the text of a message, and take it."""
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        print(body["text"], flush=True)
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Print nothing else."""


if __name__ == "__main__":
    server = HTTPServer(("127.0.0.1", int(sys.argv[1])), Inbox)
    print(f"waiting for messages on http://127.0.0.1:{sys.argv[1]}/", flush=True)
    with suppress(KeyboardInterrupt):
        server.serve_forever()
