"""The text format of Prometheus, read back by a parser written from its specification."""

from __future__ import annotations

import re

import pytest

from offerhub.telemetry.metrics import Histogram, Metric, Sample, gauge, render

_SAMPLE = re.compile(r'([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{((?:[a-zA-Z_]\w*="(?:[^"\\\n]|\\[\\n"])*",?)*)\})? ([^ ]+)')
_LABEL = re.compile(r'([a-zA-Z_]\w*)="((?:[^"\\\n]|\\[\\n"])*)"')
Series = dict[tuple[str, frozenset[tuple[str, str]]], float]


def parsed(text: str) -> Series:
    """Every line is a comment about the family that follows, or a sample of it; no series comes twice."""
    assert text.endswith("\n")
    series: Series = {}
    family = ""
    for line in text.splitlines():
        if line.startswith("# HELP "):
            family = line.split(" ")[2]
            continue
        if line.startswith("# TYPE "):
            assert line.split(" ")[2] == family
            continue
        found = _SAMPLE.fullmatch(line)
        assert found, line
        assert found[1].startswith(family), line
        labels = frozenset((name, _unescaped(value)) for name, value in _LABEL.findall(found[2] or ""))
        assert (found[1], labels) not in series, line
        series[found[1], labels] = float(found[3])
    return series


def _unescaped(text: str) -> str:
    return re.sub(r"\\(.)", lambda found: {"n": "\n"}.get(found[1], found[1]), text)


def test_gauges_and_labels() -> None:
    wild = 'a"b\\c\nd,e{}'
    text = render(
        [gauge("up", "Is it\nup?", 1), gauge("balance", "Money.", {wild: "12.3400001"}, "account"), gauge("none", "Nothing.", {}, "x")]
    )
    assert parsed(text) == {("up", frozenset()): 1.0, ("balance", frozenset({("account", wild)})): 12.3400001}
    assert "12.3400001" in text
    assert r"# HELP up Is it\nup?" in text


def test_several_labels() -> None:
    assert parsed(render([Metric("n", "gauge", "N.", [Sample(2, {"a": "1", "b": "2"})])])) == {
        ("n", frozenset({("a", "1"), ("b", "2")})): 2.0
    }


@pytest.mark.parametrize("observed", [[], [0.0], [0.005, 0.0051, 61.0], [0.2] * 7 + [3.0]])
def test_a_histogram_counts_what_it_was_given(observed: list[float]) -> None:
    histogram = Histogram("d", "Durations.", ("route",))
    for duration_s in observed:
        histogram.observe(("/x",), duration_s)
    series = parsed(render([histogram.metric()]))
    if not observed:
        assert series == {}
        return
    assert series["d_count", frozenset({("route", "/x")})] == len(observed)
    assert series["d_sum", frozenset({("route", "/x")})] == pytest.approx(sum(observed))
    buckets = {dict(labels)["le"]: value for (name, labels), value in series.items() if name == "d_bucket"}
    assert buckets["+Inf"] == len(observed)
    assert all(buckets[bound] == sum(one <= float(bound) for one in observed) for bound in buckets if bound != "+Inf")
