"""Messages to ``AccountingService`` from keyword arguments."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Unpack

from quorate.client.filling import enum_of, fill, given_of, list_of, refusing
from quorate.client.options import ChargeOptions
from quorate.v1 import accounting_pb2

_FILTER = tuple(accounting_pb2.ChargeFilter.DESCRIPTOR.fields_by_name)


def charges_request(
    page_size: int, **filters: Unpack[ChargeOptions]
) -> accounting_pb2.ListChargesRequest:
    """Builds a request for the first page of charges.

    Raises:
        InvalidRequest: A value that no message can hold.
    """
    request = accounting_pb2.ListChargesRequest()
    with refusing("page_size"):
        request.page_size = page_size
    _fill_filter(request.filter, filters)
    return request


def spend_request(
    group_by: Iterable[str], **filters: Unpack[ChargeOptions]
) -> accounting_pb2.SummarizeSpendRequest:
    """Builds a request for sums.

    Args:
        group_by: Any of ``model``, ``profile``, ``key``, ``day``, ``plan_kind`` and ``task``.
        **filters: Which rows.

    Raises:
        InvalidRequest: An unknown group, or a value that no message can hold.
    """
    request = accounting_pb2.SummarizeSpendRequest()
    for group in list_of({"group_by": group_by}, "group_by"):
        request.group_by.append(enum_of("group_by", group, accounting_pb2.SpendGroup))
    _fill_filter(request.filter, filters)
    return request


def _fill_filter(target: accounting_pb2.ChargeFilter, filters: Mapping[str, Any]) -> None:
    target.SetInParent()
    fill(target, given_of(filters), _FILTER)
