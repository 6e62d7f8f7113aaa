-- What the readers may read, made anew from what is there. What lets its holder
-- act in somebody's name is left out: secrets of leases, hashes of keys, kept
-- answers (they hold lease tokens).
\set ON_ERROR_STOP on
\set QUIET on
SET client_min_messages = warning;
SET lock_timeout = '60s';

BEGIN;
SELECT pg_advisory_xact_lock(x'5365747000000000'::bigint) \g /dev/null

REVOKE ALL ON ALL TABLES IN SCHEMA public FROM PUBLIC, collective_readonly, collective_monitor;

WITH secret (place, name) AS (
    VALUES ('tasks', 'lease_secret'), ('attempts', 'secret'), ('api_keys', 'secret_hash'),
        ('answers', 'answer'), ('answers', 'request_hash')
), readable AS (
    SELECT c.relname::text AS place,
        string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum)
            FILTER (WHERE secret.name IS NULL) AS columns,
        count(secret.name) AS secrets
    FROM pg_class c
    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    LEFT JOIN secret ON secret.place = c.relname AND secret.name = a.attname
    WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v')
    GROUP BY c.relname
)
SELECT CASE secrets
    WHEN 0 THEN format('GRANT SELECT ON public.%I TO collective_readonly', place)
    ELSE format('GRANT SELECT (%s) ON public.%I TO collective_readonly', columns, place) END
FROM readable \gexec

-- Tables that the server makes later.
ALTER DEFAULT PRIVILEGES FOR ROLE collective_app IN SCHEMA public
    GRANT SELECT ON TABLES TO collective_readonly;
COMMIT;
