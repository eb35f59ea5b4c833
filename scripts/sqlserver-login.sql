-- The service's login: it reads and writes rows, and changes no schema. Run it in the
-- database of plantgate, as somebody who may make logins, with a password of your own.
CREATE LOGIN plantgate WITH PASSWORD = 'change-me-before-you-run-this';
CREATE USER plantgate FOR LOGIN plantgate;
GRANT SELECT, INSERT, UPDATE, DELETE ON SCHEMA::dbo TO plantgate;
