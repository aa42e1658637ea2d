"""The HTTP face: routes, bodies, errors as JSON, answers as Server-Sent Events."""
