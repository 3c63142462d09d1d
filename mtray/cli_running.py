"""The commands that show or steer a run, also while it runs. Imports no third-party package."""

from __future__ import annotations

import argparse

from mtray.commands import arguments
from mtray.commands.command import Command

# each command's module is imported only when it runs


def _status(args: argparse.Namespace) -> int:
    if args.json:
        from mtray.commands.run_status import print_status_json

        return print_status_json(args.path)
    from mtray.commands.status import show_status

    return show_status(args.path)


def _outputs(args: argparse.Namespace) -> int:
    from mtray.commands.outputs import show_outputs, wanted_of

    return show_outputs(args.path, args.trial, wanted_of(args), args.json)


def _serve(args: argparse.Namespace) -> int:
    from mtray.serving.command import serve

    return serve(args.paths, args.port, args.beside_sweep)


def _track(args: argparse.Namespace) -> int:
    from mtray.commands.track import track

    return track(args.path, args.to, args.mlflow_uri, args.beside_sweep)


def _mirror(args: argparse.Namespace) -> int:
    from mtray.commands.mirror import mirror

    return mirror(
        args.path, args.to, args.source, args.replace, args.without_damaged, args.beside_sweep
    )


def _control(args: argparse.Namespace) -> int:
    from mtray.commands.control import control

    return control(args.path, args.what, args.value)


RUNNING = (
    Command(
        "status",
        "Show the progress of a run, also while it is running",
        arguments.add_status,
        _status,
    ),
    Command(
        "outputs",
        "Read the translations of a trial beside those of another",
        arguments.add_outputs,
        _outputs,
    ),
    Command(
        "serve",
        "Show runs in a browser, also while they are running",
        arguments.add_serve,
        _serve,
    ),
    Command("track", "Send a run to TensorBoard, MLflow or W&B", arguments.add_track, _track),
    Command(
        "mirror",
        "Copy a run to a bucket, or restore it from there",
        arguments.add_mirror,
        _mirror,
    ),
    Command(
        "control",
        "Stop a trial of a running sweep, add trials, pause, resume, or set a time limit",
        arguments.add_control,
        _control,
    ),
)
