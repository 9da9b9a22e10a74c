"""Answers of a given form: what they may be, and that they always are."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import vatra
from vatra.engine.constraint import Constraint, Grammar
from vatra.errors import UsageError
from vatra.formats.answer_syntax import FAMILIES, PLAIN, THINKING, Syntax
from vatra.formats.answers import Answer

PERSON: dict[str, Any] = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 12},
        "age": {"type": "integer", "minimum": 0, "maximum": 120},
        "kind": {"enum": ["cat", "dog"]},
        "likes": {"type": "array", "items": {"type": "boolean"}, "maxItems": 3},
    },
    "required": ["name", "age", "kind", "likes"],
    "additionalProperties": False,
}


@pytest.fixture(scope="module")
def spark() -> Iterator[vatra.Model]:
    with vatra.load() as model:
        yield model


def allows(model: vatra.Model, grammar: Grammar, text: str) -> bool:
    """Whether `text`, then the end, is what the grammar allows, token by token."""
    tokenizer = model.tokenizer
    constraint = Constraint(grammar, tokenizer, model.plan.n_vocab)
    for token in tokenizer.encode(text, bos=False, special=False):
        if not constraint.allowed()[token]:
            return False
        constraint.accept(token)
    return constraint.is_complete or any(constraint.allowed()[i] for i in tokenizer.eog_ids)


@pytest.mark.parametrize(
    ("grammar", "good", "bad"),
    [
        (r'root ::= "a\x41\u00e9"', ["aA\u00e9"], ["aA", "aAe"]),
        (r'root ::= [^"\\\x7F\x00-\x1F]+', ["abc", "~ \u00e9"], ['a"', "a\n"]),
        (r"root ::= [a\]b]+", ["a]b"], ["[", "c"]),
        (r"root ::= [a/b\-]{2,3}", ["a/", "a-b"], ["a", "a-ba", "ac"]),
        ('root ::= expr\nexpr ::= "(" expr ")" | "x"', ["((x))"], ["((x)", "x)"]),
        ('root ::= ("a" | "b")+ # a comment with "quotes"', ["abab"], ["abc"]),
        ('root ::= a-word ws\na-word ::= "x"\nws ::= [ \\t\\n]*', ["x", "x \n"], [" x"]),
        ('root ::= "." .', [".\n", "..", ".\u3042"], ["a.", "."]),
        (r"root ::= [\u3041-\u3093]+", ["\u3072\u3089\u304c\u306a"], ["hi"]),
        (r'root ::= "\U0001F600"', ["\U0001f600"], ["\U0001f601"]),
        ('root ::= "a"? "b"*\n', ["", "a", "abb"], ["aa", "ba"]),
    ],
)
def test_gbnf(spark: vatra.Model, grammar: str, good: list[str], bad: list[str]) -> None:
    read = Grammar.gbnf(grammar)
    assert [text for text in good if not allows(spark, read, text)] == []
    assert [text for text in bad if allows(spark, read, text)] == []


def test_json_schema(spark: vatra.Model) -> None:
    read = Grammar.json_schema(PERSON)
    whole = {"name": "Mia", "age": 7, "kind": "cat", "likes": [True, False]}
    assert allows(spark, read, json.dumps(whole))
    assert allows(spark, read, json.dumps(whole, indent=2))
    for wrong in ({"age": "7"}, {"age": 121}, {"kind": "cow"}, {"likes": [1]}, {"more": 1}):
        assert not allows(spark, read, json.dumps({**whole, **wrong}))
    assert not allows(spark, read, json.dumps(whole)[:-1])
    assert not allows(spark, read, '{"name":' + " " * 40 + '"Mia"')  # as some would for ever


def test_regex_and_any_json(spark: vatra.Model) -> None:
    assert allows(spark, Grammar.regex(r"\d{3}-[a-z]+"), "123-abc")
    assert not allows(spark, Grammar.regex(r"\d{3}-[a-z]+"), "12-abc")
    assert allows(spark, Grammar.json(), '{"a": [1, null, {"b": "c"}]}')
    assert not allows(spark, Grammar.json(), "[1]")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Grammar.gbnf(""), "grammar: No 'root' rule"),
        (lambda: Grammar.gbnf("root ::= missing"), "'missing' not found"),
        (lambda: Grammar.gbnf('root ::= "a'), "Unexpected end of input at line 1"),
        (lambda: Grammar.gbnf('root ::= "a"\nb := "c"'), "line 2"),
        (lambda: Grammar.gbnf(r'root ::= "\q"', "my.gbnf"), r"my.gbnf: Invalid escape sequence \q"),
        (lambda: Grammar.gbnf(r'root ::= "\UFFFFFFFF"'), "no character"),
        (lambda: Grammar.gbnf("root ::= " + "(" * 5000 + '"a"' + ")" * 5000), "too deeply"),
        (lambda: Grammar.json_schema("{"), "JSON schema: not JSON"),
        (lambda: Grammar.json_schema("[" * 100_000), "JSON schema: not JSON"),
        (lambda: Grammar.json_schema("[]"), "wanted an object"),
        (lambda: Grammar.json_schema({"type": "nonsense"}), "Invalid type: nonsense"),
        (lambda: Grammar.json_schema({"$ref": "http://x.example/y"}), "x.example"),
        (lambda: Grammar.json_schema({"type": "string", "pattern": "("}), "regex parse error"),
        (lambda: Grammar.json_schema({"not": {"type": "string"}}), 'Unimplemented keys: ["not"]'),
        (lambda: Grammar.regex("("), "regular expression"),
    ],
)
def test_what_can_not_be_read_is_said(
    make: Callable[[], Grammar], message: str, spark: vatra.Model
) -> None:
    with pytest.raises(UsageError) as error:
        Constraint(make(), spark.tokenizer, spark.plan.n_vocab).allowed()
    assert message in str(error.value)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 400


@pytest.mark.parametrize("rule", ['"a"{1000000}', '"a" root | root "b"'])
def test_a_grammar_too_large_to_follow_is_said(spark: vatra.Model, rule: str) -> None:
    with pytest.raises(UsageError, match="Too many items"):
        allows(spark, Grammar.gbnf(f"root ::= {rule}"), "aa")


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet='rot:=" []()|*+?{},-^\\xuU09azé.#\n', max_size=60))
def test_no_text_breaks_the_reading_of_grammars(text: str) -> None:
    try:
        Grammar.gbnf(f"root ::= {text}")
    except UsageError as error:
        assert "\n" not in str(error)


@pytest.mark.parametrize("seed", range(12))
def test_answers_have_the_form(spark: vatra.Model, seed: int) -> None:
    """However unlikely what is allowed, what is written can be parsed."""
    grammar = Grammar.json_schema(PERSON)
    steps = spark.generate(
        "The cat said", temperature=1.5, top_k=0, top_p=1, min_p=0, seed=seed, grammar=grammar
    )
    for _ in steps:
        pass
    found = json.loads(steps.text)
    assert set(found) == set(PERSON["required"])
    assert len(found["name"]) <= 12
    assert found["age"] in range(121)
    assert found["kind"] in ("cat", "dog")
    assert steps.finish_reason in ("stop", "eog")


def test_greedy_takes_the_likeliest_that_is_allowed(spark: vatra.Model) -> None:
    grammar = Grammar.gbnf('root ::= "blue" | "green" | "zebra"')
    prompt = "Tom saw the sky. The sky was"
    steps = spark.generate(prompt, temperature=0, grammar=grammar, max_tokens=20)
    text = "".join(step.text for step in steps)
    assert text in ("blue", "green", "zebra")
    first = spark.tokenizer.encode(prompt)
    likeliest = spark.logits(first)[-1]
    constraint = Constraint(grammar, spark.tokenizer, spark.plan.n_vocab)
    allowed = np.flatnonzero(constraint.allowed())
    assert steps.tokens[0] == allowed[likeliest[allowed].argmax()]
    assert steps.finish_reason == "stop"


def test_the_limit_still_ends_an_answer(spark: vatra.Model) -> None:
    steps = spark.generate("x", temperature=0, grammar=Grammar.regex("(ab)+"), max_tokens=4)
    text = "".join(step.text for step in steps)
    assert steps.finish_reason == "length"
    assert re.fullmatch("(ab)*a?", text)


def test_the_same_grammar_serves_again(spark: vatra.Model) -> None:
    grammar = Grammar.regex("yes|no")
    texts = [
        "".join(s.text for s in spark.generate("Is it?", temperature=0, grammar=grammar))
        for _ in range(2)
    ]
    assert texts[0] == texts[1] in ("yes", "no")


def test_thinking_is_free_and_content_is_not() -> None:
    """What is thought before the answer is not held to its form."""
    tags = next(block for mark, block in THINKING if not mark)
    answer = Answer(Syntax((tags,), opened=tags), prompt="<think>")
    assert not answer.in_content
    answer.push("hmm, 5 or 6")
    assert not answer.in_content
    answer.push("</think>")
    assert answer.in_content
    assert Answer(PLAIN).in_content


def test_content_of_channels() -> None:
    family = FAMILIES["gpt-oss"]
    answer = Answer(Syntax(family.blocks, family.unseen))
    assert not answer.in_content
    answer.push("<|channel|>", control=True)
    answer.push("final")
    assert not answer.in_content
    answer.push("<|message|>", control=True)
    assert answer.in_content
