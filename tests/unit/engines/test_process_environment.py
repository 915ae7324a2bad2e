from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from quorate.engines.confinement.environment import inherited, is_inherited, worker_environment
from quorate.engines.confinement.plan import Confinement, Isolation, Needs, of_an_encoder

PREFIXES = ("VLLM_", "CUDA_", "GGML_", "OMP_", "LC_", "NCCL_", "TORCH_", "HF_", "AWS_", "")
WORDS = ("KEY", "API_KEY", "APIKEY", "TOKEN", "SECRET", "PASSWORD", "CREDENTIALS", "AUTH", "HOST",
         "VISIBLE_DEVICES", "MAX_TOKENS", "THREADS", "KEYBOARD", "A", "CACHE_DIR")  # fmt: skip
SECRET = ("KEY", "APIKEY", "TOKEN", "SECRET", "PASSWORD", "CREDENTIALS", "AUTH")

names = st.builds("".join, st.tuples(st.sampled_from(PREFIXES), st.sampled_from(WORDS))) | st.text(
    st.characters(exclude_characters="=\0"), min_size=1, max_size=20
)
environments = st.dictionaries(names, st.sampled_from(["", "1", "s3cret", "open"]), max_size=12)


@given(environments, st.data())
def test_no_secret_is_inherited_by_its_name_its_words_or_its_value(base, data):
    secrets = data.draw(st.sets(st.sampled_from(sorted(base)) if base else names, max_size=3))

    passed = inherited(base, secrets)

    assert passed.items() <= base.items()
    assert not secrets & passed.keys()
    assert not {base[name] for name in secrets & base.keys() if base[name]} & {*passed.values()}
    for name in passed:
        assert not {*name.upper().split("_")} & {*SECRET}
    left_out = base.keys() - passed.keys() - secrets
    values = {base[name] for name in secrets & base.keys()}
    assert all(not is_inherited(name) or base[name] in values for name in left_out)


@given(environments)
def test_what_a_worker_gets_beside_is_the_same_whatever_is_outside(base):
    gets = worker_environment(base, 3)
    assert gets["OMP_NUM_THREADS"] == "3"
    assert gets["HF_HUB_OFFLINE"] == "1"


def test_a_plan_survives_the_way_through_the_environment():
    needs = Needs(("/models/a é.gguf",), ("/tmp",), loopback=True, descriptors=7)
    plan = of_an_encoder("m", Isolation(sandbox=False), needs)

    assert Confinement.from_text(plan.to_text()) == plan
    assert (plan.writes, plan.loopback) == ((), False)
