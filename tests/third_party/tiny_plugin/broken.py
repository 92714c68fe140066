"""A plugin that fails at import."""

raise RuntimeError("the tiny plugin is broken on purpose")
