"""The types of the browser side: they compile strictly, and types.d.ts says what `/openapi.json` says.

For the comparison, each field of the server's schemas becomes a line of TypeScript that compiles only if
types.d.ts has the same field with the same type. What tsc reports is translated back to the names of schema
and field.
"""

import copy
import json
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import pytest
from chat_client import Client

Checker = Callable[[str, Iterable[tuple[str, str]]], Awaitable[list[str]]]
Compiler = Callable[..., Awaitable[str]]
Schema = dict[str, Any]

STATIC: Final = Path(__file__).parents[2] / "chatproxy" / "static"
# Schemas whose types have another name; `Document` and `Event`, for example, are globals of a browser.
NAMES: Final = {
    "Chunk": "ChunkEvent",
    "Code": "ServerErrorCode",
    "Document": "DocumentInfo",
    "Done": "DoneEvent",
    "Error": "ErrorEvent",
    "Event": "ChatEvent",
    "Ready": "Readiness",
    "Selected": "SelectedModel",
    "Sources": "SourceList",
    "Start": "StartEvent",
    "Status": "StatusEvent",
    "Thinking": "ThinkingEvent",
    "Warning": "WarningEvent",
}
# Schemas of OpenAI's API, which has clients of its own.
OPENAI: Final = {
    *("Response", "ResponseEvent", "ResponseFailure", "ResponseRequest", "ResponseUsage"),
    *("CachedTokens", "Deleted", "IncompleteDetails", "InputItems", "InputMessage", "InputText"),
    *("ReasoningConfig", "ReasoningTokens", "TextConfig", "TextFormat"),
}
# Schemas that neither the client nor the page uses.
UNUSED: Final = {
    *OPENAI,
    "Alive",
    "AnthropicError",
    "AnthropicErrorBody",
    "ChatRequest",
    "FilePart",
    "FileRequest",
    "ImportedSession",
    "ImportResult",
    "LeftOut",
    "ModelForm",
    "ModelRequest",
    "OpenAIError",
    "OpenAIErrorBody",
    "Provided",
    "ReasoningPart",
    "RefusedConversation",
    "SourcePart",
    "TextPart",
    "Token",
    "UIMessage",
    "UIMetadata",
    "VersionPage",
    "WarningPart",
    "WholeExport",
}
# What a field may hold in addition, because the client puts it there.
FROM_THE_CLIENT: Final = {
    "Status.state": '"reconnecting"',
    "Done.assistantMessageId": "null",
    "Error.assistantMessageId": "null",
    "Error.code": "types.ClientErrorCode",
}
# Fields that the client takes out before it sends the rest.
NOT_SENT: Final = {"SendRequest": ("signal",)}

DECLARATIONS: Final = f"""
import type * as types from {json.dumps(str(STATIC / "types.js"))};
type Field<T, Name extends string, Optional extends boolean, Server> = Name extends keyof T
  ? Same<{{}} extends Pick<T, Name> ? true : false, Optional> extends true
    ? Difference<Server, Optional extends true ? Exclude<T[Name], undefined> : T[Name]>
    : {{ "optional on the server": Optional }}
  : "missing in types.d.ts";
type OtherFields<T, Names> = Exclude<keyof T, Names> extends never
  ? true
  : {{ "not on the server": Exclude<keyof T, Names> }};
"""


@pytest.mark.parametrize("project", ["tsconfig.json", "tsconfig.usage.json"])
async def test_types_compile_strictly(project: str, tsc: Compiler) -> None:
    """The modules against their own types; the types as applications with TypeScript and React use them."""
    assert await tsc("--project", project) == ""


async def test_every_module_is_checked(tsc: Compiler) -> None:
    checked = await tsc("--project", "tsconfig.json", "--listFilesOnly")
    modules = {str(path) for path in STATIC.rglob("*.js") if "vendor" not in path.parts}
    assert modules - set(checked.splitlines()) == set()


async def test_types_follow_the_server(client: Client, type_errors: Checker) -> None:
    api = await client.call("GET", "/openapi.json")
    found = await type_errors(DECLARATIONS, checks(api["components"]["schemas"]))
    assert not found, "\n".join(found)


async def test_a_difference_is_found_and_named(client: Client, type_errors: Checker) -> None:
    schemas = (await client.call("GET", "/openapi.json"))["components"]["schemas"]
    changed = copy.deepcopy(schemas)
    changed["Session"]["properties"]["title"] = {"type": "string"}
    changed["Message"]["properties"]["rating"] = {"type": "integer"}
    changed["Message"]["properties"]["status"]["enum"].append("paused")
    del changed["Source"]["properties"]["score"]
    changed["Start"]["required"].append("reset")
    changed["Usage"]["required"].remove("loadMs")
    changed["Code"]["enum"].append("too_hot")
    changed["Invented"] = {"type": "object", "properties": {}}
    found = dict(each.split(": ", 1) for each in await type_errors(DECLARATIONS, checks(changed)))
    assert set(found) == {
        "Session.title",
        "Message.rating",
        "Message.status",
        "Source (other fields)",
        "Start.reset",
        "Usage.loadMs",
        "Code",
        "Invented (other fields)",
    }
    assert "paused" in found["Message.status"]
    assert "score" in found["Source (other fields)"]


def checks(schemas: Mapping[str, Schema]) -> Iterator[tuple[str, str]]:
    """Yield what to check and the TypeScript type that is `true` where it holds."""
    for name, schema in schemas.items():
        if name in UNUSED:
            continue
        ours = f"types.{NAMES.get(name, name)}"
        if "properties" not in schema:
            yield name, f"Difference<{typescript(schema)}, {ours}>"
            continue
        for field, kind in schema["properties"].items():
            server = " | ".join(filter(None, (typescript(kind), FROM_THE_CLIENT.get(f"{name}.{field}"))))
            optional = "false" if field in schema["required"] else "true"
            yield f"{name}.{field}", f'Field<{ours}, "{field}", {optional}, {server}>'
        fields = " | ".join(json.dumps(field) for field in (*schema["properties"], *NOT_SENT.get(name, ())))
        yield f"{name} (other fields)", f"OtherFields<{ours}, {fields or 'never'}>"


def typescript(schema: Schema) -> str:
    """Return the type of a JSON Schema as TypeScript."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"types.{NAMES.get(name, name)}"
    if "anyOf" in schema:
        return " | ".join(map(typescript, schema["anyOf"]))
    if "enum" in schema:
        return " | ".join(map(json.dumps, schema["enum"]))
    if "prefixItems" in schema:
        return f"[{', '.join(map(typescript, schema['prefixItems']))}]"
    if schema.get("type") == "array":
        return f"Array<{typescript(schema['items'])}>"
    simple = {"integer": "number", "object": "Record<string, unknown>"}
    return simple.get(schema["type"], str(schema["type"]))
