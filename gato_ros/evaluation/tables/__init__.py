"""Tables that compare conditions, rather than actors, of the same tasks."""
