"""The servicer of ``AccountingService``."""

from __future__ import annotations

from typing import Any, TypeAlias

import grpc

from quorate.access.keys import ACCOUNTING
from quorate.access.record import CURRENT
from quorate.api.grpc.translation.accounting import (
    charge_filter,
    charge_message,
    dimensions,
    machine_message,
    page_size,
    spend_filter,
    spend_message,
    times,
    window_message,
)
from quorate.dispatch import Books
from quorate.errors import CannotRun
from quorate.ledger.ledger import Ledger
from quorate.v1 import accounting_pb2, accounting_pb2_grpc

_Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


class AccountingServicer(accounting_pb2_grpc.AccountingServiceServicer):
    """Reads the books. Callers see what they spent, and with the right to it what others did."""

    def __init__(self, books: Books) -> None:
        self._books = books

    async def GetBudget(  # noqa: N802 - the name is the RPC's
        self, request: accounting_pb2.GetBudgetRequest, context: _Context
    ) -> accounting_pb2.GetBudgetResponse:
        """Tells what is left of the windows that bind a key."""
        caller = CURRENT.get().caller
        if request.key and request.key != caller.key:
            caller.require(ACCOUNTING)
        windows = self._books.budgets.status(request.key or caller.key)
        return accounting_pb2.GetBudgetResponse(
            windows=[window_message(window) for window in windows]
        )

    async def ListCharges(  # noqa: N802 - the name is the RPC's
        self, request: accounting_pb2.ListChargesRequest, context: _Context
    ) -> accounting_pb2.ListChargesResponse:
        """Lists rows of the ledger, newest first."""
        chosen = charge_filter(request.filter, _visible_key(request.filter))
        charges, token = await self._ledger().list_charges(
            chosen, page_size(request.page_size), request.page_token
        )
        return accounting_pb2.ListChargesResponse(
            charges=map(charge_message, charges), next_page_token=token
        )

    async def SummarizeSpend(  # noqa: N802 - the name is the RPC's
        self, request: accounting_pb2.SummarizeSpendRequest, context: _Context
    ) -> accounting_pb2.SummarizeSpendResponse:
        """Sums the ledger up."""
        since, until = times(request.filter)
        rows = await self._ledger().summarize(
            dimensions(request.group_by),
            since,
            until,
            spend_filter(request.filter, _visible_key(request.filter)),
        )
        return accounting_pb2.SummarizeSpendResponse(
            spends=map(spend_message, rows), machine=machine_message(self._books.meter.totals())
        )

    def _ledger(self) -> Ledger:
        if self._books.ledger is None:
            raise CannotRun("ledger", "this server keeps none")
        return self._books.ledger


def _visible_key(message: accounting_pb2.ChargeFilter) -> str | None:
    """Name of the key whose spending is asked for and may be seen; None for everybody's.

    Raises:
        PermissionDenied: It is not the caller's own, and the right to see others' is missing.
    """
    caller = CURRENT.get().caller
    if message.HasField("key"):
        if message.key != caller.key:
            caller.require(ACCOUNTING)
        return message.key
    return None if ACCOUNTING in caller.rights else caller.key
