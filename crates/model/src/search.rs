//! Search documents: `match`, `match_not`, `_all`, `time_after`, `time_before`.
