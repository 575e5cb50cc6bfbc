"""From a mapping file to a `Mapping`, or to all of its problems at once."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

from integration.core.errors import LeadwireError, Problem
from integration.files import document, wording
from integration.files.positions import Spot
from integration.mapping.compiler import FieldProblem, Source, compile_mapping
from integration.mapping.source_mapping import SourceMapping


class MappingError(LeadwireError):
    """A mapping file cannot be used; `problems` lists everything wrong with it, in the file's order."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems


def load_mapping(file: Path, shown_as: str, field_problem: FieldProblem) -> SourceMapping:
    """Read, check and compile a mapping file.

    `shown_as` is what messages call the file (`mappings/stripe/mapping.yaml`). `field_problem` gives None
    for the name of a lead field that may be set, else a sentence why not. Raises MappingError.
    """
    try:
        content = file.read_bytes()
    except OSError as error:
        problem = Problem(shown_as, "", f"cannot be read: {error.strerror}", "check that it is there")
        raise MappingError((problem,)) from error
    try:
        parsed, problems = document.parse(content, shown_as)
    except document.UnreadableError as error:
        raise MappingError((error.problem,)) from error
    root = Spot(shown_as, parsed.line, problems)
    broken = frozenset(wording.check(parsed.data, root))
    mapping = None
    if isinstance(parsed.data, dict):
        source = Source(parsed.data, root, broken, file.parent, field_problem)
        mapping = compile_mapping(source, sha256(content).hexdigest()[:12])
    if mapping is None:
        raise MappingError(tuple(sorted(dict.fromkeys(problems), key=_line)))
    return mapping


def _line(problem: Problem) -> int:
    return int(problem.place.rpartition(":")[2])
