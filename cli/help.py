"""How a command explains itself: options with their true defaults, and examples."""

from __future__ import annotations

from typing import Any

from typer.core import TyperCommand, TyperOption

from vatra.cli.options import SAMPLING, sampling_defaults

EXAMPLES = {
    "run": (
        "vatra run 'Tell me a story.'",
        "vatra run -m model.gguf --raw -n 200 'Once upon a time'",
        "vatra run -m model.gguf --system 'Answer in French.' 'Who are you?'",
        "vatra run -m model.gguf 'What do these say? @one.txt @two.txt'",
        "git diff | vatra run -m model.gguf 'Summarise:' > summary.txt",
    ),
    "chat": (
        "vatra chat",
        "vatra chat -m model.gguf --system 'You answer in one sentence.'",
        "vatra chat -m model.gguf --ctx 8192 --temperature 0.3",
        "vatra chat -m model.gguf --session holidays",
    ),
    "serve": (
        "vatra serve --open",
        "vatra serve -m model.gguf -m owner/repo:Q8_0 --ctx 8192",
        "vatra serve --host 0.0.0.0 --api-key-file key.txt",
        "vatra serve -m model.gguf --install",
    ),
    "batch": (
        "vatra batch -m model.gguf prompts.jsonl answers.jsonl",
        "vatra batch -m model.gguf -n 200 --parallel 4 in.jsonl out.jsonl",
        "vatra batch -m /m/model.gguf in.jsonl out.jsonl --ray",
        "jq -c '{prompt: .text}' t.json | vatra batch -m model.gguf - - > out.jsonl",
    ),
    "sessions": (
        "vatra sessions",
        "vatra sessions show holidays",
        "vatra sessions export holidays --markdown > holidays.md",
        "vatra sessions fork holidays winter",
        "vatra sessions rm holidays",
    ),
    "tokenize": (
        "vatra tokenize -m model.gguf 'Once upon a time'",
        "vatra tokenize -m model.gguf --json < text.txt",
    ),
    "inspect": (
        "vatra inspect model.gguf",
        "vatra inspect --json --tensors model.gguf",
    ),
    "pull": (
        "vatra pull hf:owner/repo",
        "vatra pull hf:owner/repo:Q8_0",
    ),
    "list": ("vatra list", "vatra list --json"),
    "rm": ("vatra rm owner/repo:Q8_0",),
    "embed": (
        "vatra embed -m model.gguf 'a cat' 'a dog'",
        "vatra embed -m model.gguf --similarity 'a cat' 'a dog' 'the sea'",
        "vatra embed -m model.gguf --rank 'pets' < lines.txt",
    ),
    "perplexity": (
        "vatra perplexity -m model.gguf text.txt",
        "vatra perplexity -m small.gguf text.txt --compare large.gguf",
    ),
    "doctor": ("vatra doctor", "vatra doctor -m model.gguf"),
    "warmup": ("vatra warmup", "vatra warmup -m model.gguf"),
    "bench": (
        "vatra bench model.gguf other.gguf",
        "vatra bench --formats q4_0,q8_0",
        "vatra bench model.gguf -p 512 -d 0 -d 4096 --csv",
        "vatra bench model.gguf --ops",
    ),
    "completion": (
        'eval "$(vatra completion bash)"     # in ~/.bashrc',
        'eval "$(vatra completion zsh)"      # in ~/.zshrc, after compinit',
        "vatra completion fish | source       # in ~/.config/fish/config.fish",
    ),
}


class Command(TyperCommand):
    """A command whose sampling options tell the defaults of `Sampling`."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the list of options."""
        helps = {row.help: row.field for row in SAMPLING}
        for parameter in self.params:
            if isinstance(parameter, TyperOption) and parameter.help in helps:
                default = sampling_defaults().get(helps[parameter.help])
                if default is not None:
                    parameter.help = f"{parameter.help} [default: {default}]"
        super().format_options(ctx, formatter)


def examples(command: str) -> str | None:
    """What follows the options of a command, in lines that the formatter leaves as they are."""
    lines = EXAMPLES.get(command)
    return None if lines is None else "\n".join(("\b", "Examples:", *(f"  {x}" for x in lines)))
