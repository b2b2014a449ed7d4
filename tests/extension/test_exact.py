"""What goes in arrives exactly; what comes out is the Markdown that was written."""

from __future__ import annotations

import pytest

from tests.extension.conftest import Rig
from tests.extension.site import say

pytestmark = [pytest.mark.anyio, pytest.mark.browser]

NASTY = {
    "markdown marks": "# Title\n- one\n- \n* two\n1. \n> quote\n**bold** and *it* and `code`\n---\n**bold at the end**",
    "code with indentation": "Fix this:\n\n```python\nif x:\n\tprint('a  b')\n\n        return  # 8 spaces\n```\n\n``` ",
    "html and entities": "<script>alert(1)</script> &amp; &lt; <b>x</b> <!-- c --> ${x} {{y}} \\n \\ \"q\" 'q'",
    "scripts of the world": "👩‍👩‍👧‍👦 é é שלום العربية 中文 नमस्ते 𝕏 ☃️ a\u00a0b",
    "empty lines and spaces": "a\n\n\nb\n\n\n\nc  two  spaces\nlast",
    "long": "\n".join(f"line {n}: {'lorem ipsum ' * 8}@claude /help" for n in range(60)),
}

ENDS_IN_A_SHORTCUT = (
    "Explain `fetch`",
    "x **y**",
    "**all of it**",
    "see *this*",
    "~~no~~",
    "`a` and **b**",
    "first\n\nthen `x`",
    "first\nthen **y**",
    "# ",
    "- ",
    "1. ",
    "> ",
    "```js ",
    "plain",  # after all those: no mark is left over
)

ANSWERS = {
    "code": 'Here:\n\n```python\nimport os\n\n\ndef f(x):\n    return f"{x}  <&>"\n```\n\nand\n\n'
    "```\nplain\n```\n\nand `a | b` or ``x`y``.",
    "table": "| a | b |\n| --- | ---: |\n| 1 | **2** |\n| `x` | [l](https://e.example/a?b=c&d) |",
    "lists": "1. one\n2. two\n   - a\n   - b\n     - deep\n3. three\n\n- x\n- y",
    "loose list": "- first\n\n  second paragraph\n\n- next\n\n  ```js\n  let x = 1;\n  ```",
    "tasks": "- [x] done\n- [ ] open",
    "quote": "> quoted *text*\n>\n> - with a list\n\nafter",
    "headings and rules": "# One\n\n## Two\n\ntext\n\n---\n\n### Three\n\n**bold**, *it*, ~~gone~~, ***both***",
    "math": "Euler: $e^{i\\pi} + 1 = 0$ holds.\n\n$$\n\\int_0^1 x^2\\,dx = \\frac{1}{3}\n$$\n\ndone",
    "links and breaks": 'See <b> & [site](https://e.example "T"), https://plain.example/x_y and\n\na line  \nbroken here.',
    "nested fences": "````markdown\n```python\nx\n```\n````",
}


NO_ROOM = """() => {
    globalThis.shared = fetch;
    const full = () => Promise.resolve(new Response("{}", {status: 507}));
    globalThis.fetch = (to, how) => how?.method === "POST" && String(to).includes("/files?") ? full() : shared(to, how);
}"""


async def test_six_nasty_texts_arrive_exactly(rig: Rig) -> None:
    name = await rig.tab()
    for text in NASTY.values():
        answer = await rig.answer(await rig.ask(text, to=name))
        assert answer["metadata"]["job"]["outcome"] == "answered", answer
    assert rig.site.prompts == list(NASTY.values())


async def test_a_text_that_ends_in_a_mark_of_markdown_arrives_exactly(rig: Rig) -> None:
    """The editor makes `**y**` bold the moment it stands before the caret."""
    name = await rig.tab()
    outcomes = {}
    for text in ENDS_IN_A_SHORTCUT:
        outcomes[text] = (await rig.answer(await rig.ask(text, to=name)))["metadata"]["job"]["error"]
    assert outcomes == dict.fromkeys(ENDS_IN_A_SHORTCUT)
    assert rig.site.prompts == list(ENDS_IN_A_SHORTCUT)


async def test_answers_come_back_as_the_markdown_they_were_written_in(rig: Rig) -> None:
    name = await rig.tab()
    rig.site.answer = lambda prompt: say(ANSWERS[prompt].replace("<b>", "&lt;b&gt;").replace(" & ", " &amp; "))
    got = {}
    for question in ANSWERS:
        got[question] = (await rig.answer(await rig.ask(question, to=name)))["text"]
    assert got == ANSWERS


async def test_an_artifact_becomes_a_file_of_the_room(rig: Rig) -> None:
    name = await rig.tab()
    code = "<h1>Hi</h1>\n<p>it's  an   artifact</p>"
    artifact = f'<artifact title="My page" language="html">\n{code}\n</artifact>'
    rig.site.answer = lambda prompt: say(f"Here it is.\n\n{artifact}")
    answer = await rig.answer(await rig.ask("make a page", to=name))
    assert answer["text"] == "Here it is.\n\n**My page**: file My page.html"
    (file,) = answer["attachments"]
    assert (await rig.http.get(f"/v1/rooms/build/files/{file}/content")).text == code
    assert await rig.pages[name].locator("[data-testid=artifact-panel]").count() == 0


async def test_a_file_that_claude_offers_to_download_becomes_a_file_of_the_room(rig: Rig) -> None:
    name = await rig.tab()
    content = bytes(range(256)) * 40
    rig.site.downloads = {"chart ü.png": content}
    rig.site.answer = lambda prompt: say('Here.\n\n<download name="chart ü.png"/><download name="gone.txt"/>')
    answer = await rig.answer(await rig.ask("draw it", to=name))
    missing = "**gone.txt**: it could not be read; it is in the tab"
    assert answer["text"] == f"Here.\n\n**chart ü.png**: file chart ü.png\n\n{missing}"
    (file,) = answer["attachments"]
    assert (await rig.http.get(f"/v1/rooms/build/files/{file}/content")).content == content


async def test_an_artifact_the_room_does_not_take_stands_in_the_answer(rig: Rig) -> None:
    name = await rig.tab()
    await rig.worker.evaluate(NO_ROOM)
    rig.site.answer = lambda prompt: say('Here.\n\n<artifact title="x" language="python">\nprint("`" * 3)\n</artifact>')
    answer = await rig.answer(await rig.ask("make it", to=name))
    await rig.worker.evaluate("() => { globalThis.fetch = shared }")
    assert answer["text"] == 'Here.\n\n**x**\n\n```python\nprint("`" * 3)\n```'
    assert answer["attachments"] == []


async def test_the_files_of_a_question_go_with_its_prompt(rig: Rig) -> None:
    name = await rig.tab()
    shared = await rig.http.post("/v1/rooms/build/files", json={"name": "data ü.csv", "content": "a,b\n1,2\n"})
    question = await rig.ask("Sum column b.", to=name, attachments=[shared.json()["id"]])
    await rig.answer(question)
    assert rig.site.prompts == ["Sum column b."]
    assert [(f["name"], f["text"]) for f in rig.site.files] == [("data ü.csv", "a,b\n1,2\n")]
