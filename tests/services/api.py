#!/usr/bin/env python3
"""The API against its own description: whatever is asked, no error of the server, no status and no body that isn't described.

usage: api.py MAGEWARDEN [SEED]

Reads `/api/v1/openapi.json` from a running console and asks every operation with values that fit, that don't, and that are attacks.
"""
import functools
import http.client
import http.server
import json
import pathlib
import random
import re
import subprocess
import sys
import threading
import time
import urllib.parse

from attacks import attacks
from console import Person
from handling import STORES, line
from shared import free_port, host_of, need, stage, wait_for

SECONDS, MORE_SECONDS = 30, 120
# The host here refuses every run, so that nothing is kept before one: console_runs.py asks for what is.
NEVER_DONE = {"runEvidence"}
KINDS = {"string": str, "integer": int, "number": (int, float), "boolean": bool, "array": list, "object": dict, "null": type(None)}
KNOWN = {"type", "enum", "const", "oneOf", "allOf", "$ref", "properties", "required", "items", "additionalProperties", "minLength", "maxLength", "pattern", "minimum", "maximum",
         "description", "default", "format", "title"}


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Gives files out, and says nothing of it."""

    def log_message(self, *_):
        pass


class Description:
    """What the document says, and whether a value is so."""

    def __init__(self, document):
        self.document = document

    def at(self, schema):
        while "$ref" in schema:
            at = self.document
            for part in schema["$ref"].removeprefix("#/").split("/"):
                at = at[part]
            schema = at
        return schema

    def misfit(self, value, schema, where="$"):
        """Why a value doesn't fit, or nothing."""
        schema = self.at(schema)
        need(set(schema) <= KNOWN, "the document uses words this test doesn't know", set(schema) - KNOWN)
        kinds = schema.get("type", list(KINDS))
        kinds = [kinds] if isinstance(kinds, str) else kinds
        if not any(isinstance(value, KINDS[kind]) and (isinstance(value, bool) == (kind == "boolean")) for kind in kinds):
            return f"{where} is {value!r:.80}, not {kinds}"
        if "enum" in schema and value not in schema["enum"] or "const" in schema and value != schema["const"]:
            return f"{where} is {value!r:.80}, none of {schema.get('enum', schema.get('const'))}"
        if isinstance(value, str):
            if not schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", 1 << 60) or "pattern" in schema and not re.search(schema["pattern"], value):
                return f"{where} is {value!r:.80}, which doesn't fit {schema}"
        elif isinstance(value, (int, float)) and not isinstance(value, bool):
            if not schema.get("minimum", value) <= value <= schema.get("maximum", value):
                return f"{where} is {value}, out of bounds"
        elif isinstance(value, list):
            for number, one in enumerate(value):
                if why := self.misfit(one, schema.get("items", {}), f"{where}[{number}]"):
                    return why
        elif isinstance(value, dict):
            for name in schema.get("required", []):
                if name not in value:
                    return f"{where} lacks {name}"
            for name, one in value.items():
                inner = schema.get("properties", {}).get(name, schema.get("additionalProperties", {}))
                if inner is False:
                    return f"{where} has {name}"
                if why := self.misfit(one, inner if isinstance(inner, dict) else {}, f"{where}.{name}"):
                    return why
        for part in schema.get("allOf", []):
            if why := self.misfit(value, part, where):
                return why
        if "oneOf" in schema and sum(self.misfit(value, part, where) is None for part in schema["oneOf"]) != 1:
            return f"{where} fits not one of several: {value!r:.200}"
        return None


class Asker:
    """Makes up values: most fit, some nearly, some are attacks or of another kind."""

    def __init__(self, description, texts, known, seed):
        self.description, self.texts, self.known, self.random = description, texts, known, random.Random(seed)

    def odd(self):
        pick = self.random
        return pick.choice([None, True, False, -1, 0, 1, 2 ** 31, 2 ** 53, 2 ** 63, -2 ** 63, 10 ** 30, 1.5, 1e300, "", "\0", [], {}, [[]], {"": {}}, "null", "9" * 400, pick.choice(self.texts)])

    def value(self, schema, name=""):
        pick, schema = self.random, self.description.at(schema)
        if pick.random() < 0.12:
            return self.odd()
        if name in self.known and pick.random() < 0.7:
            return pick.choice(self.known[name])
        for several in ("oneOf", "allOf"):
            if several in schema:
                return self.value(pick.choice(schema[several]), name)
        if "const" in schema:
            return schema["const"]
        if "enum" in schema:
            return pick.choice(schema["enum"])
        kind = schema.get("type", "string")
        kind = pick.choice(kind) if isinstance(kind, list) else kind
        if kind == "object":
            out = {key: self.value(inner, key) for key, inner in schema.get("properties", {}).items() if key in schema.get("required", []) or pick.random() < 0.6}
            if pick.random() < 0.06 and out:
                out.pop(pick.choice(list(out)))
            if pick.random() < 0.06 or schema.get("additionalProperties") and pick.random() < 0.7:
                out[pick.choice(self.texts)] = self.odd()
            return out
        if kind == "array":
            return [self.value(schema.get("items", {})) for _ in range(pick.randrange(4))]
        if kind == "integer":
            low, high = schema.get("minimum", 0), schema.get("maximum", 1000)
            return pick.choice([low, high, low - 1, high + 1, pick.randint(low, high)])
        if kind == "boolean":
            return pick.random() < 0.5
        return None if kind == "null" else pick.choice([pick.choice(self.texts), "x", "word", "x" * schema.get("maxLength", 20), "x" * (schema.get("maxLength", 20) + 1)])


def main():
    magewarden = pathlib.Path(sys.argv[1]).resolve()
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else time.time_ns() % 1_000_000
    with stage("api") as (started, folder):
        data, log, port = folder / "data", folder / "access.log", free_port()
        (folder / "stores.toml").write_text(STORES)
        accounts = lambda *words: subprocess.run([str(magewarden), "accounts", *words, "--data", str(data)], capture_output=True, text=True, check=True).stdout.strip()
        run = lambda role, *more: accounts("token", f"{role}{len(more)}", "--role", role, *more)
        tokens = [run(role) for role in ("incident_lead", "analyst", "auditor", "counsel", "viewer")] + [run("admin", "--manages-people") for _ in range(1)]
        # What the managing one may lose: it is asked for by these names alone, so that the tokens that ask stay.
        people, spare = [f"person{number}" for number in range(4)], [f"spare{number}" for number in range(40)]
        for name in people:
            accounts("invite", name, "--role", "analyst")
        link = accounts("invite", "vera", "--role", "analyst")
        for name in spare:
            accounts("token", name, "--role", "viewer")
        log.write_text("".join(line(host, store, path, address) for host, store, path, address in (
            ("shop.example.com", "fr", "/checkout?cvv=737&step=1", "198.51.100.7"), ("us.example.com", "", "/media/x.php", "203.0.113.9"))))
        # A checkout, of which the first look keeps the page whole.
        (folder / "www").mkdir()
        (folder / "www" / "checkout.html").write_text("<html><script>pay()</script></html>")
        shop = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=folder / "www"))
        threading.Thread(target=shop.serve_forever, daemon=True).start()
        checkout = f"payment_page,view=fr,by=fetch,url=http://127.0.0.1:{shop.server_port}/checkout.html"
        agents = free_port()
        started.append(subprocess.Popen([str(magewarden), "up", "--source", checkout, "--log", str(log), "--stores", str(folder / "stores.toml"), "--data", str(data), "--port", str(port), "--agents", f"127.0.0.1:{agents}"],
                                        stderr=open(folder / "err", "w")))

        def ask(method, path, token, body=None, **headers):
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
            known = token if isinstance(token, dict) else {"Authorization": f"Bearer {token}"} if token else {}
            headers = {"Content-Type": "application/json", **headers, **known}
            connection.request(method, "/api/v1" + path, body, headers)
            answer = connection.getresponse()
            kind = answer.headers.get("Content-Type", "").split(";")[0]
            told = b"" if kind == "text/event-stream" else answer.read()
            connection.close()
            return answer.status, kind, told

        def there():
            try:
                return json.loads(ask("GET", "/incidents", tokens[0])[2]).get("items")
            except (OSError, ValueError):
                return None

        items = wait_for("incidents", 40, there)
        entries = lambda: [json.loads(one) for one in subprocess.run([str(magewarden), "entries", str(data / "ledger"), "--source", "payment_page:fr:fetch", "--format", "ndjson"],
                                                                     capture_output=True, text=True).stdout.splitlines()]
        whole = wait_for("the page that is kept", 60, lambda: [one["sequence"] for one in entries() if json.loads(one["text"]).get("whole")])
        # A host that refuses what its policy doesn't allow, which is all that closes anything.
        host_of(magewarden, data, folder, agents, started)
        wait_for("the host", 30, lambda: json.loads(ask("GET", "/hosts", tokens[0])[2])["items"])
        values = {"__file__": "pub/media/x.php", "__network__": "203.0.113.9"}
        bound = {"playbook": "web-shell", "values": values}
        plan = json.loads(ask("POST", f"/incidents/{items[0]['id']}/plans", tokens[0], json.dumps(bound))[2])
        wish = {**bound, "incident": items[0]["id"], "host": "shop1", "sha256": plan["sha256"]}
        first_run = json.loads(ask("POST", "/runs", tokens[1], json.dumps(wish))[2])["run"]
        # What is kept for people is asked by one.
        vera = Person(port, "vera", link)
        session = {"Cookie": vera.cookie, "X-CSRF-Token": vera.csrf()}
        document = json.loads(ask("GET", "/openapi.json", tokens[0])[2])
        description = Description(document)
        findings = [one["finding"].get("id", "x") for one in json.loads(ask("GET", f"/incidents/{items[0]['id']}/findings", tokens[0])[2])["items"]]
        rules = [one["id"] for one in json.loads(ask("GET", "/rules", tokens[0])[2])["items"]][:5]
        texts = [text.decode(errors="replace")[:2000] for text in attacks("127.0.0.1:9")]
        sources = [one["id"] for one in json.loads(ask("GET", "/sources", tokens[0])[2])["items"]]
        later = lambda hours: time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + hours * 3600))
        installation = [{"role": "viewer", "scope": {"kind": "installation"}}]
        admin = [{"role": "admin", "scope": {"kind": "installation"}}]
        playbook = {**json.loads(ask("GET", "/playbooks/web-shell", tokens[0])[2])["document"], "id": "playbook--5d2c9d1e-6f0a-4b7e-9a53-0c1d2e3f4a5b"}
        # What fits one part of the API is asked of it; the rest of it, of any part.
        parts = {"incidents": {"id": [one["id"] for one in items], "playbook": ["web-shell"], "values": [values]},
                 "runs": {"id": [first_run], "incident": [items[0]["id"]], "playbook": ["web-shell"], "values": [values], "answers": [{}], "host": ["shop1"], "sha256": [plan["sha256"]], "note": ["because"]}, "rules": {"id": rules}, "sources": {"id": sources}, "entities": {"name": ["198.51.100.7"], "kind": ["address"]},
                 "entries": {"sequence": whole},
                 "people": {"name": people}, "playbooks": {"name": ["ours", "web-shell"], "seen": [0, 0]}, "views": {"name": ["mine", "high", "of us"], "state": ["work", "all", "closed"]}, "tokens": {"name": spare, "grants": [admin], "manages_people": [False], "directory": [False]}}
        known = {"until": [later(1), later(20), later(25), "2020-01-01T00:00:00Z"], "reason": ["a planned move of the server", "short"],
                 "grants": [installation, admin], "days": [1, 3], "into": [one["id"] for one in items], "seen": list(range(12)), "findings": [findings], "flow": ["response"],
                 "stage": ["cause"], "entry": [0, 1, 2, 5], "address": ["198.51.100.7"], "name": people, "from": ["2026-08-05T10:00:00Z"], "cursor": [""], "limit": [1, 200],
                 "system": ["edr"], "external_id": ["1", "2"], "first": ["2026-08-05T10:00:00Z"], "last": ["2026-08-05T10:00:00Z"], "scope": [{"kind": "unknown"}], "actors": [[]],
                 "assets": [[]], "attack": [["T1005"]], "requirements": [["10.4.1"]], "link": ["https://edr.example/1"], "level": ["high"]}
        asker = Asker(description, texts, known, seed)
        pick, counts, wrong = asker.random, {}, []
        operations = [(path, method, operation) for path, methods in document["paths"].items() for method, operation in methods.items()]
        end, turn, done = time.monotonic() + SECONDS, 0, set()
        while len(wrong) < 20:
            # Afterwards those that were never done well, so that how fast the machine is decides nothing.
            left = operations if time.monotonic() < end else [one for one in operations if one[2]["operationId"] not in done | NEVER_DONE]
            if not left or time.monotonic() >= end + MORE_SECONDS:
                break
            path, method, operation = left[turn % len(left)]
            turn += 1
            part = path.split("/")[1]
            asker.known = {**known, **parts.get(part, {})}
            query, headers, target = [], {}, path
            for one in operation.get("parameters", []):
                if not one.get("required") and pick.random() < 0.5:
                    continue
                value = asker.value(one["schema"], one["name"])
                text = value if isinstance(value, str) else json.dumps(value)
                if one["in"] == "path":
                    target = target.replace("{%s}" % one["name"], urllib.parse.quote(text, safe="") or "x")
                elif one["in"] == "header":
                    headers[one["name"]] = re.sub(r"[^\x20-\x7e]", "?", text)[:3000]
                else:
                    query.append((one["name"], text))
            if pick.random() < 0.05:
                query.append((pick.choice(texts), "x"))
            body = None
            if "requestBody" in operation:
                kind, content = pick.choice(list(operation["requestBody"]["content"].items()))
                headers["Content-Type"] = kind
                value = playbook if part == "playbooks" and pick.random() < 0.7 else asker.value(content["schema"])
                body = json.dumps(value).encode() if kind == "application/json" else pick.choice(texts).encode()
                if pick.random() < 0.05:
                    body = pick.choice([b"", b"{", b"\xff\xfe", b"[" * 5000, b'{"act":1,"act":2}', body + b"x", b" " * 70_000])
            token = None if pick.random() < 0.03 else pick.choice([*tokens, session])
            if token and pick.random() < 0.4:
                token = session if part == "views" else tokens[-1 if part in ("people", "tokens") else 0]
            address = target + ("?" + urllib.parse.urlencode(query) if query else "")
            if len(address) > 7000:
                continue
            said = f"seed {seed}: {method.upper()} {address[:300]} {(body or b'')[:200]!r}"
            try:
                status, kind, told = ask(method.upper(), address, token, body, **headers)
            except (OSError, http.client.HTTPException) as error:
                wrong.append(f"{said}: {error!r}")
                continue
            name = (operation["operationId"], status)
            counts[name] = counts.get(name, 0) + 1
            done |= {operation["operationId"]} if status < 300 else set()
            if name == ("keepPlaybook", 200):
                parts["playbooks"]["seen"] = [0, json.loads(told)["entry"]]
            answer = operation["responses"].get(str(status))
            if status >= 500 and not (status == 503 and answer) or answer is None:
                wrong.append(f"{said}: {status} isn't described: {told[:200]!r}")
            elif kind not in answer.get("content", {}):
                wrong.append(f"{said}: {status} {kind} isn't described: {told[:200]!r}")
            elif kind.endswith("json"):
                why = description.misfit(json.loads(told), answer["content"][kind].get("schema", {}))
                if why:
                    wrong.append(f"{said}: {status}: {why}")
        need(not wrong, "the API is as it is described", "\n".join(dict.fromkeys(wrong)))
        lacking = {operation["operationId"] for _, _, operation in operations} - done
        need(lacking <= NEVER_DONE, "every operation was done well at least once", (lacking, counts))
        print(f"1 passed, 0 failed ({sum(counts.values())} requests, seed {seed}, {len({status for _, status in counts})} kinds of status)")


if __name__ == "__main__":
    main()
