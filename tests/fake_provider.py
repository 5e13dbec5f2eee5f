"""A fake of the DDNS providers' HTTP servers, run as a process of its own in the network namespace of a World.

python -m tests.fake_provider PORT ANSWERS LOG: ANSWERS is a JSON file {"ip": text, "answer": text, "status": int,
"hang": bool} read anew for each request; each request is a JSON line in LOG. `/ip` tells "ip", over IPv6
"ip6", or ("") who asks; LOG.looks has the times of these.
With "feed" (argv of nsupdate's server and zone) in ANSWERS, an update reaches a real DNS server as well.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit


class Provider(BaseHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Its log is LOG."""

    def handle_any(self) -> None:
        answers = json.loads(Path(sys.argv[2]).read_text())
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length).decode(errors="replace")
        if self.path == "/ip" or "checkip" in self.headers.get("Host", ""):
            with open(f"{sys.argv[3]}.looks", "a", encoding="utf-8") as looks:
                looks.write(f"{time.time()}\n")
            asker = self.client_address[0].removeprefix("::ffff:")
            self.reply(200, answers.get("ip6" if ":" in asker else "ip") or asker)
            return
        with open(sys.argv[3], "a", encoding="utf-8") as log:
            entry = {
                "at": time.time(),
                "method": self.command,
                "host": self.headers.get("Host", ""),
                "path": self.path,
                "authorization": self.headers.get("Authorization", ""),
                "agent": self.headers.get("User-Agent", ""),
                "body": body,
            }
            log.write(json.dumps(entry) + "\n")
        if answers.get("hang"):
            time.sleep(120)
            return
        for start, answer in answers.get("paths", {}).items():
            if f"{self.command} {self.path}".startswith(start):
                self.reply(200, answer)
                return
        if feed := answers.get("feed"):
            query = parse_qs(urlsplit(self.path).query)
            commands = f"server {feed['server']}\nzone {feed['zone']}\nupdate delete {query['hostname'][0]} A\n"
            commands += f"update add {query['hostname'][0]} 2 A {query['myip'][0]}\nsend\n"
            subprocess.run(["nsupdate"], input=commands, text=True, check=True)
        self.reply(answers.get("status", 200), answers["answer"])

    do_GET = do_PUT = do_POST = do_DELETE = handle_any

    def reply(self, status: int, text: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(text.encode())))
        self.end_headers()
        self.wfile.write(text.encode())


class BothFamilies(ThreadingHTTPServer):
    address_family = socket.AF_INET6

    def server_bind(self) -> None:
        self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        super().server_bind()


if __name__ == "__main__":
    BothFamilies(("::", int(sys.argv[1])), Provider).serve_forever()
