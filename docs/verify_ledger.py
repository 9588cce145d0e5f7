#!/usr/bin/env python3
"""Verifies a magewarden ledger without magewarden: leaves, tree (RFC 9162), checkpoints (C2SP, Ed25519).

usage: verify_ledger.py LEDGER [CHECKPOINTS]      needs the `cryptography` package
CHECKPOINTS: a file of checkpoints held elsewhere; otherwise LEDGER/checkpoints.log.
"""
import base64, hashlib, pathlib, struct, sys
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey


def sha(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


def leaves(folder):
    for path in sorted(folder.glob("segments/*.leaf")):
        data, at = path.read_bytes(), 0
        while at + 4 <= len(data):
            (length,) = struct.unpack_from(">I", data, at)
            yield data[at + 4: at + 4 + length]
            at += 4 + length


def root(edge):
    """Root from the right edge: one hash per full subtree, largest first."""
    if not edge:
        return sha(b"")
    node = edge[-1][1]
    for _, left in reversed(edge[:-1]):
        node = sha(b"\x01", left, node)
    return node


def checkpoints(text, name, key, key_id):
    parts = text.split("\n\n")
    for body, signatures in zip(parts[0::2], parts[1::2]):
        body = body.lstrip("\n") + "\n"
        if body.splitlines()[0] != name:
            continue  # of a ledger before this one
        line = next(line for line in signatures.splitlines() if line.startswith(f"\u2014 {name} "))
        raw = base64.b64decode(line.split(" ")[2])
        assert raw[:4] == key_id, "signed by another key"
        key.verify(raw[4:], body.encode())
        _origin, size, digest = body.splitlines()[:3]
        yield int(size), base64.b64decode(digest)


def main():
    folder = pathlib.Path(sys.argv[1])
    name, key_id, encoded = (folder / "verifier.key").read_text().strip().split("+", 2)
    public = base64.b64decode(encoded)[1:]
    key = Ed25519PublicKey.from_public_bytes(public)
    assert bytes.fromhex(key_id) == sha(name.encode(), b"\n\x01", public)[:4], "the key's id is not its own"
    held = pathlib.Path(sys.argv[2]) if len(sys.argv) > 2 else folder / "checkpoints.log"
    due = dict(checkpoints(held.read_text(), name, key, bytes.fromhex(key_id)))
    edge, size, checked = [], 0, 0
    for leaf in leaves(folder):
        assert struct.unpack_from(">Q", leaf, 4)[0] == size, f"entry {size} says it is another"
        node = (1, sha(b"\x00", leaf))
        while edge and edge[-1][0] == node[0]:
            count, left = edge.pop()
            node = (count * 2, sha(b"\x01", left, node[1]))
        edge.append(node)
        size += 1
        if size in due:
            assert root(edge) == due.pop(size), f"the first {size} entries are not those of the checkpoint"
            checked += 1
    assert not due, f"checkpoints tell of {max(due)} entries, {size} are there"
    print(f"verified: {size} entries against {checked} checkpoints")


if __name__ == "__main__":
    main()
