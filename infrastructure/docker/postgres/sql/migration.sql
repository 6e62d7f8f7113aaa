-- One step of the schema, as the server itself would take it: under its lock,
-- in one transaction with the note that it was taken. Taken already, it is left
-- alone. Variables: version, path.
\set ON_ERROR_STOP on
\set QUIET on
SET client_min_messages = warning;
SET search_path = public;
SET statement_timeout = 0;
SET lock_timeout = '60s';

BEGIN;
SET LOCAL ROLE collective_app;
-- The lock of whoever migrates, the server or this: "Coll".
SELECT pg_advisory_xact_lock(x'436f6c6c00000000'::bigint) \g /dev/null

DO $$
BEGIN
    IF to_regclass('public.schema_version') IS NULL AND to_regclass('public.teams') IS NOT NULL THEN
        RAISE EXCEPTION 'the database has tables of the schema, but no schema_version that says which'
            USING HINT = 'load schema.sql into an empty database, or let this script or the server make it';
    END IF;
END
$$;
CREATE TABLE IF NOT EXISTS schema_version (
    version     BIGINT      NOT NULL PRIMARY KEY,
    applied_at  TIMESTAMPTZ NOT NULL DEFAULT now()
);
SELECT COALESCE(MAX(version), 0) AS before, COALESCE(MAX(version), 0) = :version - 1 AS is_next
FROM schema_version \gset
\if :is_next
    \i :path
    INSERT INTO schema_version (version) VALUES (:version);
    \echo schema: version :version
\endif
COMMIT;
