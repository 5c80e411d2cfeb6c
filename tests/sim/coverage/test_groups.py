"""Cover groups: crossed axes, samples, what cannot occur; files, sums and the report."""

import json
from collections import Counter

import pytest

from fineq.common.errors import FineqError
from fineq_hw.interface.error_codes import ErrorCode
from fineq_hw.interface.jobs import ActivationFunction, OutputFormat
from fineq_sim.coverage import groups, report
from fineq_sim.coverage.groups import CoverGroup, Impossible, as_document, names


@pytest.fixture
def group(monkeypatch):
    monkeypatch.setattr(groups, "_declared", [])
    return CoverGroup(
        "room.what",
        "something happens",
        {"format": ("a", "b"), "pace": ("slow", "fast")},
        [Impossible(lambda at: at == {"format": "b", "pace": "fast"}, "b is never fast")],
    )


@pytest.fixture
def reported(group, monkeypatch):
    monkeypatch.setattr(report, "GROUPS", {group.name: group})
    return group


def test_axes_are_crossed_and_samples_counted(group):
    assert list(group.bins) == [("a", "slow"), ("a", "fast"), ("b", "slow"), ("b", "fast")]
    group.sample(pace="slow", format="a")
    group.sample(format="a", pace="slow")
    assert group.counts == {("a", "slow"): 2}
    assert as_document([group]) == {"room.what": [["a", "slow", 2]]}


def test_what_cannot_occur_fails(group):
    with pytest.raises(AssertionError, match="room.what: b x fast occurred, although b is never fast"):
        group.sample(format="b", pace="fast")
    assert not group.counts


def test_what_is_not_declared_is_refused(group):
    with pytest.raises(ValueError, match="room.what has no bin c x slow: declare it"):
        group.sample(format="c", pace="slow")
    with pytest.raises(ValueError, match="room.what has the axes format, pace, not format"):
        group.sample(format="a")


def test_counts_are_saved_where_the_runner_says(group, tmp_path, monkeypatch):
    groups._save()
    group.sample(format="a", pace="fast")
    monkeypatch.setenv(groups.FILE_VARIABLE, str(tmp_path / "counts.json"))
    groups._save()
    assert json.loads((tmp_path / "counts.json").read_text()) == {"room.what": [["a", "fast", 1]]}


def test_files_are_added_up_and_what_is_missing_told(reported, tmp_path):
    for number, met in enumerate(([["a", "slow", 2]], [["a", "slow", 1], ["b", "slow", 4]])):
        (tmp_path / str(number)).write_text(json.dumps({"room.what": met}))
    counts = report.merge([tmp_path / "0", tmp_path / "1", tmp_path / "not there"])
    assert counts == {"room.what": Counter({("a", "slow"): 3, ("b", "slow"): 4})}
    assert report.empty_bins(counts) == [("room.what", ("a", "fast"))]
    (tmp_path / "sum").write_text(report.as_json(counts))
    assert report.merge([tmp_path / "sum"]) == counts
    text = report.markdown(counts, "the command")
    assert "Made by `the command`:\n2 of 3 declared bins are hit. " in text
    assert "| room.what | something happens | format (2) x pace (2) | 2 of 3 | 1 |" in text
    assert "| room.what | a x fast |" in text and "| room.what | 1 | b is never fast |" in text


def test_counts_of_other_bins_are_refused(reported, tmp_path):
    (tmp_path / "old").write_text('{"room.what": [["c", "slow", 1]]}')
    with pytest.raises(FineqError, match="old has counts of room.what, c x slow, which is not declared"):
        report.merge([tmp_path / "old"])


def test_bins_follow_the_enumerations():
    assert names(OutputFormat) == ("SUMS", "FIXED", "INT8")
    jobs = report.GROUPS["machine.jobs"]
    assert jobs.axes["format"] == names(OutputFormat) and jobs.axes["function"] == names(ActivationFunction)
    refused = set(report.GROUPS["machine.refusals"].axes["code"])
    answered = set(report.GROUPS["machine.bus_errors"].axes["code"])
    accesses = set(report.GROUPS["machine.access_errors"].axes["code"])
    others = {"NONE", "ABORTED", "MEMORY_TIMEOUT"}
    assert refused | answered | accesses | others == set(names(ErrorCode)), "an error code without a bin"


def test_every_group_has_its_own_name_and_some_possible_bin():
    assert all("." in name and None in group.bins.values() for name, group in report.GROUPS.items())
