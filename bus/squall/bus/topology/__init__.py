"""Who may talk to whom: nodes in; links, permissions and imports out. Pure."""
