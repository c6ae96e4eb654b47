-- Records of before the column count as well: what they say, when it is a whole number.
UPDATE backups SET stored_bytes = json_extract(metadata, '$.bytes_stored')
WHERE stored_bytes = 0 AND status <> 'deleted'
    AND json_type(metadata, '$.bytes_stored') = 'integer'
    AND json_extract(metadata, '$.bytes_stored') BETWEEN 0 AND 999999999999999999;
