"""Where Alertmanager sends alerts: keeps what came, and when."""

import http.server
import json
import threading
import time


class Webhook:
    def __init__(self):
        self.arrived = []
        self.refuse = False
        self.changed = threading.Condition()
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                self.send_response(500 if outer.refuse else 200)
                self.end_headers()
                if not outer.refuse:
                    outer.take(json.loads(body))

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def take(self, message):
        with self.changed:
            for alert in message["alerts"]:
                self.arrived.append((time.monotonic(), alert["status"], alert["labels"]))
            self.changed.notify_all()

    def wait(self, wanted, since, limit):
        """When an alert with these labels arrived after `since`, or None."""
        end = time.monotonic() + limit
        with self.changed:
            while True:
                for at, status, labels in self.arrived:
                    fits = all(labels.get(name) == value for name, value in wanted.items())
                    if at >= since and status == "firing" and fits:
                        return at
                left = end - time.monotonic()
                if left <= 0:
                    return None
                self.changed.wait(left)

    def stop(self):
        self.server.shutdown()
        self.server.server_close()
