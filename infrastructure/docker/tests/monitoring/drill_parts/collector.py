"""Where the server of the drill sends its traces: takes what comes, and can go away."""

import http.server
import threading


class Collector:
    def __init__(self, port):
        self.port = port
        self.spans_came = False
        self.begin()

    def begin(self):
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            # An empty answer is a complete ExportTraceServiceResponse.
            def do_POST(self):
                self.rfile.read(int(self.headers["content-length"]))
                outer.spans_came = True
                self.send_response(200)
                self.send_header("content-type", "application/x-protobuf")
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()
