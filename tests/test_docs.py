"""README.md and docs/*.md: the examples are run, the configs are read, the links are followed.

A page is one session. Its blocks are run in order in a temporary folder that has copies of configs/ and data/:

- ```console: a line `$ rnncli ...` runs in this process, and the lines up to the next `$ ` are the output to expect,
  stdout and stderr together. A command must exit with 0, or be followed by `$ echo $?` and its exit code.
  `$ cat FILE` prints a file, `$ cp FILE COPY` copies one.
- ```pycon: run by doctest.
- ```yaml: a config, or some sections of one; `yaml_file.read` must accept it.
- ```yaml NAME, ```text NAME: written to the file NAME for the commands after it.
- Any other block is not checked.

In an output, `...` matches any text, also over lines; a speed, size or time (`12 words/s`, `45 MB`, `0.3 s`, `5 ms`)
matches any other; a number with a decimal point matches those within 5 %; spaces match any number of spaces.
"""

import doctest
import re
import shlex
import shutil
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from rnncli.cli import COMMANDS, main
from rnncli.config import yaml_file
from rnncli.config.config import to_dict

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
WITHOUT_EXAMPLE = {"checkpoints.md", "errata.md", "extending.md"}

BLOCK = re.compile(r"^```(?P<language>\w*) *(?P<name>\S*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
NUMBER = r"-?\d[\d,]*(?:\.\d+)?(?:e[-+]?\d+)?"
PATTERN = re.compile(
    rf"(?P<any>\.\.\.)|(?P<varies>{NUMBER}) (?P<unit>words/s|MB|ms|s)\b|(?P<close>\d[\d,]*\.\d+)|(?P<spaces> +)"
)


def blocks(page):
    return [match.group("language", "name", "text") for match in BLOCK.finditer(page.read_text())]


def commands(text):
    """Pairs of a command and the output to expect, of one ```console block."""
    first, *rest = re.split(r"^\$ ", text, flags=re.MULTILINE)
    assert first == "", f"output without a command: {first!r}"
    return [part.partition("\n")[::2] for part in rest]


def differs(expected, seen):
    """Whether the output seen differs from the one expected, by the rules above."""
    wanted, pieces, last = [], [], 0
    for match in PATTERN.finditer(expected):
        pieces.append(re.escape(expected[last : match.start()]))
        last = match.end()
        if match["any"]:
            pieces.append(".*?")
        elif match["varies"]:
            pieces.append(rf"{NUMBER} +{match['unit']}")
        elif match["close"]:
            pieces.append(rf"({NUMBER})")
            wanted.append(match["close"])
        else:
            pieces.append(" +")
    pieces.append(re.escape(expected[last:]))
    found = re.fullmatch("".join(pieces), seen, re.DOTALL)
    if found is None:
        return True
    numbers = [
        (float(a.replace(",", "")), float(b.replace(",", ""))) for a, b in zip(wanted, found.groups(), strict=True)
    ]
    return any(abs(a - b) > 0.05 * a for a, b in numbers)


def run(command, last_exit_code):
    """The output of a command of a ```console block, and its exit code."""
    program, *words = shlex.split(command, comments=True)
    if program == "echo":
        assert words == ["$?"]
        return f"{last_exit_code}\n", 0
    if program == "cat":
        return Path(words[0]).read_text(), 0
    if program == "cp":
        shutil.copy(*words)
        return "", 0
    assert program == "rnncli", command
    result = CliRunner().invoke(main, words)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.output, result.exit_code


def run_console(text):
    exit_code = 0
    for command, expected in commands(text):
        assert exit_code == 0 or command == "echo $?", f"exit code {exit_code} before: {command}"
        seen, exit_code = run(command, exit_code)
        clean = [re.sub(r" +$", "", output.rstrip("\n"), flags=re.MULTILINE) for output in (expected, seen)]
        assert not differs(*clean), f"$ {command}\n{seen}"
    assert exit_code == 0


def run_python(text, page):
    test = doctest.DocTestParser().get_doctest(text, {}, page.name, str(page), 0)
    runner = doctest.DocTestRunner(verbose=False, optionflags=doctest.ELLIPSIS)
    output = []
    runner.run(test, out=output.append)
    assert runner.failures == 0, "".join(output)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_examples_of_a_page(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for folder in ("configs", "data"):
        shutil.copytree(ROOT / folder, folder)
    ran = 0
    for language, name, text in blocks(page):
        if name:
            Path(name).write_text(text)
        elif language == "console":
            run_console(text)
            ran += 1
        elif language == "pycon":
            run_python(text, page)
            ran += 1
        elif language == "yaml":
            Path("block.yaml").write_text(text)
            yaml_file.read("block.yaml", ["data.train=data/fruit.txt"])
    assert ran or page.name in WITHOUT_EXAMPLE


def anchors(page):
    """The anchors of the headings of a page, as GitHub makes them."""
    text = BLOCK.sub("", page.read_text())
    headings = re.findall(r"^#+ +(.+?)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_links_of_a_page(page):
    for link in LINK.findall(BLOCK.sub("", page.read_text())):
        if re.match(r"\w+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_the_config_page_has_every_key_with_its_default(tmp_path):
    text = next(text for language, _, text in blocks(ROOT / "docs" / "config.md") if language == "yaml")
    (tmp_path / "page.yaml").write_text(text)
    (tmp_path / "short.yaml").write_text("data: {train: ../data/fruit.txt}")
    page, short = (yaml_file.read(tmp_path / name) for name in ("page.yaml", "short.yaml"))
    assert page == short
    plain = to_dict(page)
    assert {section: set(keys) for section, keys in yaml.safe_load(text).items()} == {
        section: set(keys) for section, keys in plain.items()
    }


def test_the_readme_is_short_and_names_every_command_and_page():
    text = (ROOT / "README.md").read_text()
    assert len(text.splitlines()) <= 170
    assert re.findall(r"^\| `rnncli (\w+)", text, re.MULTILINE) == list(COMMANDS)
    assert {link for link in LINK.findall(text) if link.startswith("docs/")} >= {
        f"docs/{page.name}" for page in PAGES[1:]
    }


@pytest.mark.parametrize(
    ("expected", "seen", "different"),
    [
        ("12 words/s, 45 MB", "30,125 words/s, 7.5 MB", False),
        ("a ... c", "a b\nb c", False),
        ("x  1.00", "x      1.04", False),
        ("x 1.00", "x 1.06", True),
        ("150 steps", "151 steps", True),
        ("a.b", "axb", True),
    ],
)
def test_what_an_output_matches(expected, seen, different):
    assert differs(expected, seen) is different
