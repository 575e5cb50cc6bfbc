"""The only place with SQL: tables, engine, group commit, and a module per noun (inbox, leads, ...)."""
