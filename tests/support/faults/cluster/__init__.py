"""Three replicas behind nginx, on one PostgreSQL, while parts of that are killed, stopped and cut."""
