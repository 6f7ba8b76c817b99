"""All commands, under the headings of the help."""

from __future__ import annotations

import typer

from . import (
    acts,
    answering,
    checking,
    dead_letters,
    doctor,
    drawing,
    listing,
    purging,
    serving,
    showing,
    starting,
    working,
)
from .command import command

app: typer.Typer = typer.Typer(
    help="Look at sagas, act on them, and run the workers that do them.",
    epilog="Exit codes: 0 done, 1 refused or failed, 2 wrong usage, 3 not found, 4 no answer.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

_RUN, _LOOK, _ACT, _CARE = "Run", "Look", "Act", "Care"

command(app, "worker", panel=_RUN, is_service=True)(working.worker)
command(app, "start", panel=_RUN)(starting.start)
command(app, "web", panel=_RUN, is_service=True)(serving.web)

command(app, "list", panel=_LOOK)(listing.list_sagas)
command(app, "show", panel=_LOOK)(showing.show)
command(app, "watch", panel=_LOOK)(showing.watch)
command(app, "graph", panel=_LOOK)(drawing.graph)
command(app, "explain", panel=_LOOK)(drawing.explain)

command(app, "answer", panel=_ACT)(answering.answer)
command(app, "cancel", panel=_ACT)(acts.cancel)
command(app, "compensate", panel=_ACT)(acts.compensate)
command(app, "retry", panel=_ACT)(acts.retry)
command(app, "skip", panel=_ACT)(acts.skip)
command(app, "skip-compensation", panel=_ACT)(acts.skip_compensation)
command(app, "resolve", panel=_ACT)(acts.resolve)
command(app, "mark-compensated", panel=_ACT)(acts.mark_compensated)
command(app, "pause", panel=_ACT)(acts.pause)
command(app, "resume", panel=_ACT)(acts.resume)

command(app, "check", panel=_CARE)(checking.check)
command(app, "doctor", panel=_CARE)(doctor.doctor)
command(app, "purge", panel=_CARE)(purging.purge)

_letters = typer.Typer(help="Messages that were put aside: look at them, give them back, throw them away.")
app.add_typer(_letters, name="dead-letters", rich_help_panel=_CARE)
command(_letters, "list", panel="Commands")(dead_letters.list_letters)
command(_letters, "show", panel="Commands")(dead_letters.show_letters)
command(_letters, "requeue", panel="Commands")(dead_letters.requeue)
command(_letters, "drop", panel="Commands")(dead_letters.drop)
