"""The HTTP interface: routes, bodies, errors as JSON, answers as Server-Sent Events."""
