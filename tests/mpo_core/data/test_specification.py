import pytest
from hypothesis import given, strategies as st

from mpo_core.data.faults.judge import Judge
from mpo_core.data.faults.mixed import Mixed
from mpo_core.data.faults.noisy import Noisy
from mpo_core.data.faults.pairs import Pairs
from mpo_core.data.specification import DataSpec, parse_data_spec

SHARE = st.floats(0, 1).map(lambda share: float(f"{share:g}"))


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("base", "base"),
        ("noisy:0.20", "noisy:0.2"),
        ("noisy:.1+mixed:.75", "mixed:0.75+noisy:0.1"),
        ("mixed:0", "base"),
        ("judge:10+base", "judge:10"),
        ("pairs:oo=.5,ot=.3,tt=.2", "pairs:oo=0.5,ot=0.3,tt=0.2"),
        ("pairs:oo=.5,ot=.5", "mixed:0.5"),
        ("judge:1000000", "judge:1e06"),
        ("judge:1e+06+noisy:1e-2", "noisy:0.01+judge:1e06"),
        ("pairs:oo=.3333333,ot=.3333333,tt=.3333334", "pairs:oo=0.3333333,ot=0.3333333,tt=0.3333334"),
        ("pairs: oo=-0, ot=.5, tt=.5", "pairs:oo=0,ot=0.5,tt=0.5"),
    ],
)
def test_canonical_form(text, canonical):
    assert str(parse_data_spec(text)) == canonical
    assert parse_data_spec(canonical) == parse_data_spec(text)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("mixed:2", "between 0 and 1, not 2"),
        ("nosy:0.1", "'noisy:E'"),
        ("mixed:0.5+mixed:0.2", "more than one"),
        ("mixed:0.5+pairs:oo=1", "more than one"),
        ("noisy:lots", "number"),
        ("noisy:nan", "between 0 and 1"),
        ("judge:-1", "temperature"),
        ("base:1", "takes no value"),
        ("pairs:oo=.5", "sum to 1"),
        ("pairs:xx=1", "kind of pair"),
        ("pairs:oo=.5,oo=1", "gives the share of 'oo' twice"),
        ("", "data term"),
    ],
)
def test_refusals_are_one_sentence(text, says):
    with pytest.raises(ValueError, match=says.replace("(", r"\(")) as refusal:
        parse_data_spec(text)
    assert "\n" not in str(refusal.value)


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1e30))
def test_the_text_form_is_exact(mixed, noise, temperature):
    spec = DataSpec((Pairs(mixed, 0.5 * (1 - mixed), 0.5 * (1 - mixed)), Noisy(noise), Judge(temperature)))
    again = parse_data_spec(str(spec))
    assert (again, str(again)) == (spec, str(spec))


@given(SHARE, SHARE, st.floats(0, 1e4).map(lambda value: float(f"{value:g}")))
def test_text_form_round_trips(mixed, noise, temperature):
    spec = DataSpec((Judge(temperature), Noisy(noise), Mixed(mixed)))
    again = parse_data_spec(str(spec))
    assert str(again) == str(spec)


@given(SHARE, st.integers(2, 300))
def test_kinds_add_up_and_follow_the_shares(mixed, rows):
    counts = DataSpec((Mixed(mixed),)).kind_counts(rows)
    assert sum(counts) == rows
    assert abs(counts[0] - mixed * rows) < 1
