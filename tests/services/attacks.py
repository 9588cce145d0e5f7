"""The attacks of `corpus/reader/attacks.txt`, their harmless shapes, and a listener that nobody may ask."""
import http.server
import pathlib
import re
import threading

FILE = pathlib.Path(__file__).parents[2] / "corpus" / "reader" / "attacks.txt"
ESCAPE = re.compile(rb"\\(?:x([0-9a-f]{2})|u\{([0-9a-f]+)\}|([nrt\\]))")


def attacks(place):
    """Every string, as bytes; `place` (host:port) is asked by those that work."""
    def meant(found):
        if found[1]:
            return bytes([int(found[1], 16)])
        return chr(int(found[2], 16)).encode() if found[2] else {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"\\": b"\\"}[found[3]]

    out = []
    for line in FILE.read_bytes().split(b"\n"):
        if not line or line.startswith(b"# "):
            continue
        times, text = re.fullmatch(rb"(?:(\d+)\*)?(.*)", line).groups()
        text = ESCAPE.sub(meant, text).replace(b"evil.example", place.encode())
        out.append(text * int(times or 1))
    return out


def harmless(number, text):
    """A word of the same length that does nothing, and is another one for each number."""
    word = b"word%04d" % number
    return (word + b"o" * len(text))[:max(len(text), len(word))]


def packed(texts, limit):
    """The strings one after the other, as many in one as fit into `limit` bytes; longer ones are cut."""
    out = [b""]
    for text in texts:
        text = text[:limit]
        if out[-1] and len(out[-1]) + 1 + len(text) > limit:
            out.append(b"")
        out[-1] += (b" " if out[-1] else b"") + text
    return out


class Canary:
    """Listens where attacks lead to. `control` is a page that lets them all work: what the browser then does shows that the test would see it."""

    def __init__(self):
        self.asked, self.control = [], b""
        canary = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                is_control = self.path == "/control"
                if not is_control:
                    canary.asked.append(self.path)
                self.send_response(200 if is_control else 404)
                self.send_header("Content-Type", "text/html; charset=utf-8")
                self.end_headers()
                self.wfile.write(canary.control if is_control else b"")

            do_POST = do_HEAD = do_OPTIONS = do_GET

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.place = f"127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
