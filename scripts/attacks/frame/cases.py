"""What a case is, and where the cases are found."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeAlias

import grpc

import attacks


@dataclass(frozen=True, slots=True)
class Target:
    """What an attacker knows.

    Attributes:
        address: ``HOST:PORT`` of the server, always of this machine.
        token: The attacker's own key; a case without keys does not send it.
        seconds: How long the attack may go on.
        pid: Process of the server, for what can be seen of it from outside.
    """

    address: str
    token: str
    seconds: float
    pid: int

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        """The headers of a call with the attacker's key."""
        return (("authorization", f"Bearer {self.token}"),)

    def channel(self, **options: int) -> grpc.Channel:
        """A connection of its own, without a limit on the size of messages.

        Args:
            **options: Further options of gRPC, with ``_`` for each dot behind ``grpc.``.
        """
        given = [(f"grpc.{name}", value) for name, value in options.items()]
        return grpc.insecure_channel(
            self.address,
            [
                ("grpc.max_send_message_length", -1),
                ("grpc.max_receive_message_length", -1),
                ("grpc.use_local_subchannel_pool", 1),
                ("grpc.enable_http_proxy", 0),
                *given,
            ],
        )


Attack: TypeAlias = Callable[[Target], str] | Callable[[Target], Awaitable[str]]
"""Attacks for some seconds at most, and returns one line that tells how it was answered."""


@dataclass(frozen=True, slots=True)
class Case:
    """An attack and what it needs.

    Attributes:
        name: As the command line names it.
        about: What it does, from the first line of the function's docstring.
        attack: The function.
        seconds: How long it may go on; it is killed some seconds later.
        config: TOML that is added to the server's configuration.
        log_is_read: Whether anybody reads what the server prints.
        worst_ms: What the neighbour's slowest request may take.
        frees_memory: Whether the memory of the coordinator is to come back to 1.2x.
    """

    name: str
    about: str
    attack: Attack
    seconds: float
    config: str
    log_is_read: bool
    worst_ms: float
    frees_memory: bool


def attack(
    *,
    seconds: float = 5.0,
    config: str = "",
    log_is_read: bool = True,
    worst_ms: float = 250.0,
    frees_memory: bool = True,
) -> Callable[[Attack], Case]:
    """Makes a case of a function; see ``Case`` for the arguments."""

    def case(function: Attack) -> Case:
        return Case(
            name=function.__name__.replace("_", "-"),
            about=(inspect.getdoc(function) or "").partition("\n")[0],
            attack=function,
            seconds=seconds,
            config=config,
            log_is_read=log_is_read,
            worst_ms=worst_ms,
            frees_memory=frees_memory,
        )

    return case


def all_cases() -> dict[str, Case]:
    """Every case of every module of this package, by name, module after module."""
    found: dict[str, Case] = {}
    for module in sorted(one.name for one in pkgutil.iter_modules(attacks.__path__)):
        if module in ("__main__", "frame"):
            continue
        for value in vars(importlib.import_module(f"attacks.{module}")).values():
            if isinstance(value, Case):
                found[value.name] = value
    return found
