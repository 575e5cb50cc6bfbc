"""From a mapping file to a `SourceMapping`, or to all of its problems at once."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from integration.core.errors import LeadwireError, Problem
from integration.files import document
from integration.files.positions import Key, Spot, in_order
from integration.mapping.compiler import FieldProblem, Source, compile_mapping, compile_reception
from integration.mapping.language import FORM, LANGUAGE
from integration.mapping.source_mapping import Reception, SourceMapping

_VERSION_DIGITS = 12


class MappingError(LeadwireError):
    """A mapping file cannot be used; `problems` lists everything wrong with it, in the file's order."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems


@dataclass(frozen=True, slots=True)
class MappingFile:
    """What a file turned out to be: a `mapping` if it compiles, else the `problems` that keep it from that.

    `test_problems` are mistakes under `tests:`, which decide about nothing else. `reception` is what is
    needed to receive, where that part can be read, whatever else is wrong. `is_off`: the file says
    `enabled: false`.
    """

    mapping: SourceMapping | None
    problems: tuple[Problem, ...]
    test_problems: tuple[Problem, ...] = ()
    reception: Reception | None = None
    is_off: bool = False

    @property
    def all_problems(self) -> tuple[Problem, ...]:
        """Everything that is wrong, in the file's order, each thing once."""
        return in_order((*self.problems, *self.test_problems))


def read_mapping(
    content: bytes, folder: Path, shown_as: str, field_problem: FieldProblem, name: str | None = None
) -> MappingFile:
    """Check and compile the text of a mapping file; never raises.

    `folder` is where its examples are. `shown_as` is what messages call the file
    (`mappings/stripe/mapping.yaml`). `field_problem` gives None for the name of a lead field that may be set,
    else a sentence why not. `name`, where given, is the one that `source:` must have.
    """
    try:
        parsed, found = document.parse(content, shown_as, FORM)
    except document.UnreadableError as error:
        return MappingFile(None, (error.problem,))
    problems: list[Problem] = []
    test_problems: list[Problem] = []
    for path, problem in found:
        (test_problems if _is_of_tests(path) else problems).append(problem)
    root = Spot(shown_as, parsed.line, problems)
    broken = frozenset(_check(parsed.data, root, root.collecting(test_problems)))
    if not isinstance(parsed.data, dict):
        return MappingFile(None, tuple(problems))
    if parsed.data.get("enabled") is False:
        return MappingFile(None, (), is_off=True)
    _check_name(parsed.data, name, root)
    source = Source(parsed.data, root, broken, folder, field_problem, test_problems)
    mapping = compile_mapping(source, sha256(content).hexdigest()[:_VERSION_DIGITS])
    return MappingFile(mapping, in_order(problems), in_order(test_problems), compile_reception(source))


def load_mapping(file: Path, shown_as: str, field_problem: FieldProblem) -> SourceMapping:
    """Read, check and compile a mapping file, as `read_mapping`. Raises MappingError for any problem."""
    try:
        content = file.read_bytes()
    except OSError as error:
        raise MappingError((unreadable(shown_as, error),)) from error
    found = read_mapping(content, file.parent, shown_as, field_problem)
    if found.mapping is None or found.test_problems:
        raise MappingError(found.all_problems)
    return found.mapping


def unreadable(shown_as: str, error: OSError) -> Problem:
    """The problem of a file that cannot be read."""
    return Problem(shown_as, "", f"cannot be read: {error.strerror}", "check that it is there")


def _check(data: object, root: Spot, of_tests: Spot) -> Iterable[tuple[Key, ...]]:
    for misfit in LANGUAGE.misfits(data):
        spot = of_tests if _is_of_tests(misfit.path) else root
        spot.at(misfit.path).report(misfit.message, misfit.cure)
        yield misfit.judged


def _is_of_tests(path: tuple[Key, ...]) -> bool:
    return path[:1] == ("tests",)


def _check_name(data: dict[str, object], name: str | None, root: Spot) -> None:
    if name is not None and isinstance(data.get("source"), str) and data["source"] != name:
        message = f"is {data['source']!r}, but the folder is {name!r}"
        (root / "source").report(message, f"write `source: {name}`")
