-- The roles, in one transaction, the same again each time. Passwords come by
-- the environment (COLLECTIVE_SETUP_*), so that no command line holds one; an
-- empty one leaves the role without a password, which SCRAM lets nobody in with.
\set ON_ERROR_STOP on
\set QUIET on
\getenv app_password COLLECTIVE_SETUP_APP_PASSWORD
\getenv readonly_password COLLECTIVE_SETUP_READONLY_PASSWORD
\getenv monitor_password COLLECTIVE_SETUP_MONITOR_PASSWORD

SELECT rolsuper AS is_superuser FROM pg_roles WHERE rolname = current_user \gset
\if :is_superuser
    -- Statements with passwords in them reach no log.
    SET log_statement = 'none';
    SET log_min_duration_statement = -1;
    SET log_min_error_statement = 'panic';
\endif
SET password_encryption = 'scram-sha-256';
SET lock_timeout = '60s';

BEGIN;
-- Two setups at once come one after the other: "Setp", beside the server's locks.
SELECT pg_advisory_xact_lock(x'5365747000000000'::bigint) \g /dev/null

SELECT format('CREATE ROLE %I', name)
FROM (VALUES ('collective_app'), ('collective_readonly'), ('collective_monitor')) AS wanted (name)
WHERE to_regrole(name) IS NULL \gexec

-- The app has what the others, the administrator and a reserve leave.
SELECT format('ALTER ROLE %I WITH LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION '
    'NOBYPASSRLS CONNECTION LIMIT %s PASSWORD %s', name, connections,
    COALESCE(quote_literal(NULLIF(password, '')), 'NULL'))
FROM (VALUES
    ('collective_app', GREATEST(20, current_setting('max_connections')::int
        - current_setting('superuser_reserved_connections')::int - 30), :'app_password'),
    ('collective_readonly', 10, :'readonly_password'),
    ('collective_monitor', 5, :'monitor_password')
) AS wanted (name, connections, password) \gexec

-- The server sets tighter bounds for its own sessions; these are for all others.
ALTER ROLE collective_app SET statement_timeout = '60s';
ALTER ROLE collective_app SET idle_in_transaction_session_timeout = '60s';
ALTER ROLE collective_app SET search_path = public;
ALTER ROLE collective_readonly SET default_transaction_read_only = on;
ALTER ROLE collective_readonly SET statement_timeout = '30s';
ALTER ROLE collective_readonly SET idle_in_transaction_session_timeout = '30s';
ALTER ROLE collective_readonly SET search_path = public;
ALTER ROLE collective_monitor SET default_transaction_read_only = on;
ALTER ROLE collective_monitor SET statement_timeout = '15s';
ALTER ROLE collective_monitor SET idle_in_transaction_session_timeout = '15s';
ALTER ROLE collective_monitor SET search_path = public, monitoring;
GRANT pg_monitor TO collective_monitor;

-- Nothing is for everybody.
SELECT current_database() AS database \gset
REVOKE ALL ON DATABASE :"database" FROM PUBLIC;
GRANT CONNECT ON DATABASE :"database" TO collective_app, collective_readonly, collective_monitor;
REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT USAGE, CREATE ON SCHEMA public TO collective_app;
GRANT USAGE ON SCHEMA public TO collective_readonly, collective_monitor;

-- Statements by their cost, where the library is loaded.
SELECT current_setting('shared_preload_libraries') ~ '\mpg_stat_statements\M' AS counts_statements \gset
\if :counts_statements
    CREATE SCHEMA IF NOT EXISTS monitoring;
    CREATE EXTENSION IF NOT EXISTS pg_stat_statements SCHEMA monitoring;
    GRANT USAGE ON SCHEMA monitoring TO collective_monitor;
\endif
COMMIT;
