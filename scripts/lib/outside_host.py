#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A host that answers every HTTP request with the address and the port that it came from."""
import argparse
import socketserver
from http.server import BaseHTTPRequestHandler


class Server(socketserver.TCPServer):
    """Not HTTPServer, which asks the DNS for its own name first: here that may take seconds and end in nothing."""
    allow_reuse_address = True


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        address, port = self.client_address
        answer = f"I see you as {address}, port {port}\n".encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("address")
    parser.add_argument("port", type=int)
    arguments = parser.parse_args()
    Server((arguments.address, arguments.port), Handler).serve_forever()


if __name__ == "__main__":
    main()
