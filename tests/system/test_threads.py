"""Elementwise work on all threads: every item once, no error lost, the same bits with any number of threads."""

import json
import os
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from rnncli.errors import ConfigError
from rnncli.model.outputs.full import BLOCK, exponentiate_
from rnncli.model.parameters import CHUNK, Touched
from rnncli.optim import OPTIMIZERS
from rnncli.optim.clip import clip_by_global_norm_
from rnncli.runs import checkpoint_file
from rnncli.system import blas, process, threads

COUNTS = [1, 2, 3, 8]


@pytest.fixture(params=COUNTS)
def count(request, monkeypatch):
    monkeypatch.setattr(threads, "count", lambda: request.param)
    return request.param


@pytest.fixture
def three(monkeypatch):
    monkeypatch.setattr(threads, "count", lambda: 3)


def in_another(barrier_of=2):
    """A function that returns whether it runs in a thread other than the current; it waits for `barrier_of` callers."""
    here, barrier = threading.get_ident(), threading.Barrier(barrier_of)

    def elsewhere():
        barrier.wait(timeout=60)
        return threading.get_ident() != here

    return elsewhere


@pytest.mark.parametrize("items", [[], [7], range(2), tuple("abc"), list(range(1000))], ids=repr)
def test_every_item_once(count, items):
    seen = []
    threads.each(seen.append, items)  # an append is atomic
    assert sorted(seen) == sorted(items)


def test_every_item_of_a_python_sequence_once(three):
    class Slow:
        def __len__(self):
            return 60

        def __getitem__(self, k):
            if k >= 60:
                raise IndexError
            time.sleep(1e-4)  # let another thread run in between
            return k

    seen = []
    threads.each(seen.append, Slow())
    assert sorted(seen) == list(range(60))


def test_all_threads_work(count):
    barrier = threading.Barrier(count)
    threads.each(lambda item: barrier.wait(timeout=60), range(count))  # passes only if all run at the same time


def test_one_item_is_the_callers(count):
    ran = []
    threads.each(lambda item: ran.append(threading.get_ident()), ["one"])
    assert ran == [threading.get_ident()]


@pytest.mark.parametrize("where", ["here", "elsewhere"])
def test_an_exception_of_any_thread_is_raised(three, where):
    elsewhere = in_another(3)

    def work(item):
        if item < 3 and elsewhere() == (where == "elsewhere"):
            raise ZeroDivisionError(item)

    with pytest.raises(ZeroDivisionError):
        threads.each(work, range(20))
    threads.each(int, range(20))  # the next call works


def test_all_threads_have_finished_when_it_raises(three):
    elsewhere, running = in_another(3), []

    def work(item):
        if not elsewhere():
            raise ZeroDivisionError
        running.append(item)
        time.sleep(0.05)
        running.remove(item)
        raise ValueError

    with pytest.raises(ZeroDivisionError):  # the error of the calling thread wins
        threads.each(work, range(3))
    assert running == []


def test_the_callers_error_state_applies_in_all_threads(three):
    huge = np.array([1e30], np.float32)
    elsewhere = in_another(3)
    handled = []

    def work(item):
        if elsewhere():
            handled.append(np.geterr()["over"])
            huge * huge

    with np.errstate(over="ignore"):
        threads.each(work, range(3))
    elsewhere = in_another(3)
    with np.errstate(over="raise"), pytest.raises(FloatingPointError):
        threads.each(work, range(3))
    assert handled == ["ignore"] * 2 + ["raise"] * 2


@pytest.mark.parametrize(
    ("length", "numbers", "expected"),
    [
        (0, threads.SHARED, [(0, 0)]),
        (1, threads.SHARED, [(0, 1)]),
        (7, threads.SHARED, [(0, 2), (2, 4), (4, 7)]),
        (7, threads.SHARED - 1, [(0, 7)]),
    ],
)
def test_slices_for_the_threads(three, length, numbers, expected):
    seen = []
    threads.divide(lambda part: seen.append((part.start, part.stop)), length, numbers)
    assert sorted(seen) == expected


def test_nested_calls(count):
    seen = []
    threads.each(lambda i: threads.each(lambda k: seen.append((i, k)), range(5)), range(6))
    assert sorted(seen) == [(i, k) for i in range(6) for k in range(5)]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_process_makes_its_own_threads(three):
    threads.each(int, range(5))  # the parent now has threads
    child = os.fork()
    if child == 0:
        barrier, seen = threading.Barrier(3), []
        try:
            threads.each(lambda item: (barrier.wait(timeout=60), seen.append(item)), range(3))
        finally:
            os._exit(0 if sorted(seen) == [0, 1, 2] else 1)
    assert os.waitpid(child, 0)[1] == 0


@pytest.fixture
def few_threads(monkeypatch):
    """Let only so many threads start from now on: `few_threads(2)`."""
    threads._helpers.cache_clear()
    start = threading.Thread.start

    def limit(number):
        left = [None] * number

        def limited(self):
            if not left:
                raise RuntimeError("can't start new thread")
            left.pop()
            start(self)

        monkeypatch.setattr(threading.Thread, "start", limited)

    yield limit
    threads._helpers.cache_clear()


@pytest.mark.parametrize("number", [0, 1, 2])
def test_where_threads_cannot_start_the_others_do_the_work(few_threads, three, number):
    few_threads(number)
    for _ in range(3):
        seen, ran = [], set()
        threads.each(lambda k, seen=seen, ran=ran: (seen.append(k), ran.add(threading.get_ident())), range(200))
        assert sorted(seen) == list(range(200))
        assert len(ran) <= number + 1
    barrier = threading.Barrier(number + 1)
    threads.each(lambda item: barrier.wait(timeout=60), range(number + 1))  # those that could start do work
    calls, helpers = threads._helpers(os.getpid(), 2)
    assert helpers == number
    assert number or calls.empty()  # no call waits for a thread that will never come


def test_no_call_is_left_behind_where_threads_cannot_start(few_threads, three):
    """After an error no thread goes on with the items of that call."""
    few_threads(1)
    elsewhere, seen = in_another(2), []

    def work(item):
        if item < 2 and not elsewhere():
            raise ZeroDivisionError
        seen.append(item)

    with pytest.raises(ZeroDivisionError):
        threads.each(work, range(50))
    before = list(seen)
    threads.each(int, range(50))
    assert seen == before


@pytest.fixture
def unprepared(monkeypatch):
    """A process that has not imported NumPy, on four cores without a limit of memory."""
    for variable in (*threads.THREAD_VARIABLES, "OPENBLAS_THREAD_TIMEOUT"):
        monkeypatch.setenv(variable, "")  # restored afterwards
        monkeypatch.delenv(variable)
    monkeypatch.delitem(sys.modules, "numpy")
    monkeypatch.setattr(threads, "_allowed", lambda: 4)
    monkeypatch.setattr(threads, "_share", lambda: None)
    monkeypatch.setattr(process, "mappable_memory", lambda: None)


def set_here():
    return {os.environ.get(variable) for variable in threads.THREAD_VARIABLES}


@pytest.mark.parametrize(
    ("share", "expected"), [(None, 4), (9.5, 4), (4, 4), (3.9, 3), (1.5, 1), (1, 1), (0.2, 1)], ids=str
)
@pytest.mark.usefixtures("unprepared")
def test_threads_follow_the_share_of_the_cores(monkeypatch, share, expected):
    monkeypatch.setattr(threads, "_share", lambda: share)
    assert threads.count() == expected
    threads.prepare()
    assert set_here() == ({None} if expected == 4 else {str(expected)})
    assert threads.count() == expected
    for given in ("3", "2"):
        monkeypatch.setenv("OMP_NUM_THREADS", given)
        monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)
        threads.prepare()
        assert threads.count() == int(given)
    threads.prepare(5)
    assert (set_here(), threads.count()) == ({"5"}, 5)


@pytest.mark.usefixtures("unprepared")
def test_the_blas_gets_one_thread_where_threads_cannot_start(few_threads):
    few_threads(3)
    threads.prepare(4)
    assert set_here() == {"4"}
    few_threads(2)
    threads.prepare(4)
    assert (set_here(), threads.count()) == ({"1"}, 1)


@pytest.mark.usefixtures("unprepared")
def test_threads_leave_half_of_a_limited_memory_to_the_model(monkeypatch):
    for more, expected in ((0, 1), (2, 2), (5, 3), (100, 4)):
        room = threads.MAPPED + more * threads.MAPPED_BY_A_THREAD
        monkeypatch.setattr(process, "mappable_memory", lambda room=room: room)
        threads.prepare(4)
        assert threads.count() == expected
    monkeypatch.setattr(process, "mappable_memory", lambda: threads.MAPPED - 1)
    with pytest.raises(ConfigError, match=r"needs 140 MB of address space, and 139 MB are left; raise .*ulimit -v"):
        threads.prepare()


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"OPENBLAS_NUM_THREADS": "3"}, 3),
        ({"OMP_NUM_THREADS": "5"}, 5),
        ({"OPENBLAS_NUM_THREADS": "3", "OMP_NUM_THREADS": "5"}, 3),
        ({"OPENBLAS_NUM_THREADS": "0", "OMP_NUM_THREADS": "5"}, 5),
        ({"OPENBLAS_NUM_THREADS": "all", "OMP_NUM_THREADS": "4,2"}, None),
        ({"MKL_NUM_THREADS": "7"}, None),
        ({}, None),
    ],
)
def test_count(monkeypatch, environment, expected):
    for variable in threads.THREAD_VARIABLES:
        monkeypatch.delenv(variable, raising=False)
    for variable, value in environment.items():
        monkeypatch.setenv(variable, value)
    if expected is None:
        monkeypatch.setattr(threads, "_share", lambda: None)
        expected = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    assert threads.count() == expected


def python(code, **environment):
    """The JSON that a new Python process prints, without the variables that were set here."""
    unset = {*threads.THREAD_VARIABLES, "OPENBLAS_THREAD_TIMEOUT"}
    clean = {key: value for key, value in os.environ.items() if key not in unset}
    result = subprocess.run([sys.executable, "-c", code], env=clean | environment, capture_output=True, check=True)
    return json.loads(result.stdout)


PREPARED = """
import json, os, sys
from rnncli.system import threads
threads.prepare({})
before = "numpy" in sys.modules
from rnncli.system import blas
print(json.dumps([before, dict(os.environ), blas.describe()["threads"], threads.count()]))
"""


def test_prepare_comes_before_numpy():
    before, environment, blas, ours = python(PREPARED.format(1))
    assert not before
    assert {environment[variable] for variable in threads.THREAD_VARIABLES} == {"1"}
    assert environment["OPENBLAS_THREAD_TIMEOUT"] == "20"
    assert blas in (1, None)
    assert ours == 1


def test_prepare_leaves_what_the_user_set():
    _, environment, blas, ours = python(PREPARED.format(""), OMP_NUM_THREADS="1", OPENBLAS_THREAD_TIMEOUT="7")
    assert "OPENBLAS_NUM_THREADS" not in environment
    assert environment["OPENBLAS_THREAD_TIMEOUT"] == "7"
    assert blas in (1, None)
    assert ours == 1


def test_prepare_after_numpy_changes_only_our_threads(monkeypatch):
    for variable in threads.THREAD_VARIABLES:
        monkeypatch.setenv(variable, "5")
    monkeypatch.delenv("OPENBLAS_THREAD_TIMEOUT", raising=False)
    before = blas.describe()["threads"]
    threads.prepare(3)
    assert threads.count() == 3
    assert blas.describe()["threads"] == before
    assert "OPENBLAS_THREAD_TIMEOUT" not in os.environ


def test_load_prepares_too():
    code = "import json, os, rnncli; rnncli.load; print(json.dumps(os.environ['OPENBLAS_THREAD_TIMEOUT']))"
    assert python(code) == "20"


TRAIN = """
import json, sys, threading
from pathlib import Path
from rnncli.cli import main

try:
    main(["train", *sys.argv[1:]])
except SystemExit as end:
    assert end.code == 0, end.code
status = Path("/proc/self/status")
alive = int(status.read_text().split("Threads:")[1].split()[0]) if status.exists() else None
print(json.dumps([threading.active_count(), alive]))
"""


@pytest.mark.parametrize("number", [1, 2])
def test_train_uses_this_number_of_threads(tmp_path, number):
    (tmp_path / "text.txt").write_text("".join(f"the word {k}\n" for k in range(1000)))
    model = "model: {hidden_size: 8, embedding_size: 5}"  # its logits, 700 x 1003, are worked on together
    (tmp_path / "config.yaml").write_text(f"data: {{train: text.txt, mode: stream}}\n{model}\n")
    clean = {key: value for key, value in os.environ.items() if key not in threads.THREAD_VARIABLES}
    words = [str(tmp_path / "config.yaml"), "--threads", str(number), "--epochs", "1"]
    result = subprocess.run(
        [sys.executable, "-c", TRAIN, *words], cwd=tmp_path, env=clean, capture_output=True, check=True
    )
    ours, alive = json.loads(result.stdout.splitlines()[-1])
    assert ours == number
    [path] = tmp_path.glob("runs/config/checkpoints/*.npz")
    if (blas := checkpoint_file.verify(path)["machine"]["threads"]) is not None:
        assert blas == number
    if alive is not None and number == 1:
        assert alive == 1  # the BLAS has no extra threads either


def results(work):
    """The results of `work` with 1, 2 and 3 threads, as bytes."""
    made = []
    for number in (1, 2, 3):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(threads, "count", lambda number=number: number)
            made.append([np.asarray(array).tobytes() for array in work(np.random.default_rng(5))])
    return made


ROWS = CHUNK // 16 + 3
SIZE = 3 * CHUNK + 17
TABLE = Touched(CHUNK + 5, (ROWS, 16), np.array([0, 4, ROWS - 1]))


def with_a_table(rng):
    """A vector of several chunks, zero in a table except in some rows."""
    gradient = rng.standard_normal(SIZE).astype(np.float32)
    kept = TABLE.of(gradient)[TABLE.rows].copy()
    TABLE.of(gradient)[...] = 0
    TABLE.of(gradient)[TABLE.rows] = kept
    return gradient


@pytest.mark.parametrize("tables", [[], [TABLE]], ids=["dense", "rows"])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizers_give_the_same_bits_on_any_number_of_threads(name, tables):
    def work(rng):
        vector, optimizer = rng.standard_normal(SIZE).astype(np.float32), OPTIMIZERS[name](SIZE, np.dtype(np.float32))
        for step in (1, 2, 64):
            optimizer.step_(vector, with_a_table(rng), 0.01, step, tables)
        return vector, *optimizer.moments.values()

    one, two, three = results(work)
    assert one == two == three


@pytest.mark.parametrize("tables", [[], [TABLE]], ids=["dense", "rows"])
def test_clipping_gives_the_same_bits_on_any_number_of_threads(tables):
    def work(rng):
        gradient = with_a_table(rng)
        return clip_by_global_norm_(gradient, 1.0, tables), gradient

    one, two, three = results(work)
    assert one == two == three


def test_exponentials_have_the_same_bits_on_any_number_of_threads():
    def work(rng):
        logits = rng.standard_normal((3 * BLOCK // 1000, 1000)).astype(np.float32)
        logits[5, 7] = 200  # overflows without a shift
        before = logits.copy()
        return *exponentiate_(logits, None, lambda rows: before[rows]), logits

    one, two, three = results(work)
    assert one == two == three
