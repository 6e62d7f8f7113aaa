-- Tasks to look at in development.
\echo seeds: nothing is loaded
