"""The page in Debian's chromium: a served run that holds hostile text, and one file with a run's
data. Needs `pip install 'mtray[browser]'` and a chromium (`apt-get install chromium`)."""

import os
import shutil
import threading
import time
from contextlib import contextmanager

import pytest
from kept_outputs_factory import make_run
from records_factory import make_baselines, make_failed, make_pruned, make_record, make_study
from records_factory import make_run as make_records
from surface_factory import SPACE as SURFACE_SPACE
from surface_factory import make_run as make_surface_run

from mtray.control_requests import answers
from mtray.report.front_builder import build_front
from mtray.report.records import write_record
from mtray.report.static_page import front_page
from mtray.schema import Budget, Preference, Recipe
from mtray.search.ledger.live_progress import LiveProgress, RunningTrial, write_progress
from mtray.search.ledger.run_folder import locked
from mtray.serving.access import Access
from mtray.serving.app import App
from mtray.serving.http_server import listen
from mtray.serving.run_view import RunView

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
if CHROMIUM is None:
    pytest.skip("needs chromium: apt-get install chromium", allow_module_level=True)
playwright = pytest.importorskip(
    "playwright.sync_api", reason="needs playwright: pip install 'mtray[browser]'"
)

EVIL = '<script>hit=1</script><img src=x onerror=hit=1> "it\'s" \u202eמחשב\u2028 &amp;'
NAME = "<b onclick=hit=1>'mine\"\u202e"
WIDTHS = (1400, 1000, 420)
# parts of a card that reach beyond it, outside what scrolls by itself
BEYOND = """() => [...document.querySelectorAll('section')].filter(s => !s.hidden).flatMap(s => {
  const right = s.getBoundingClientRect().right;
  return [...s.querySelectorAll('*')].filter(e => !e.closest('svg, .scroll, .unseen, .badge') &&
    e.getBoundingClientRect().right > right + 1).map(e => e.outerHTML.slice(0, 120));
})"""
# controls that a screen reader cannot name
NAMELESS = """() => [...document.querySelectorAll(
    'button, a[href], input, select, svg[role], section')].filter(e => !e.closest('[hidden]') &&
  !(e.ariaLabel || e.textContent.trim() || e.closest('label')?.textContent.trim() ||
    [...(e.labels ?? [])].some(l => l.textContent.trim()))).map(e => e.outerHTML.slice(0, 120))"""
FOCUS = """() => { const e = document.activeElement,
  name = e.ariaLabel || e.textContent || e.labels?.[0]?.textContent || '';
  return [e.tagName, e.closest('section, header')?.id, name.trim().slice(0, 40)].join('|') }"""


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as driver:
        found = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield found
        found.close()


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory):
    """A run with hostile text wherever a person or a file may put some, of which a trial runs."""
    folder = make_run(tmp_path_factory.mktemp("served"))
    folder = folder.rename(folder.with_name(NAME))
    # too few recipes for a model of all, which takes long on a busy machine
    for number, ratio in ((10, 0.5), (11, 1.5)):
        recipe = Recipe(parallel_size=2000, mono_ratio=ratio)
        write_record(folder, make_record(number, 0.6 + ratio / 50, 0.9 - ratio / 20, recipe=recipe))
    for number in range(60, 91):
        write_record(folder, make_failed(number).model_copy(update={"reason": EVIL}))
    write_record(folder, make_pruned(91).model_copy(update={"reason": EVIL, "state": "stopped"}))
    return folder


@pytest.fixture(scope="module")
def address(run_dir):
    """A function that returns an address of the served run, with a token of its own."""
    server = listen(0)
    access = Access(server.port)
    server.respond = App([RunView(run_dir)], access).respond
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield lambda: f"http://127.0.0.1:{server.port}/?token={access.issue()}"
    server.shutdown()
    server.server_close()


def live(folder, **changes):
    """What a running sweep keeps in its folder, hostile, too."""
    curve = tuple((10 * i, 3 / (1 + i)) for i in range(1, 9))
    trials = (
        RunningTrial(number=95, state="training", since=1.0, step=80, steps=400, curve=curve),
        RunningTrial(number=96, state=EVIL),
    )
    write_progress(
        folder,
        LiveProgress(written=time.time(), finished=24, total=40, trials=trials, **changes),
    )


class Watched:
    """A page that notes what must not happen."""

    def __init__(self, browser, width, scheme="light"):
        self.context = browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme=scheme
        )
        self.page, self.hosts, self.wrong = self.context.new_page(), set(), []
        self.page.on("request", lambda r: self.hosts.add(r.url.split("/")[2].partition(":")[0]))
        self.page.on("console", lambda m: m.type == "error" and self.wrong.append(m.text))
        self.page.on("pageerror", lambda e: self.wrong.append(str(e)))

    def open(self, address, ready="#front .detail"):
        self.page.goto(address)
        self.page.wait_for_selector(ready, timeout=60_000)
        self.page.wait_for_timeout(500)  # charts are drawn in the next frame
        return self.page

    def picture(self, name):
        """Kept where `MTRAY_PICTURES` says, to be looked at."""
        if folder := os.environ.get("MTRAY_PICTURES"):
            self.page.screenshot(path=f"{folder}/{name}.png", full_page=True)

    def sound(self, hosts=("127.0.0.1",)):
        assert self.page.evaluate("typeof hit") == "undefined", "a script of the run ran"
        assert self.wrong == [] and self.hosts <= {*hosts}
        width = "document.documentElement.scrollWidth - innerWidth"
        assert self.page.evaluate(width) <= 0 and self.page.evaluate(BEYOND) == []


@contextmanager
def watched(browser, *options):
    found = Watched(browser, *options)
    try:
        yield found
    finally:
        found.context.close()


@pytest.mark.parametrize(
    "width, scheme", [(1400, "light"), (1000, "dark"), (420, "light"), (420, "dark")]
)
def test_a_hostile_run_at_three_widths(browser, run_dir, address, width, scheme):
    with watched(browser, width, scheme) as seen:
        live(run_dir, paused=True, until=2e9)
        page = seen.open(address())
        page.wait_for_selector("#running .cards li")
        page.locator("summary", has_text="Failed trials").click()
        page.select_option("#translations select >> nth=0", index=1)
        seen.picture(f"served-{width}-{scheme}")
        seen.sound()
        assert "<script>hit=1</script>" in page.inner_text("#notes"), "it is shown as text"
        assert page.evaluate(NAMELESS) == []
        dark = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (sum(map(int, dark[4:-1].split(","))) < 200) is (scheme == "dark")


def test_the_keyboard_reaches_every_control(browser, run_dir, address):
    with watched(browser, 1400) as seen:
        live(run_dir)
        page, reached = seen.open(address()), []
        page.wait_for_selector("#running .cards li")
        for _ in range(120):
            page.keyboard.press("Tab")
            reached.append(page.evaluate(FOCUS))
        found = "\n".join(reached)
        assert reached[0].endswith("Skip to the answer")
        for part in ("recipes by quality", "|running|Pause", "|running|Stop trial 95", "|trials|"):
            assert part in found, f"{part} is not reached"
        page.locator("#front svg[tabindex]").focus()
        page.keyboard.press("ArrowRight")
        assert page.locator("#tip").is_visible()
        page.keyboard.press("Escape")
        assert page.locator("#tip").is_hidden()


def test_controls_ask_the_sweep_and_stopping_is_confirmed(browser, run_dir, address):
    controls = pytest.importorskip("mtray.search.execution.controls", reason="needs Ray")
    from mtray.search.execution.searcher import Limits

    limits, stopped = Limits(40), []
    actions = controls.Actions(
        lambda: [95, 96], stopped.append, lambda budget, total: None, lambda text: None
    )
    with locked(run_dir), watched(browser, 420) as seen:
        acting = controls.Controls(run_dir, Budget(trials=40), limits, actions)
        acting.start()
        live(run_dir)
        page = seen.open(address())
        page.click("#running button:text('Pause')")
        page.wait_for_selector("text=no new trial starts until")
        assert limits.paused
        page.fill("#running input[type=number]", "3")
        page.click("#running button:text('Add')")
        page.wait_for_selector("text=the sweep ends after 43 trials")
        page.fill("#running input[type=text]", "soon")
        page.click("#running button:text('Set')")
        page.wait_for_selector("text=expected a time such as")
        asked = []
        page.once("dialog", lambda d: (asked.append(d.message), d.dismiss()))
        page.click("text=Stop trial 95")
        assert "its training so far is lost" in asked[0].lower() and stopped == []
        page.once("dialog", lambda d: d.accept())
        page.click("text=Stop trial 95")
        page.wait_for_selector("text=trial 95 ends at its next step")
        acting.stop()
        assert stopped == [95] and {a.request.by for a in answers(run_dir)} == {"page"}
        page.wait_for_selector("text=Requests to the running sweep (3)")
        seen.picture("controls-420")
        assert [text for text in seen.wrong if "409" not in text] == []


def test_a_part_that_cannot_be_drawn_is_not_a_server_that_does_not_answer(browser, address):
    with watched(browser, 1000) as seen:
        broken = '{"value": {"objectives": [], "points": 3, "study": "x"}}'
        seen.page.route("**/front?*", lambda route: route.fulfill(body=broken))
        page = seen.open(address(), "#alerts .error")
        page.wait_for_selector("#trials tbody tr:not(.gap)")  # the other parts are there
        said = page.locator("#alerts").inner_text()
        assert "of this page could not be drawn (TypeError" in said
        assert "does not answer" not in said
        page.route("**/api/**", lambda route: route.abort())
        page.wait_for_selector("text=The server does not answer")


def test_a_segment_has_an_address(browser, run_dir, address):
    with watched(browser, 1000) as seen:
        page = seen.open(address())
        page.locator("#translations").scroll_into_view_if_needed()
        link = page.locator("#translations .segments a").first
        link.wait_for()
        link.click()
        there = page.url
        assert "segment=" in there or "#" in there
        page.goto("about:blank")
        page.goto(there)
        page.wait_for_selector("#translations li.linked", timeout=30_000)
        seen.picture("segment-1000")


def test_it_prints_what_is_to_be_read(browser, run_dir, address):
    with watched(browser, 1000) as seen:
        live(run_dir)
        page = seen.open(address())
        page.emulate_media(media="print")
        for hidden in (".controls", "button.stop", "#trials .bar label", "#translations .bar"):
            assert page.locator(hidden).first.is_hidden(), hidden
        assert page.locator("#trials tbody tr:not(.gap)").count() > 20
        assert page.pdf()[:5] == b"%PDF-"


KEPT = {
    "baselines alone": make_baselines,
    "the base model alone": lambda: make_baselines()[:1],
    "hostile": lambda: [*make_records(30), make_failed(90).model_copy(update={"reason": EVIL})],
}


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("kind", KEPT)
def test_a_static_page_opens_from_disk(browser, tmp_path, kind, width):
    records = KEPT[kind]()
    front = build_front(records, make_study(model=EVIL), tmp_path / NAME)
    file = tmp_path / "front.html"
    file.write_text(front_page(front, records), encoding="utf-8")
    with watched(browser, width) as seen:
        page = seen.open(file.as_uri())
        seen.picture(f"kept-{kind.replace(' ', '-')}-{width}")
        seen.sound(hosts=("",))
        shown = page.inner_text("body").split()
        assert not {"false", "undefined", "null", "NaN"} & {*shown}
        assert page.evaluate(NAMELESS) == [] and page.locator("#running").is_hidden()


def test_the_chart_shows_what_the_study_prefers(browser, tmp_path):
    """A limit of retention shades the lower part of the chart up to it, and with weights a line
    goes through the answer."""
    run = make_surface_run(4, noise=0.002, seed=3)
    prefer = {"retention": Preference(at_least=0.95), "quality": Preference(weight=(1, 3))}
    front = build_front(
        run.records, make_study(prefer=prefer), tmp_path / NAME, run.draws, None, SURFACE_SPACE
    )
    file = tmp_path / "front.html"
    file.write_text(front_page(front), encoding="utf-8")
    with watched(browser, 1000) as seen:
        page = seen.open(file.as_uri())
        seen.picture("kept-preferred-1000")
        assert page.locator("#front svg rect.missed").count() == 1
        assert page.locator("#front svg line.equal").count() == 3
        legend = page.inner_text("#front .legend")
        assert "misses retention at least 0.95" in legend
        assert "dotted: worth as much as the answer" in legend
        page.locator("#front select").first.select_option("retention")
        page.locator("#front select").nth(1).select_option("quality")
        page.wait_for_timeout(300)
        shade = page.locator("#front svg rect.missed").bounding_box()
        assert shade["height"] > 0.7 * page.locator("#front svg").first.bounding_box()["height"]
        assert page.locator("#front svg line.equal").count() == 3
