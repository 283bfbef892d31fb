"""Rules about the tree itself: imports that a graph cannot see, first lines, documents that name what exists."""

from __future__ import annotations

import ast
import email
import functools
import graphlib
import importlib.metadata
import importlib.util
import os
import re
import subprocess
import sys
import sysconfig
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CODE = ("services", "shared", "sandbox", "bench", "tests")
MODULES = sorted(path for folder in CODE for path in (ROOT / folder).rglob("*.py"))
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "deploy").rglob("*.md")])
TEXT_SUFFIXES = {".py", ".md", ".toml", ".yaml", ".yml", ".sh", ".html", ".js", ".css", ".xml", ""}
TEXTS = sorted(
    path
    for start in (*CODE, "deploy", "docs", "tools", ".ci")
    for path in (ROOT / start).rglob("*")
    if path.is_file() and path.suffix in TEXT_SUFFIXES and "__pycache__" not in path.parts
) + [path for path in ROOT.iterdir() if path.is_file() and path.suffix in TEXT_SUFFIXES and path.name != ".git"]
# It writes the published files, and nothing imports it.
GENERATOR = {
    f"shared/contract/{name}.py"
    for name in (
        *("asyncapi", "bundle", "described", "openapi", "preflight", "publish_packages", "publish_schemas", "schemas"),
        "typescript",
    )
}


def _relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@functools.cache
def _parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


@functools.cache
def _imports(path: Path) -> tuple[ast.Import | ast.ImportFrom, ...]:
    return tuple(node for node in ast.walk(_parsed(path)) if isinstance(node, ast.Import | ast.ImportFrom))


def _imported(path: Path) -> Iterator[str]:
    """Full names of what a module imports; of `from a import b` both `a` and `a.b`."""
    for node in _imports(path):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif node.module:
            yield node.module
            yield from (f"{node.module}.{name.name}" for name in node.names)


# ------------------------------------------------------------------------------ a channel called like a library


def test_email_is_the_standard_librarys() -> None:
    """`services/email` would hide it from everybody as soon as `services/` is a place to import from."""
    assert Path(email.__file__).is_relative_to(sysconfig.get_path("stdlib"))
    assert ROOT / "services" not in {Path(entry).resolve() for entry in sys.path}


@pytest.mark.parametrize(
    "command",
    [
        pytest.param(["-c", "import email.message; print(email.__file__)"], id="root"),
        pytest.param(["-c", "import services, email.message; print(email.__file__)"], id="services"),
    ],
)
def test_email_is_the_standard_librarys_in_a_process_of_its_own(command: list[str]) -> None:
    run = subprocess.run([sys.executable, *command], cwd=ROOT, capture_output=True, text=True, check=True)
    assert Path(run.stdout.strip()).is_relative_to(sysconfig.get_path("stdlib"))


def test_services_is_a_package() -> None:
    assert (ROOT / "services" / "__init__.py").is_file()
    assert all((folder / "__init__.py").is_file() for folder in _channels())


def _channels() -> list[Path]:
    return sorted(path.parent for path in (ROOT / "services").glob("*/pyproject.toml"))


# ------------------------------------------------------------------------------------------------------- imports


def _module(path: Path) -> str:
    return _relative(path).removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def _uses(path: Path) -> set[str]:
    """The modules of this tree that a module imports, also where only a type checker does."""
    package = _module(path) if path.name == "__init__.py" else _module(path).rpartition(".")[0]
    found: set[str] = set()
    for node in _imports(path):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        else:
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            names = {f"{base}.{name.name}" for name in node.names}
            found |= names & MODULE_NAMES or {base}
    return found & MODULE_NAMES - {_module(path)}


MODULE_NAMES = {_module(path) for path in MODULES}


def test_no_imports_go_round_in_a_circle() -> None:
    """What an import graph is told with `if TYPE_CHECKING` is counted, too: it binds a reader as much."""
    try:
        tuple(graphlib.TopologicalSorter({_module(path): _uses(path) for path in MODULES}).static_order())
    except graphlib.CycleError as circle:
        pytest.fail(" -> ".join(reversed(circle.args[1])))


def test_only_the_runtime_serves_http() -> None:
    allowed = ("shared/runtime/", "sandbox/", "bench/", "tests/")
    strangers = [
        _relative(path)
        for path in MODULES
        if "aiohttp.web" in {".".join(name.split(".")[:2]) for name in _imported(path)}
        and not _relative(path).startswith(allowed)
    ]
    assert strangers == []


def test_the_contract_needs_pydantic_and_nothing_else() -> None:
    own = {"shared", "pydantic", "pydantic_core", *sys.stdlib_module_names}
    foreign = {
        f"{_relative(path)}: {name}"
        for path in (ROOT / "shared" / "contract").glob("*.py")
        if _relative(path) not in GENERATOR
        for name in _imported(path)
        if name.partition(".")[0] not in own or (name.startswith("shared.") and not name.startswith("shared.contract"))
    }
    assert foreign == set()


def test_nothing_in_production_imports_the_generator() -> None:
    generator = {name.removesuffix(".py").replace("/", ".") for name in GENERATOR}
    production = [path for path in MODULES if _relative(path).startswith(("services/", "shared/"))]
    users = {_relative(path) for path in production if generator & set(_imported(path))}
    assert users <= GENERATOR


# -------------------------------------------------------------------------------------------------------- clocks

_CLOCK = re.compile(r"(?:time\.)?(?:time|monotonic)(?:_ns)?|datetime\.(?:now|utcnow)")


def _reads_of_the_clock(text: str) -> list[str]:
    """Calls of the machine's clock, but for what is only the default of a parameter."""
    module = ast.parse(text)
    functions = [node.args for node in ast.walk(module) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    defaults = [default for given in functions for default in (*given.defaults, *given.kw_defaults) if default]
    allowed = {id(node) for default in defaults for node in ast.walk(default)}
    calls = [node.func for node in ast.walk(module) if isinstance(node, ast.Call) and id(node) not in allowed]
    return [name for name in map(ast.unparse, calls) if _CLOCK.fullmatch(name)]


def test_the_clock_is_a_parameter() -> None:
    outside = [p for p in MODULES if _relative(p).startswith(("services/", "shared/")) and not _in_runtime(p)]
    read = {_relative(path): _reads_of_the_clock(path.read_text()) for path in outside}
    assert {file: names for file, names in read.items() if names} == {}


def test_the_runtime_takes_the_clock_by_name() -> None:
    """Then the clock of the tests replaces it in every module at once."""
    read = {_relative(path): _reads_of_the_clock(path.read_text()) for path in MODULES if _in_runtime(path)}
    assert {file for file, names in read.items() if any(name.startswith("time.") for name in names)} == set()


def _in_runtime(path: Path) -> bool:
    return _relative(path).startswith("shared/runtime/")


def test_a_read_of_the_clock_is_found() -> None:
    assert _reads_of_the_clock("a = time()\nb = time.monotonic()\nc = datetime.now(UTC)") == [
        "time",
        "time.monotonic",
        "datetime.now",
    ]
    assert _reads_of_the_clock("def f(now=lambda: datetime.now(UTC), *, clock=time): clock(), now(), loop.time()") == []


# ----------------------------------------------------------------------------------------------- how files begin


def test_a_module_begins_by_saying_what_it_is_for() -> None:
    written = [path for path in MODULES if path.name != "__init__.py" or path.read_text().strip()]
    assert [_relative(path) for path in written if not _says_what_it_is_for(path)] == []


def _says_what_it_is_for(path: Path) -> bool:
    first_line = (ast.get_docstring(_parsed(path)) or "").partition("\n")[0]
    return len(first_line.split()) > 2 and path.read_text().startswith(('"""', 'r"""', "#!"))


def test_modules_postpone_annotations() -> None:
    code = [path for path in MODULES if path.name != "__init__.py" and len(_parsed(path).body) > 1]
    assert [_relative(path) for path in code if "__future__.annotations" not in set(_imported(path))] == []


# ------------------------------------------------------------------------------------------- what stands nowhere

# Put together from pieces, so that this file does not hold what it looks for.
UNWANTED = {
    "unfinished": re.compile(r"\b(?:TO" r"DO|FIX" r"ME)\b"),
    "merge conflict": re.compile(r"^(?:<{7}|>{7}) ", re.MULTILINE),
    "somebody's machine": re.compile(r"(?<![\w.])/(?:work|ro" r"ot)/\w"),
    "private key": re.compile(r"-----BEGIN [A-Z ]*PRIVATE" r" KEY-----\s+[A-Za-z0-9+/]{40}"),
}


@pytest.mark.parametrize("what", UNWANTED)
def test_no_file_holds(what: str) -> None:
    found = [
        f"{_relative(path)}: {match[0]!r}"
        for path in TEXTS
        for match in UNWANTED[what].finditer(path.read_text(errors="replace"))
    ]
    assert found == []


def test_the_search_covers_the_tree() -> None:
    assert {"Makefile", "pyproject.toml", ".ci/run", "shared/channel.py"} <= {_relative(path) for path in TEXTS}


# ------------------------------------------------------------------------------------------ nothing beside the checkout


class _Climber:
    """Follows the expressions of a module that begin at its own file, and how far up the tree they lead."""

    def __init__(self, relative: str, text: str) -> None:
        self._module = ast.parse(text)
        self._depth = relative.count("/") + 1  # how often `parent` leads to the root of the checkout
        self._names: dict[str, int] = {}

    def out(self) -> list[str]:
        """Expressions that lead above the root of the checkout, or to the home directory."""
        for node in ast.walk(self._module):
            if isinstance(node, ast.Assign) and (up := self._up(node.value)) is not None:
                self._names |= {target.id: up for target in node.targets if isinstance(target, ast.Name)}
            elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value is not None:
                if (up := self._up(node.value)) is not None:
                    self._names[node.target.id] = up
            elif isinstance(node, ast.ImportFrom):  # a ROOT from elsewhere is the checkout's
                self._names |= {name.asname or name.name: self._depth for name in node.names if name.name == "ROOT"}
        return [ast.unparse(node) for node in ast.walk(self._module) if self._is_out(node)]

    def _is_out(self, node: ast.AST) -> bool:
        if isinstance(node, ast.Attribute) and node.attr in ("expanduser", "home") and not self._is_private(node):
            return node.attr == "expanduser" or ast.unparse(node.value).endswith("Path")
        return isinstance(node, ast.expr) and (self._up(node) or 0) > self._depth

    @staticmethod
    def _is_private(node: ast.Attribute) -> bool:
        return isinstance(node.value, ast.Name) and node.value.id == "self"

    def _up(self, node: ast.expr) -> int | None:
        """How many folders above the module's file, or None when it does not begin there."""
        match node:
            case ast.Name(id=name):
                return self._names.get(name)
            case ast.Call(func=ast.Name(id="Path"), args=[ast.Name(id="__file__")]):
                return 0
            case ast.Call(func=ast.Attribute(value=inner, attr="resolve" | "absolute")):
                return self._up(inner)
            case ast.Attribute(value=inner, attr="parent"):
                return self._plus(inner, 1)
            case ast.Subscript(value=ast.Attribute(value=inner, attr="parents"), slice=ast.Constant(value=int(n))):
                return self._plus(inner, n + 1)
            case ast.BinOp(left=inner, op=ast.Div(), right=ast.Constant(value=str(path))):
                parts = path.split("/")
                return self._plus(inner, 2 * parts.count("..") - len(parts))
        return None

    def _plus(self, inner: ast.expr, more: int) -> int | None:
        up = self._up(inner)
        return None if up is None else up + more


# A path that climbs: at the beginning of a word, not in the middle of a longer path.
_CLIMBING = re.compile(r"(?<![\w./])(?:\.\./)+[\w.]*")


def _leads_out(relative: str, text: str) -> list[str]:
    """What a file holds that leads out of the checkout."""
    folder = (ROOT / relative).parent
    climbing = [found[0] for found in _CLIMBING.finditer(text)]
    out = [path for path in climbing if not Path(os.path.normpath(folder / path)).is_relative_to(ROOT)]
    begins = relative.endswith(".py") and re.search(
        r"__file__|\bROOT\b|expanduser|\bhome\b", text
    )  # or it leads nowhere
    return out + (_Climber(relative, text).out() if begins else [])


def test_nothing_leads_out_of_the_checkout() -> None:
    found = {_relative(path): _leads_out(_relative(path), path.read_text(errors="replace")) for path in TEXTS}
    assert {file: out for file, out in found.items() if out} == {}


@pytest.mark.parametrize(
    "text",
    [
        "HERE = Path(__file__).parents[3]",
        "HERE = Path(__file__).resolve().parent.parent.parent.parent",
        "ROOT: Final = Path(__file__).parents[2]\nSPECS = ROOT.parent / 'specs'",
        "from a import ROOT\nfound = ROOT.parent.glob('*/specs')",
        "ROOT = Path(__file__).parents[2]\nSPECS = ROOT / '..' / 'specs'",
        "cache = Path.home() / '.cache'",
        "cache = Path('~/.cache').expanduser()",
        "cache = os.path.expanduser('~/.cache')",
        "SPECS = '" + "../" * 3 + "specs'",
    ],
)
def test_what_would_lead_out_is_found(text: str) -> None:
    assert _leads_out("tests/sandbox/some.py", text) != []


@pytest.mark.parametrize(
    "text",
    [
        "ROOT = Path(__file__).resolve().parents[2]\nHERE = ROOT / 'tests' / 'sandbox'\nUP = HERE.parent.parent",
        "FILE = Path(__file__).with_name('messages.yaml')",
        "self.home.mkdir()",
        "BASE = '../requirements'",
    ],
)
def test_what_stays_inside_is_not(text: str) -> None:
    assert _leads_out("tests/sandbox/some.py", text) == []


# ----------------------------------------------------------------------------------------------------- documents


def _targets() -> set[str]:
    return set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def test_the_makefile_is_short_and_explains_itself() -> None:
    helped = re.findall(r"^([a-z]+):.*## \S", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert {"run", "test", "check", "bench", "help"} <= set(helped)
    assert set(helped) == _targets()
    assert len(helped) <= 15


def _code(text: str) -> list[str]:
    """Code blocks and what stands between backticks."""
    blocks = re.compile(r"```.*?```", re.DOTALL)
    return [*blocks.findall(text), *re.findall(r"`[^`\n]+`", blocks.sub("", text))]


@pytest.mark.parametrize("path", DOCUMENTS, ids=_relative)
def test_commands_in_a_document_exist(path: Path) -> None:
    for code in _code(path.read_text()):
        assert set(re.findall(r"\bmake ([a-z]+)", code)) <= _targets(), code
        for module in re.findall(r"python -m ([a-z_.]+)(?![\w.<])", code):
            assert importlib.util.find_spec(module), code


@pytest.mark.parametrize("path", DOCUMENTS, ids=_relative)
def test_files_that_a_document_names_exist(path: Path) -> None:
    text = path.read_text()
    for link in re.findall(r"\]\(([^)#\s:]+)(?:#[^)]*)?\)", text):
        assert (path.parent / link).exists(), link
    in_code = re.findall(r"`((?:services|shared|sandbox|bench|deploy|tests|docs|tools)/[\w./:-]*)`", text)
    for name in {*in_code, *re.findall(r"\btests/[\w./-]+\.py(?:::\w+)*", text)}:
        file, _, test = name.partition("::")
        assert (ROOT / file).exists(), name
        if test:
            function = re.escape(test.partition("::")[0])
            assert re.search(rf"\b(?:def|class) {function}\b", (ROOT / file).read_text()), name


def test_decisions_are_numbered_without_gaps() -> None:
    numbers = sorted(int(path.name[:4]) for path in (ROOT / "docs" / "adr").glob("*.md"))
    assert numbers == list(range(1, len(numbers) + 1))


# ------------------------------------------------------------------------------------------------------ workspace


def test_a_channels_dependencies_are_its_own() -> None:
    """A library that only one channel uses does not stand in the root, where all channels would carry it."""
    root = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    for folder in _channels():
        own = tomllib.loads((folder / "pyproject.toml").read_text())["project"]["dependencies"]
        assert not set(own) & set(root)


def test_the_root_depends_only_on_what_shared_imports() -> None:
    """All images carry it; what only the sandbox or the tests need stands in their groups."""
    root = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    needed = {re.split(r"[^\w-]", requirement)[0] for requirement in root}
    imported = {name.partition(".")[0] for path in (ROOT / "shared").rglob("*.py") for name in _imported(path)}
    packages = importlib.metadata.packages_distributions()
    used = {package.lower().replace("_", "-") for name in imported for package in packages.get(name, ())}
    assert needed <= used
