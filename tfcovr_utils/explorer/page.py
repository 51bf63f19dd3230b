"""How the explorer looks and which keys it knows: its style, its keyboard script, and pieces of HTML."""

import base64
from html import escape

# Right and wrong are told by colour and by a mark together, in Okabe and Ito's colours.
STYLE = """<style>
.tfcovr { font-family: var(--jp-ui-font-family, system-ui, sans-serif); max-width: 1180px; }
.tfcovr h3 { margin: 6px 0 0; font-size: 15px; }
.tfcovr .tfcovr-hint { color: var(--jp-ui-font-color2, #555); font-size: 12px; line-height: 1.4; }
.tfcovr .tfcovr-card { border: 3px solid #d4d4d4; border-radius: 8px; padding: 5px; margin: 4px; width: 174px;
  background: #fff; overflow: hidden; }
.tfcovr .tfcovr-card:focus-within { box-shadow: 0 0 0 3px #0072B2; }
.tfcovr .tfcovr-right { border: 3px solid #009E73; }
.tfcovr .tfcovr-wrong { border: 3px dashed #D55E00; }
.tfcovr .tfcovr-card img { width: 100%; height: 144px; object-fit: contain; background: #111; border-radius: 4px; margin: 0; }
.tfcovr .tfcovr-card button { height: 24px; line-height: 22px; font-size: 11px; width: calc(50% - 4px); padding: 0 2px; }
.tfcovr .tfcovr-thumb { width: 138px; }
.tfcovr .tfcovr-thumb img { height: 96px; }
.tfcovr .tfcovr-thumb button { width: calc(100% - 4px); }
.tfcovr .tfcovr-text { font-size: 12px; line-height: 1.35; height: 84px; overflow: hidden; color: #222; }
.tfcovr .tfcovr-thumb .tfcovr-text { height: 66px; }
.tfcovr .tfcovr-head { display: flex; justify-content: space-between; font-weight: 600; }
.tfcovr .tfcovr-mark { font-size: 15px; line-height: 1; }
.tfcovr .tfcovr-right .tfcovr-mark { color: #00795A; }
.tfcovr .tfcovr-wrong .tfcovr-mark { color: #B34700; }
.tfcovr .tfcovr-bar { height: 5px; background: #e3e3e3; border-radius: 3px; margin: 2px 0 3px; }
.tfcovr .tfcovr-bar div { height: 5px; background: #0072B2; border-radius: 3px; }
.tfcovr .tfcovr-source { color: #666; font-size: 11px; overflow-wrap: anywhere; }
.tfcovr .tfcovr-said { font-size: 13px; padding: 3px 0; }
.tfcovr .tfcovr-error { border-left: 4px solid #D55E00; background: #fdf1e8; color: #222; padding: 6px 10px; font-size: 13px; }
.tfcovr .tfcovr-chip button, .tfcovr button.tfcovr-chip { border-radius: 12px; width: auto; }
.tfcovr pre { background: #f4f4f4; color: #222; padding: 8px; font-size: 12px; white-space: pre-wrap; }
</style>"""

KEYS_HINT = (
    '<div class="tfcovr-hint">Keys: / types a modification, arrows go from card to card, enter takes a card as the next query, '
    "escape leaves a field.</div>"
)

# One listener for the page, ahead of JupyterLab's own keys; it only moves the focus and clicks what has it.
KEYBOARD = """
if (!window.tfcovrKeys) {
  window.tfcovrKeys = true;
  window.addEventListener('keydown', (event) => {
    const inside = event.target.closest && event.target.closest('.tfcovr');
    const root = inside || (event.target === document.body && document.querySelector('.tfcovr'));
    if (!root || event.ctrlKey || event.metaKey || event.altKey) return;
    const typing = event.target.matches('input, textarea, select');
    const cards = [...root.querySelectorAll('.tfcovr-card button.tfcovr-main')].filter((button) => button.offsetParent);
    const at = cards.findIndex((button) => event.target.closest('.tfcovr-card') === button.closest('.tfcovr-card'));
    const top = (button) => button.getBoundingClientRect().top;
    const row = () => cards.filter((button) => Math.abs(top(button) - top(cards[Math.max(at, 0)])) < 5).length;
    const to = (step) => cards[Math.min(cards.length - 1, Math.max(0, at < 0 ? 0 : at + step))];
    const steps = { ArrowRight: () => 1, ArrowLeft: () => -1, ArrowDown: row, ArrowUp: () => -row() };
    let used = true;
    if (event.key === '/' && !typing) root.querySelector('.tfcovr-ask input').focus();
    else if (event.key === 'Escape' && typing) event.target.blur();
    else if (event.key in steps && !typing && cards.length) to(steps[event.key]()).focus();
    else if (event.key === 'Enter' && event.target.tagName === 'BUTTON') event.target.click();
    else used = false;
    if (used) { event.preventDefault(); event.stopImmediatePropagation(); }
  }, true);
}
"""


def card_text(rank: str, mark: str, share: float, label: str, source: str) -> str:
    """What stands below a preview; `share` of the score bar is filled."""
    bar = (
        f'<div class="tfcovr-bar"><div style="width:{100 * min(1, max(0, share)):.0f}%"></div></div>'
        if rank
        else ""
    )
    head = (
        f'<div class="tfcovr-head"><span>{escape(rank)}</span><span class="tfcovr-mark">{mark}</span></div>'
        if rank
        else ""
    )
    return f'<div class="tfcovr-text">{head}{bar}<div>{escape(label)}</div><div class="tfcovr-source">{escape(source)}</div></div>'


def said(text: str) -> str:
    return f'<div class="tfcovr-said">{escape(text)}</div>'


def error(text: str, details: str = "") -> str:
    more = f"<details><summary>details</summary><pre>{escape(details)}</pre></details>" if details else ""
    return f'<div class="tfcovr-error" role="alert">{escape(text)}{more}</div>'


def download(content: bytes, name: str, kind: str) -> str:
    data = base64.b64encode(content).decode()
    return f'<a download="{escape(name)}" href="data:{kind};base64,{data}" class="tfcovr-download">{escape(name)}</a>'
