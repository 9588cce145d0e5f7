#!/usr/bin/env python3
"""Holds the playbooks that ship against the JSON schemas of CACAO 2.0 that OASIS publishes.

usage: cacao_schemas.py SCHEMAS [MAGEWARDEN]

SCHEMAS is the folder `schemas` of the repository oasis-open/cacao-json-schemas, which isn't part of this one; nothing is fetched, references
are resolved among its files. With MAGEWARDEN, a built program, what `playbooks show NAME --json` gives has to be the same document, and valid.
Needs Python's jsonschema 4.18 or newer (and referencing, which comes with it).

Each document is read twice:
- as published: by draft-07, which the schemas name. It passes over `unevaluatedProperties`, so what it doesn't know it lets through, even a
  step whose id is of no type; and no schema of a command's own type is ever asked, since steps refer to command-data.json only.
- as meant: by 2019-09, where that word is from, and each command by the schema of its type. One thing is taken out of the schemas for it:
  command-data.json closes itself, so that read thus it would refuse the `command` of every command.

Two things that the schemas only say in words are looked at beside them: ids of steps are UUIDs of version 4, a listed activity is a step's. Playbooks
made wrong on purpose have to be refused. What nothing here sees: whether what an id refers to exists and is of the right type, `on_completion` beside
`on_success`, `command` or `command_b64` being there, the order of times. `magewarden playbooks check` sees the references.
"""
import copy
import json
import pathlib
import subprocess
import sys

from jsonschema import Draft7Validator, Draft201909Validator
from referencing import Registry, Resource

PLAYBOOKS = pathlib.Path(__file__).resolve().parent.parent / "content" / "playbooks"
DRAFT_07 = "http://json-schema.org/draft-07/schema#"
DRAFT_2019 = "https://json-schema.org/draft/2019-09/schema"


class Schemas:
    """The published files, read in one of the two ways."""
    def __init__(self, folder, meant):
        files = {str(f.relative_to(folder)): json.loads(f.read_text()) for f in sorted(folder.rglob("*.json"))}
        for name, schema in files.items():
            if schema.get("$schema") != DRAFT_07:
                sys.exit(f"cacao_schemas: {name} names {schema.get('$schema')}, not draft-07: look at this check anew")
            schema["$schema"] = DRAFT_2019 if meant else DRAFT_07
        if meant:
            files["commands/command-data.json"].pop("unevaluatedProperties", None)
        registry = Registry().with_resources((s["$id"], Resource.from_contents(s)) for s in files.values())
        validator = Draft201909Validator if meant else Draft7Validator
        self.by = {name: validator(schema, registry=registry) for name, schema in files.items()}
        self.meant = meant

    def refusals(self, playbook):
        """What is wrong with it, as lines `where: what`; none for a valid one."""
        found = [(list(e.absolute_path), e) for e in self.by["playbook.json"].iter_errors(playbook)]
        if self.meant and not found:
            for step, command, at in commands(playbook):
                own = self.by.get(f"commands/{command.get('type')}.json")
                if own is None:
                    yield f"{step}: no schema of a command of type {command.get('type')!r}"
                    continue
                found += [(["workflow", step, "commands", at, *e.absolute_path], e) for e in own.iter_errors(command)]
        for path, error in found:
            yield f"{'/'.join(map(str, path)) or 'the playbook'}: {error.message[:160]}"


def commands(playbook):
    for step, body in playbook["workflow"].items():
        for at, command in enumerate(body.get("commands", [])):
            yield step, command, at


def in_words(playbook):
    """What is wrong by the words of identifier.json (of a step's id) and of playbook.json (of playbook_activities)."""
    for step in playbook["workflow"]:
        if step.partition("--")[2][14:15] != "4":
            yield f"{step}: the id of a step has to be a UUID of version 4"
    for activity in set(playbook.get("playbook_activities", [])) - {c.get("playbook_activity") for _, c, _ in commands(playbook)}:
        yield f"playbook_activities: {activity} is no step's"


def first(playbook, kind):
    """The first step of this type, or none."""
    return next((step for step in playbook["workflow"].values() if step["type"] == kind), None)


# What is made wrong, how, and whether only the schemas as meant see it. Where there is no step of the type, the change raises an error.
WRONG = [
    ("an id without a UUID", lambda p: p.update(id="playbook--skimmer"), False),
    ("nobody who made it", lambda p: p.pop("created_by"), False),
    ("no workflow", lambda p: p.update(workflow=None), False),
    ("a step of no type", lambda p: first(p, "action").update(type="acting"), False),
    ("an action without an agent", lambda p: first(p, "action").pop("agent"), False),
    ("an action without commands", lambda p: first(p, "action").update(commands=[]), False),
    ("an end that goes on", lambda p: first(p, "end").update(on_completion=p["workflow_start"]), False),
    ("an if without a condition", lambda p: first(p, "if-condition").pop("condition"), False),
    ("a while without a step", lambda p: first(p, "while-condition").pop("on_true"), False),
    ("a switch whose case leads nowhere", lambda p: first(p, "switch-condition")["cases"].update(default="nowhere"), False),
    ("one branch in parallel", lambda p: first(p, "parallel").update(next_steps=[p["workflow_start"]]), False),
    ("a step whose id is of no type", lambda p: p["workflow"].update({p["id"].replace("playbook", "acting"): {"type": "acting"}}), True),
    ("a property that CACAO hasn't", lambda p: p.update(severty=1), True),
    ("a step's property that CACAO hasn't", lambda p: first(p, "action").update(on_complete=1), True),
    ("a command's text that is none", lambda p: first(p, "action")["commands"][0].update(command=1), True),
    ("a variable of no name", lambda p: p.update(playbook_variables={"address": {"type": "string"}}), True),
]


def main():
    if len(sys.argv) not in (2, 3) or not pathlib.Path(sys.argv[1], "playbook.json").is_file():
        sys.exit(f"cacao_schemas: give the folder `schemas` of oasis-open/cacao-json-schemas, with playbook.json in it\n\n{__doc__}")
    folder = pathlib.Path(sys.argv[1])
    readings = {"as published": Schemas(folder, False), "as meant": Schemas(folder, True)}
    shipped = {f.stem: json.loads(f.read_text()) for f in sorted(PLAYBOOKS.glob("*.json"))}
    failures = [] if shipped else [f"no playbook in {PLAYBOOKS}"]

    documents = list(shipped.items())
    for name, playbook in shipped.items() if len(sys.argv) == 3 else []:
        ran = subprocess.run([sys.argv[2], "playbooks", "show", name, "--json"], capture_output=True, text=True)
        try:
            given = json.loads(ran.stdout)
        except ValueError:
            failures.append(f"{name}: show --json ended with {ran.returncode} and no JSON: {ran.stderr[-300:]}")
            continue
        documents.append((f"{name}, given by the program", given))
        if ran.returncode or given != playbook:
            failures.append(f"{name}: what show --json gives isn't the document that ships")
    for name, playbook in documents:
        for reading, schemas in readings.items():
            failures += [f"{name}, {reading}: {line}" for line in schemas.refusals(playbook)]
        failures += [f"{name}, in words: {line}" for line in in_words(playbook)]

    for what, change, only_meant in WRONG:
        tried = 0
        for name, playbook in shipped.items():
            wrong = copy.deepcopy(playbook)
            try:
                change(wrong)
            except (TypeError, AttributeError):
                continue  # Such a step it hasn't.
            tried += 1
            reading = "as meant" if only_meant else "as published"
            if not list(readings[reading].refusals(wrong)):
                failures.append(f"{name} with {what} is valid {reading}")
        if not tried:
            failures.append(f"no playbook could be given {what}")
    for line in failures:
        print(f"cacao_schemas: {line}", file=sys.stderr)
    if failures:
        sys.exit(1)
    print(f"{len(documents)} documents of {len(shipped)} playbooks valid as published and as meant; {len(WRONG)} wrongs refused")


if __name__ == "__main__":
    main()
