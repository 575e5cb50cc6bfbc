"""Pure (level 1): the fields of a lead, which updates of them are valid, how competing values settle."""
