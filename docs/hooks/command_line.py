"""Render the command line's `--help` texts as Markdown."""

from collections.abc import Iterator
from typing import Any


def page() -> str:
    """Return a section for each command, with its usage, arguments and options."""
    import click
    import typer

    from recommender.cli import app

    root = typer.main.get_command(app)
    return "\n".join(_sections(click.Context(root, info_name="recommender"), root)) + "\n"


def _sections(context: Any, command: Any) -> Iterator[str]:
    """Yield the lines of a command that does something, or those of its subcommands."""
    for name in getattr(command, "commands", {}):
        child = command.commands[name]
        yield from _sections(type(context)(child, info_name=name, parent=context), child)
    if not hasattr(command, "commands"):
        yield from (f"## {context.command_path}", "", command.help or "", "")
        yield from ("```text", " ".join(command.get_usage(context).split()).removeprefix("Usage: "), "```", "")
        yield from ("| | |", "| --- | --- |")
        for parameter in command.params:
            names, text = parameter.get_help_record(context) or ("", "")
            names, _, kind = names.partition(" <")
            if "|" in kind:
                text += f" One of {', '.join(f'`{choice}`' for choice in kind.rstrip('>').split('|'))}."
            elif kind:
                names += f" <{kind}"
            yield f"| `{names}` | {' '.join(text.replace(' <', ' &lt;').split())} |"
        yield ""
