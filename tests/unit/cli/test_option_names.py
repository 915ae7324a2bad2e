"""A user of the program hears of the options that were typed, not of fields of the contract."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor

from quorate.cli.option_names import Given, option_of, options_named
from quorate.cli.parameters import AnswerParameters, RequestParameters
from quorate.cli.plan_parameters import AnswersParameters, VoteParameters
from quorate.client import ServiceError
from quorate.errors import InvalidRequest
from quorate.request import Plan, Stage, WeightedModel
from quorate.v1 import accounting_pb2, inference_pb2

MEMBERS = (WeightedModel("alpha"), WeightedModel("beta", 0.3))
STAGES = (Stage(Plan(MEMBERS), 0.5), Stage(Plan((WeightedModel("gamma"),)), None))


@pytest.mark.parametrize(
    ("field", "option"),
    [
        ("sampling.top_p", "--top-p"),
        ("stopping.stop[3]", "--stop"),
        ("budget.energy_joules", "--joules"),
        ("response.top_logprobs", "--top"),
        ("plan.ensemble.members[0].model", "--model alpha"),
        ("plan.ensemble.members[1].weight", "--model beta:0.3"),
        ("plan.ensemble.members", "--model"),
        ("plan.ensemble.beam.width", "--beam-width"),
        ("plan.cascade.stages[0].confidence", "--cascade alpha,beta:0.3"),
        ("plan.cascade.stages[1].ensemble.members[0].weight", "--cascade gamma"),
        ("chat.messages[0].content", "--system"),
        ("chat.messages[1]", "PROMPT"),
        ("chat", "PROMPT"),
        ("chat.tools", "--tools"),
        ("chat.tools[2].parameters", "--tools [2].parameters"),
        ("tools[0]", "--tools [0]"),
        ("tool_choice.mode", "--tool-choice"),
        ("prompt", "PROMPT"),
        ("seed", "--seed"),
        ("filter.since", "--since"),
        ("request_id", ""),
        ("sampling", ""),
        ("nobody.knows[2].this", ""),
    ],
)
def test_a_field_is_named_by_the_option_that_was_given(field: str, option: str) -> None:
    assert option_of(field, Given(MEMBERS, STAGES, system=True)) == option


def test_the_text_is_called_what_the_command_calls_it() -> None:
    assert option_of("chat.messages[0].content", Given()) == "PROMPT"
    assert option_of("prompt", Given(asked="FILE")) == "FILE"
    assert option_of("plan.ensemble.members[7].weight", Given(MEMBERS)) == "--model"
    assert option_of("model", Given(model="MODEL")) == "MODEL"


def paths(message: Descriptor, before: str = "", depth: int = 0) -> Iterator[str]:
    for field in message.fields:
        if field.type == FieldDescriptor.TYPE_MESSAGE and depth < 4:
            yield from paths(field.message_type, f"{before}{field.name}.", depth + 1)
        yield before + field.name


def test_every_field_that_the_program_can_fill_has_its_option() -> None:
    """Those without one are those that no option fills."""
    fields = {
        path
        for message in (inference_pb2.GenerateRequest, accounting_pb2.ChargeFilter)
        for path in paths(message.DESCRIPTOR, "filter." if "Filter" in message.__name__ else "")
    }
    without = {path for path in fields if not option_of(path, Given())}
    assert {path for path in without if "." not in path} == {
        *("request_id", "sampling", "stopping", "response", "budget"),
    }
    assert {path for path in without if "." in path} == {
        *("sampling.logit_bias", "sampling.logit_bias.key", "sampling.logit_bias.value"),
        *("filter.request_id", "response.omit_logprobs"),
    }


def test_every_option_that_is_named_exists() -> None:
    known = {
        f"--{name.replace('_', '-')}"
        for group in (RequestParameters, AnswerParameters, VoteParameters, AnswersParameters)
        for name in group.__dataclass_fields__
    }
    known |= {"--joules", "--top", "--model", "--profile", "--cascade", "--stream-early"}
    known |= {"--on-failure", "--auto", "PROMPT", "FILE"}
    told = {option_of(path, Given()) for path in paths(inference_pb2.GenerateRequest.DESCRIPTOR)}
    assert told - {""} <= known


def test_everything_that_is_wrong_is_told_by_its_option_and_kept_by_its_field() -> None:
    wrong = [("sampling.top_p", "is 7.0; give less"), ("sampling.min_p", "is 2.0; give less")]
    with (
        pytest.raises(ServiceError) as caught,
        options_named(Given()),
    ):
        raise ServiceError("INVALID_ARGUMENT", "x", "INVALID_FIELD", {}, None, wrong)
    assert caught.value.message == "--top-p: is 7.0; give less; --min-p: is 2.0; give less"
    assert caught.value.violations == tuple(wrong)


def test_what_no_message_can_hold_is_told_by_its_option_too() -> None:
    with pytest.raises(ServiceError, match="--top-k: too large") as caught, options_named(Given()):
        raise InvalidRequest("top_k", "too large")
    assert (caught.value.status, caught.value.reason) == ("INVALID_ARGUMENT", "INVALID_FIELD")


def test_other_errors_pass_as_they_are() -> None:
    error = ServiceError("NOT_FOUND", "no model named 'x'", "NOT_FOUND", {}, None, [("a", "b")])
    with pytest.raises(ServiceError) as caught, options_named(Given()):
        raise error
    assert caught.value is error
