"""A stand-in for Varnish with Magento's VCL: keeps pages, and forgets those whose tags match a `PURGE`.

Of the VCL (`varnish6.vcl`) it has what containment leans on: `PURGE` from an address that isn't let in is 405, without
`X-Magento-Tags-Pattern` 400, else pages are forgotten whose `X-Magento-Tags` match the pattern, and the answer is 200.
"""
import http.client
import http.server
import re
import threading


class Varnish:
    """Stands before a shop on a free port of 127.0.0.1; `lets` says whether `PURGE` is let in."""

    def __init__(self, shop):
        self.shop, self.pages, self.lets, self.lock = shop, {}, True, threading.Lock()
        varnish = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            # An answer is one piece: who has read its status may go.
            wbufsize = 1 << 20

            def do_PURGE(self):
                pattern = self.headers.get("X-Magento-Tags-Pattern")
                if not varnish.lets:
                    return self.say(405, b"Method not allowed")
                if not pattern:
                    return self.say(400, b"X-Magento-Tags-Pattern or X-Pool header required")
                with varnish.lock:
                    varnish.pages = {key: kept for key, kept in varnish.pages.items() if not re.search(pattern, kept[2])}
                self.say(200, b"Purged")

            def do_GET(self):
                key = (self.headers["Host"].split(":")[0], self.path)
                with varnish.lock:
                    kept = varnish.pages.get(key)
                if kept is None:
                    kept = varnish.fetch(*key)
                    if kept[0] == 200 and kept[2]:
                        with varnish.lock:
                            varnish.pages[key] = kept
                self.say(kept[0], kept[1])

            def say(self, status, body):
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.send_header("Connection", "close")
                self.end_headers()
                self.wfile.write(body)
                self.close_connection = True

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def fetch(self, host, path):
        link = http.client.HTTPConnection("127.0.0.1", self.shop.port, timeout=20)
        link.request("GET", path, headers={"Host": host})
        answer = link.getresponse()
        kept = answer.status, answer.read(), answer.getheader("X-Magento-Tags", "")
        link.close()
        return kept

    def ask(self, host, path):
        link = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        link.request("GET", path, headers={"Host": host})
        text = link.getresponse().read().decode()
        link.close()
        return text
