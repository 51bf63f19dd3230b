"""How the explorer looks: pieces of HTML, the style in `page.css`, the keys in `keyboard.js`."""

import base64
from html import escape
from pathlib import Path

from IPython.display import Javascript

KEYS_HINT = (
    '<div class="tfcovr-hint">Keys: / types a modification, arrows go from card to card, enter takes a card'
    " as the next query, escape leaves a field.</div>"
)


def style() -> str:
    """Return the page's style as HTML."""
    return f"<style>{Path(__file__).with_name('page.css').read_text('utf-8')}</style>"


def keyboard() -> Javascript:
    """Return the script that listens for keys."""
    return Javascript(filename=str(Path(__file__).with_name("keyboard.js")))


def card_text(rank: str, mark: str, share: float, label: str, source: str) -> str:
    """Describe a clip below its preview; `share` of the score bar is filled."""
    head = ""
    if rank:
        words = f'<span>{escape(rank)}</span><span class="tfcovr-mark">{mark}</span>'
        width = f"{100 * min(1, max(0, share)):.0f}%"
        head = f'<div class="tfcovr-head">{words}</div>'
        head += f'<div class="tfcovr-bar"><div style="width:{width}"></div></div>'
    body = f'<div title="{escape(label)}">{escape(label)}</div>'
    body += f'<div class="tfcovr-source">{escape(source)}</div>'
    return f'<div class="tfcovr-text">{head}{body}</div>'


def sentence(text: str) -> str:
    """Show a sentence."""
    return f'<div class="tfcovr-said">{escape(text)}</div>'


def error(text: str, details: str = "") -> str:
    """Show an error, with details to unfold."""
    more = f"<details><summary>details</summary><pre>{escape(details)}</pre></details>" if details else ""
    return f'<div class="tfcovr-error" role="alert">{escape(text)}{more}</div>'


def download(content: bytes, name: str, kind: str) -> str:
    """Offer a file to download."""
    data = f"data:{kind};base64,{base64.b64encode(content).decode()}"
    return f'<a download="{escape(name)}" href="{data}" class="tfcovr-download">{escape(name)}</a>'
