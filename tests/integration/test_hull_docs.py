# SPDX-License-Identifier: Apache-2.0
"""What hull says of itself: --help, the man pages, and the completion of shells. All of it has to be of one mind."""
import os
import pathlib
import re
import shutil
import subprocess

import pytest

from bundles import CHECKOUT, HULL, bundle, pytestmark  # noqa: F401 pylint: disable=unused-import

PAGES = CHECKOUT / "docs/man"


def hull(*args):
    return subprocess.run([HULL, *args], check=True, text=True, capture_output=True, timeout=60).stdout


def commands():
    listed = re.search(r"^commands:\n(.*?)\n\n", hull("--help"), re.S | re.M)[1]
    return [line.split()[0] for line in listed.splitlines() if re.match(r"  \S", line)]


def options(*command):
    """[(letter or None, name, placeholder or None), ...] of --help."""
    found = re.findall(r"^  (?:-(\w), |    )--([a-z0-9-]+)(?: (\S+))?(?:\s{2,}.*)?$",
                       hull(*command, "--help").split("\noptions:\n")[1], re.M)
    return [(letter or None, name) for letter, name, _ in found]


def test_every_command_has_its_help():
    assert len(commands()) >= 13
    for command in commands():
        text = hull(command, "--help")
        assert text.startswith(f"hull {command} - ") and f"usage: hull {command} [options]" in text
        assert hull(command, "-h") == text
        assert ("h", "help") in options(command)
        assert hull("help", command) == text
    assert hull("help") == hull("--help") == hull("-h") == hull()


@pytest.mark.parametrize("command", [()] + [(name,) for name in (commands() if HULL.exists() else [])])
def test_every_option_stands_in_the_man_page(command):
    page = (PAGES / f"{'-'.join(('hull', *command))}.1.scd").read_text()
    for letter, name in options(*command):
        term = f"*-{letter}*, *--{name}*" if letter else f"*--{name}*"
        assert re.search(rf"^{re.escape(term)}", page, re.M), f"{term} is not in the page"


@pytest.mark.parametrize("command", [()] + [(name,) for name in (commands() if HULL.exists() else [])])
def test_the_man_page_has_no_other_options(command):
    page = (PAGES / f"{'-'.join(('hull', *command))}.1.scd").read_text()
    section = re.search(r"^# OPTIONS\n(.*?)(?=^# )", page, re.S | re.M)[1]
    described = {name for line in section.splitlines() if line.startswith("*-")
                 for name in re.findall(r"\*--([a-z0-9-]+)\*", line)}
    assert described <= {name for _, name in options(*command)}


def test_every_page_is_built_and_installed():
    listed = (PAGES / "meson.build").read_text()
    for command in commands():
        assert re.search(rf"'{command}'", listed), f"{command} is not in docs/man/meson.build"
    pages = {p.name.removeprefix("hull-").removesuffix(".1.scd") for p in PAGES.glob("hull-*.1.scd")}
    assert pages == set(commands())


@pytest.mark.skipif(not shutil.which("scdoc"), reason="no scdoc")
def test_every_page_is_well_formed():
    for page in PAGES.glob("*.scd"):
        with open(page, "rb") as source:
            subprocess.run(["scdoc"], stdin=source, stdout=subprocess.DEVNULL, check=True, timeout=60)


# ---- the specification, key by key --------------------------------------------------------------------------------


SPEC_TABLE = CHECKOUT / "docs/oci-runtime-spec.md"


def spec_rows():
    """[(first column, second, third), ...]"""
    rows = [re.split(r"(?<!\\)\|", line)[1:-1] for line in SPEC_TABLE.read_text().splitlines() if line.startswith("| ")]
    assert all(len(row) == 3 for row in rows)
    return [[column.strip() for column in row] for row in rows if row[0].strip() != "key"]


def functions():
    """{file of tests: the functions in it}"""
    found = {}
    for path in (*(CHECKOUT / "tests/integration").glob("test_*.py"), *(CHECKOUT / "tests/unit").glob("*/*.c")):
        found.setdefault(path.name, set()).update(re.findall(r"^(?:def|static void) (\w+)\(", path.read_text(), re.M))
    found["test_live.c"] = set().union(*(names for name, names in found.items() if name.startswith("live_")))
    return found


def test_every_test_that_the_table_of_the_specification_names_exists():
    known, wrong = functions(), []
    everything = set().union(*known.values())
    for key, _, tests in spec_rows():
        file, named = None, 0
        for part in re.findall(r"test_\w+\.(?:py|c)\b|[a-z0-9]+(?:_[a-z0-9]+)+|rdma|(?<=::)\w+", tests):
            named += 1
            if part.endswith((".py", ".c")):
                file = part
                wrong += [part] if part not in known else []
            # Section "Control groups" names its files once.
            elif part not in (known.get(file, ()) if file else everything):
                wrong.append(f"{file}: {part}")
        wrong += [f"{key}: no test"] if not named else []
    assert not wrong


def test_every_section_of_the_table_has_rows():
    text = SPEC_TABLE.read_text()
    for section in re.split(r"^### ", text, flags=re.M)[1:]:
        assert len(re.findall(r"^\| ", section, re.M)) > 1, section.splitlines()[0]


def test_every_key_that_is_read_stands_in_the_table():
    read = set()
    for source in (CHECKOUT / "src/oci").glob("*.c"):
        read |= set(re.findall(r'\b(?:FIELD|NEEDED)\([^"]*"(\w+)"', source.read_text()))
    assert len(read) > 100
    shown = set(re.findall(r"\w+", " ".join(re.findall(r"`([^`]*)`", SPEC_TABLE.read_text()))))
    assert not read - shown


# ---- completion ------------------------------------------------------------------------------------------------


@pytest.fixture
def shell(tmp_path):
    """Words completed by a real shell that finds our hull as `hull`."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/hull").symlink_to(HULL)
    env = {"PATH": f"{tmp_path}/bin:{os.environ['PATH']}", "HOME": str(tmp_path), "LC_ALL": "C.UTF-8",
           "XDG_CONFIG_HOME": str(tmp_path), "XDG_DATA_HOME": str(tmp_path)}

    def run(*argv, script=None):
        done = subprocess.run(argv, input=script, text=True, capture_output=True, env=env, cwd=tmp_path, timeout=60)
        assert done.returncode == 0 and not done.stderr, done.stderr
        return done.stdout
    return run


BASH = """
source <(hull completion bash)
complete -p hull | grep -q -- '-F _hull' || exit 1
compopt() { :; }	# there is no completion under way that it could change
COMP_WORDS=(%s)
COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
_hull
printf '%%s\\n' "${COMPREPLY[@]}"
"""


def bash_words(shell, *words):
    quoted = " ".join("'" + w + "'" for w in words)
    return sorted(shell("bash", "--norc", script=BASH % quoted).split())


def test_bash_completes_commands_and_options(shell):
    assert bash_words(shell, "hull", "") == sorted(commands())
    assert bash_words(shell, "hull", "sta") == ["start", "state"]
    for command in [()] + [(c,) for c in commands()]:
        wanted = [f"--{name}" for _, name in options(*command)] + [f"-{letter}" for letter, _ in options(*command)
                                                                   if letter]
        assert bash_words(shell, "hull", *command, "-") == sorted(wanted)


def test_bash_completes_values(shell, tmp_path):
    (tmp_path / "some").mkdir()
    (tmp_path / "some-file").touch()
    assert bash_words(shell, "hull", "--log-format", "") == ["json", "text"]
    assert bash_words(shell, "hull", "--log-format", "=", "j") == ["json"]
    assert bash_words(shell, "hull", "--log", "some", "list", "--format", "") == ["json", "table"]
    assert bash_words(shell, "hull", "run", "-b", "so") == ["some"]
    assert bash_words(shell, "hull", "run", "--pid-file", "so") == ["some", "some-file"]
    assert bash_words(shell, "hull", "--log", "=") == sorted(os.listdir(tmp_path))
    assert bash_words(shell, "hull", "completion", "") == ["bash", "fish", "zsh"]
    assert bash_words(shell, "hull", "kill", "c1", "US") == ["USR1", "USR2"]
    # What follows a command of exec is not ours.
    assert bash_words(shell, "hull", "exec", "c1", "ls", "--") == []


def test_containers_are_completed(shell, bundle):
    bundle.args("sleep", "100")
    bundle.create("docs-one")
    bundle.create("docs-two")
    root = str(bundle.root)
    assert bash_words(shell, "hull", "--root", root, "state", "") == ["docs-one", "docs-two"]
    assert bash_words(shell, "hull", "--root", "=", root, "kill", "docs-t") == ["docs-two"]
    assert bash_words(shell, "hull", "--root", root, "exec", "-u", "1", "docs-o") == ["docs-one"]
    if shutil.which("fish"):
        script = f"hull completion fish | source; complete -C 'hull --root {root} start '"
        assert shell("fish", "--no-config", "-c", script).split() == ["docs-one", "docs-two"]


@pytest.mark.skipif(not shutil.which("fish"), reason="no fish")
def test_fish_completes(shell):
    def words(line):
        out = shell("fish", "--no-config", "-c", f"hull completion fish | source; complete -C '{line}'")
        return sorted(row.split("\t")[0] for row in out.splitlines())

    assert words("hull ") == sorted(commands())
    assert words("hull --log-format ") == ["json", "text"]
    assert words("hull kill c1 US") == ["USR1", "USR2"]
    for command in commands():
        assert set(words(f"hull {command} --")) >= {f"--{name}" for _, name in options(command)}


@pytest.mark.skipif(not shutil.which("zsh"), reason="no zsh")
def test_zsh_takes_its_script(shell, tmp_path):
    (tmp_path / "_hull").write_text(hull("completion", "zsh"))
    shell("zsh", "-n", str(tmp_path / "_hull"))
    load = "autoload -U compinit; compinit -u -D; source <(hull completion zsh); print $_comps[hull]"
    assert shell("zsh", "-f", "-c", load) == "_hull\n"
    # As an installed function: compinit reads its first line.
    load = f"fpath=({tmp_path} $fpath); autoload -U compinit; compinit -u -D; print $_comps[hull]"
    assert shell("zsh", "-f", "-c", load) == "_hull\n"


def test_what_is_installed():
    build = HULL.parent.parent.parent
    for name in ("hull", "_hull", "hull.fish"):
        made = pathlib.Path(build / "packaging/completion" / name).read_text()
        assert "hull" in made and made == hull("completion", {"hull": "bash", "_hull": "zsh", "hull.fish": "fish"}[name])
