"""`mpo align`: a language model trained on preference pairs; `mpo align evaluate`: how good it is."""

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.context import Context, check_read
from cli.validation import (
    LAST_SEED,
    check_extra,
    check_file,
    check_folder,
    interruptible,
    locked,
    validating_input,
)
from mpo_core.names import unknown_name

if TYPE_CHECKING:
    from mpo_experiments.align.settings import AlignSettings

EXTRA = ("torch", "trl", "transformers", "peft", "datasets", "accelerate")
MOST_TOKENS = 100_000

app = typer.Typer(invoke_without_command=True)


@app.callback()
def align(
    context: Context,
    model: Annotated[str | None, typer.Option(help="Folder or hub id of a model, or of a LoRA adapter.")] = None,
    dataset: Annotated[
        str | None, typer.Option(help="Pairs prompt, chosen, rejected: json, jsonl, parquet, csv, folder or hub id.")
    ] = None,
    objective: Annotated[
        str | None, typer.Option(help="id, id:name=value,..., an objective file, or a run folder; tempo unless given.")
    ] = None,
    preset: Annotated[str | None, typer.Option(help="default or paper-llm, the paper's settings.")] = None,
    eval_dataset: Annotated[str | None, typer.Option(help="Held-out pairs, scored after every epoch.")] = None,
    split: Annotated[
        str | None, typer.Option(help="Split of a hub data set or saved folder; train unless given.")
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, max=LAST_SEED, help="Seed of order and adapter.")] = None,
    out: Annotated[Path, typer.Option(help="Folder for checkpoints, metrics and the model.")] = Path("aligned"),
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", help="Any other setting: --set lora.rank=64 --set epochs=2. Repeatable."),
    ] = None,
    resume: Annotated[Path | None, typer.Option(help="Continue an interrupted run in this folder.")] = None,
) -> None:
    """Train a language model on preference pairs with any objective (needs the extra llm)."""
    given = {
        "model": model, "dataset": dataset, "objective": objective, "preset": preset, "eval_dataset": eval_dataset,
        "split": split, "seed": seed,
    }  # fmt: skip
    present = {name: value for name, value in given.items() if value is not None}
    if context.invoked_subcommand is not None:
        with validating_input():
            if present or set_ or resume is not None:
                raise ValueError(f"options of mpo align {context.invoked_subcommand} come after its name")
        return
    with validating_input():
        if resume is not None and (present or set_):
            raise ValueError("--resume continues a run with its own settings: give no others beside it")
        check_read(context, resume is None, "--resume continues a run in its own folder", "out")
        missing = [f"--{name}" for name in ("model", "dataset") if name not in present]
        if resume is None and missing:
            raise ValueError(f"{' and '.join(missing)} must be given (mpo align --help shows all options)")
        folder = out if resume is None else resume
        check_folder("--out" if resume is None else "--resume", folder)
        settings = _settings(present, set_ or []) if resume is None else None
        check_extra("mpo align", EXTRA)
        settle()
    from mpo_experiments.align.training import first_process

    writes = locked("--out" if resume is None else "--resume", folder)
    with writes if first_process() else contextlib.nullcontext():
        _train(folder, settings)


def _train(folder: Path, settings: "AlignSettings | None") -> None:
    """Begins a run, or goes on with the one that is in the folder.

    Args:
        settings: of a run that begins.
    """
    from adapters.torch.trl_run import quiet
    from mpo_experiments.align.arguments import settle_adapter
    from mpo_experiments.align.training import check_resumed, finished, prepare, read_run, start_run, train

    quiet()
    fresh = settings is not None
    with validating_input():
        settings = read_run(folder) if settings is None else settle_adapter(settings)
        result = None if fresh else finished(folder)
        run = prepare(settings) if result is None else None
        if run is not None:
            (start_run if fresh else check_resumed)(folder, run)
    from cli.display import Display, console

    screen = console()
    if run is not None:
        advice = f"mpo align --resume {folder} goes on from its last checkpoint."
        with interruptible(advice), Display(screen) as display:
            screen.print(f"{settings.loss} on {len(run.pairs)} pairs, {settings.model}", soft_wrap=True, markup=False)
            for note in run.notes():
                screen.print(f"Note: {note}", soft_wrap=True, markup=False)
            result = train(run, folder, display, fresh=fresh)
    scores = (result or {}).get("held_out")
    if scores is not None:
        accuracy, margin = scores["eval_rewards/accuracies"], scores["eval_rewards/margins"]
        screen.print(f"held-out pairs: accuracy {accuracy:.3f}, margin of rewards {margin:.4g}")
    screen.print(f"Written to {folder / 'model'}", soft_wrap=True, markup=False)


@app.command()
def evaluate(
    context: Context,
    model: Annotated[str, typer.Option(help="Folder or hub id of a model, or of a LoRA adapter.")],
    dataset: Annotated[str, typer.Option(help="Held-out pairs; or prompts alone, to answer them.")],
    reference: Annotated[
        str | None, typer.Option(help="Model before training; of an adapter, what it was trained from unless given.")
    ] = None,
    split: Annotated[str, typer.Option(help="Split of a hub data set or saved folder.")] = "test",
    limit: Annotated[int | None, typer.Option(min=1, help="Only so many rows, from the first.")] = None,
    max_length: Annotated[int, typer.Option(min=2, max=MOST_TOKENS, help="Tokens of prompt and response.")] = 1024,
    max_left_out: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Share of pairs that may be left out for their length.")
    ] = 0.1,
    scored: Annotated[
        str, typer.Option(help="Tokens that count: assistant, of its turns alone; all, whatever follows the prompt.")
    ] = "assistant",
    batch: Annotated[int, typer.Option(min=1, help="Rows at once.")] = 8,
    generate: Annotated[
        Path | None, typer.Option(help="File for the answers to the prompts, as alpaca_eval reads them.")
    ] = None,
    answers: Annotated[
        Path | None, typer.Option(help="File of answers that --generate wrote before: none are made again.")
    ] = None,
    judge: Annotated[
        str | None,
        typer.Option(help="Command that reads JSON lines {prompt, output_1, output_2} and writes 1 or 2 for each."),
    ] = None,
    judge_seconds: Annotated[
        float, typer.Option(min=0.1, max=1e7, help="Time that the judge has; what it said before is kept.")
    ] = 3600.0,
    against: Annotated[
        str, typer.Option(help="What the judge compares with: chosen, reference, or a file as --generate writes it.")
    ] = "chosen",
    chat: Annotated[bool, typer.Option("--chat", help="Ask text prompts as messages of a user.")] = False,
    chat_template: Annotated[
        str | None, typer.Option(help="zephyr or a file; the tokenizer's own unless given.")
    ] = None,
    max_new_tokens: Annotated[int, typer.Option(min=1, max=MOST_TOKENS, help="Tokens of an answer.")] = 512,
    temperature: Annotated[
        float, typer.Option(min=0.0, max=100.0, help="Of the answers; 0: always the likeliest.")
    ] = 0.0,
    seed: Annotated[int, typer.Option(min=0, max=LAST_SEED, help="Seed of answers and of the judge's order.")] = 0,
    out: Annotated[Path | None, typer.Option(help="File for all numbers, as JSON.")] = None,
) -> None:
    """Preference accuracy on held-out pairs, answers for alpaca_eval, and a win rate by your own judge."""
    with validating_input():
        for option, path in (("--generate", generate), ("--out", out)):
            if path is not None:
                check_file(option, path)
        check_read(context, judge is not None, "goes with --judge", "against", "judge_seconds")
        makes = generate is not None or judge is not None
        check_read(context, makes, "goes with --generate, or --judge", "temperature", "max_new_tokens")
        if out is not None and out in (generate, answers):
            raise ValueError(f"--out {out}: the numbers would be written over the answers: name another file")
        check_extra("mpo align evaluate", EXTRA)
        settle()
        from adapters.torch.trl_run import quiet

        quiet()
        from adapters.storage.files import beside
        from adapters.torch.answers import Generation
        from mpo_experiments.align.judge import Judge
        from mpo_experiments.align.questions import Question, prepare_questions

        kept = generate or answers
        verdicts = None if kept is None else beside(kept, ".verdicts.jsonl")
        if judge is not None and verdicts is not None:
            check_file("verdicts beside the answers,", verdicts)
        question = Question(
            model=model, dataset=dataset, split=split, reference=reference, limit=limit, max_length=max_length,
            max_left_out=max_left_out, scored=_scored(scored), batch=batch, against=against, chat=chat,
            chat_template=chat_template,
            judge=None if judge is None else Judge(judge, judge_seconds, verdicts, seed),
            answers_to=generate, answers_from=answers, generation=Generation(max_new_tokens, temperature, batch, seed),
        )  # fmt: skip
        asked = prepare_questions(question)
    from adapters.storage.files import write_json
    from cli.display import Display, console
    from mpo_experiments.align.questions import answer

    screen = console()
    advice = (
        "Nothing was written."
        if generate is None
        else f"Answers that are in {generate} need not be made again: --answers."
    )
    with interruptible(advice), Display(screen) as display:
        for note in asked.notes():
            screen.print(f"Note: {note}", soft_wrap=True, markup=False)
        found = answer(asked, display)
        if out is not None:
            write_json(out, found.as_json())
    for line in found.lines():
        screen.print(line, soft_wrap=True, markup=False)
    for path in (generate, out):
        if path is not None:
            screen.print(f"Written to {path}", soft_wrap=True, markup=False)


def _scored(text: str) -> Any:
    if text not in ("assistant", "all"):
        raise unknown_name("--scored", text, ("assistant", "all"))
    return text


def _settings(present: dict[str, Any], overrides: list[str]) -> Any:
    """Settings of a new run, files and folders by their full path so that it can be resumed from anywhere."""
    from mpo_experiments.align.settings import build_settings
    from mpo_experiments.settings.nested import check_said_once, parse_override

    layers = [parse_override(text) for text in overrides]
    check_said_once(present, layers)
    settings = build_settings(present, *layers)
    names = ("model", "dataset", "eval_dataset", "chat_template")
    local = {name: value for name in names if (value := getattr(settings, name)) is not None and Path(value).exists()}
    whole: dict[str, Any] = {name: str(Path(value).resolve()) for name, value in local.items()}
    return settings.model_copy(update=whole | {"objective": settings.objective.resolved()})


def settle() -> None:
    """What the libraries read when they are imported: no telemetry, no bars, no threads before a fork."""
    for name, value in (("HF_HUB_DISABLE_TELEMETRY", "1"), ("TQDM_DISABLE", "1"), ("TOKENIZERS_PARALLELISM", "false")):
        os.environ.setdefault(name, value)
