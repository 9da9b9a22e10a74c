"""Chat templates that want out, or want everything: each ends soon, with the key and the line."""
# ruff: noqa: E501, UP034  (templates are one line each)

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from vatra.errors import BadFile
from vatra.formats import chat_template
from vatra.formats.chat_template import ChatTemplate

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
    "{{ dict.fromkeys('ab') }}",
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
    "{% block a %}{% endblock %}",
    "{% autoescape true %}{% endautoescape %}",
    "{% do messages.append(1) %}",
    "{% set _ = messages.append(1) %}",
    "{% set _ = messages.clear() %}",
    "{% set _ = messages[0].update({'role': 'system'}) %}",
    "{% set _ = messages[0].pop('role') %}",
    "{{ messages.sort() }}",
    "{{ 'a'.encode() }}",
    "{{ 'a'.translate({}) }}",
    "{{ 'a'.maketrans('a', 'b') }}",
    "{{ (1).to_bytes(10) }}",
    "{{ (1.5).hex() }}",
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


# --- too much of everything; run in a process of its own, where memory can be measured

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

BOMB_RUN = """
import json, resource, sys, time
from vatra.errors import VatraError
from vatra.formats.chat_template import ChatTemplate
for name, source in json.load(sys.stdin).items():
    begin = time.process_time()
    error = None
    try:
        ChatTemplate(source, path="m.gguf").render([{"role": "user", "content": "x"}])
    except VatraError as raised:
        error = str(raised)
    seconds = time.process_time() - begin
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps([name, error, seconds, peak]), flush=True)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs the resource module")
def test_bombs() -> None:
    done = subprocess.run(
        [sys.executable, "-c", BOMB_RUN],
        input=json.dumps(BOMBS),
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    results = [json.loads(line) for line in done.stdout.splitlines()]
    assert [name for name, *_ in results] == list(BOMBS)
    unit = 1 if sys.platform == "darwin" else 1024
    for name, error, seconds, peak in results:
        assert error is not None, name
        assert error.startswith("m.gguf: tokenizer.chat_template"), (name, error)
        assert len(error) < 400, name
        assert seconds <= 2.0, (name, seconds)
        assert peak * unit <= 300 * 2**20, (name, peak)


def test_too_large() -> None:
    with pytest.raises(BadFile, match="has 300000 bytes, wanted at most 262144"):
        ChatTemplate("x" * 300_000)


def test_a_long_conversation_is_no_bomb() -> None:
    source = chat_template.CHATML
    messages = [{"role": "user", "content": "word " * 200} for _ in range(1000)]
    begin = time.process_time()
    assert len(show(source, messages)) > 1_000_000
    assert time.process_time() - begin < 1
