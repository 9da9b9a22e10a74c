"""Chat templates that want out, or want everything: each ends soon, with the key and the line."""
# ruff: noqa: E501, UP034  (templates are one line each)

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from vatra.errors import BadFile, UsageError, VatraError
from vatra.formats import chat_template
from vatra.formats.chat_template import ChatTemplate
from vatra.formats.sandbox import FILTERS
from vatra.formats.template_process import TemplateProcess

ROOT = Path(__file__).resolve().parents[1]
USER = [{"role": "user", "content": "hello"}]


def show(source: str, messages: Any = USER) -> str:
    template = ChatTemplate(source, "<s>", "</s>", path="m.gguf")
    return "".join(segment.text for segment in template.render(messages))


# --- a way out of the sandbox

ESCAPES = [
    "{{ ''.__class__ }}",
    "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "{{ ''['__class__'] }}",
    "{{ ''|attr('__class__') }}",
    "{{ ''|attr('format')('{0.__class__}') }}",
    "{{ ().__class__.__base__.__subclasses__() }}",
    "{{ [].__class__.__base__ }}",
    "{{ {}.__class__ }}",
    "{{ (1).__class__ }}",
    "{{ messages.__class__ }}",
    "{{ messages[0].__init__ }}",
    "{{ messages[0].content.__add__('x') }}",
    "{{ '{0.__class__}'.format('') }}",
    "{{ '{0[__class__]}'.format('') }}",
    "{{ '{x.__class__.__mro__}'.format(x='') }}",
    "{{ '{0.__class__}'.format_map({'0': ''}) }}",
    "{{ '%s' | format(''.__class__) }}",
    "{{ ['{0.__class__}'] | map('format', '') | list }}",
    "{{ ['a'] | map(attribute='__class__') | list | first }}",
    "{{ ['a'] | map('attr', '__class__') | list }}",
    "{{ ['a'] | groupby('__class__') }}",
    "{{ ['a'] | sort(attribute='__class__') }}",
    "{{ ['a'] | sum(attribute='__class__') }}",
    "{{ ['a'] | selectattr('__class__') | list | first | upper ~ nothing.x }}",
    "{{ cycler.__init__.__globals__ }}",
    "{{ joiner.__init__.__globals__.os }}",
    "{{ lipsum.__globals__['os'].popen('touch PWNED') }}",
    "{{ self.__init__.__globals__ }}",
    "{{ self._TemplateReference__context }}",
    "{{ namespace.__init__.__globals__ }}",
    "{{ namespace().__class__ }}",
    "{{ namespace.mro() }}",
    "{{ dict.__base__ }}",
    "{{ dict.mro() }}",
    "{{ range.__globals__ }}",
    "{{ range.__code__ }}",
    "{{ raise_exception.__globals__ }}",
    "{{ strftime_now.__code__.co_consts }}",
    "{% macro f() %}{% endmacro %}{{ f.__call__.__globals__ }}",
    "{% macro f() %}{% endmacro %}{{ f._func.__globals__ }}",
    "{% for i in [1] %}{{ loop.__init__.__globals__ }}{% endfor %}",
    "{% for i in [1] %}{{ loop._iterable.gi_frame }}{% endfor %}",
    "{{ (messages | map('upper')).gi_frame.f_globals }}",
    "{{ nothing.__class__.__init__ }}",
    "{{ nothing._fail_with_undefined_error.__globals__ }}",
    "{{ config.items() }}",
    "{{ get_flashed_messages.__globals__ }}",
    "{{ request.application.__globals__ }}",
    "{{ __import__('os').system('touch PWNED') }}",
    "{{ open('PWNED', 'w') }}",
    "{{ eval('1') }}",
    "{% include '/etc/passwd' %}",
    "{% import 'os' as os %}",
    "{% from 'os' import system %}",
    "{% extends 'base' %}",
    "{% do messages.append(1) %}",
    "{% set _ = messages.append(1) %}",
    "{% set _ = messages.clear() %}",
    "{% set _ = messages[0].update({'role': 'system'}) %}",
    "{% set _ = messages[0].pop('role') %}",
    "{{ messages.sort() }}",
    "{{ environment }}{{ context.environment.x }}",
]


@pytest.mark.parametrize("source", ESCAPES)
def test_no_way_out(source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    messages = [{"role": "user", "content": "hello"}]
    with pytest.raises(BadFile, match=r"^m\.gguf: tokenizer\.chat_template line 2: "):
        show("\n" + source, messages)
    assert not list(tmp_path.iterdir())
    assert messages == USER


# --- too much of everything

BOMBS = {
    "nested ranges": "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
    "range": "{% for a in range(1000000) %}{% endfor %}",
    "range huge": "{{ range(10**100)|list }}",
    "power": "{{ 3**30000000 }}",
    "power neg": "{{ (-3)**30000000 }}",
    "str mul": "{{ 'a'*10**10 }}",
    "str mul left": "{{ 10**10*'a' }}",
    "list mul": "{{ [1]*10**9 }}",
    "percent width": "{{ '%2000000000d' % 1 }}",
    "percent star": "{{ '%*d' % (2000000000, 1) }}",
    "percent precision": "{{ '%.2000000000f' % 1 }}",
    "percent amp": "{% set x = 'a'*1000000 %}{{ '%s%s%s%s%s%s%s%s' % (x,x,x,x,x,x,x,x) }}",
    "format width": "{{ '{:2000000000d}'.format(1) }}",
    "format nested width": "{{ '{:{}}'.format('a', 2000000000) }}",
    "format kw": "{{ '{x:>{w}}'.format(x='a', w='2000000000') }}",
    "format amp": "{% set x = 'a'*1000000 %}{{ ('{0}'*1000000).format(x) }}",
    "center": "{{ 'a'.center(2000000000) }}",
    "ljust": "{{ 'a'.ljust(2000000000) }}",
    "zfill": "{{ 'a'.zfill(2000000000) }}",
    "doubling": "{% set ns = namespace(x='a') %}{% for i in range(40) %}{% set ns.x = ns.x + ns.x %}{% endfor %}{{ ns.x }}",
    "tilde doubling": "{% set ns = namespace(x='a') %}{% for i in range(40) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}",
    "join doubling": "{% set ns = namespace(x='a') %}{% for i in range(40) %}{% set ns.x = [ns.x,ns.x]|join %}{% endfor %}",
    "replace": "{% set ns = namespace(x='a') %}{% for i in range(40) %}{% set ns.x = ns.x.replace('a','aa') %}{% endfor %}",
    "replace filter": "{% set ns = namespace(x='a') %}{% for i in range(40) %}{% set ns.x = ns.x|replace('','aa') %}{% endfor %}",
    "list doubling": "{% set ns = namespace(x=[1]) %}{% for i in range(40) %}{% set ns.x = ns.x + ns.x %}{% endfor %}",
    "laughs": "{% set ns = namespace(x=['lol']) %}{% for i in range(40) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ ns.x }}",
    "laughs tojson": "{% set ns = namespace(x=['lol']) %}{% for i in range(40) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ ns.x|tojson }}",
    "laughs compare": "{% set a = namespace(x=['lol']) %}{% set b = namespace(x=['lol']) %}{% for i in range(40) %}{% set a.x = [a.x, a.x] %}{% set b.x = [b.x, b.x] %}{% endfor %}{{ a.x == b.x }}",
    "laughs hash": "{% set a = namespace(x=('lol',)) %}{% for i in range(40) %}{% set a.x = (a.x, a.x) %}{% endfor %}{{ {a.x: 1} }}",
    "laughs getitem": "{% set d = {} %}{% set a = namespace(x=('lol',)) %}{% for i in range(40) %}{% set a.x = (a.x, a.x) %}{% endfor %}{{ d[a.x] }}",
    "laughs get": "{% set d = {} %}{% set a = namespace(x=('lol',)) %}{% for i in range(40) %}{% set a.x = (a.x, a.x) %}{% endfor %}{{ d.get(a.x) }}",
    "laughs in": "{% set d = {} %}{% set a = namespace(x=('lol',)) %}{% for i in range(40) %}{% set a.x = (a.x, a.x) %}{% endfor %}{{ a.x in d }}",
    "laughs test": "{% set a = namespace(x=('lol',)) %}{% set b = namespace(x=('lol',)) %}{% for i in range(40) %}{% set a.x = (a.x, a.x) %}{% set b.x = (b.x, b.x) %}{% endfor %}{{ a.x is eq(b.x) }}",
    "laughs unique": "{% set a = namespace(x=('lol',)) %}{% for i in range(40) %}{% set a.x = (a.x, a.x) %}{% endfor %}{{ [a.x]|unique|list }}",
    "laughs sort": "{% set a = namespace(x=('lol',)) %}{% set b = namespace(x=('lol',)) %}{% for i in range(40) %}{% set a.x = (a.x, a.x) %}{% set b.x = (b.x, b.x) %}{% endfor %}{{ [a.x,b.x]|sort|length }}",
    "laughs lower": "{% set a = namespace(x=('lol',)) %}{% for i in range(40) %}{% set a.x = (a.x, a.x) %}{% endfor %}{{ a.x is lower }}",
    "laughs changed": "{% set a = namespace(x=('lol',)) %}{% set b = namespace(x=('lol',)) %}{% for i in range(40) %}{% set a.x = (a.x, a.x) %}{% set b.x = (b.x, b.x) %}{% endfor %}{% for i in [a.x,b.x] %}{{ loop.changed(i) }}{% endfor %}",
    "laughs namespace": "{% set a = namespace(x='lol') %}{% for i in range(40) %}{% set a = namespace(x=[a,a]) %}{% endfor %}{% set ns=namespace(v=a) %}{% for i in range(60) %}{% set ns.v = namespace(x=[ns.v,ns.v]) %}{% endfor %}{{ ns.v }}{{ [ns.v] }}",
    "deep list": "{% set ns = namespace(x=[]) %}{% for i in range(100000) %}{% set ns.x = [ns.x] %}{% endfor %}{{ ns.x }}",
    "macro recursion": "{% macro f(n) %}{{ f(n+1) }}{% endmacro %}{{ f(0) }}",
    "macro fork": "{% macro f(n) %}{% if n %}{{ f(n-1) }}{{ f(n-1) }}{% endif %}{% endmacro %}{{ f(60) }}",
    "caller recursion": "{% macro f() %}{% call f() %}{{ caller() }}{% endcall %}{% endmacro %}{{ f() }}",
    "loop recursion": "{% for i in [1] recursive %}{{ loop([1]) }}{% endfor %}",
    "parens": "{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}",
    "nots": "{{ " + "not " * 50000 + "1 }}",
    "attrs": "{{ a" + ".b" * 60000 + " }}",
    "ifs": "{% if 1 %}" * 200 + "{% endif %}" * 200,
    "fors": "{% for i in [1] %}" * 30 + "{% endfor %}" * 30,
    "big loop body": "{% for i in range(100000) %}" + "x" * 100000 + "{% endfor %}",
    "body into set": "{% set y %}{% for i in range(100000) %}"
    + "x" * 100000
    + "{% endfor %}{% endset %}",
    "macro body": "{% macro f() %}"
    + "x" * 100000
    + "{% endmacro %}{% for i in range(100000) %}{{ f() }}{% endfor %}",
    "slow body": "{% for i in range(100000) %}" + "{{ i }}" * 20000 + "{% endfor %}",
    "slow expr": "{% for i in range(100000) %}{% set x = "
    + "+".join(["i"] * 2000)
    + " %}{% endfor %}",
    "loop filter": "{% for a in range(100000) %}{% for b in range(100000) if b < 0 %}{% endfor %}{% endfor %}",
    "in list": "{% set l = range(100000)|list %}{% for a in range(100000) %}{% if 'x' in l %}{% endif %}{% endfor %}",
    "list filter": "{% set l = range(100000)|list %}{% for a in range(100000) %}{% set x = l|list %}{% endfor %}",
    "keep lists": "{% set ns = namespace(x=0) %}{% for a in range(100000) %}{% set ns.x = [ns.x, range(100000)|list] %}{% endfor %}",
    "keep dicts": "{% set ns = namespace(x=0) %}{% for a in range(100000) %}{% set ns.x = [ns.x, {"
    + ",".join(f"'{i}':{i}" for i in range(5000))
    + "}] %}{% endfor %}",
    "keep slices": "{% set l='a'*4000000 %}{% set ns = namespace(x=0) %}{% for a in range(100000) %}{% set ns.x = [ns.x, l[1:]] %}{% endfor %}",
    "split": "{{ ('a '*2000000).split()|length }}",
    "split chars": "{{ ('ab,'*1300000).split(',')|length }}",
    "rfind": "{% set s='a'*4000000 %}{{ s.rfind('b'+'a'*2000000) }}",
    "rsplit": "{% set s='a'*4000000 %}{{ s.rsplit('b'+'a'*2000000)|length }}",
    "strip": "{% set s='a'*2000000 %}{{ (s+'b').strip('b'*2000000+'a') }}",
    "indent": "{{ 'a\nb'|indent(2000000000) }}",
    "indent lines": "{{ ('\n'*2000000)|indent(10000, true, true) }}",
    "tojson indent": "{{ [1,2]|tojson(indent=2000000000) }}",
    "tojson indent str": "{{ ([1]*100000)|tojson(indent='x'*1000000) }}",
    "tojson indent deep": "{% set ns=namespace(x=[1]*1000) %}{% for i in range(60) %}{% set ns.x=[ns.x] %}{% endfor %}{{ ns.x|tojson(indent=9999) }}",
    "round": "{{ 1.5|round(1000000000,'floor') }}",
    "strftime": "{{ strftime_now('%2000000000d') }}",
    "strftime2": "{{ strftime_now('%Y'*100000000) }}",
    "hex literal": "{{ 0x" + "f" * 200000 + " * 2 }}",
    "big literal": "{{ " + "9" * 200000 + " }}",
    "sum lists": "{{ (range(50000)|map('string')|map('list')|list)|sum(start=[]) }}",
    "batch": "{{ [1]|batch(1000000000,'x')|list }}",
    "slice": "{{ [1]|slice(1000000000)|list }}",
    "lipsum": "{{ lipsum(n=20000) }}",
    "wordwrap": "{{ ('a '*1000000)|wordwrap(1) }}",
    "pprint": "{{ [1]|pprint }}",
    "too long": "x" * 300000,
    "outputs": "{{a}}" * 50000,
    "many macros": "".join("{% macro m" + str(i) + "() %}{% endmacro %}" for i in range(7000)),
    "big out": "{{ 'a'*4000000 }}{{ 'a'*4000000 }}",
    "error text": "{{ raise_exception('a'*4000000) }}",
    "comments": "{#" * 100000,
    "opens": "{{" * 100000,
    "blocks": "{%" * 100000,
    "strings": "{{ '" + "\\\\'" * 100000,
    "namespaces": "{% set ns=namespace(x=0) %}{% for i in range(199999) %}"
    + "{% set ns.x=namespace(x=ns.x) %}" * 20
    + "{% endfor %}",
    "macro args": "{% macro f(a) %}{% endmacro %}{% for i in range(100000) %}{{ f("
    + ",".join(["1"] * 20000)
    + ") }}{% endfor %}",
    "splat": "{% set l=range(100000)|list %}{% macro f() %}{{ varargs|length }}{% endmacro %}{% for i in range(100000) %}{{ f(*l) }}{% endfor %}",
    "chars": "{% for c in 'a'*4000000 %}{% endfor %}",
    "title": "{% for i in range(100000) %}{% set x=('ß'*4000000)|upper %}{% endfor %}",
    "groupby": "{% for i in range(1000) %}{{ (range(100000)|list)|groupby('real')|length }}{% endfor %}",
    "contains": "{% set s='a'*2000000 %}{% for i in range(100000) %}{% if ('a'*1999999+'b') in s %}{% endif %}{% endfor %}",
    "nonascii": "{% set ns=namespace(x='😀'*1000000) %}{% for i in range(1000) %}{% set ns.x=[ns.x, '😀'*1000000 + 'b'] %}{% endfor %}",
    "truediv": "{{ (10**1000)/3 }}{{ (2**4000) * (2**4000) }}",
    "neg": "{% set ns=namespace(x=1) %}{% for i in range(100000) %}{% set ns.x = ns.x + ns.x %}{% endfor %}",
}

HARMLESS = {"split", "split chars", "rfind", "rsplit", "chars", "strftime"}  # and so may succeed
DEADLINE_S = 0.5


def test_bombs() -> None:
    """Each ends in time, in a process that can not have more memory."""
    own = threading.local()

    def run(source: str) -> tuple[str, float]:
        if not hasattr(own, "process"):
            own.process = TemplateProcess(DEADLINE_S)
        begin = time.monotonic()
        try:
            template = ChatTemplate(source, path="m.gguf", process=own.process)
            rendered = template.render([{"role": "user", "content": "x"}])
            error = f"{sum(len(segment.text) for segment in rendered)} characters"
        except (BadFile, UsageError) as raised:
            error = str(raised)
        return error, time.monotonic() - begin

    with ThreadPoolExecutor(4) as threads:
        start_s = max(seconds for _, seconds in threads.map(run, ["x"] * 4))
        results = dict(zip(BOMBS, threads.map(run, BOMBS.values()), strict=True))
    for name, (error, seconds) in results.items():
        assert error.startswith("m.gguf: tokenizer.chat_template") or name in HARMLESS, name
        assert "crash" not in error and len(error) < 400, (name, error)
        # it and the start of another process, on a machine that may be busy
        assert seconds <= max(2.5, DEADLINE_S + 4 * start_s), (name, seconds, start_s)


def test_too_large() -> None:
    with pytest.raises(BadFile, match="has 300000 bytes, wanted at most 262144"):
        ChatTemplate("x" * 300_000)


def test_a_long_conversation_is_no_bomb() -> None:
    source = chat_template.CHATML
    messages = [{"role": "user", "content": "word " * 200} for _ in range(1000)]
    assert len(show(source, messages)) > 1_000_000


# --- the process


def status(pid: int) -> dict[str, str]:
    text = Path(f"/proc/{pid}/limits").read_text()
    return {line[:26].strip(): line[26:].split()[0] for line in text.splitlines()[1:]}


@pytest.fixture
def process() -> Iterator[TemplateProcess]:
    made = TemplateProcess(DEADLINE_S)
    made.ask({"source": "", "renderings": []})
    yield made
    made.close()


def pid_of(process: TemplateProcess) -> int:
    assert process._child is not None
    return process._child.pid


@pytest.mark.skipif(not Path("/proc/self/limits").exists(), reason="needs /proc")
def test_the_process_has_no_rights(process: TemplateProcess) -> None:
    pid = pid_of(process)
    limits = status(pid)
    assert int(limits["Max address space"]) < 400 * 2**20
    assert limits["Max open files"] == "3"
    assert limits["Max file size"] == limits["Max processes"] == "0"
    assert sorted(p.name for p in Path(f"/proc/{pid}/fd").iterdir()) == ["0", "1", "2"]
    assert b"HOME" not in Path(f"/proc/{pid}/environ").read_bytes()
    assert Path(f"/proc/{pid}/cwd").readlink() == Path("/")


@pytest.mark.parametrize(
    "code",
    [
        "open('PWNED', 'w')",
        "open('/etc/passwd')",
        "os.open('PWNED', os.O_CREAT | os.O_WRONLY)",
        "os.system('touch PWNED')",
        "subprocess.run(['touch', 'PWNED'])",
        "os.posix_spawn('/bin/sh', ['sh', '-c', 'touch PWNED'], {})",
        "os.fork()",
        "os.execv('/bin/sh', ['sh', '-c', 'touch PWNED'])",
        "os.mkdir('PWNED')",
        "os.rename('here', 'PWNED')",
        "os.remove('here')",
        "os.kill(os.getppid(), 0)",
        "socket.create_connection(('127.0.0.1', 9))",
        "__import__('ctypes')",
    ],
)
def test_code_that_got_out_can_do_nothing(code: str, tmp_path: Path) -> None:
    (tmp_path / "here").touch()
    program = (
        f"import os, socket, subprocess, sys\nsys.path.insert(0, {str(ROOT)!r})\n"
        "from vatra.formats.template_worker import _give_up_rights\n"
        f"_give_up_rights()\ntry:\n    {code}\nexcept PermissionError as error:\n    print(error)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=tmp_path
    )
    assert "is not allowed" in done.stdout, done.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["here"]


def test_after_a_crash_another_process_starts(process: TemplateProcess) -> None:
    template = ChatTemplate("{{ messages[0].content }}", path="m.gguf", process=process)
    before = pid_of(process)
    os.kill(before, signal.SIGKILL)
    time.sleep(0.1)
    assert template.render(USER)[0].text == "hello"
    assert pid_of(process) != before


def test_a_crash_is_the_files_error(process: TemplateProcess) -> None:
    slow = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"
    template = ChatTemplate(slow, path="m.gguf", process=process)
    threading.Timer(0.1, os.kill, (pid_of(process), signal.SIGKILL)).start()
    with pytest.raises(BadFile, match=r"^m.gguf: tokenizer.chat_template: makes its process crash"):
        template.render(USER)


def test_an_interrupted_question_is_not_answered_later(
    process: TemplateProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    template = ChatTemplate("{{ messages[0].content }}", process=process)

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(json, "loads", interrupted)
        with pytest.raises(KeyboardInterrupt):
            template.render(USER)
    other = [{"role": "user", "content": "other"}]
    assert [s.text for s in template.render(other)] == ["other"]


def test_the_process_ends_with_its_parent() -> None:
    program = (
        f"import sys, time; sys.path.insert(0, {str(ROOT)!r})\n"
        "from vatra.formats.template_process import SHARED\n"
        "SHARED.ask({'source': '', 'renderings': []})\n"
        "print(SHARED._child.pid, flush=True)\ntime.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        os.kill(pid, 0)
        parent.kill()
    for _ in range(50):
        if not Path(f"/proc/{pid}").exists() or "zombie" in Path(f"/proc/{pid}/status").read_text():
            return
        time.sleep(0.1)
    pytest.fail("it still runs")


def test_the_parent_does_not_load_jinja2() -> None:
    program = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r})\n"
        "from vatra.formats.chat_template import ChatTemplate\n"
        "ChatTemplate('x').render([])\nprint(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert "vatra.formats.template_process" in done.stdout.split()
    assert not {"jinja2", "numba", "gguf"} & set(done.stdout.split())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_after_a_fork_each_has_its_own_process(process: TemplateProcess) -> None:
    template = ChatTemplate("{{ messages[0].content }}", process=process)
    child = os.fork()
    if child == 0:
        status = 1
        try:
            status = 0 if template.render(USER)[0].text == "hello" else 2
        finally:
            process.close()
            os._exit(status)
    assert template.render([{"role": "u", "content": "mine"}])[0].text == "mine"
    assert os.waitpid(child, 0)[1] == 0


def test_no_process_is_a_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(VatraError, match="chat templates need a process, which fails"):
        ChatTemplate("x", process=TemplateProcess())


def test_every_filter_works_without_rights(process: TemplateProcess) -> None:
    """None of them needs a module that was not loaded before."""
    for name in sorted(FILTERS):
        arguments = {"batch": "2", "slice": "2", "groupby": "'a'", "replace": "'a', 'b'", "map": "'int'",
                     "center": "9", "rejectattr": "'a'", "selectattr": "'a'", "format": "1"}.get(name)  # fmt: skip
        for value in ("'abc'", "[1, 2]", "{'a': 1}", "1.5"):
            call = f"{{{{ ({value} | {name}{f'({arguments})' if arguments else ''}) | string }}}}"
            try:
                ChatTemplate(call, process=process).render([])
            except BadFile as error:
                assert "is not allowed" not in str(error), call
