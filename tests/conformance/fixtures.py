"""What the conformance suite asks a server to have beside its own: tools, resources and prompts of fixed names.

They are registered on the product's factory, so the suite's calls go through everything that ours do; the product
itself offers none of them.
"""

from __future__ import annotations

import asyncio
import base64
import json
from typing import Annotated, Any, Final

from mcp.server.context import ServerRequestContext
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.server.mcpserver.prompts.base import Message, UserMessage
from mcp_types import (
    AudioContent,
    Completion,
    CreateMessageRequest,
    CreateMessageRequestParams,
    CreateMessageResult,
    ElicitRequest,
    ElicitRequestFormParams,
    ElicitResult,
    EmbeddedResource,
    EmptyResult,
    ImageContent,
    InputRequiredResult,
    ListRootsRequest,
    ListRootsResult,
    SamplingMessage,
    SetLevelRequestParams,
    TextContent,
    TextResourceContents,
)
from pydantic import BaseModel, Field

STEP_S: Final = 0.05
PIXEL: Final = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg=="  # 1 × 1
)
SILENCE: Final = base64.b64encode(
    b"RIFF\x26\0\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0\x40\x1f\0\0\x80\x3e\0\0\x02\0\x10\0data\x02\0\0\0\0\0"
).decode()
Ctx = Context[Any, Any]


def picture() -> ImageContent:
    return ImageContent(type="image", data=PIXEL, mime_type="image/png")


def embedded(uri: str, mime_type: str, text: str) -> EmbeddedResource:
    return EmbeddedResource(type="resource", resource=TextResourceContents(uri=uri, mime_type=mime_type, text=text))


def text(words: str) -> TextContent:
    return TextContent(type="text", text=words)


def add_fixtures(server: MCPServer[Any]) -> None:
    """Register everything the suite calls."""
    _add_contents(server)
    _add_back_channel(server)
    _add_rounds(server)
    _add_resources(server)
    _add_prompts(server)
    _add_logging_level(server)


async def _pause() -> None:
    """A moment, so that the notifications around it can be told apart."""
    try:
        async with asyncio.timeout(STEP_S):
            await asyncio.Event().wait()
    except TimeoutError:
        pass


def _add_contents(server: MCPServer[Any]) -> None:
    @server.tool()
    def test_simple_text() -> str:
        """Text."""
        return "This is a simple text response for testing."

    @server.tool()
    def test_image_content() -> list[ImageContent]:
        """An image."""
        return [picture()]

    @server.tool()
    def test_audio_content() -> list[AudioContent]:
        """A sound."""
        return [AudioContent(type="audio", data=SILENCE, mime_type="audio/wav")]

    @server.tool()
    def test_embedded_resource() -> list[EmbeddedResource]:
        """A resource inside the result."""
        return [embedded("test://embedded-resource", "text/plain", "This is an embedded resource content.")]

    @server.tool(structured_output=False)
    def test_multiple_content_types() -> list[Any]:
        """Text, an image and a resource."""
        data = json.dumps({"test": "data", "value": 123})
        return [
            text("Multiple content types test:"),
            picture(),
            embedded("test://mixed-content-resource", "application/json", data),
        ]

    @server.tool()
    def test_error_handling() -> str:
        """Always fails."""
        raise ToolError("This tool intentionally returns an error for testing")

    @server.tool()
    async def test_tool_with_progress(ctx: Ctx) -> str:
        """Reports progress three times."""
        for done in (0, 50, 100):
            await ctx.report_progress(done, 100)
            await _pause()
        return "done"


class Person(BaseModel):
    """Who answers, for elicitation."""

    username: str = Field(description="User's response")
    email: str = Field(description="User's email address")


def _titled(name: str) -> list[dict[str, str]]:
    return [{"const": f"value{number}", "title": f"{name} {number}"} for number in (1, 2, 3)]


CHOICES: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {
        "untitledSingle": {"type": "string", "enum": ["option1", "option2", "option3"]},
        "titledSingle": {"type": "string", "oneOf": _titled("Option")},
        "legacyEnum": {
            "type": "string",
            "enum": ["opt1", "opt2", "opt3"],
            "enumNames": ["Option One", "Option Two", "Option Three"],
        },
        "untitledMulti": {"type": "array", "items": {"type": "string", "enum": ["option1", "option2", "option3"]}},
        "titledMulti": {"type": "array", "items": {"anyOf": _titled("Choice")}},
    },
}
DEFAULTS: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "default": "John Doe"},
        "age": {"type": "integer", "default": 30},
        "score": {"type": "number", "default": 95.5},
        "status": {"type": "string", "enum": ["active", "inactive", "pending"], "default": "active"},
        "verified": {"type": "boolean", "default": True},
    },
}


def _add_back_channel(server: MCPServer[Any]) -> None:
    """Requests that the server makes of its client in the middle of a call: the handshake era."""

    @server.tool()
    async def test_tool_with_logging(ctx: Ctx) -> str:
        """Sends three log messages."""
        for line in ("Tool execution started", "Tool processing data", "Tool execution completed"):
            await ctx.request_context.session.send_log_message(
                level="info", data=line, logger="conformance", related_request_id=ctx.request_id
            )
            await _pause()
        return "done"

    @server.tool()
    async def test_sampling(prompt: str, ctx: Ctx) -> str:
        """Asks the client's model."""
        made = await ctx.request_context.session.create_message(
            messages=[SamplingMessage(role="user", content=text(prompt))],
            max_tokens=100,
            related_request_id=ctx.request_id,
        )
        return f"LLM response: {made.content.text if isinstance(made.content, TextContent) else made.content}"

    @server.tool()
    async def test_elicitation(message: str, ctx: Ctx) -> str:
        """Asks the client's user."""
        answer = await ctx.elicit(message, Person)
        return f"User response: {answer.model_dump_json()}"

    async def form(ctx: Ctx, schema: dict[str, Any]) -> str:
        answer = await ctx.request_context.session.elicit_form("Please choose", schema, ctx.request_id)
        return f"Elicitation completed: action={answer.action}, content={json.dumps(answer.content)}"

    @server.tool()
    async def test_elicitation_sep1034_defaults(ctx: Ctx) -> str:
        """Asks with a default for every primitive type."""
        return await form(ctx, DEFAULTS)

    @server.tool()
    async def test_elicitation_sep1330_enums(ctx: Ctx) -> str:
        """Asks with every kind of choice."""
        return await form(ctx, CHOICES)


def ask(message: str, **fields: str) -> ElicitRequest:
    """A question to the client's user (fields with their JSON types), for an input-required result."""
    properties = {name: {"type": kind} for name, kind in fields.items()}
    schema = {"type": "object", "properties": properties, "required": list(fields)}
    return ElicitRequest(params=ElicitRequestFormParams(message=message, requested_schema=schema))


def sample(words: str, max_tokens: int) -> CreateMessageRequest:
    """A question to the client's model, for an input-required result."""
    return CreateMessageRequest(
        params=CreateMessageRequestParams(
            messages=[SamplingMessage(role="user", content=text(words))], max_tokens=max_tokens
        )
    )


def _accepted(ctx: Ctx, key: str, field: str) -> Any:
    """What the user answered under `key`, or None when that is still to be asked."""
    answer = (ctx.input_responses or {}).get(key)
    if isinstance(answer, ElicitResult) and answer.action == "accept" and answer.content:
        return answer.content.get(field)
    return None


def _add_rounds(server: MCPServer[Any]) -> None:
    """Results that ask for input and are called again with it: the 2026-07-28 era."""

    @server.tool()
    def test_input_required_result_elicitation(ctx: Ctx) -> str | InputRequiredResult:
        """Needs a name."""
        name = _accepted(ctx, "user_name", "name")
        if name is None:
            return InputRequiredResult(input_requests={"user_name": ask("What is your name?", name="string")})
        return f"Hello, {name}!"

    @server.tool()
    def test_input_required_result_sampling(ctx: Ctx) -> str | InputRequiredResult:
        """Needs the client's model."""
        made = (ctx.input_responses or {}).get("capital_question")
        if not isinstance(made, CreateMessageResult):
            question = sample("What is the capital of France?", 100)
            return InputRequiredResult(input_requests={"capital_question": question})
        return made.content.text if isinstance(made.content, TextContent) else "no text"

    @server.tool()
    def test_input_required_result_list_roots(ctx: Ctx) -> str | InputRequiredResult:
        """Needs the client's roots."""
        roots = (ctx.input_responses or {}).get("client_roots")
        if not isinstance(roots, ListRootsResult):
            return InputRequiredResult(input_requests={"client_roots": ListRootsRequest()})
        return "roots: " + ", ".join(str(root.uri) for root in roots.roots)

    @server.tool()
    def test_input_required_result_request_state(ctx: Ctx) -> str | InputRequiredResult:
        """Needs its own state back."""
        if _accepted(ctx, "confirm", "ok") is None or ctx.request_state != "asked":
            return InputRequiredResult(
                input_requests={"confirm": ask("Please confirm", ok="boolean")}, request_state="asked"
            )
        return "state-ok"

    @server.tool()
    def test_input_required_result_tampered_state(ctx: Ctx) -> str | InputRequiredResult:
        """Needs its own state back, unchanged; the server seals it."""
        if ctx.request_state != "sealed":
            return InputRequiredResult(
                input_requests={"confirm": ask("Please confirm", ok="boolean")}, request_state="sealed"
            )
        return "state-ok"

    @server.tool()
    def test_input_required_result_multiple_inputs(ctx: Ctx) -> str | InputRequiredResult:
        """Needs a user, a model and roots."""
        given = ctx.input_responses or {}
        if {"user_name", "greeting", "client_roots"} <= given.keys() and ctx.request_state == "asked":
            return f"all here: {_accepted(ctx, 'user_name', 'name')}"
        return InputRequiredResult(
            input_requests={
                "user_name": ask("What is your name?", name="string"),
                "greeting": sample("Generate a greeting", 50),
                "client_roots": ListRootsRequest(),
            },
            request_state="asked",
        )

    @server.tool()
    def test_input_required_result_multi_round(ctx: Ctx) -> str | InputRequiredResult:
        """Needs two answers, one after the other."""
        name = _accepted(ctx, "step1", "name")
        color = _accepted(ctx, "step2", "color")
        if color is not None and (ctx.request_state or "").startswith("two:"):
            return f"{(ctx.request_state or '')[4:]} likes {color}"
        if name is not None and ctx.request_state == "one":
            question = ask("Step 2: What is your favorite color?", color="string")
            return InputRequiredResult(input_requests={"step2": question}, request_state=f"two:{name}")
        question = ask("Step 1: What is your name?", name="string")
        return InputRequiredResult(input_requests={"step1": question}, request_state="one")

    @server.tool()
    def test_input_required_result_capabilities(ctx: Ctx) -> str | InputRequiredResult:
        """Asks only for what the client can."""
        able = ctx.client_capabilities
        asked: dict[str, Any] = {}
        if able is not None and able.sampling is not None:
            asked["greeting"] = sample("Generate a greeting", 50)
        if able is not None and able.elicitation is not None:
            asked["user_name"] = ask("What is your name?", name="string")
        return InputRequiredResult(input_requests=asked) if asked else "this client can do neither"


def _add_resources(server: MCPServer[Any]) -> None:
    @server.resource("test://static-text", mime_type="text/plain")
    def static_text() -> str:
        """Text."""
        return "This is the content of the static text resource."

    @server.resource("test://static-binary", mime_type="image/png")
    def static_binary() -> bytes:
        """An image."""
        return base64.b64decode(PIXEL)

    @server.resource("test://template/{id}/data", mime_type="application/json")
    def template(id: str) -> str:  # noqa: A002 (the suite's name)
        """Data of an id."""
        return json.dumps({"id": id, "templateTest": True, "data": f"Data for ID: {id}"})


def _add_prompts(server: MCPServer[Any]) -> None:
    @server.prompt()
    def test_simple_prompt() -> str:
        """No arguments."""
        return "This is a simple prompt for testing."

    @server.prompt()
    def test_prompt_with_arguments(
        arg1: Annotated[str, Field(description="First")], arg2: Annotated[str, Field(description="Second")]
    ) -> str:
        """Two arguments."""
        return f"Prompt with arguments: arg1='{arg1}', arg2='{arg2}'"

    @server.prompt()
    def test_prompt_with_embedded_resource(resourceUri: str) -> list[Message]:  # noqa: N803 (the suite's name)
        """A resource inside."""
        resource = embedded(resourceUri, "text/plain", "Embedded resource content for testing.")
        return [UserMessage(resource), UserMessage("Please process the embedded resource above.")]

    @server.prompt()
    def test_prompt_with_image() -> list[Message]:
        """An image inside."""
        return [UserMessage(picture()), UserMessage("Please analyze the image above.")]

    @server.prompt()
    def test_input_required_result_prompt(ctx: Ctx) -> list[Message] | InputRequiredResult:
        """Needs a context."""
        given = _accepted(ctx, "user_context", "context")
        if given is None:
            question = ask("What context should the prompt use?", context="string")
            return InputRequiredResult(input_requests={"user_context": question})
        return [UserMessage(f"Work in this context: {given}")]

    @server.completion()  # type: ignore[no-untyped-call, untyped-decorator]
    async def complete(_ref: Any, argument: Any, _context: Any) -> Completion:
        """What begins like the argument."""
        known = ["paris", "park", "party", "testing"]
        return Completion(values=[word for word in known if word.startswith(argument.value)], has_more=False)


def _add_logging_level(server: MCPServer[Any]) -> None:
    """`logging/setLevel` has no place in the high-level server: 2026-07-28 removed it."""

    async def set_level(_ctx: ServerRequestContext[Any, Any], _params: SetLevelRequestParams) -> EmptyResult:
        return EmptyResult()

    server._lowlevel_server.add_request_handler("logging/setLevel", SetLevelRequestParams, set_level)
