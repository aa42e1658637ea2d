"""custom-elements.json is valid and has the types of chat-interface.d.ts. manifest.test.js compares more."""

import copy
import json
import re
from collections.abc import Awaitable, Callable, Iterable, Iterator
from pathlib import Path
from typing import Final

STATIC: Final = Path(__file__).parents[2] / "chatproxy" / "static"
SCHEMA: Final = Path(__file__).parent / "node_modules" / "custom-elements-manifest" / "schema.js"
MANIFEST: Final = json.loads((STATIC / "custom-elements.json").read_text())
ELEMENT: Final = MANIFEST["modules"][0]["declarations"][0]

Checker = Callable[[str, Iterable[tuple[str, str]]], Awaitable[list[str]]]


async def test_it_follows_the_schema(type_errors: Checker) -> None:
    fields = [member for member in ELEMENT["members"] if member["kind"] == "field"]
    package = copy.deepcopy(MANIFEST)  # without what only fields of custom elements have
    for member in package["modules"][0]["declarations"][0]["members"]:
        member.pop("attribute", None)
        member.pop("reflects", None)
    declarations = f"""
import type {{ CustomElementField, Package }} from {json.dumps(str(SCHEMA))};
export const manifest: Package = {json.dumps(package)};
export const fields: CustomElementField[] = {json.dumps(fields)};
"""
    assert await type_errors(declarations, []) == []


async def test_it_has_the_types_of_the_element(type_errors: Checker) -> None:
    texts = [kind for _, kind in checks()]
    names = sorted(set(re.findall(r"\b(?:Chat|Conv|Image|Label|Rend)\w+", " ".join(texts))))
    declarations = f"import type {{ {', '.join(names)} }} from {json.dumps(str(STATIC / 'index.js'))};"
    found = await type_errors(declarations, checks())
    assert not found, "\n".join(found)


def checks() -> Iterator[tuple[str, str]]:
    """Yield names of the manifest and the TypeScript types that are `true` where it is right."""
    members = [member for member in ELEMENT["members"] if not member.get("static")]
    for member in members:
        name, element = member["name"], f'ChatInterface["{member["name"]}"]'
        if member["kind"] == "field":
            yield name, f"Difference<{member['type']['text']}, {element}>"
            continue
        parameters = [
            f"{each['name']}{'?' if each.get('optional') else ''}: {each['type']['text']}"
            for each in member.get("parameters", [])
        ]
        described = f"({', '.join(parameters)}) => {member['return']['type']['text']}"
        yield f"{name}()", f"Difference<{described}, {element}>"
    own = " | ".join(json.dumps(member["name"]) for member in members if member["name"] != "focus")
    yield "members", f"Difference<{own}, Exclude<keyof ChatInterface, keyof HTMLElement>>"
    for event in ELEMENT["events"]:
        yield event["name"], f'Difference<{event["type"]["text"]}, ChatInterfaceEventMap["{event["name"]}"]>'
    events = " | ".join(json.dumps(event["name"]) for event in ELEMENT["events"])
    yield "events", f"Difference<{events}, keyof ChatInterfaceEventMap>"
    attributes = " | ".join(
        json.dumps(each["name"]) for each in ELEMENT["attributes"] if each["name"] != "busy"
    )
    yield "attributes", f"Difference<{attributes}, keyof ChatInterfaceAttributes>"
