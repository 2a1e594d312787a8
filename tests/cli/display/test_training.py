"""Display of training: what a line shows, and how often lines appear."""

import math
from dataclasses import replace
from itertools import pairwise
from types import SimpleNamespace

import pytest
from support.small_run import settings, trainer

from rnncli.cli.display import progress, training
from rnncli.evaluation.perplexity import Evaluation
from rnncli.runs.events import Epoch, Step


class Clock:
    now = 100.0

    def monotonic(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    """A clock that the test moves."""
    made = Clock()
    monkeypatch.setattr(training, "time", made)
    monkeypatch.setattr(progress, "time", made)
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 5.0)
    return made


@pytest.fixture
def written(clock, monkeypatch):
    """The lines that were written, each with its time."""
    lines = []
    monkeypatch.setattr(training, "notify", lambda line: lines.append((clock.now, line)))
    return lines


def step(number, epoch=1, loss=2.0, words=10):
    return Step(number, epoch, loss, math.exp(min(loss, 700)), 1.0, 0.01, words, 1000.0, 0.01)


def measured(loss, tokens, oov):
    return Evaluation(tokens, True, oov, 50, 5 * tokens, 0.0, loss * tokens, 0.0)


def epoch(number):
    train = measured(2.0, 100, 0)
    return Epoch(10 * number, number, 2.0, 7.39, 1.0, 0.01, 100, 1000.0, 0.1, None, False, train, None)


def events(epochs, steps):
    """Each step and the end of each epoch."""
    for number in range(1, epochs + 1):
        yield from (step((number - 1) * steps + k + 1, number) for k in range(steps))
        yield epoch(number)


def sampled(event):
    """The same event of a model whose training loss has no perplexity."""
    return replace(event, perplexity=math.nan, **({"train": None} if isinstance(event, Epoch) else {}))


def test_lines_of_an_epoch():
    valid = measured(math.log(171.052), 73760, 3370)
    both = replace(epoch(3), valid_perplexity=171.052, best=True, valid=valid)
    of_valid = "valid 171.05 over 73,760 tokens, 3,370 unknown"
    train = "epoch 3: perplexity train 7.39 over 100 tokens, 0 unknown"
    assert training.epoch_line(both, 10412.4) == f"{train}; {of_valid} (best); 10,412 words/s"
    assert training.epoch_line(replace(both, best=False), 10412.4) == f"{train}; {of_valid}; 10,412 words/s"
    expected = f"epoch 3: sampled loss 2.000; perplexity {of_valid} (best); 10,412 words/s"
    assert training.epoch_line(sampled(both), 10412.4) == expected
    assert training.epoch_line(epoch(3), None) == train
    assert training.epoch_line(sampled(epoch(3)), None) == "epoch 3: sampled loss 2.000"
    lost = replace(epoch(3), train=measured(271.0, 100, 0))  # a perplexity of 118 digits
    assert training.epoch_line(lost, None).startswith("epoch 3: perplexity train 4.941e+117 over ")


def test_the_loss_is_a_mean_over_the_words_since_it_was_taken():
    recent = training.RecentLoss()
    for each in (step(1, loss=1.0, words=30), step(2, loss=3.0, words=10)):
        recent.add(each)
    assert recent.take() == f"perplexity {math.exp(1.5):.1f} over 40 tokens"
    recent.add(sampled(step(3, loss=4.0)))
    assert recent.take() == "sampled loss 4.000"
    recent.add(step(4, loss=800.0, words=20))
    assert recent.take() == "perplexity inf over 20 tokens"


def test_words_per_second_are_those_of_the_clock(clock):
    speed = training.Speed()
    assert speed.words_per_second is None
    clock.now += 1
    speed.add(step(1))
    clock.now += 3  # validating
    speed.add(epoch(1))
    assert speed.words_per_second == 2.5
    clock.now += 100  # measuring the test text
    assert speed.words_per_second == 2.5


@pytest.mark.parametrize("made", [lambda event: event, sampled], ids=["exact", "sampled"])
def test_a_line_names_the_kind_of_loss(clock, written, made):
    lines = training.TrainingLines(TRAINER)
    clock.now += 2
    lines.show(made(step(1)))
    clock.now += 4
    lines.show(made(step(2)))
    loss = "sampled loss 2.000" if made is sampled else "perplexity 7.4 over 20 tokens"
    assert [line for _, line in written] == [f"epoch 1, step 2, 50%: {loss}, 3 words/s, after 0:00:06, 0:00:15 left"]


def test_the_bar_names_the_kind_of_loss(clock, capsys):
    trainer = SimpleNamespace(
        words_done=0, words_planned=100, config=SimpleNamespace(training=SimpleNamespace(epochs=2))
    )
    for event, expected in ((step(1), "perplexity 7.4 over 10 tokens,"), (sampled(step(1)), "sampled loss 2.000,")):
        bar = training.TrainingBar(trainer)
        clock.now += 0.01
        bar.show(event)
        bar._bar._bar.refresh()
        bar.close()
        assert f"epoch 1/2, {expected} 1,000 words/s" in capsys.readouterr().err


def test_the_loss_on_the_bar_changes_every_few_seconds(clock, monkeypatch):
    described = []
    monkeypatch.setattr(progress.Bar, "describe", lambda bar, text, refresh=True: described.append(text))
    trainer = SimpleNamespace(
        words_done=0, words_planned=100, config=SimpleNamespace(training=SimpleNamespace(epochs=2))
    )
    bar = training.TrainingBar(trainer)
    for number in range(1, 7):
        clock.now += 1
        bar.show(step(number))
    bar.close()
    tokens = [text.split(" over ")[1].split(" tokens")[0] for text in described]
    assert tokens == ["10", "10", "10", "30", "30", "30"]


TRAINER = SimpleNamespace(words_done=50, words_planned=100)


@pytest.mark.parametrize("steps", [1, 3, 40])
@pytest.mark.parametrize("tick", [0.3, 1.0, 4.9, 20.0])
def test_lines_are_never_closer_than_that(clock, written, tick, steps):
    lines = training.TrainingLines(TRAINER)
    began = clock.now
    for event in events(epochs=30, steps=steps):
        clock.now += tick
        lines.show(event)
    lines.close()
    times = [began, *(time for time, _ in written)]
    assert written
    assert all(later - earlier >= 5 for earlier, later in pairwise(times))
    assert times[-1] > clock.now - 5 - 2 * tick  # and no line that was due is missing


def test_the_line_of_the_last_epoch_waits_until_one_is_due(clock, written):
    lines = training.TrainingLines(TRAINER)
    clock.now += 1
    lines.show(epoch(1))
    lines.show(epoch(2))
    clock.now += 3
    lines.show(step(21, 3))
    assert written == []
    clock.now += 2
    lines.show(step(22, 3))
    assert [line.split(" over ")[0] for _, line in written] == ["epoch 2: perplexity train 7.39"]
    clock.now += 4
    lines.show(step(23, 3))
    clock.now += 2
    lines.show(step(24, 3))  # the queue is empty: the step is shown
    assert [line.split(":")[0] for _, line in written] == ["epoch 2", "epoch 3, step 24, 50%"]


def test_how_much_of_a_text_is_measured(clock, written, capsys):
    run = SimpleNamespace(words_done=0, words_planned=100)
    lines = training.TrainingLines(run)
    clock.now += 1
    lines.watch("measuring", 10, 3000)  # too early for a line
    clock.now += 6
    lines.watch("measuring", 1200, 3000)
    assert [line for _, line in written] == ["measuring: 1,200 of 3,000 words"]
    lines.close()
    bar = training.TrainingBar(run)
    bar.watch("measuring", 2000, 3000)
    bar.watch("measuring", 2100, 3000)  # at the same time: too fast to read
    bar.close()
    err = capsys.readouterr().err
    assert "measuring: 2,000 of 3,000 words" in err
    assert "2,100" not in err


@pytest.mark.parametrize("texts", [("valid",), ("test",), ("valid", "test")])
def test_training_reports_how_much_of_a_text_is_measured(tmp_path, texts):
    config = settings(tmp_path, **{f"data__{name}": str(tmp_path / "text.txt") for name in texts})
    made = trainer(config, tmp_path / "run")
    calls = []
    list(made.train(watch=lambda *each: calls.append(each)))
    ends = [each for each in calls if each[1] == each[2]]
    tokens = made.texts.train.tokens
    assert ends == [("measuring", tokens, tokens)] * (config.training.epochs * ("valid" in texts) + ("test" in texts))
