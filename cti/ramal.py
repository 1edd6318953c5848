"""The command `ramal`: serve, demo, migrate, user add, check-config, toolbar."""

import argparse
import asyncio
import dataclasses
import getpass
import os
import sys
from pathlib import Path

import config
from config import Settings
from crm import db, embedded, users
from crm.refused import Refused


def main(argv: list[str] | None = None) -> None:
    """What cannot be done ends with one clear line and exit status 1; wrong usage with status 2."""
    given = sys.argv[1:] if argv is None else argv
    if given[:1] == ["toolbar"]:  # it has options of its own
        from cti.toolbar.terminal import command_line

        sys.exit(command_line(given[1:]))
    arguments = parser().parse_args(given)
    try:
        arguments.do(arguments)
    except (Refused, config.WrongSetting) as error:
        sys.exit(f"ramal: {error}")
    except KeyboardInterrupt:
        sys.exit(130)


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="ramal", description="A contact-centre server.")
    commands = top.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, does: str) -> argparse.ArgumentParser:
        made = commands.add_parser(name, help=does, description=does)
        made.add_argument("--config", type=Path, metavar="FILE", help="settings in TOML")
        return made

    command("serve", "serve until Ctrl-C").set_defaults(do=serve)
    command("demo", "serve with demo data on embedded servers").set_defaults(do=serve_demo)
    command("migrate", "bring the database to this version").set_defaults(do=migrate)
    command("check-config", "check the settings and print them").set_defaults(do=check_config)
    add = command("user", "add a user; the password is asked for, or read from standard input")
    add.add_argument("action", choices=["add"])
    add.add_argument("login")
    add.add_argument("--name", help="the person's name; the login when not given")
    add.add_argument("--role", choices=[str(r) for r in users.Role], default="agent")
    add.set_defaults(do=user_add)
    commands.add_parser("toolbar", help="a toolbar in the terminal; see ramal toolbar --help")
    return top


def settings(arguments: argparse.Namespace, **fixed: object) -> Settings:
    loaded = config.load(arguments.config, os.environ)
    return dataclasses.replace(loaded, **fixed) if fixed else loaded  # type: ignore[arg-type]


def serve(arguments: argparse.Namespace) -> None:
    from cti import server

    server.run(settings(arguments))


def serve_demo(arguments: argparse.Namespace) -> None:
    from cti import server

    server.run(settings(arguments, demo=True))


def check_config(arguments: argparse.Namespace) -> None:
    loaded = settings(arguments)
    for field in dataclasses.fields(loaded):
        secret = field.metadata.get("secret") and getattr(loaded, field.name)
        print(f"{field.name} = {'(set)' if secret else getattr(loaded, field.name)!r}")


def migrate(arguments: argparse.Namespace) -> None:
    async def work() -> None:
        async with embedded.postgres(settings(arguments)) as url:
            pool = await db.connect(url)
            try:
                await db.migrate(pool)
            finally:
                await pool.close()

    asyncio.run(work())
    print("The database is at this version.")


def user_add(arguments: argparse.Namespace) -> None:
    password = getpass.getpass() if sys.stdin.isatty() else sys.stdin.readline().rstrip("\n")

    async def work() -> None:
        async with embedded.postgres(settings(arguments)) as url:
            pool = await db.connect(url)
            try:
                await db.migrate(pool)
                await users.create(
                    pool,
                    None,
                    login=arguments.login,
                    name=arguments.name or arguments.login,
                    role=users.Role(arguments.role),
                    password=password,
                )
            finally:
                await pool.close()

    asyncio.run(work())
    print(f"{arguments.login} may log in as {arguments.role}.")


if __name__ == "__main__":
    main()
