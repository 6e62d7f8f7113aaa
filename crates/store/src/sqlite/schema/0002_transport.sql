-- How tasks reach an agent: 'http', or 'amqp' where there is a broker.
ALTER TABLE agents ADD COLUMN transport TEXT NOT NULL DEFAULT 'http';
