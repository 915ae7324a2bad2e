"""The servicer of ``AccountingService``."""

from __future__ import annotations

from typing import Any, TypeAlias

import grpc

from quorate.access import limits
from quorate.access.record import CURRENT
from quorate.api.grpc.translation.accounting import (
    charge_filter,
    charge_message,
    dimensions,
    machine_message,
    spend_filter,
    spend_message,
    times,
    window_message,
)
from quorate.dispatch import AttemptRecorder
from quorate.errors import CannotRun
from quorate.ledger.ledger import Ledger
from quorate.threads import beside_loop
from quorate.v1 import accounting_pb2, accounting_pb2_grpc

_Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


class AccountingServicer(accounting_pb2_grpc.AccountingServiceServicer):
    """Reads budgets, ledger and meter.

    Callers see what they spent, and with the right to it what others did.
    """

    def __init__(self, recorder: AttemptRecorder) -> None:
        self._recorder = recorder

    async def GetBudget(  # noqa: N802 - the name is the RPC's
        self, request: accounting_pb2.GetBudgetRequest, context: _Context
    ) -> accounting_pb2.GetBudgetResponse:
        """Tells what is left of the windows that bind a key."""
        caller = CURRENT.get().caller
        windows = self._recorder.budgets.status(caller.visible_key(request.key or caller.key) or "")
        return accounting_pb2.GetBudgetResponse(
            windows=[window_message(window) for window in windows]
        )

    async def ListCharges(  # noqa: N802 - the name is the RPC's
        self, request: accounting_pb2.ListChargesRequest, context: _Context
    ) -> accounting_pb2.ListChargesResponse:
        """Lists rows of the ledger, newest first."""
        chosen = charge_filter(request.filter, _visible_key(request.filter))
        charges, token = await self._ledger().list_charges(
            chosen, limits.page_size("page_size", request.page_size), request.page_token
        )
        # A page may have a thousand rows, each with plans to be read.
        return await beside_loop(
            lambda: accounting_pb2.ListChargesResponse(
                charges=map(charge_message, charges), next_page_token=token
            )
        )

    async def SummarizeSpend(  # noqa: N802 - the name is the RPC's
        self, request: accounting_pb2.SummarizeSpendRequest, context: _Context
    ) -> accounting_pb2.SummarizeSpendResponse:
        """Sums the ledger up; what all of the machine took is for who may see others' spending."""
        since, until = times(request.filter)
        rows = await self._ledger().summarize(
            dimensions(request.group_by),
            since,
            until,
            spend_filter(request.filter, _visible_key(request.filter)),
        )
        whole = CURRENT.get().caller.sees_everybody
        return accounting_pb2.SummarizeSpendResponse(
            spends=map(spend_message, rows),
            machine=machine_message(self._recorder.meter.totals()) if whole else None,
        )

    def _ledger(self) -> Ledger:
        if self._recorder.ledger is None:
            raise CannotRun("ledger", "this server keeps none")
        return self._recorder.ledger


def _visible_key(message: accounting_pb2.ChargeFilter) -> str | None:
    return CURRENT.get().caller.visible_key(message.key if message.HasField("key") else None)
