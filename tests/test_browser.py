"""Notebook 09 in a real browser, Debian's Chromium: in JupyterLab and, as a page of its own, in Voila.
Asserted on the DOM.

    make test-browser

Screenshots go to $TFCOVR_SHOTS where that is set.
"""

import os
import re
import shutil
import socket
import subprocess
import sys
import time
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pandas as pd
import pytest
from nbconvert import HTMLExporter
from nbformat.v4 import new_code_cell, new_notebook, new_output
from PIL import Image

from tfcovr_utils import rendering
from tfcovr_utils.evaluation.saved import save_not_run
from tfcovr_utils.explorer import PairReviewer
from tfcovr_utils.labels.pairing import KINDS
from tfcovr_utils.machine.files import write_json
from tfcovr_utils.plots.tables import as_text, show_table, to_markdown
from tfcovr_utils.profiles import ROOT, data_dir, get_profile
from tfcovr_utils.reproduce.report import write_report

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
ABSENT = [] if CHROMIUM else ["Chromium (on Debian: apt-get install chromium)"]
ABSENT += [
    f"{name} (pip install -e '.[browser]')" for name in ("playwright", "voila") if find_spec(name) is None
]
# Tests that are skipped, and not a module: a run in which nothing but this was asked for still ends well.
pytestmark = pytest.mark.skipif(bool(ABSENT), reason=f"not here: {', '.join(ABSENT)}")
playwright = None if ABSENT else import_module("playwright.sync_api")

NOTEBOOK = "09_retrieval_explorer.ipynb"
START_S, PATIENCE_MS = 120, 60_000  # for machines that do other things beside
# What the front ends themselves ask for in vain, and extensions of JupyterLab that Voila does not share
# modules with.
NOT_OURS = re.compile(
    r"shared module|favicon|translations|Failed to load resource|WebSocket|preload|Permissions-Policy"
)
SERVERS = {
    "lab": [
        "jupyterlab",
        "--ServerApp.ip=127.0.0.1",
        "--IdentityProvider.token=",
        "--no-browser",
        "--allow-root",
        "--ServerApp.port={port}",
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
        "--ServerApp.root_dir=.",
    ],
    "voila": [
        "voila",
        NOTEBOOK,
        "--no-browser",
        "--port={port}",
        "--Voila.ip=127.0.0.1",
        "--show_tracebacks=True",
    ],
}
# In names, labels and instructions: a browser that takes it for HTML sets `window.ran`.
RUNS = '<img src=x onerror="window.ran = 1">'
PATHS = {"lab": f"/lab/tree/{NOTEBOOK}", "voila": "/"}


@pytest.fixture(scope="module")
def rendered():
    return rendering.build(get_profile("smoke"), progress=False)


@pytest.fixture
def own_folder(rendered, tmp_path):
    """Two clips with names as people and attackers give them, and a text that is named as a clip."""
    folder = tmp_path / "mes vidéos"
    folder.mkdir()
    for name, clip in zip(
        ("été à la poutre.mp4", f"zwei Ärmel {RUNS}.mp4"), sorted((rendered / "clips").glob("*.mp4"))
    ):
        shutil.copy(clip, folder / name)
    (folder / f"no clip {RUNS}.mp4").write_text("these are words")
    return folder


@pytest.fixture(params=list(SERVERS))
def served(request, rendered, tmp_path, monkeypatch):
    """A server of the notebook on `smoke`: its name and address."""
    folder, log = tmp_path / "served", tmp_path / "server.log"
    folder.mkdir()
    notebook = (
        (ROOT / "notebooks" / NOTEBOOK).read_text().replace('source = \\"mini\\"', 'source = \\"smoke\\"')
    )
    assert 'source = \\"smoke\\"' in notebook
    (folder / NOTEBOOK).write_text(notebook)
    quiet = tmp_path / "settings" / "@jupyterlab" / "apputils-extension" / "notification.jupyterlab-settings"
    quiet.parent.mkdir(parents=True)
    quiet.write_text('{"fetchNews": "false"}')
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {
        **os.environ,
        "TFCOVR_DATA": str(data_dir().resolve()),
        "TFCOVR_RUNS": str(tmp_path / "runs"),
        "TFCOVR_FOLDERS": str(tmp_path / "mes vidéos"),
        "PYTHONPATH": str(ROOT),
        "JUPYTER_PREFER_ENV_PATH": "1",
        "JUPYTER_CONFIG_DIR": str(tmp_path / "config"),
        "JUPYTERLAB_SETTINGS_DIR": str(tmp_path / "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(tmp_path / "workspaces"),
    }
    command = [sys.executable, "-m", *(part.format(port=port) for part in SERVERS[request.param])]
    with open(log, "w") as out:
        server = subprocess.Popen(command, cwd=folder, env=environment, stdout=out, stderr=subprocess.STDOUT)
    address = f"http://127.0.0.1:{port}"
    try:
        _wait_for(f"{address}/static/" if request.param == "voila" else f"{address}/api", server, log)
        yield request.param, address + PATHS[request.param]
    finally:
        server.terminate()
        try:
            server.wait(30)
        except subprocess.TimeoutExpired:
            server.kill()


def _wait_for(address, server, log):
    """Until something answers, be it that there is no such page."""
    for _ in range(START_S):
        assert server.poll() is None, log.read_text()
        try:
            urlopen(address, timeout=5)
            return
        except URLError as error:
            if hasattr(error, "code"):
                return
        time.sleep(1)
    pytest.fail(f"the server did not start in {START_S} s: {log.read_text()}")


def test_the_explorer_is_used(served, own_folder, tmp_path):
    name, address = served
    playwright.expect.set_options(timeout=PATIENCE_MS)
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        page = browser.new_page(viewport={"width": 1500 if name == "lab" else 1240, "height": 1400})
        page.set_default_timeout(PATIENCE_MS)
        faults = []
        page.on("pageerror", lambda fault: faults.append(f"{fault.message}\n{fault.stack}"))
        page.on(
            "console",
            lambda said: (
                faults.append(said.text) if said.type == "error" and not NOT_OURS.search(said.text) else None
            ),
        )
        page.goto(address)
        try:
            if name == "lab":
                playwright.expect(
                    page.locator("#jp-main-statusbar", has_text="(ipykernel) | Idle")
                ).to_be_visible()
                page.locator(".lm-MenuBar-item", has_text=re.compile("^Run$")).click()
                page.locator(".lm-Menu-item:visible", has_text=re.compile("^Run All Cells")).first.click()
            use(page, own_folder, tmp_path / "runs", name)
        except Exception:
            shoot(page, f"{name}-failed")
            print("the page says:", page.locator(".tfcovr").all_inner_texts())
            print("has the focus:", page.evaluate("document.activeElement.outerHTML.slice(0, 300)"))
            print(
                "typed are:",
                [field.input_value() for field in page.locator(".tfcovr input[type=text]").all()],
            )
            raise
        finally:
            browser.close()
    assert faults == []


@pytest.mark.parametrize("raw", [False, True])
def test_nothing_runs_in_a_published_page(tmp_path, raw):
    """A report and a notebook as HTML, with hostile texts; raw HTML shows that the test would see it."""
    (tmp_path / "figures").mkdir()
    Image.new("RGB", (4, 4)).save(tmp_path / "figures" / f"{RUNS}.png")
    save_not_run(tmp_path / "results", "clip-avg-zs", RUNS)
    record = {"seconds": 1.0, "parameters": {RUNS: RUNS}}
    write_json({"inputs": {}, "before": {}, "wrote": [], **record}, tmp_path / "05_rows.json")
    table = pd.DataFrame({RUNS: [RUNS]})
    pair = {"source_label": "x", "target_label": "y", "tier": "A", "kind": KINDS[0], "changed": RUNS}
    reviewer = PairReviewer(pd.DataFrame([pair]), {"x": RUNS, "y": RUNS}, tmp_path)
    shown = [show_table(table).to_html(), as_text(table).to_html(), reviewer._shown.value, RUNS * raw]
    outputs = [new_output("display_data", {"text/html": html}) for html in shown]
    outputs.append(new_output("display_data", {"text/markdown": to_markdown(table)}))
    notebook = new_notebook(cells=[new_code_cell(outputs=outputs)])
    (tmp_path / "notebook.html").write_text(HTMLExporter().from_notebook_node(notebook)[0], "utf-8")
    with playwright.sync_playwright() as driver:
        options = {"executable_path": CHROMIUM, "args": ["--no-sandbox", "--disable-dev-shm-usage"]}
        browser = driver.chromium.launch(**options)
        page = browser.new_page()
        page.route(re.compile("^https?:"), lambda asked: asked.abort())
        for path in (write_report(tmp_path), tmp_path / "notebook.html"):
            page.goto(f"file://{path}")
            assert RUNS in page.locator("body").inner_text()
            page.wait_for_timeout(300)
            assert page.evaluate("window.ran") == (1 if raw and path.stem == "notebook" else None), path
        browser.close()


def use(page, own_folder, runs, name):
    """What a person does, and sees."""
    root = page.locator(".tfcovr")
    thumbs, cards = (
        root.locator(f".tfcovr-card{which}:visible")
        for which in (".tfcovr-thumb:has(button.tfcovr-main:text-is('choose'))", ":not(.tfcovr-thumb)")
    )
    error, said = root.locator(".tfcovr-error"), root.locator(".tfcovr-said")

    def field(label):
        return (
            root.locator(".widget-inline-hbox", has=page.locator(f"label:text-is('{label}')"))
            .locator("input, select")
            .first
        )

    def click(button):
        root.get_by_role("button", name=button, exact=True).click()

    def found(question):
        """The cards of a question, once all that belongs to it is there."""
        playwright.expect(said.filter(has_text=f"question {question} of this session")).to_have_count(1)
        page.wait_for_function("""() => {
            const cards = [...document.querySelectorAll('.tfcovr-card')].filter((card) => card.offsetParent);
            const shown = cards.map((card) => card.querySelector('img'));
            return shown.length && shown.every((img) => img.complete && img.naturalWidth > 1)}""")
        return cards.locator(".tfcovr-text").all_inner_texts()

    playwright.expect(thumbs).to_have_count(7, timeout=1000 * START_S)
    playwright.expect(said.filter(has_text="of 80 clips")).to_have_count(1)

    # Filters, then a clip and its suggestions.
    field("apparatus").select_option("FX")
    playwright.expect(
        said.filter(has_text=re.compile("of [0-9]+ clips$")).filter(has_not_text="of 80")
    ).to_have_count(1)
    assert all("(FX)" in text for text in thumbs.locator(".tfcovr-text").all_inner_texts())
    field("search").fill("salto")
    field("search").press("Enter")
    playwright.expect(thumbs.first).to_contain_text("salto")
    thumbs.nth(1).get_by_role("button", name="choose").click()
    chips = root.locator("button.tfcovr-chip:visible")
    playwright.expect(chips.first).to_be_visible()
    assert chips.count() >= 2

    # A modification typed, by the keyboard alone; then another, and other cards.
    thumbs.nth(1).locator("button").focus()
    page.keyboard.press("/")
    page.keyboard.type(chips.nth(0).inner_text())
    page.keyboard.press("Enter")
    first = found(1)
    assert len(first) == 12 and re.match(r"1\s+-?0\.\d{3}", first[0])
    assert root.locator(".tfcovr-right:visible").count() + root.locator(".tfcovr-wrong:visible").count() == 12
    assert all(("✓" in text) != ("✗" in text) for text in first)
    assert said.filter(has_text="AP@5").count() == 1
    shoot(page, f"{name}-found")
    started = time.monotonic()
    chips.nth(1).click()
    second = found(2)
    print(f"{name}: from click to visible cards {1000 * (time.monotonic() - started):.0f} ms")
    assert second != first and len(second) == 12

    # A path that is none, said in words; a folder of one's own, and a clip of it found in it.
    for place in (
        "all",
        "once",
        "twice",
        "last",
    ):  # more than once: a kernel that lets the click overtake the path does so now and then
        field("your own").fill(f"nowhere/at {place}")
        click("open")
        playwright.expect(error).to_contain_text(
            f"'nowhere/at {place}' does not exist; give the path of a clip or of a folder of clips."
        )
        shoot(page, f"{name}-error")
        field("your own").fill(str(own_folder))
        click("open")
        playwright.expect(said.filter(has_text="2 clips taken, 1 files left out")).to_have_count(1)
    playwright.expect(said.filter(has_text=f"no clip {RUNS}.mp4")).to_contain_text(
        "cannot be opened as a video"
    )
    playwright.expect(error).to_have_count(0)
    playwright.expect(thumbs.filter(has_text=RUNS)).to_have_count(1)
    thumbs.first.get_by_role("button", name="choose").click()
    assert len(found(3)) == 1
    field("your own").fill(str(ROOT))
    click("open")
    playwright.expect(error).to_contain_text("is outside the folders this page may open")
    field("gallery").select_option("test, full")
    assert len(found(4)) == 12 and root.locator(".tfcovr-right:visible").count() == 0

    # Back to the benchmark: two methods beside each other.
    field("clips of").select_option("test")
    playwright.expect(said.filter(has_text="of 80 clips")).to_have_count(1)
    thumbs.nth(2).get_by_role("button", name="choose").click()
    found(5)
    chips.first.click()
    found(6)
    field("beside it").select_option("video-only")
    assert len(found(7)) == 12 and said.filter(has_text="video-only:").count() == 1
    assert [text.split()[0] for text in cards.locator(".tfcovr-head span:first-child").all_inner_texts()] == [
        *"123456"
    ] * 2
    shoot(page, f"{name}-two")

    # The keyboard goes from card to card and takes one as the next query; a card leads to its like.
    cards.first.locator("button").first.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    here = page.evaluate(
        "document.activeElement.closest('.tfcovr-card').querySelector('.tfcovr-head').innerText"
    )
    assert here.startswith("3")
    page.keyboard.press("Enter")
    found(8)
    cards.nth(1).get_by_role("button", name="more like").click()
    found(9)
    assert said.filter(has_text=re.compile("^more like .+: 80 clips searched in")).count() == 1

    # Enter asks again, be the text new or not; a text that is HTML stays one.
    for question, text in ((10, RUNS), (11, RUNS)):
        asking = root.locator(".tfcovr-ask input")
        asking.fill(text)
        asking.press("Enter")
        found(question)
    assert said.filter(has_text=f"“{RUNS}” of").count() == 1
    pictures = root.locator(".tfcovr-card:visible img")
    assert all(picture.get_attribute("alt") for picture in pictures.all())
    assert root.get_by_role("slider", name="K").count() == 1

    # What is taken away.
    click("ranking as CSV")
    playwright.expect(root.locator("a.tfcovr-download")).to_be_visible()
    click("session as a cell")
    playwright.expect(root.locator("pre.tfcovr-cell")).to_contain_text("session.ask(")
    click("grid as figure")
    playwright.expect(said.filter(has_text="written: ").filter(has_text=".png")).to_have_count(1)
    click("highlight reel")
    playwright.expect(said.filter(has_text="reel.mp4")).to_have_count(1)
    page.wait_for_function(
        "() => { const reel = document.querySelector('.tfcovr video'); "
        "return reel && reel.videoWidth === 640; }"
    )
    assert {path.suffix for path in Path(runs).rglob("explorer/*")} == {
        ".csv",
        ".png",
        ".svg",
        ".pdf",
        ".mp4",
    }
    playwright.expect(error).to_have_count(0)
    assert "Traceback" not in page.locator("body").inner_text()
    assert page.evaluate("window.ran") is None
    shoot(page, f"{name}-end")


def shoot(page, name):
    """Keep a picture of the explorer where somebody wants to look at it."""
    if os.environ.get("TFCOVR_SHOTS"):
        folder = Path(os.environ["TFCOVR_SHOTS"])
        folder.mkdir(parents=True, exist_ok=True)
        root = page.locator(".tfcovr")
        (root if root.count() and not name.endswith("failed") else page).screenshot(
            path=folder / f"{name}.png"
        )
