"""Pre-tokenizers: how text is cut into words before byte-pair merges, by `tokenizer.ggml.pre`.

A rule is a list of patterns, each applied to every piece the ones before it left: what a pattern
matches is a piece, and so is what lies between two matches. The patterns are those of the models'
own `tokenizer.json` files; a new name is one line of `_NAMES`.

The words are llama.cpp's, but for what its regular expressions cannot say: it takes letters beyond
ASCII (in tiny-aya, youtu and kimi-k2 all letters) for upper and lower case at once, keeps marks out
of the words of tekken, gpt-4o and kimi-k2, counts the threes of tiny-aya beside letters too, takes
ASCII digits only for the threes of superbpe, joins a control character to the number after it in
afmoe, whose ideographs it begins at U+8C48, and has no spaces beyond ASCII in the ranges of
deepseek-llm and deepseek-coder. There a model's own pattern counts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from itertools import chain

import regex

from vatra.formats.words import WordCache

_CONTRACTION = r"'(?:[sS]|[tT]|[rR][eE]|[vV][eE]|[mM]|[lL][lL]|[dD])"
_WORD = r"[^\r\n\p{L}\p{N}]?\p{L}+"
_SIGNS = r" ?[^\s\p{L}\p{N}]+[\r\n]*"
_SPACE = r"\s*[\r\n]+|\s+(?!\S)|\s+"
_UPPER = r"\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}"
_LOWER = r"\p{Ll}\p{Lm}\p{Lo}\p{M}"
_ASCII_SIGN_WORD = r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+"
_SIGN_WORD = r"[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"
_CHINESE_JAPANESE = r"[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+"
_ASIAN = (
    r"[\u4e00-\u9fff\u3400-\u4dbf\uf900-\ufaff\u3040-\u309f\u30a0-\u30ff\uff65-\uff9f\u2f00-\u2fdf"
    r"\u0e40-\u0e7f\u0e80-\u0eff\u1780-\u17ff\u1000-\u109f\uaa60-\uaa7f\ua9e0-\ua9ff"
    r"\uac00-\ud7af\u1100-\u11ff]+"
)
_KOREAN_AND_KANA = r"[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+"
_CASED_LETTERS = (
    r"A-Za-z\u00b5\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u01ba\u01bc-\u01bf\u01c4-\u0293"
    r"\u0295-\u02af\u0370-\u0373\u0376\u0377\u037b-\u037d\u037f\u0386\u0388-\u038a\u038c"
    r"\u038e-\u03a1\u03a3-\u03f5\u03f7-\u0481\u048a-\u052f\u0531-\u0556\u10a0-\u10c5"
    r"\u13a0-\u13f5\u13f8-\u13fd\u1c90-\u1cba\u1cbd-\u1cbf\u1d00-\u1d2b\u1d6b-\u1d77"
    r"\u1d79-\u1d9a\u1e00-\u1f15\u1f18-\u1f1d\u1f20-\u1f45\u1f48-\u1f4d\u1f50-\u1f57\u1f59"
    r"\u1f5b\u1f5d\u1f5f-\u1f7d\u1f80-\u1fb4\u1fb6-\u1fbc\u1fbe\u1fc2-\u1fc4\u1fc6-\u1fcc"
    r"\u1fd0-\u1fd3\u1fd6-\u1fdb\u1fe0-\u1fec\u1ff2-\u1ff4\u1ff6-\u1ffc\u2102\u2107"
    r"\u210a-\u2113\u2115\u2119-\u211d\u2124\u2126\u2128\u212a-\u212d\u212f-\u2134\u2139"
    r"\u213c-\u213f\u2145-\u2149\u214e\u2183\u2184\u2c00-\u2c7b\u2c7e-\u2ce4\u2ceb-\u2cee"
    r"\u2cf2\u2cf3\ua640-\ua66d\ua680-\ua69b\ua722-\ua76f\ua771-\ua787\ua78b-\ua78e"
    r"\uab70-\uabbf\ufb00-\ufb06\ufb13-\ufb17\uff21-\uff3a\uff41-\uff5a\U00010400-\U0001044f"
    r"\U000104b0-\U000104d3\U000104d8-\U000104fb\U00010c80-\U00010cb2\U00010cc0-\U00010cf2"
    r"\U000118a0-\U000118df\U0001e900-\U0001e943"
)
# Groups of three counted from the right end; matched backwards, so that long runs stay linear.
_THREES = r"(?r)\p{N}{1,3}"
_DECIMAL_THREES = r"(?r)\d{1,3}(?:\b|\G)"


def _cased_words(
    contraction: str, numbers: str, without: str = "", after_signs: str = r"[\r\n/]*"
) -> str:
    """Words cut where lower case turns into upper case; `without`: no letters of these."""
    lead = r"[^\r\n\p{L}\p{N}]?"
    upper, lower = f"[{_UPPER}{without}]", f"[{_LOWER}{without}]"
    return (
        f"{lead}{upper}*{lower}+{contraction}|{lead}{upper}+{lower}*{contraction}"
        rf"|{numbers}| ?[^\s\p{{L}}\p{{N}}]+{after_signs}|{_SPACE}"
    )


_GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)"
_LLAMA3 = rf"{_CONTRACTION}|{_WORD}|\p{{N}}{{1,3}}|{_SIGNS}|{_SPACE}"
_QWEN2 = rf"{_CONTRACTION}|{_WORD}|\p{{N}}|{_SIGNS}|{_SPACE}"
_GPT4O = _cased_words(f"(?:{_CONTRACTION})?", r"\p{N}{1,3}")
_KIMI_K2 = r"(?V1)\p{Han}+|" + _cased_words(
    f"(?:{_CONTRACTION})?", r"\p{N}{1,3}", without=r"--\p{Han}", after_signs=r"[\r\n]*"
)
_DEEPSEEK3 = rf"{_ASCII_SIGN_WORD}|{_SIGN_WORD}| ?[\p{{P}}\p{{S}}]+[\r\n]*|{_SPACE}"
_LINES = r"[^\n]+|[\n]+"
_NOT_STOP = r" ?[^(\s|.,!?\u2026\u3002\uff0c\u3001\u0964\u06d4\u060c)]+"

_PATTERNS: dict[str, tuple[str, ...]] = {
    "default": (r"[\p{P}\$\+<=>\^~\|]+", _GPT2, r"\p{N}+", r"[0-9][0-9][0-9]"),
    "gpt2": (_GPT2,),
    "llama3": (_LLAMA3,),
    "qwen2": (_QWEN2,),
    "qwen35": (
        rf"{_CONTRACTION}|[^\r\n\p{{L}}\p{{N}}]?[\p{{L}}\p{{M}}]+|\p{{N}}"
        rf"| ?[^\s\p{{L}}\p{{M}}\p{{N}}]+[\r\n]*|{_SPACE}",
    ),
    "starcoder": (r"\p{N}", _GPT2),
    "falcon": (r"[\p{P}\$\+<=>\^~\|`]+", _GPT2, r"[0-9][0-9][0-9]"),
    "deepseek-llm": (
        r"[\r\n]",
        rf"\s?[{_CASED_LETTERS}]+",
        r"\s?[!-/:-~\uff01-\uff0f\uff1a-\uff5e\u2018-\u201f\u3000-\u3002]+",
        r"\s+\Z",
        _KOREAN_AND_KANA,
        r"\p{N}+",
    ),
    "deepseek-coder": (r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", _KOREAN_AND_KANA, r"\p{N}"),
    "deepseek-v3": (r"\p{N}{1,3}", _CHINESE_JAPANESE, _DEEPSEEK3),
    "spark2_5": (
        r"\p{N}{1,3}",
        _CHINESE_JAPANESE,
        rf"{_ASCII_SIGN_WORD}|{_SIGN_WORD}| ?[\p{{P}}\p{{S}}]+|[\r\n]|\s+(?!\S)|\s+",
        r"\p{N}",
    ),
    "youtu": (
        r"[\uac00-\ud7a3\u3131-\u318e]+"
        r"|[\uff01\u2026\u201c\u201d\u2018\u2019\u2014\uff1a\uff1b\uff0c\u3001-\u303f\ufe30-\ufe4f]+"
        rf"|[\u3105-\u312f]+|{_CHINESE_JAPANESE}",
        _cased_words(f"(?:{_CONTRACTION})?", r"\p{N}"),
    ),
    "bloom": (_NOT_STOP,),
    "viking": (_NOT_STOP, r"\p{N}"),
    "tekken": (_cased_words("", r"\p{N}"),),
    "gpt-4o": (_GPT4O,),
    "tiny-aya": (_DECIMAL_THREES, _GPT4O),
    "afmoe": (_THREES, _ASIAN, _DEEPSEEK3),
    "superbpe": (r"\p{N}+", r"(?r)\d{3}"),
    "minicpm5": (
        r"\p{N}{1,3}",
        rf"{_CONTRACTION}|{_WORD}|\p{{N}}+|{_SIGNS}|{_SPACE}",
    ),
    "chameleon": (
        r"<sentinel:[0-9]+>",
        r"IMGIMG[A-I]{1,4}Z",
        r"[\t\n]|    |  ",
        r"\p{N}",
        r"[\p{P}!-/:-@\[-`{-~]",
        _GPT2,
    ),
    "bailingmoe": (
        rf"'(?:[sSdDmMtT]|[lL][lL]|[vV][eE]|[rR][eE])|{_WORD}|\p{{N}}|{_SIGNS}"
        r"|\s*[\r\n]|\s+(?!\S)|\s+",
    ),
    "seed-coder": (rf"{_CONTRACTION}|{_WORD}|\p{{N}}| ?[^\s\p{{L}}\p{{N}}\r\n]+|{_SPACE}",),
    "exaone-moe": (
        rf"{_CONTRACTION}|[^\r\n\p{{L}}\p{{N}}]?(?:\p{{L}}\p{{M}}*(?: \p{{L}}\p{{M}}*)*)+|\p{{N}}"
        r"| ?[^\s\p{L}\p{N}]+[\r\n/]?|\s*[\r\n]|\s+(?!\S)|\s+",
    ),
    "ufakzeka": (rf"{_WORD}|\p{{N}}|{_SIGNS}|{_SPACE}",),
    "laguna": (_LINES, _QWEN2),
    "lines": (_LINES,),
    "whitespace": (r"\S+",),
    "kimi-k2": (_KIMI_K2,),
    "jais-2": (
        rf"{_CONTRACTION}|{_WORD}|\p{{N}}{{1,3}}|{_SIGNS}|\s*[\r\n]+|\s{{512}}(?!\S)|\s{{256}}(?!\S)"
        r"|\s{128}(?!\S)|\s{64}(?!\S)|\s{32}(?!\S)|\s{16}(?!\S)|\s{8}(?!\S)|\s{4}(?!\S)"
        r"|\s{1,2}(?!\S)|\s",
    ),
}

_NAMES: dict[str, str] = {
    "default": "default",
    "gpt2": "gpt-2 phi-2 mpt olmo jais trillion granite-docling exaone4 gigachat a.x-4.0 mellum"
    " modern-bert roberta-bpe jina-es jina-de jina-v1-en jina-v2-es jina-v2-de jina-v2-code",
    "llama3": "llama3 llama-v3 llama-bpe falcon3 falcon-h1 pixtral midm-2.0 lfm2 jina-v5-nano"
    " dbrx smaug-bpe chatglm-bpe glm4 glm5",
    "qwen2": "qwen2 deepseek-r1-qwen kormo f2llmv2 megrez stablelm2 hunyuan solar-open grok-2",
    "qwen35": "qwen35",
    "starcoder": "starcoder refact command-r smollm codeshell exaone minerva-7b mellum2",
    "falcon": "falcon",
    "deepseek-llm": "deepseek-llm",
    "deepseek-coder": "deepseek-coder",
    "deepseek-v3": "deepseek-v3 hunyuan-dense joyai-llm hy_v4",
    "spark2_5": "spark2_5",
    "youtu": "youtu",
    "bloom": "bloom poro-chat gpt3-finnish",
    "viking": "viking",
    "tekken": "tekken",
    "gpt-4o": "gpt-4o llama4 kanana2 talkie minimax-m2 granite-embed-multi-97m",
    "kimi-k2": "kimi-k2",
    "lines": "gemma4 granite-embed-multi-311m sarvam-moe",
    "whitespace": "whitespace",
    "tiny-aya": "tiny_aya cohere2moe",
    "afmoe": "afmoe",
    "superbpe": "superbpe",
    "minicpm5": "minicpm5",
    "chameleon": "chameleon",
    "bailingmoe": "bailingmoe bailingmoe2 llada-moe",
    "seed-coder": "seed-coder",
    "exaone-moe": "exaone-moe",
    "ufakzeka": "ufakzeka",
    "laguna": "laguna",
    "jais-2": "jais-2",
}
_LLAMA3_NAMES = {
    *("llama3", "llama-v3", "llama-bpe", "falcon3", "falcon-h1", "pixtral", "midm-2.0", "lfm2"),
    "jina-v5-nano",
}
# A word that is a token as a whole is taken before any merge is tried.
_WHOLE_WORDS = _LLAMA3_NAMES | {
    *("glm4", "glm5", "tekken", "youtu", "minicpm5", "granite-embed-multi-97m"),
}
_GEMMA4 = {"gemma4", "granite-embed-multi-311m"}  # where so are line breaks, and no other words
# A text begins with BOS, unless the file says otherwise.
_BOS = _LLAMA3_NAMES | {"tekken", "chameleon"} | _GEMMA4
# Merges join characters, not the bytes of their UTF-8.
_SPACED = _GEMMA4 | {"sarvam-moe"}  # and U+2581 stands for a space
_CHARACTERS = _SPACED | {"whitespace"}
_NO_MERGES = {"kimi-k2"}  # the file may come without any


@dataclass(frozen=True)
class PreTokenizer:
    """One rule: the patterns in order, and what else hangs on the name of the pre-tokenizer.

    `whole_words` (a pattern): such a word is taken before any merge is tried, if it is a token.
    `characters`: merges join characters, not the bytes of their UTF-8; `spaced`: and there U+2581
    stands for a space. `needs_bos`: the model fails without BOS, whatever the file says.
    """

    name: str
    patterns: tuple[str, ...]
    whole_words: str | None
    add_bos: bool
    needs_bos: bool
    characters: bool
    spaced: bool
    needs_merges: bool

    def splitter(self) -> Callable[[str], list[str]]:
        """A function that cuts a text into its words; joined, they are the text again."""
        compiled = [regex.compile(f"({pattern})") for pattern in self.patterns]
        if len(compiled) < 3:
            return partial(_split, compiled)
        # What two patterns leave is short and comes again.
        pieces = WordCache(partial(_split, compiled[2:]))
        return lambda text: list(
            chain.from_iterable(map(pieces.__getitem__, _split(compiled[:2], text)))
        )


def _split(compiled: list[regex.Pattern[str]], text: str) -> list[str]:
    pieces = [text]
    for pattern in compiled:
        if pattern.flags & regex.REVERSE:
            pieces = [p for piece in pieces for p in reversed(pattern.split(piece)) if p]
        else:
            pieces = [p for piece in pieces for p in pattern.split(piece) if p]
    return pieces


@cache
def _table() -> dict[str, PreTokenizer]:
    return {
        name: PreTokenizer(
            name=name,
            patterns=_PATTERNS[rule],
            whole_words=".*" if name in _WHOLE_WORDS else r"\n*" if name in _GEMMA4 else None,
            add_bos=name in _BOS,
            needs_bos=name in _GEMMA4,
            characters=name in _CHARACTERS,
            spaced=name in _SPACED,
            needs_merges=name not in _NO_MERGES,
        )
        for rule, names in _NAMES.items()
        for name in names.split()
    }


def names() -> tuple[str, ...]:
    """Every name of `tokenizer.ggml.pre` that has a rule here."""
    return tuple(_table())


def by_name(name: str) -> PreTokenizer | None:
    """The rule of that name, None where there is none."""
    return _table().get(name)
