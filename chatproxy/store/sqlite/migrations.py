"""The schema, as numbered migrations from an empty file; pending ones run when a file is opened.

`PRAGMA user_version` counts the migrations that a database has been through. A released migration is never
edited; a change is a new one.
"""

from collections.abc import Sequence
from typing import Final

import aiosqlite

APPLICATION_ID: Final = int.from_bytes(b"cprx")

# Triggers index the words of session titles and of message text. The text of an answer changes once, at its
# end; until then it grows in `piece`, which has no trigger.
CHAT: Final = """
CREATE TABLE session (
    key           INTEGER PRIMARY KEY,
    id            TEXT NOT NULL UNIQUE,
    owner         TEXT NOT NULL,
    title         TEXT,
    model         TEXT,
    system        TEXT,
    document_id   INTEGER,
    created_at    TEXT NOT NULL,
    updated_at    TEXT NOT NULL,
    message_count INTEGER NOT NULL DEFAULT 0    -- of messages that are not superseded
) STRICT;
CREATE INDEX session_by_activity ON session (owner, updated_at);

CREATE TABLE message (
    id                INTEGER PRIMARY KEY AUTOINCREMENT,
    session           INTEGER NOT NULL REFERENCES session ON DELETE CASCADE,
    reply_to          INTEGER,                  -- of an answer: the question's id
    superseded        INTEGER NOT NULL DEFAULT 0,
    role              TEXT NOT NULL,
    status            TEXT NOT NULL,
    content           TEXT NOT NULL,
    thinking          TEXT NOT NULL DEFAULT '',
    model             TEXT,
    model_reason      TEXT,
    document_id       INTEGER,
    sources           TEXT NOT NULL,            -- JSON, as are the next three
    warnings          TEXT NOT NULL,
    usage             TEXT,
    error             TEXT,
    finish_reason     TEXT,
    image_count       INTEGER NOT NULL,
    client_message_id TEXT,
    fingerprint       TEXT,                     -- of the request that client_message_id names
    created_at        TEXT NOT NULL,
    updated_at        TEXT NOT NULL,
    UNIQUE (session, client_message_id)
) STRICT;
CREATE INDEX message_shown ON message (session, superseded);
CREATE INDEX message_replies ON message (reply_to) WHERE reply_to IS NOT NULL;
CREATE INDEX message_streaming ON message (status) WHERE status = 'streaming';

CREATE TABLE piece (
    key      INTEGER PRIMARY KEY,
    message  INTEGER NOT NULL REFERENCES message ON DELETE CASCADE,
    thinking TEXT NOT NULL,
    content  TEXT NOT NULL
) STRICT;
CREATE INDEX piece_of_message ON piece (message);

CREATE TABLE image (
    message  INTEGER NOT NULL REFERENCES message ON DELETE CASCADE,
    position INTEGER NOT NULL,
    bytes    BLOB NOT NULL,
    PRIMARY KEY (message, position)
) STRICT;

CREATE VIRTUAL TABLE session_words USING fts5 (
    title, content = 'session', content_rowid = 'key',
    tokenize = 'unicode61 remove_diacritics 2', prefix = '2 3'
);
CREATE TRIGGER session_inserted AFTER INSERT ON session BEGIN
    INSERT INTO session_words (rowid, title) VALUES (new.key, new.title);
END;
CREATE TRIGGER session_changed AFTER UPDATE OF title ON session WHEN old.title IS NOT new.title BEGIN
    INSERT INTO session_words (session_words, rowid, title) VALUES ('delete', old.key, old.title);
    INSERT INTO session_words (rowid, title) VALUES (new.key, new.title);
END;
CREATE TRIGGER session_deleted AFTER DELETE ON session BEGIN
    INSERT INTO session_words (session_words, rowid, title) VALUES ('delete', old.key, old.title);
END;

CREATE VIRTUAL TABLE message_words USING fts5 (
    content, content = 'message', content_rowid = 'id',
    tokenize = 'unicode61 remove_diacritics 2', prefix = '2 3'
);
CREATE TRIGGER message_inserted AFTER INSERT ON message BEGIN
    INSERT INTO message_words (rowid, content) VALUES (new.id, new.content);
END;
CREATE TRIGGER message_changed AFTER UPDATE OF content ON message WHEN old.content IS NOT new.content BEGIN
    INSERT INTO message_words (message_words, rowid, content) VALUES ('delete', old.id, old.content);
    INSERT INTO message_words (rowid, content) VALUES (new.id, new.content);
END;
CREATE TRIGGER message_deleted AFTER DELETE ON message BEGIN
    INSERT INTO message_words (message_words, rowid, content) VALUES ('delete', old.id, old.content);
END;
"""

# Running averages of each model on this machine, by the digest of its weights and settings.
MEASUREMENTS: Final = """
CREATE TABLE measurement (
    digest            TEXT PRIMARY KEY,
    tokens_per_second REAL,
    load_ms           REAL,
    prompt_base       REAL,                     -- tokens of any prompt
    prompt_slope      REAL                      -- and for each byte of its text
) STRICT;
"""

# A document's chunks have the keys from (id << 20) on, so that a search stays within it. An id is never
# reused: a session may still refer to a deleted document.
DOCUMENTS: Final = """
CREATE TABLE document (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    owner      TEXT NOT NULL,
    hash       BLOB NOT NULL,                   -- of the content
    title      TEXT NOT NULL,
    media_type TEXT NOT NULL,
    bytes      INTEGER NOT NULL,
    chunks     INTEGER NOT NULL,
    complete   INTEGER NOT NULL DEFAULT 0,      -- until then, no query returns it
    created_at TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX document_by_content ON document (owner, hash) WHERE complete;
CREATE INDEX document_of_owner ON document (owner, id) WHERE complete;
CREATE INDEX document_incomplete ON document (complete) WHERE NOT complete;

CREATE TABLE chunk (
    key      INTEGER PRIMARY KEY,
    text     TEXT NOT NULL,
    openings TEXT NOT NULL                      -- headings, first words, pairs, indexed too
) STRICT;
CREATE VIRTUAL TABLE chunk_words USING fts5 (
    text, openings,
    content = 'chunk', content_rowid = 'key', tokenize = 'porter unicode61 remove_diacritics 2'
);
CREATE TRIGGER chunk_inserted AFTER INSERT ON chunk BEGIN
    INSERT INTO chunk_words (rowid, text, openings) VALUES (new.key, new.text, new.openings);
END;
CREATE TRIGGER chunk_deleted AFTER DELETE ON chunk BEGIN
    INSERT INTO chunk_words (chunk_words, rowid, text, openings)
    VALUES ('delete', old.key, old.text, old.openings);
END;
"""

# Each use of a session gives it the next number of its owner, which orders it whatever the clock says.
ACTIVITY: Final = """
ALTER TABLE session ADD COLUMN activity INTEGER NOT NULL DEFAULT 0;
UPDATE session SET activity = ranked.number FROM (
    SELECT key, row_number() OVER (PARTITION BY owner ORDER BY updated_at, key) AS number FROM session
) AS ranked WHERE session.key = ranked.key;
DROP INDEX session_by_activity;
CREATE UNIQUE INDEX session_by_activity ON session (owner, activity);
"""

# The words of a document are indexed in memory, apart from those of all others.
DOCUMENT_INDEXES: Final = """
DROP TRIGGER chunk_inserted;
DROP TRIGGER chunk_deleted;
ALTER TABLE chunk DROP COLUMN openings;
"""

# A deleted session is not found any more, and is then removed in steps.
DELETED: Final = """
ALTER TABLE session ADD COLUMN deleted INTEGER NOT NULL DEFAULT 0;
CREATE INDEX session_deleted ON session (deleted) WHERE deleted;
"""

# The index of words follows by itself (`store/search/words`): triggers only note what it has yet to follow.
# What it has of a text that is replaced or deleted is kept until it has followed; the first such text counts.
NOTED: Final = "ON CONFLICT (owner, key) DO UPDATE SET version = version + 1"
OLD_OWNER: Final = "(SELECT owner FROM session WHERE key = old.session)"


def _keep(text: str, owner: str, key: str) -> str:
    return f"""
    INSERT INTO removed (id, text) SELECT id, {text} FROM unindexed
    WHERE owner = {owner} AND key = {key} AND indexed IS NOT 0 AND {text} IS NOT NULL
    ON CONFLICT (id) DO NOTHING"""


WORDS: Final = f"""
DROP TRIGGER session_inserted;
DROP TRIGGER session_changed;
DROP TRIGGER session_deleted;
DROP TRIGGER message_inserted;
DROP TRIGGER message_changed;
DROP TRIGGER message_deleted;

CREATE TABLE word_index (format TEXT NOT NULL) STRICT;
CREATE TABLE unindexed (
    id      INTEGER PRIMARY KEY AUTOINCREMENT,  -- in the order of the first change
    owner   TEXT NOT NULL,
    key     INTEGER NOT NULL,                   -- 2 * session.key for its title, 2 * message.id + 1
    version INTEGER NOT NULL DEFAULT 0,         -- grows with each change of the text
    indexed INTEGER DEFAULT 0,                  -- how many parts of the text are in the index; NULL: all
    UNIQUE (owner, key)                         -- the key of a deleted session may become another owner's
) STRICT;
CREATE INDEX unindexed_of_owner ON unindexed (owner);
CREATE TABLE removed (
    id   INTEGER PRIMARY KEY,                   -- of `unindexed`; `indexed` counts parts of this text
    text TEXT NOT NULL
) STRICT;

CREATE TRIGGER session_inserted AFTER INSERT ON session WHEN new.title IS NOT NULL BEGIN
    INSERT INTO unindexed (owner, key) VALUES (new.owner, 2 * new.key) {NOTED};
END;
CREATE TRIGGER session_changed AFTER UPDATE OF title ON session WHEN old.title IS NOT new.title BEGIN
    INSERT INTO unindexed (owner, key, indexed)
    VALUES (old.owner, 2 * old.key, iif(old.title IS NULL, 0, NULL)) {NOTED};
    {_keep("old.title", "old.owner", "2 * old.key")};
END;
-- Messages go first, while their owner is known.
CREATE TRIGGER session_emptied BEFORE DELETE ON session BEGIN
    DELETE FROM message WHERE session = old.key;
END;
CREATE TRIGGER session_deleted AFTER DELETE ON session WHEN old.title IS NOT NULL BEGIN
    INSERT INTO unindexed (owner, key, indexed) VALUES (old.owner, 2 * old.key, NULL) {NOTED};
    {_keep("old.title", "old.owner", "2 * old.key")};
END;

-- The text of an answer is indexed once it has ended.
CREATE TRIGGER message_inserted AFTER INSERT ON message WHEN new.status <> 'streaming' BEGIN
    INSERT INTO unindexed (owner, key)
    VALUES ((SELECT owner FROM session WHERE key = new.session), 2 * new.id + 1);
END;
CREATE TRIGGER message_changed AFTER UPDATE OF status, content ON message
WHEN new.status <> 'streaming' AND (old.status = 'streaming' OR old.content IS NOT new.content) BEGIN
    INSERT INTO unindexed (owner, key, indexed)
    VALUES ({OLD_OWNER}, 2 * old.id + 1, iif(old.status = 'streaming', 0, NULL)) {NOTED};
    {_keep("old.content", OLD_OWNER, "2 * old.id + 1")};
END;
CREATE TRIGGER message_deleted AFTER DELETE ON message WHEN old.status <> 'streaming' BEGIN
    INSERT INTO unindexed (owner, key, indexed) VALUES ({OLD_OWNER}, 2 * old.id + 1, NULL) {NOTED};
    {_keep("old.content", OLD_OWNER, "2 * old.id + 1")};
END;
"""

# A message is superseded by a later one at its place, or by a conversation that ends before it. What was
# superseded until now has no place.
PLACES: Final = """
ALTER TABLE message RENAME COLUMN superseded TO place;
UPDATE message SET place = iif(place, 0, number) FROM (
    SELECT id, row_number() OVER (PARTITION BY session, place ORDER BY id) AS number FROM message
) AS ranked WHERE ranked.id = message.id;
UPDATE session SET message_count = (SELECT count(*) FROM message WHERE session = session.key AND place > 0);
"""

# A deleted document is removed in the same way as a deleted session.
DELETED_DOCUMENTS: Final = """
ALTER TABLE document ADD COLUMN deleted INTEGER NOT NULL DEFAULT 0;
CREATE INDEX document_deleted ON document (deleted) WHERE deleted;
"""

# Measurements are forgotten some time after their model's last answer, whenever the process was started.
MEASURED_AT: Final = """
ALTER TABLE measurement ADD COLUMN measured_at INTEGER NOT NULL DEFAULT 0;  -- Unix time, in seconds
UPDATE measurement SET measured_at = unixepoch();
"""

# What a kept Response needs to be told again in the same words.
RESPONSES: Final = """
ALTER TABLE message ADD COLUMN thought INTEGER;  -- code points of thinking before the content; NULL: all
ALTER TABLE message ADD COLUMN asked TEXT;       -- what it repeats of its request, as JSON; NULL: no Response
"""

# Where in its document a chunk is, as far as that is known.
PLACES_OF_CHUNKS: Final = """
ALTER TABLE chunk ADD COLUMN page INTEGER;
ALTER TABLE chunk ADD COLUMN heading TEXT;
"""

# What a prompt has in tokens is estimated from what was counted in the same session.
PROMPT_COUNTS: Final = """
ALTER TABLE session ADD COLUMN prompt_counts TEXT;  -- the latest ones, as JSON
ALTER TABLE measurement DROP COLUMN prompt_base;
ALTER TABLE measurement DROP COLUMN prompt_slope;
"""

# What a conversation keeps for its further messages, and when it had its last one: a change of these is none.
SETTINGS_OF_SESSIONS: Final = """
ALTER TABLE session ADD COLUMN think TEXT;    -- JSON, as are options
ALTER TABLE session ADD COLUMN options TEXT;
ALTER TABLE session ADD COLUMN pinned INTEGER NOT NULL DEFAULT 0;
ALTER TABLE session ADD COLUMN used_at TEXT NOT NULL DEFAULT '';
UPDATE session SET used_at = updated_at;
CREATE INDEX session_pinned ON session (owner, activity) WHERE pinned;
"""

# That a text is thinking may show at its end only, if the model does not mark it.
SWAPPED: Final = """
ALTER TABLE message ADD COLUMN swapped INTEGER NOT NULL DEFAULT 0;  -- thinking was content first
"""

# How many messages stood in a message's place one after another, itself included; not counted before.
VERSIONS: Final = """
ALTER TABLE message ADD COLUMN version INTEGER NOT NULL DEFAULT 1;
"""

# What could not be read of a document, or was guessed: as JSON.
WARNINGS_OF_DOCUMENTS: Final = """
ALTER TABLE document ADD COLUMN warnings TEXT NOT NULL DEFAULT '[]';
"""

# All documents that are answered from; `document_id` is the first. NULL: it is the only one.
SEVERAL_DOCUMENTS: Final = """
ALTER TABLE session ADD COLUMN documents TEXT;     -- JSON, the id and the title of each
ALTER TABLE message ADD COLUMN document_ids TEXT;  -- JSON
"""

# What chunks mean to an embedding model, derived from them; made again for another model.
VECTORS: Final = """
ALTER TABLE document ADD COLUMN embedded INTEGER NOT NULL DEFAULT 0;  -- chunks with a vector: the first ones
ALTER TABLE document ADD COLUMN embedded_by TEXT;                     -- key of these, as in search/vectors
CREATE TABLE vectors (
    key     INTEGER PRIMARY KEY,  -- that of the first chunk
    numbers BLOB NOT NULL         -- of this chunk's vector and of those that follow, as 16-bit floats
) STRICT;
"""

# A condition that PostgreSQL takes, too, for a number that is no flag.
DELETED_SESSIONS: Final = """
DROP INDEX session_deleted;
CREATE INDEX session_deleted ON session (deleted) WHERE deleted <> 0;
"""

MIGRATIONS: Final[Sequence[str]] = (
    CHAT,
    MEASUREMENTS,
    DOCUMENTS,
    ACTIVITY,
    DOCUMENT_INDEXES,
    DELETED,
    WORDS,
    PLACES,
    DELETED_DOCUMENTS,
    MEASURED_AT,
    RESPONSES,
    PLACES_OF_CHUNKS,
    PROMPT_COUNTS,
    SETTINGS_OF_SESSIONS,
    SWAPPED,
    VERSIONS,
    WARNINGS_OF_DOCUMENTS,
    SEVERAL_DOCUMENTS,
    VECTORS,
    DELETED_SESSIONS,
)


async def migrate(connection: aiosqlite.Connection, migrations: Sequence[str] = MIGRATIONS) -> None:
    """Run the pending migrations in one transaction, so that one that fails leaves nothing behind."""
    ((version,),) = await connection.execute_fetchall("PRAGMA user_version")
    if pending := migrations[version:]:
        try:
            await connection.executescript(
                f"BEGIN IMMEDIATE; {';'.join(pending)};"
                f"PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {len(migrations)}; COMMIT"
            )
        finally:
            await connection.rollback()  # nothing to do after a COMMIT
