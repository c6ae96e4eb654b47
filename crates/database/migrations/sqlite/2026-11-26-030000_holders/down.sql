ALTER TABLE clients DROP COLUMN bound_to;
