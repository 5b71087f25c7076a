#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A host outside the cluster: answers every HTTP request with the address and the port that it came from."""
import argparse
from http.server import BaseHTTPRequestHandler, HTTPServer


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
    HTTPServer((arguments.address, arguments.port), Handler).serve_forever()


if __name__ == "__main__":
    main()
