"""Metrics in Prometheus' text format: what a process has counted itself, and values read at the moment they are asked for."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
# From a read in milliseconds to a caller who waits for an operation as long as he may.
_BOUNDS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
Labels = Mapping[str, str]
# A string is written as it is: amounts never become floats.
Value = int | float | str


@dataclass(frozen=True)
class Sample:
    value: Value
    labels: Labels = field(default_factory=dict)
    suffix: str = ""


@dataclass(frozen=True)
class Metric:
    """One family. ``samples`` may be empty: nothing to say about it now."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    text: str
    samples: Iterable[Sample]


def gauge(name: str, text: str, value: Value | Mapping[str, Value], label: str = "") -> Metric:
    """One value, or one for each value of ``label``."""
    samples = [Sample(each, {label: name}) for name, each in value.items()] if isinstance(value, Mapping) else [Sample(value)]
    return Metric(name, "gauge", text, samples)


def render(metrics: Iterable[Metric]) -> str:
    return "".join(f"{line}\n" for metric in metrics for line in _lines(metric))


def _lines(metric: Metric) -> Iterator[str]:
    yield f"# HELP {metric.name} {_escape(metric.text)}"
    yield f"# TYPE {metric.name} {metric.kind}"
    for sample in metric.samples:
        labels = ",".join(f'{name}="{_escape(value, quoted=True)}"' for name, value in sample.labels.items())
        yield f"{metric.name}{sample.suffix}{f'{{{labels}}}' if labels else ''} {sample.value}"


def _escape(text: str, *, quoted: bool = False) -> str:
    escaped = text.replace("\\", r"\\").replace("\n", r"\n")
    return escaped.replace('"', r"\"") if quoted else escaped


@dataclass
class _Times:
    buckets: list[int] = field(default_factory=lambda: [0] * (len(_BOUNDS_S) + 1))
    sum_s: float = 0.0


class Histogram:
    """Durations by labels, since the process began. Whoever observes keeps the number of different labels small."""

    def __init__(self, name: str, text: str, label_names: tuple[str, ...]) -> None:
        self._name = name
        self._text = text
        self._label_names = label_names
        self._observed: dict[tuple[str, ...], _Times] = {}

    def observe(self, labels: tuple[str, ...], duration_s: float) -> None:
        times = self._observed.get(labels)
        if times is None:
            times = self._observed[labels] = _Times()
        times.buckets[bisect_left(_BOUNDS_S, duration_s)] += 1
        times.sum_s += duration_s

    def metric(self) -> Metric:
        return Metric(self._name, "histogram", self._text, self._samples())

    def _samples(self) -> Iterator[Sample]:
        for values, times in self._observed.items():
            labels = dict(zip(self._label_names, values, strict=True))
            count = 0
            for bound, observed in zip((*map(str, _BOUNDS_S), "+Inf"), times.buckets, strict=True):
                count += observed
                yield Sample(count, {**labels, "le": bound}, "_bucket")
            yield Sample(times.sum_s, labels, "_sum")
            yield Sample(count, labels, "_count")
