"""Who may call what: groups of methods, and the keys that open them."""
