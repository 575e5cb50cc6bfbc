"""Mapping files: loaded, checked and compiled once; then they translate events into field changes. Pure.

The language is stated in `mapping.schema.json` and shown by the examples in `examples.yaml`.
"""

from integration.mapping.fetch_spec import Fetch
from integration.mapping.load import MappingError, load_mapping
from integration.mapping.parts import FieldSetter, LeadKey, Rule
from integration.mapping.source_mapping import MappingTest, RequestContext, SourceMapping, VerifySpec

__all__ = [
    "Fetch",
    "FieldSetter",
    "LeadKey",
    "MappingError",
    "MappingTest",
    "RequestContext",
    "Rule",
    "SourceMapping",
    "VerifySpec",
    "load_mapping",
]
