"""Mapping files: loaded, checked and compiled once; then they translate events into field changes. Pure.

The language is stated in `mapping.schema.json` and shown by the examples in `examples.yaml`.
"""

from integration.mapping.fetch_spec import Fetch
from integration.mapping.load import MappingError, MappingFile, load_mapping, read_mapping
from integration.mapping.parts import FieldSetter, LeadKey, Rule
from integration.mapping.source_mapping import (
    MappingTest,
    Reception,
    RequestContext,
    SourceMapping,
    VerifySpec,
)

__all__ = [
    "Fetch",
    "FieldSetter",
    "LeadKey",
    "MappingError",
    "MappingFile",
    "MappingTest",
    "Reception",
    "RequestContext",
    "Rule",
    "SourceMapping",
    "VerifySpec",
    "load_mapping",
    "read_mapping",
]
