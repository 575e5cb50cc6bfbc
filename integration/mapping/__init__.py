"""Mapping files: loaded, checked and compiled once; then they translate events into field changes. Pure.

The language is stated in `mapping.schema.json` and shown by the examples in `examples.yaml`.
"""

from integration.mapping.fetch import Fetch, OAuth
from integration.mapping.load import MappingError, load_mapping
from integration.mapping.mapping import Mapping, MappingTest, RequestContext, VerifySpec
from integration.mapping.parts import FieldSetter, LeadKey, Rule

__all__ = [
    "Fetch",
    "FieldSetter",
    "LeadKey",
    "Mapping",
    "MappingError",
    "MappingTest",
    "OAuth",
    "RequestContext",
    "Rule",
    "VerifySpec",
    "load_mapping",
]
