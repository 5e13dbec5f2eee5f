"""The command line: one file per command group, each imported only when its command is called.

`rigstack --help` must not import any of them, so each one's summary stands here.
"""

from __future__ import annotations

import importlib

import click

from rigstack import __version__

# command -> (module, attribute, one-line help); the order is the order in `--help`.
HOST_COMMANDS: dict[str, tuple[str, str, str]] = {
    "init": ("rigstack.cli.init", "init", "Make a rig: a directory with an annotated rig.toml."),
    "up": ("rigstack.cli.up", "up", "Bring the rig, or some of its projects, to what rig.toml says."),
    "down": ("rigstack.cli.up", "down", "Stop and remove the rig's containers and networks; files stay."),
    "status": ("rigstack.cli.status", "status", "What runs, where to click, what is wrong and what to do."),
    "project": ("rigstack.cli.project", "project", "Make projects, look at them, forget them."),
    "image": (
        "rigstack.cli.image",
        "image",
        "Look at projects' images: sizes, causes, packages; remove old ones, move the base system.",
    ),
    "gpus": ("rigstack.cli.gpus", "gpus", "Who uses the GPUs, and which are free."),
    "gpu": ("rigstack.cli.gpu", "gpu", "Try a project's GPUs: do they compute, and how fast."),
    "doctor": ("rigstack.cli.doctor", "doctor", "Check rig and machine: state, evidence, remedy; --fix what is safe."),
    "suspend": ("rigstack.cli.suspend", "suspend", "Put this machine to sleep, unless somebody works on it."),
    "logs": ("rigstack.cli.engine", "logs", "Show what a service or a project's containers print."),
    "compose": ("rigstack.cli.engine", "compose", "Run any docker compose verb on exactly the rig's files."),
    "trust": ("rigstack.cli.trust", "trust", "Trust the rig's own certificates on this machine, or export its root."),
    "password": ("rigstack.cli.password", "password", "Set the notebook password."),
    "key": ("rigstack.cli.key", "key", "Say who may log in over SSH: add, list or remove public keys."),
    "access": ("rigstack.cli.access", "access", "Who logged in, and who tried."),
    "ddns": ("rigstack.cli.ddns", "ddns", "The rig's name and its public address: look, update, deregister."),
    "net": ("rigstack.cli.net", "net", "The way in from the internet: router, ports, public address; open and close."),
    "host": ("rigstack.cli.host", "host", "Set up this machine: engine, compose, buildx, GPU toolkit."),
    "config": ("rigstack.cli.config", "config", "Check rig.toml, or show the reference of every setting."),
    "completion": ("rigstack.cli.completion", "completion", "Print the completion script for your shell."),
}
LAPTOP_COMMANDS: dict[str, tuple[str, str, str]] = {
    "connect": ("rigstack.cli.connect", "connect", "Connect this machine to a rig: its projects get ssh names."),
    "refresh": ("rigstack.cli.connect", "refresh", "Read the rig's description again, after projects changed."),
    "ssh": ("rigstack.cli.ssh", "ssh", "A shell in a project that survives a lost connection, or one command."),
    "cp": ("rigstack.cli.ssh", "cp", "Copy files between this machine and a project."),
    "open": ("rigstack.cli.open", "open", "Open a project's notebook in the browser."),
    "tunnel": ("rigstack.cli.tunnel", "tunnel", "Keep ports of a project's programs on this laptop."),
    "pycharm": (
        "rigstack.cli.pycharm",
        "pycharm",
        "Set PyCharm up for a project: upload on save, interpreter, debugger.",
    ),
    "code": ("rigstack.cli.pycharm", "code", "Open a project in VS Code over Remote-SSH."),
    "mount": ("rigstack.cli.mount", "mount", "A project's files as a folder of this machine."),
    "unmount": ("rigstack.cli.mount", "unmount", "Take a mount away."),
    "sync": ("rigstack.cli.sync", "sync", "Keep a local checkout and a project equal."),
    "wake": ("rigstack.cli.power", "wake", "Wake the rig by Wake-on-LAN."),
    "power": ("rigstack.cli.power", "power", "Switch the rig's smart plug; on the host: `power setup`."),
    "disconnect": ("rigstack.cli.connect", "disconnect", "Take away everything that connect wrote."),
}
COMMANDS = {**HOST_COMMANDS, **LAPTOP_COMMANDS}


class LazyGroup(click.Group):
    """A group that imports a command's module when the command is called, not before."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, attribute, _ = COMMANDS[cmd_name]
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS:
            import difflib

            near = difflib.get_close_matches(args[0], COMMANDS, n=1)
            hint = f" Did you mean '{near[0]}'?" if near else ""
            ctx.fail(f"No such command '{args[0]}'.{hint}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for title, commands in (("On the GPU host", HOST_COMMANDS), ("On the laptop", LAPTOP_COMMANDS)):
            with formatter.section(title):
                formatter.write_dl([(name, summary) for name, (_, _, summary) in commands.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, "-V", "--version", message="rigstack %(version)s")
@click.option(
    "--rig",
    "rig_dir",
    metavar="DIR",
    envvar="RIGSTACK_RIG",
    help="The rig directory. Default: the nearest folder upwards with a rig.toml, else ~/rig.",
)
@click.pass_context
def cli(ctx: click.Context, rig_dir: str | None) -> None:
    """Own a GPU computer and use it from anywhere.

    On the GPU host: `rigstack host setup`, `rigstack init`, `rigstack up`. On the laptop: `rigstack connect HOST`.
    """
    ctx.obj = rig_dir
