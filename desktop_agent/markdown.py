"""HTML that a window put on the clipboard, as Markdown."""

from __future__ import annotations

from typing import Any


def markdown(html: str) -> str:
    """The text of copied HTML with its headings, lists, tables, links, emphasis and code (with its language).

    Scripts, styles, buttons and pictures are left out. Empty when the converter is not installed.
    """
    try:
        from bs4 import BeautifulSoup
        from markdownify import MarkdownConverter
    except ImportError:
        return ""
    page = BeautifulSoup(html, "html.parser")
    for part in page(["script", "style", "button", "svg", "img", "head", "textarea"]):
        part.decompose()
    converter = MarkdownConverter(
        heading_style="ATX",
        bullets="-",
        code_language_callback=_language,
        escape_asterisks=False,
        escape_underscores=False,
        escape_misc=False,
    )
    return str(converter.convert_soup(page)).replace("\xa0", " ").strip()


def _language(pre: Any) -> str:
    """The language a code block names in a class such as `language-python`."""
    for tag in (pre, pre.find("code")):
        for name in (tag.get("class") or []) if tag else []:
            if name.startswith(("language-", "lang-")):
                return str(name.split("-", 1)[1])
    return ""
