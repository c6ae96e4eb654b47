-- Records of before the column count as well: what they say, when it is a whole number.
UPDATE backups SET stored_bytes = CAST(JSON_UNQUOTE(JSON_EXTRACT(metadata, '$.bytes_stored')) AS SIGNED)
WHERE stored_bytes = 0 AND status <> 'deleted'
    AND JSON_TYPE(JSON_EXTRACT(metadata, '$.bytes_stored')) = 'INTEGER'
    AND JSON_UNQUOTE(JSON_EXTRACT(metadata, '$.bytes_stored')) REGEXP '^[0-9]{1,18}$';
