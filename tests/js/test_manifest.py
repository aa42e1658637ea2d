"""custom-elements.json is valid and has the elements' types. manifest.test.js compares more."""

import copy
import json
import re
from collections.abc import Awaitable, Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest

STATIC: Final = Path(__file__).parents[2] / "chatproxy" / "static"
SCHEMA: Final = Path(__file__).parent / "node_modules" / "custom-elements-manifest" / "schema.js"
MANIFEST: Final = json.loads((STATIC / "custom-elements.json").read_text())
ELEMENTS: Final = [module["declarations"][0] for module in MANIFEST["modules"]]
# Attributes that an element sets itself, which markup need not have.
OWN: Final = {"busy"}

Checker = Callable[[str, Iterable[tuple[str, str]]], Awaitable[list[str]]]


async def test_it_follows_the_schema(type_errors: Checker) -> None:
    fields = [member for element in ELEMENTS for member in element["members"] if member["kind"] == "field"]
    package = copy.deepcopy(MANIFEST)  # without what only fields of custom elements have
    for module in package["modules"]:
        for member in module["declarations"][0]["members"]:
            member.pop("attribute", None)
            member.pop("reflects", None)
    declarations = f"""
import type {{ CustomElementField, Package }} from {json.dumps(str(SCHEMA))};
export const manifest: Package = {json.dumps(package)};
export const fields: CustomElementField[] = {json.dumps(fields)};
"""
    assert await type_errors(declarations, []) == []


@pytest.mark.parametrize("element", ELEMENTS, ids=lambda element: str(element["name"]))
async def test_it_has_the_types_of_the_element(element: dict[str, Any], type_errors: Checker) -> None:
    found = list(checks(element))
    texts = " ".join(kind for _, kind in found)
    names = sorted(set(re.findall(r"\b(?:Chat|Conv|History|Image|Label|Launch|Rend)\w+", texts)))
    declarations = f"import type {{ {', '.join(names)} }} from {json.dumps(str(STATIC / 'index.js'))};"
    errors = await type_errors(declarations, found)
    assert not errors, "\n".join(errors)


def checks(element: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield names of the manifest and the TypeScript types that are `true` where it is right."""
    kind = element["name"]
    members = [member for member in element["members"] if not member.get("static")]
    for member in members:
        name, ours = member["name"], f'{kind}["{member["name"]}"]'
        if member["kind"] == "field":
            yield name, f"Difference<{member['type']['text']}, {ours}>"
            continue
        parameters = [
            f"{each['name']}{'?' if each.get('optional') else ''}: {each['type']['text']}"
            for each in member.get("parameters", [])
        ]
        described = f"({', '.join(parameters)}) => {member['return']['type']['text']}"
        yield f"{name}()", f"Difference<{described}, {ours}>"
    own = " | ".join(json.dumps(member["name"]) for member in members if member["name"] != "focus")
    yield "members", f"Difference<{own}, Exclude<keyof {kind}, keyof HTMLElement>>"
    for event in element["events"]:
        yield event["name"], f'Difference<{event["type"]["text"]}, {kind}EventMap["{event["name"]}"]>'
    events = " | ".join(json.dumps(event["name"]) for event in element["events"])
    yield "events", f"Difference<{events}, keyof {kind}EventMap>"
    attributes = " | ".join(
        json.dumps(each["name"]) for each in element["attributes"] if each["name"] not in OWN
    )
    yield "attributes", f"Difference<{attributes}, keyof {kind}Attributes>"
