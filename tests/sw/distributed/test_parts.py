"""Parts of a model on machines that share a directory: the bytes of one process, whoever is killed on the way."""

import json
import os
import shutil
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from helpers.models.tiny_models import files, make_model
from helpers.running.command_line import run_fineq
from helpers.running.full_disk import room

from fineq.checkpoint.planning import Options, make_plan
from fineq.checkpoint.quantize import check_output
from fineq.checkpoint.source import open_source
from fineq.common.errors import FineqError
from fineq.distributed.merge import merge_parts
from fineq.distributed.parts import Part, job_record, join_job, parse_part, part_plan
from fineq.distributed.work import quantize_part
from fineq.quantizer.recipes import find_recipe

COUNT = 4


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """Of several weight files."""
    return make_model("llama", tmp_path_factory.mktemp("model") / "llama", max_shard_size="40KB")


@pytest.fixture(scope="module")
def whole(model, tmp_path_factory):
    output = tmp_path_factory.mktemp("whole") / "q"
    code, _, error = run_fineq("quantize", model, "-o", output, "--recipe", "paper", "--no-check")
    assert code == 0, error
    return output


def make(model, output, number, count=COUNT, recipe="paper", **options):
    source, chosen = open_source(model), Options(recipe)
    plan = make_plan(source, chosen, find_recipe(recipe).axis)
    return quantize_part(source, output, chosen, plan, Part(number, count), **options)


def make_all(model, output, count=COUNT):
    for number in range(1, count + 1):
        make(model, output, number, count)
    return output.with_name("q.parts")


def merge(model, output, **options):
    source, chosen = open_source(model), Options("paper")
    return merge_parts(source, output, chosen, make_plan(source, chosen, "row"), **options)


# -- the same bytes --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 2, 3, 7, 21])
def test_every_tensor_is_in_one_part(model, count):
    source = open_source(model)
    plan = make_plan(source, Options("paper"), "row")
    parts = [part_plan(source, plan, Part(number, count)).units for number in range(1, count + 1)]
    assert [unit for units in parts for unit in units] == plan.units
    sizes = [sum(source.entry(unit.source).elements for unit in units) for units in parts]
    largest = max(source.entry(unit.source).elements for unit in plan.units)
    assert max(sizes) <= sum(sizes) / count + largest, "about as much for each"


@pytest.mark.parametrize("count", [1, 3, 7])
def test_parts_in_any_order_give_the_bytes_of_one_process(model, whole, tmp_path, count):
    output = tmp_path / "q"
    for number in reversed(range(1, count + 1)):
        assert make(model, output, number, count) is not None
    assert make(model, output, 1, count) is None, "made once is made"
    merge(model, output)
    assert files(output) == files(whole)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["q"]


def test_workers_at_the_same_time(model, whole, tmp_path):
    """Also several that begin the directory at once, and two on one part: one of these may be told to wait."""
    output = tmp_path / "q"

    def work(number):
        try:
            make(model, output, number)
        except FineqError as error:
            return str(error)

    with ThreadPoolExecutor(8) as pool:
        said = [text for text in pool.map(work, [1, 2, 3, 4, 4, 3, 2, 1]) if text]
    assert [text for text in said if "unfinished" not in text] == []
    merge(model, output)
    assert files(output) == files(whole)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["q"]


def test_a_worker_that_begins_the_directory_while_another_does(model, tmp_path, monkeypatch):
    """In one process too: what each fills aside is its own."""
    source, output = open_source(model), tmp_path / "q"
    record = job_record(source, Options("paper"), COUNT)
    mkdir = Path.mkdir

    def late(self, **options):
        mkdir(self, **options)
        monkeypatch.undo()
        assert join_job(output, record) == output.with_name("q.parts")

    monkeypatch.setattr(Path, "mkdir", late)
    assert join_job(output, record) == output.with_name("q.parts")
    assert Path.mkdir is mkdir, "the other one ran"
    assert [path.name for path in tmp_path.iterdir()] == ["q.parts"]


def test_a_part_that_another_worker_finishes_while_this_one_begins(model, tmp_path, monkeypatch):
    output = tmp_path / "q"

    def late(*arguments):
        work = check_output(*arguments)
        monkeypatch.undo()
        assert make(model, output, 2) is not None
        return work

    monkeypatch.setattr("fineq.checkpoint.quantize.check_output", late)
    assert make(model, output, 2) is None
    assert sorted(path.name for path in (tmp_path / "q.parts").iterdir()) == ["job.json", "part-2-of-4"]


def test_the_commands(model, tmp_path):
    """With the check: the report of one process, and what it found, byte by byte."""
    one, output = tmp_path / "one", tmp_path / "q"
    assert run_fineq("quantize", model, "-o", one, "--recipe", "mse")[0] == 0
    common = ("quantize", model, "-o", output, "--recipe", "mse")
    assert "part 1/2 done: " in run_fineq(*common, "--part", "1/2")[1]
    assert run_fineq(*common, "--part", "1/2")[1] == "part 1/2 was there already\n"
    code, shown, error = run_fineq("merge", model, "-o", output)
    assert (code, shown) == (1, "")
    assert error == (
        f"error: {tmp_path}/q.parts lacks part 2/2: run `fineq quantize` with the same options and --part 2/2\n"
    )
    assert run_fineq(*common, "--part", "2/2")[0] == 0
    code, shown, error = run_fineq("merge", model, "-o", output)
    assert code == 0 and f"written to {output}" in shown, error
    assert files(output) == files(one)
    assert run_fineq("merge", model, "-o", output)[0] == 1, "the output is there"


# -- killed ----------------------------------------------------------------------------------------------------

KILLED = """
import os, signal, sys
from pathlib import Path
from fineq.checkpoint.planning import Options, make_plan
from fineq.checkpoint.source import open_source
from fineq.distributed.merge import merge_parts
from fineq.distributed.parts import Part
from fineq.distributed.work import quantize_part
count = 0
def progress(name, done, total):
    global count
    count += 1
    if count == 3:
        os.kill(os.getpid(), signal.SIGKILL)
source, options = open_source(sys.argv[1]), Options("paper")
arguments = source, Path(sys.argv[2]), options, make_plan(source, options, "row")
if sys.argv[3] == "merge":
    merge_parts(*arguments, progress=progress)
else:
    quantize_part(*arguments, Part(2, 4), progress=progress)
"""


def test_a_worker_and_the_merge_are_killed(model, whole, tmp_path):
    output = tmp_path / "q"
    killed = subprocess.run([sys.executable, "-c", KILLED, model, output, "part"])
    assert killed.returncode == -signal.SIGKILL
    for number in (1, 3, 4):
        make(model, output, number)
    with pytest.raises(FineqError, match="lacks part 2/4: run .* and --part 2/4 --resume$"):
        merge(model, output)
    with pytest.raises(FineqError, match="part-2-of-4.unfinished holds an unfinished run: add --resume to go on"):
        make(model, output, 2)
    make(model, output, 2, resume=True)

    killed = subprocess.run([sys.executable, "-c", KILLED, model, output, "merge"])
    assert killed.returncode == -signal.SIGKILL and not output.exists()
    with pytest.raises(FineqError, match="q.unfinished holds an unfinished run"):
        merge(model, output)
    merge(model, output, resume=True)
    assert files(output) == files(whole)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["q"]


# -- what is refused -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["", "1", "0/4", "5/4", "1/0", "a/b", "-1/4", "1/4/2", "1.0/4", "1/9999999"])
def test_what_is_no_part(text):
    with pytest.raises(FineqError) as error:
        parse_part(text)
    assert str(error.value) == f"--part is {text!r}: give I/N, the I-th of N parts, such as 1/8"


def test_parts_that_do_not_belong_together(model, tmp_path, monkeypatch):
    output = tmp_path / "q"
    make(model, output, 1)
    before = files(tmp_path / "q.parts" / "part-1-of-4")
    with pytest.raises(FineqError, match="q.parts was begun with another options: all workers need the same"):
        make(model, output, 2, recipe="mse")
    with pytest.raises(FineqError, match="was begun with another number of parts"):
        make(model, output, 2, count=5)
    other = make_model("mistral", tmp_path / "mistral")
    with pytest.raises(FineqError, match="was begun with another model"):
        make(other, output, 2)
    monkeypatch.setattr("fineq.checkpoint.quantize.cache_key", lambda *names: "newer")
    with pytest.raises(FineqError, match="was begun with another version"):
        make(model, output, 2)
    with pytest.raises(FineqError, match="were made with another version: merge with that"):
        merge(model, output)
    assert files(tmp_path / "q.parts" / "part-1-of-4") == before
    assert sorted(path.name for path in (tmp_path / "q.parts").iterdir()) == ["job.json", "part-1-of-4"]


def test_recipes_and_numbers_that_cannot_be_cut(model, tmp_path):
    common = ("quantize", model, "-o", tmp_path / "q")
    code, _, error = run_fineq(*common, "--part", "1/2")
    assert code == 1 and error == (
        "error: --part needs a recipe that looks at the weights alone, such as --recipe mse: auto does not\n"
    )
    code, _, error = run_fineq(*common, "--recipe", "mse", "--part", "1/1000")
    assert code == 1 and error.endswith("tensors: it cannot be cut into 1000 parts\n")
    assert run_fineq(*common, "--recipe", "mse", "--part", "3/2")[0] == 1
    code, _, error = run_fineq("merge", model, "-o", tmp_path / "q")
    assert code == 1 and error == (
        f"error: {tmp_path}/q.parts does not exist: make the parts first, with `fineq quantize ... --part I/N`\n"
    )
    assert list(tmp_path.iterdir()) == []


def test_missing_double_and_foreign_parts(model, tmp_path):
    output = tmp_path / "q"
    parts = make_all(model, output)
    shutil.rmtree(parts / "part-2-of-4")
    shutil.rmtree(parts / "part-4-of-4")
    with pytest.raises(FineqError, match="lacks part 2/4, 4/4: run .* --part 2/4$"):
        merge(model, output)
    shutil.copytree(parts / "part-1-of-4", parts / "part-2-of-4")
    make(model, output, 4)
    with pytest.raises(FineqError, match="is in part 1/4 and in part 2/4: remove .*part-2-of-4 and make"):
        merge(model, output)
    shutil.rmtree(parts / "part-2-of-4")
    make(model, output, 2)
    shutil.copytree(parts / "part-2-of-4", parts / "part-2-of-4 (copy)")
    with pytest.raises(FineqError, match=r"holds part-2-of-4 \(copy\), which is none of its 4 parts: remove it"):
        merge(model, output)
    assert not output.exists()


def damage(path):
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    "harm, why",
    [
        (damage, "does not match its checksum"),
        (lambda path: path.write_bytes(path.read_bytes()[:-1]), "is truncated"),
        (lambda path: path.unlink(), "cannot read|does not exist"),
    ],
)
def test_a_lost_or_damaged_shard(model, whole, tmp_path, harm, why):
    output = tmp_path / "q"
    parts = make_all(model, output)
    harm(next((parts / "part-3-of-4").glob("*.safetensors")))
    with pytest.raises(FineqError, match=rf"^part 3/4 is damaged \(.*({why}).*\): remove .*part-3-of-4 and make that"):
        merge(model, output)
    assert not output.exists()
    shutil.rmtree(parts / "part-3-of-4")
    make(model, output, 3)
    merge(model, output, resume=True)
    assert files(output) == files(whole)


@pytest.mark.parametrize("content", [None, "", "{}", '{"units": {"a": {}}}', '{"units": []}'])
def test_a_part_without_its_list(model, tmp_path, content):
    output = tmp_path / "q"
    listed = make_all(model, output) / "part-2-of-4" / "part.json"
    listed.unlink() if content is None else listed.write_text(content)
    with pytest.raises(FineqError, match="^part 2/4 has no list of its tensors: remove .*part-2-of-4 and make"):
        merge(model, output)


@pytest.mark.parametrize("record", [{"parts": "4"}, {"settings": None}, {"settings": {"recipe": "paper"}}])
def test_a_damaged_record(model, tmp_path, record):
    output = tmp_path / "q"
    place = make_all(model, output) / "job.json"
    place.write_text(json.dumps(json.loads(place.read_text()) | record))
    code, _, error = run_fineq("merge", model, "-o", output, "--no-check")
    assert code == 1 and "damaged" in error and error.count("\n") == 1 and not output.exists()


def test_no_room(model, whole, tmp_path):
    """One sentence, nothing half-written under a final name, and it goes on when there is room."""
    output = tmp_path / "q"
    with room(3000), pytest.raises(FineqError, match="^cannot write .*part-1-of-4.unfinished.*: File too large$"):
        make(model, output, 1)
    assert not (tmp_path / "q.parts" / "part-1-of-4").exists()
    make(model, output, 1, resume=True)
    for number in (2, 3, 4):
        make(model, output, number)
    largest = max(len(content) for name, content in files(whole).items() if name.endswith(".safetensors"))
    with room(largest - 1), pytest.raises(FineqError, match="^cannot write .*q.unfinished.*: File too large$"):
        merge(model, output)
    assert not output.exists()
    merge(model, output, resume=True)
    assert files(output) == files(whole)


def test_a_place_that_cannot_be_written(model, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(FineqError, match="cannot write .*q.parts: Not a directory"):
        make(model, tmp_path / "file" / "q", 1)
    os.symlink(tmp_path / "nowhere", tmp_path / "q")
    with pytest.raises(FineqError, match="q is a link to .*nowhere, which does not exist"):
        make(model, tmp_path / "q", 1)
